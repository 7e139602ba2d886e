// What stands folded below the table: named lists, cache, local records, settings, and the look-up tool.

import { stepItems } from "./detail.js";
import { button, choice, folded, input, rowsTable, speaker } from "./forms.js";
import { listPane } from "./lists.js";
import { clock, count, h, millis, plain, put } from "./text.js";

export function listsSection(desk) {
  const panes = [listPane(desk, "blacklist", "Blacklist"), listPane(desk, "whitelist", "Whitelist")];
  const told = speaker();
  const table = rowsTable("Lists from files and addresses", ["list", "kind", "names", "hits", "from", "state", ""]);
  const name = input("list name", { size: 12 });
  const url = input("address (URL) of a list", { size: 34 });
  const kind = choice("Kind of the list", [["block"], ["allow"]]);
  const file = h("input", { type: "file", class: "dnsnb-sr", tabindex: "-1", "aria-label": "File of names to import", accept: "text/*,.txt,.list,.hosts,.rpz,.zone", onchange: () => addFile() });
  const add = button("Add list", () => addUrl());
  const preview = button("Preview", () => look());

  const load = async () => {
    try {
      const answer = await desk.request("GET", "/api/dns/lists");
      table.fill(answer.lists.filter((l) => l.source !== "typed").map(row), "Lists from addresses or files: add one below, or import a file of names.");
    } catch (error) {
      if (error.status !== 404) told.say(error.message, true);
    }
  };
  const row = (l) => [
    h("span", { class: "dnsnb-code" }, plain(l.name)),
    l.kind,
    count(l.count),
    count(l.hits),
    h("span", { class: "dnsnb-code" }, plain(l.url || l.path || l.source)),
    l.error ? h("span", { class: "dnsnb-bad" }, plain(l.error)) : l.report?.skipped ? `${count(l.report.skipped)} lines skipped` : l.enabled ? "in force" : "off",
    h("span", { class: "dnsnb-row" }, button(l.enabled ? "Turn off" : "Turn on", (e) => told.attempt(e.target, async () => (await desk.request("PATCH", "/api/dns/lists", { name: l.name, enabled: !l.enabled }), await load(), `${l.name} is ${l.enabled ? "off" : "in force"}.`))), button("Refresh", (e) => told.attempt(e.target, async () => (await desk.request("POST", "/api/dns/lists/refresh", { name: l.name }), await load(), `${l.name} is up to date.`))), button("Remove", (e) => told.attempt(e.target, async () => (await desk.request("DELETE", `/api/dns/lists?name=${encodeURIComponent(l.name)}`), await load(), `${l.name} is gone.`)))),
  ];
  const added = (l) => `${l.name}: ${count(l.count)} names${l.report?.skipped ? `, ${count(l.report.skipped)} lines skipped` : ""}.${l.error ? ` ${l.error}` : ""}`;
  const addUrl = () => told.attempt(add, async () => {
    if (!name.value.trim() || !url.value.trim()) throw new Error("Give the list a name and its address.");
    return after(await desk.request("POST", "/api/dns/lists", { name: name.value.trim(), url: url.value.trim(), kind: kind.value }));
  }, "The server fetches and reads it");
  const after = async (l) => (await load(), (url.value = name.value = ""), added(l));
  const look = () => told.attempt(preview, async () => {
    const l = await desk.request("POST", "/api/dns/lists/preview", { name: name.value.trim() || "preview", url: url.value.trim(), kind: kind.value });
    const by = Object.entries(l.known_by || {}).slice(0, 3).map(([list, n]) => `${list} ${count(n)}`).join(", ");
    return `It would add ${count(l.new)} of its ${count(l.names)} names${l.known ? `; ${count(l.known)} are caught already${by ? ` (${by})` : ""}` : ""}${l.report?.skipped ? `; ${count(l.report.skipped)} lines can't be read` : ""}.`;
  }, "The server fetches and reads it");
  const addFile = () => told.attempt(null, async () => {
    const [chosen] = file.files;
    if (!chosen) return "";
    if (chosen.size > 3.5e6) throw new Error(`${chosen.name} is larger than 3.5 MB: give the server its address or path instead.`);
    const text = await chosen.text();
    file.value = "";
    return after(await desk.request("POST", "/api/dns/lists", { name: name.value.trim() || chosen.name.replace(/\.\w+$/, "").replace(/[^\w.-]+/g, "-"), text, kind: kind.value }));
  }, "Reading the file");
  const body = h("div", {}, h("div", { class: "dnsnb-lists" }, ...panes.map((p) => p.el)), table.el, h("div", { class: "dnsnb-row" }, name, kind, url, add, preview, button("Import a file…", () => file.click()), file), told.el);
  return { ...folded("Lists", body, load), update: (part) => panes.forEach((p) => p.update(part)) };
}

export function cacheSection(desk) {
  const told = speaker();
  const number = h("span", { class: "dnsnb-muted" });
  const search = h("input", { type: "search", class: "dnsnb-input", "aria-label": "Search the cache", placeholder: "search", oninput: () => load() });
  const table = rowsTable("Answers in the cache", ["name", "type", "rcode", "ttl", "hits", "answers", ""]);
  const load = async () => {
    try {
      const answer = await desk.request("GET", `/api/dns/cache?limit=100${search.value ? `&search=${encodeURIComponent(search.value)}` : ""}`);
      table.fill(answer.entries.map((e) => [h("span", { class: "dnsnb-code" }, plain(e.qname)), plain(e.qtype), plain(e.rcode), `${count(e.ttl)} s`, count(e.hits), h("span", { class: "dnsnb-code" }, plain((e.answers || []).join(", "))), button("Flush", (event) => flush(event.target, `?name=${encodeURIComponent(e.qname)}`))]), "Nothing is cached that fits.");
    } catch (error) {
      told.say(error.message, true);
    }
  };
  const flush = (control, query) => told.attempt(control, async () => {
    const answer = await desk.request("DELETE", `/api/dns/cache${query}`);
    await load();
    return `${count(answer.flushed)} answers flushed.`;
  });
  const draw = () => {
    const c = desk.channels["dns/cache/"];
    put(number, c ? `${count(c.count)} answers · ${count(c.hits)} hits · ${count(c.misses)} misses · ${plain(c.driver)}` : "");
  };
  const pane = folded("Cache", h("div", {}, h("div", { class: "dnsnb-row" }, number, h("span", { class: "dnsnb-gap" }), search, button("Show again", load), button("Flush all", (e) => flush(e.target, ""))), told.el, table.el), load);
  draw();
  return { ...pane, update: (part) => part === "dns/cache/" && draw() };
}

export function recordsSection(desk) {
  const told = speaker();
  const table = rowsTable("Local records", ["name", "type", "data", "ttl", ""]);
  const name = input("name: nas.home.example", { size: 24 });
  const type = choice("Record type", [["A"], ["AAAA"], ["CNAME"], ["TXT"], ["MX"], ["SRV"], ["PTR"]]);
  const data = input("data: 192.168.1.10", { size: 24 });
  const add = h("button", { type: "submit", class: "dnsnb-button" }, "Add");
  const load = async () => {
    try {
      const answer = await desk.request("GET", "/api/dns/records?limit=200");
      table.fill(answer.records.map((r) => [h("span", { class: "dnsnb-code" }, plain(r.name)), plain(r.type), h("span", { class: "dnsnb-code" }, plain(r.data)), `${count(r.ttl)} s`, button("Remove", (e) => told.attempt(e.target, async () => (await desk.request("DELETE", `/api/dns/records?name=${encodeURIComponent(r.name)}&type=${encodeURIComponent(r.type)}&data=${encodeURIComponent(r.data)}`), await load(), `${r.name} is gone.`)))]), "No local names yet. Those given here are answered by this server itself.");
    } catch (error) {
      told.say(error.message, true);
    }
  };
  const form = h("form", { class: "dnsnb-row" }, name, type, data, add);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await told.attempt(add, async () => (await desk.request("POST", "/api/dns/records", { records: [{ name: name.value.trim(), type: type.value, data: data.value.trim(), ttl: 300 }] }), await load(), "Answered from the next query on."))) name.value = data.value = "";
  });
  return { ...folded("Records", h("div", {}, form, told.el, table.el), load), update() {} };
}

const BLOCK_MODES = [["null", "0.0.0.0 and ::"], ["nxdomain", "NXDOMAIN"], ["nodata", "no data"], ["refused", "REFUSED"], ["address", "addresses of its own"]];
const DRIVERS = { log_driver: ["memory", "console", "file", "sqlite", "parquet"], cache_driver: ["memory", "file", "sqlite"], list_driver: ["memory", "file", "sqlite"] };

export function settingsSection(desk) {
  const told = speaker();
  const upstreams = h("textarea", { class: "dnsnb-input dnsnb-code", rows: 3 });
  const mode = choice(null, BLOCK_MODES);
  const own = h("input", { type: "text", class: "dnsnb-input dnsnb-code", placeholder: "192.0.2.1 2001:db8::1", spellcheck: "false" });
  const days = h("input", { type: "number", min: "0.01", step: "any", class: "dnsnb-input" });
  const rows = h("input", { type: "number", min: "0", class: "dnsnb-input" });
  const drivers = Object.fromEntries(Object.entries(DRIVERS).map(([key, names]) => [key, choice(null, names.map((n) => [n]))]));
  const info = h("dl", { class: "dnsnb-fields" });
  const save = h("button", { type: "submit", class: "dnsnb-button" }, "Apply");
  let held = {};
  const fields = { upstreams: [() => upstreams.value.split(/\s+/).filter(Boolean), (v) => (upstreams.value = (v || []).join("\n"))], block_mode: [() => mode.value, (v) => (mode.value = v)], block_addresses: [() => own.value.split(/[\s,]+/).filter(Boolean), (v) => (own.value = (v || []).join(" "))], log_days: [() => Number(days.value), (v) => (days.value = v)], log_rows: [() => Number(rows.value), (v) => (rows.value = v)] };
  for (const [key, select] of Object.entries(drivers)) fields[key] = [() => select.value, (v) => (select.value = v)];
  const label = (text, control) => h("label", { class: "dnsnb-label" }, h("span", {}, text), control);
  const form = h("form", { class: "dnsnb-settings" }, label("Upstreams, one a line", upstreams), label("Blocked names get", mode), label("Addresses of its own", own), label("Log kept in", drivers.log_driver), label("Log rows at most", rows), label("Log days", days), label("Cache kept in", drivers.cache_driver), label("Lists kept in", drivers.list_driver), save);
  const load = async () => {
    try {
      const answer = await desk.request("GET", "/api/dns/config");
      held = answer.settings || answer;
      for (const [key, [, write]] of Object.entries(fields)) write(held[key]);
      told.say("");
    } catch (error) {
      form.hidden = error.status === 404;
      told.say(error.status === 404 ? "This server's settings are fixed while it runs." : error.message, error.status !== 404);
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    told.attempt(save, async () => {
      const changes = {};
      for (const [key, [read]] of Object.entries(fields)) if (JSON.stringify(read()) !== JSON.stringify(held[key])) changes[key] = read();
      if (!Object.keys(changes).length) return "Nothing was changed.";
      const answer = await desk.request("PATCH", "/api/dns/config", changes);
      await load();
      const restart = answer?.restart || answer?.needs_restart || [];
      return `Applied: ${Object.keys(changes).join(", ")}.${restart.length ? ` After a restart: ${restart.join(", ")}.` : ""}`;
    });
  });
  const draw = () => {
    const status = desk.channels["dns/status"];
    const drive = desk.channels["dns/info"]?.drivers || {};
    const facts = [["HTTP", status?.http], ["started", status?.started && clock(status.started * 1000, false)], ["upstreams", (status?.upstreams || []).map((u) => `${u.name} ${u.state}${u.latency_ms ? ` ${millis(u.latency_ms)}` : ""}`).join("\n")], ["drivers", Object.entries(drive).map(([k, v]) => `${k}: ${v}`).join(", ")], ["notices", (desk.channels["dns/info"]?.notices || []).slice(-3).map((n) => n.text).join("\n")]];
    info.replaceChildren(...facts.flatMap(([k, v]) => (v ? [h("dt", {}, k), h("dd", { class: "dnsnb-code" }, plain(v).replaceAll("\\u000a", "\n"))] : [])));
  };
  draw();
  return { ...folded("Settings", h("div", {}, info, form, told.el), load), update: (part) => (part === "dns/status" || part === "dns/info") && draw() };
}

export function lookupSection(desk) {
  const told = speaker();
  const name = input("name to look up");
  const type = choice("Type", ["A", "AAAA", "HTTPS", "MX", "TXT", "NS", "SOA", "CNAME", "PTR", "SRV"].map((t) => [t]));
  const client = input("as client (address)", { size: 16 });
  const go = h("button", { type: "submit", class: "dnsnb-button" }, "Look up");
  const steps = h("ol", { class: "dnsnb-steps", "aria-label": "Each step of the look-up" });
  const table = rowsTable("What each upstream says", ["upstream", "rcode", "answers", "time"]);
  table.el.hidden = true;
  const form = h("form", { class: "dnsnb-row" }, name, type, client, go);
  const run = () => told.attempt(go, async () => {
    if (!name.value.trim()) throw new Error("Type a name first, such as www.example.com.");
    const answer = await desk.request("GET", `/api/dns/test?name=${encodeURIComponent(name.value.trim())}&type=${encodeURIComponent(type.value)}${client.value ? `&client=${encodeURIComponent(client.value.trim())}` : ""}`);
    steps.replaceChildren(...stepItems(answer));
    table.fill((answer.upstreams || []).map((u) => [h("span", { class: "dnsnb-code" }, plain(u.upstream || u.name)), plain(u.rcode || u.error), h("span", { class: "dnsnb-code" }, plain((u.answers || []).join(", "))), millis(u.ms)]), "No upstream was asked.");
    table.el.hidden = false;
    return `${answer.name} ${answer.type}: ${answer.verdict}, decided by ${answer.decided || "nobody"}.`;
  }, "Asking the upstreams too");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  const pane = folded("Look-up", h("div", {}, form, told.el, steps, table.el));
  const ask = (wanted, kind) => {
    name.value = wanted;
    if (![...type.options].some((o) => o.value === kind)) type.append(h("option", { value: kind }, kind));
    type.value = kind;
    pane.el.scrollIntoView?.({ block: "nearest" });
    run();
  };
  return { ...pane, update() {}, ask };
}

/** Pause blocking for a while, shown in the status line. */
export function pauseControl(desk, say) {
  const select = choice("Pause blocking", [["", "Pause…"], ["60", "1 minute"], ["300", "5 minutes"], ["1800", "30 minutes"], ["7200", "2 hours"]], () => set(Number(select.value)));
  const resume = button("", () => end(), { hidden: true });
  const el = h("span", { class: "dnsnb-pause" }, select, resume);
  let until = 0;
  let timer = 0;
  const take = (answer) => {
    const all = (answer.paused || []).find((p) => !p.client);
    until = all ? all.until : 0;
    draw();
  };
  const load = () => desk.request("GET", "/api/dns/pause").then(take, (error) => (el.hidden = error.status === 404));
  const set = async (seconds) => {
    select.value = "";
    if (seconds) await desk.request("POST", "/api/dns/pause", { seconds }).then(take, (error) => say(error.message));
  };
  const end = () => desk.request("DELETE", "/api/dns/pause").then(take, (error) => say(error.message));
  const draw = () => {
    clearTimeout(timer);
    const left = Math.round((until - Date.now()) / 1000);
    select.hidden = left > 0;
    resume.hidden = left <= 0;
    if (left > 0) {
      put(resume, `Blocking paused ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} · resume`);
      timer = setTimeout(draw, 1000);
    }
  };
  return { el, load, close: () => clearTimeout(timer) };
}
