// The first line: running or not, the address to point a client at, the numbers, health, and start/stop.

import { count, h, millis, percent, plain, put, short } from "./text.js";

export function statusLine(desk, { onShow, commands = true, about = "" }) {
  const dot = h("span", { class: "dnsnb-dot", "aria-hidden": "true" });
  const state = h("span", { class: "dnsnb-state" }, "connecting");
  const address = h("button", { type: "button", class: "dnsnb-address", title: "Copy the address", onclick: () => copyAddress() }, "");
  const toggle = h("button", { type: "button", class: "dnsnb-button dnsnb-toggle", disabled: true, onclick: () => act() }, "Stop");
  const said = h("p", { class: "dnsnb-said dnsnb-bad", role: "alert", hidden: true });
  const live = h("span", { class: "dnsnb-sr", role: "status", "aria-live": "polite" });

  const number = (label, title, change) => {
    const value = h("b", {}, "–");
    const el = h(change ? "button" : "span", { class: "dnsnb-number", title, type: change && "button", onclick: change && (() => onShow(change)) }, value, h("span", {}, label));
    return { el, value };
  };
  const qps = number("q/s", "Queries a second, over the last ten seconds. Click: show all queries", (s) => s.clear());
  const blocked = number("blocked", "Share of the last 5 minutes. Click: show them", (s) => s.toggle("status", "blocked", true));
  const cached = number("cached", "Answered from the cache, share of the last 5 minutes. Click: show them", (s) => s.toggle("status", "cached", true));
  const failed = number("failed", "No usable answer, share of the last 5 minutes. Click: show them", (s) => s.toggle("status", "failed", true));
  const latency = number("p95", "95 % of the last 5 minutes' answers came within this time");
  const upstream = h("span", { class: "dnsnb-number" });
  const stream = h("span", { class: "dnsnb-number" });
  const actions = h("span", { class: "dnsnb-actions", hidden: !commands }, toggle);
  const complain = (text) => {
    put(said, plain(text));
    said.hidden = false;
  };
  const busy = h("p", { class: "dnsnb-muted dnsnb-said", role: "status", hidden: true }, "The kernel is busy with a cell: the command is carried out when that ends.");
  const drawBusy = () => (busy.hidden = !desk.waiting);
  const el = h("header", { class: "dnsnb-status" }, h("span", { class: "dnsnb-running" }, dot, state, address, about ? h("span", { class: "dnsnb-code dnsnb-muted" }, plain(about)) : null), h("span", { class: "dnsnb-numbers" }, qps.el, blocked.el, cached.el, failed.el, latency.el, upstream, stream), actions, live);

  const copyAddress = async () => {
    const text = desk.channels["dns/status"]?.dns;
    if (!text) return;
    const ok = await copyText(text);
    put(address, ok ? "copied" : text);
    setTimeout(() => drawState(), 900);
  };

  const act = async () => {
    const running = desk.channels["dns/status"]?.running;
    toggle.disabled = true;
    put(toggle, running ? "Stopping…" : "Starting…");
    said.hidden = true;
    try {
      desk.channel("dns/status", await desk.request("POST", `/api/dns/${running ? "stop" : "start"}`));
    } catch (error) {
      complain(error.message);
    }
    drawState();
  };

  const drawState = () => {
    const status = desk.channels["dns/status"];
    const closed = desk.connection.state === "closed";
    const gone = desk.connection.state === "waiting" || closed;
    const running = Boolean(status?.running);
    const word = closed ? "closed" : !commands ? "following" : !status ? "connecting" : running ? "running" : "stopped";
    if (state.textContent !== word && status) put(live, `The DNS server is ${word}`);
    put(state, word);
    dot.className = `dnsnb-dot ${gone || (commands && !status) ? "" : running || !commands ? "dnsnb-on" : "dnsnb-halt"}`;
    put(address, status?.dns ? plain(status.dns) : "");
    address.hidden = !status?.dns;
    address.setAttribute("aria-label", `DNS address ${plain(status?.dns)}, copy`);
    actions.inert = closed;
    toggle.disabled = !status || closed;
    put(toggle, running || !status ? "Stop" : "Start");
    toggle.setAttribute("aria-label", running || !status ? "Stop the DNS server" : "Start the DNS server");
    if (status?.error) {
      put(said, plain(status.error.message || status.error));
      said.hidden = false;
    }
    const ups = status?.upstreams || [];
    const up = ups.filter((u) => u.state !== "down");
    const best = Math.min(...up.map((u) => u.latency_ms ?? Infinity));
    upstream.title = ups.map((u) => `${plain(u.name)}: ${u.state}${u.latency_ms ? `, ${millis(u.latency_ms)}` : ""}`).join("\n");
    upstream.className = `dnsnb-number ${ups.length && !up.length ? "dnsnb-bad" : ""}`;
    upstream.replaceChildren(h("b", {}, !ups.length ? "–" : up.length ? (best < Infinity ? millis(best) : "ready") : "down"), h("span", {}, ups.length > 1 ? `upstreams ${up.length}/${ups.length}` : "upstream"));
    upstream.hidden = !ups.length;
  };

  const drawNumbers = () => {
    const { rates } = desk;
    const now = Math.floor(Date.now() / 1000);
    const ten = rates.total(10, now);
    const five = rates.total(300, Math.floor(rates.now(!commands)) + 1);
    put(qps.value, short(ten.sum / 10));
    put(blocked.value, percent(five.byStatus.blocked, five.sum));
    put(cached.value, percent(five.byStatus.cached + five.byStatus.stale, five.sum));
    put(failed.value, percent(five.byStatus.failed, five.sum));
    failed.el.hidden = !five.byStatus.failed;
    put(latency.value, millis(five.p95));
    const lost = desk.lost + (desk.channels["dns/info"]?.dropped || 0);
    const word = { open: "live", connecting: "connecting", waiting: "waiting", closed: "closed" }[desk.connection.state] || "";
    const text = `${word} · ${count(lost)} dropped`;
    if (stream.textContent !== text) stream.replaceChildren(h("span", { class: `dnsnb-dot ${desk.connection.state === "open" ? "dnsnb-on" : ""}`, "aria-hidden": "true" }), h("span", {}, text));
    stream.className = `dnsnb-number ${lost ? "dnsnb-bad" : ""}`;
    stream.title = `The event stream is ${word}. ${count(lost)} rows did not reach this view.${desk.connection.reason ? ` ${plain(desk.connection.reason)}` : ""}`;
  };

  drawState();
  drawNumbers();
  return { el, said, busy, actions, drawBusy, complain, drawState, drawNumbers, act };
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { value: text, class: "dnsnb-sr" });
    document.body.append(area);
    area.select();
    const ok = document.execCommand?.("copy") ?? false;
    area.remove();
    return ok;
  }
}

/** One warning at most, after a second of loss, never before the first connection. */
export function warning(desk) {
  const el = h("p", { class: "dnsnb-warning", role: "alert", hidden: true });
  let timer = 0;
  let opened = false;
  const update = () => {
    const { state, reason } = desk.connection;
    if (state === "open") opened = true;
    clearTimeout(timer);
    if (state === "open" || !opened) el.hidden = true;
    else if (state === "closed") {
      put(el, `Closed${reason ? `: ${plain(reason)}` : ""}. This is its last state, and commands do nothing any more. Run the cell again to open it.`);
      el.hidden = false;
    } else {
      timer = setTimeout(() => {
        put(el, `Connection to the server lost${reason ? `: ${plain(reason)}` : ""}. Reconnecting by itself; what you see is the last known state.`);
        el.hidden = false;
      }, 1000);
    }
  };
  return { el, update, close: () => clearTimeout(timer) };
}
