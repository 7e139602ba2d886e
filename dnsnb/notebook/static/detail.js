// One query in full: its fields, why it was decided so, and what can be done about it.

import { clock, count, day, h, millis, plain, put } from "./text.js";

const FIELDS = [
  ["time", (r) => `${day(r.time)} ${clock(r.time)}`],
  ["client", (r) => [r.client_name, r.client].filter(Boolean).map(plain).join(" · ")],
  ["transport", (r) => plain(r.transport)],
  ["status", (r) => plain(r.status)],
  ["rcode", (r) => plain(r.rcode)],
  ["list", (r) => plain(r.list)],
  ["rule", (r) => plain(r.rule)],
  ["upstream", (r) => plain(r.upstream)],
  ["latency", (r) => (r.latency_ms === null ? "" : millis(r.latency_ms))],
  ["ttl", (r) => (r.ttl === null ? "" : `${count(r.ttl)} s`)],
  ["flags", (r) => plain(r.flags)],
  ["EDE", (r) => (r.ede === null ? "" : String(r.ede))],
  ["bytes", (r) => [r.query_bytes, r.response_bytes].filter((n) => n !== null).map(count).join(" → ")],
  ["answers", (r) => r.answers.map(plain).join("\n")],
  ["id", (r) => (r.id === null ? "" : String(r.id))],
];

export function detailPane(desk, { onClose, onLookup, commands = true }) {
  const title = h("h3", { class: "dnsnb-code" });
  const fields = h("dl", { class: "dnsnb-fields" });
  const steps = h("ol", { class: "dnsnb-steps", "aria-label": "Why it was decided so" });
  const said = h("p", { class: "dnsnb-said", role: "status" });
  const actions = h("div", { class: "dnsnb-row" });
  const el = h("section", { class: "dnsnb-detail", "aria-label": "The chosen query", hidden: true }, h("header", { class: "dnsnb-row" }, title, h("span", { class: "dnsnb-gap" }), h("button", { type: "button", class: "dnsnb-x", "aria-label": "Close the detail", onclick: () => onClose() }, "✕")), actions, said, fields, steps);
  let row = null;
  let turn = 0;

  const edit = async (list, name) => {
    put(said, "");
    said.classList.remove("dnsnb-bad");
    try {
      const answer = await desk.request("POST", `/api/dns/${list}`, { names: [name] });
      put(said, answer.added?.length ? `${plain(name)} is now on the ${list}; it holds from the next query.` : `${plain(name)} was already on the ${list}.`);
    } catch (error) {
      put(said, plain(error.message));
      said.classList.add("dnsnb-bad");
    }
  };
  const act = {
    block: () => row?.qname && edit("blacklist", row.qname),
    blockDomain: () => row?.domain && edit("blacklist", row.domain),
    allow: () => row?.qname && edit("whitelist", row.qname),
    again: () => row?.qname && onLookup(row.qname, row.qtype),
    onlyClient: () => row && desk.select((s) => s.toggle("client", row.client, true)),
    onlyDomain: () => row && desk.select((s) => s.toggle("domain", row.domain, true)),
  };
  const button = (text, run, title) => h("button", { type: "button", class: "dnsnb-button", onclick: run, title }, text);
  actions.append(
    ...(commands ? [button("Block name", act.block, "b"), button("Block domain", act.blockDomain), button("Allow", act.allow, "a"), button("Look up again", act.again)] : []),
    button("Only this client", act.onlyClient),
    button("Only this domain", act.onlyDomain),
  );

  const show = (seq) => {
    row = seq === null || !desk.store.has(seq) ? null : desk.store.row(seq);
    el.hidden = !row;
    if (!row) return;
    put(title, `${plain(row.qname)}  ${plain(row.qtype)}`);
    put(said, "");
    fields.replaceChildren(...FIELDS.flatMap(([label, text]) => (text(row) ? [h("dt", {}, label), h("dd", { class: "dnsnb-code" }, text(row))] : [])));
    steps.replaceChildren();
    if (commands) explain();
  };

  const explain = async () => {
    const mine = ++turn;
    const query = `name=${encodeURIComponent(row.qname)}&type=${encodeURIComponent(row.qtype || "A")}&client=${encodeURIComponent(row.client || "")}`;
    try {
      const answer = await desk.request("GET", `/api/dns/test?${query}`);
      if (mine !== turn) return;
      const others = (answer.matches || []).filter((m) => m.rule !== row.rule || m.list !== row.list);
      steps.replaceChildren(...stepItems(answer), ...(others.length ? [h("li", {}, `also matches: ${others.map((m) => plain(`${m.list} · ${m.rule}${m.line ? ` (line ${m.line})` : ""}`)).join("; ")}`)] : []));
    } catch {
      // an older server has no such route: the row itself still says list and rule
    }
  };
  return { el, show, act, edit };
}

/** The steps of an explanation, in words. */
export function stepItems(answer) {
  return (answer.steps || []).map((step) => {
    const rule = step.rule ? ` ${step.list ? `${step.list} · ` : ""}${step.rule}${step.line ? ` (line ${step.line})` : ""}` : "";
    const us = step.us ?? (step.ms ?? 0) * 1000;
    const text = `${step.verdict === "none" ? "no" : step.verdict}${rule}${step.detail ? `: ${step.detail}` : ""}`;
    return h("li", { class: step.step === answer.decided ? "dnsnb-decided" : "" }, h("b", {}, plain(step.step)), ` ${plain(text)} `, h("span", { class: "dnsnb-muted" }, us < 1000 ? `${Math.round(us)} µs` : millis(us / 1000)));
  });
}
