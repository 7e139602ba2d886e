import assert from "node:assert/strict";
import test from "node:test";

import { columns, install } from "./dom.mjs";

install();
const { Desk } = await import("../../dnsnb/notebook/static/desk.js");
const { listPane } = await import("../../dnsnb/notebook/static/lists.js");
const { barsPane } = await import("../../dnsnb/notebook/static/bars.js");
const { detailPane } = await import("../../dnsnb/notebook/static/detail.js");
const { Table } = await import("../../dnsnb/notebook/static/table.js");
const { statusLine, warning } = await import("../../dnsnb/notebook/static/status.js");
const { fromColumns } = await import("../../dnsnb/notebook/static/wire.js");

const HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{constructor.constructor('x')()}}", "\u202egro.elgoog", "a\u0000b", "x".repeat(255)];
const later = () => new Promise((done) => setImmediate(done));
const deskOf = (request = async () => ({})) => new Desk({ request }, 4096);
const fill = (desk, n = 50) =>
  desk.rows(fromColumns(columns(n, (i) => ({ time: 1e15 + i * 1000, client: `10.0.0.${i % 3}`, qname: `${HOSTILE[i % HOSTILE.length]}.example`, qtype: "A", status: i % 2 ? "blocked" : "cached", list: i % 2 ? "blacklist" : null, rule: i % 2 ? HOSTILE[i % 6] : null, answers: [], latency_ms: 1, id: i + 1 }))));

test("the grid: recycled rows, true numbers of rows, hostile names as text", () => {
  const desk = deskOf();
  fill(desk, 3000);
  const table = new Table({ onFollow() {}, onSort() {}, onChoose() {}, onKey() {} });
  table.show(desk.store, desk.store.rows());
  const shown = table.body.children.filter((r) => !r.hidden);
  assert.ok(shown.length < 20, `${shown.length} rows in the document`);
  assert.equal(table.table.getAttribute("aria-rowcount"), "3001");
  assert.equal(shown[0].getAttribute("aria-rowindex"), "2");
  assert.match(table.body.textContent, /<script>alert\(1\)<\/script>/);
  assert.match(table.body.textContent, /\\u202egro/);
  assert.match(table.body.textContent, /a\\u0000b/);
});

test("the grid is walked by keyboard, and stands still meanwhile", () => {
  const desk = deskOf();
  fill(desk, 100);
  const chosen = [];
  const table = new Table({ onFollow() {}, onSort() {}, onChoose: (seq, open) => chosen.push([seq, open]), onKey() {} });
  table.show(desk.store, desk.store.rows());
  const press = (key) => table.table.fire("keydown", { key });
  press("ArrowDown");
  assert.equal(table.active, 99);
  press("ArrowDown");
  press("PageDown");
  assert.ok(table.active < 98);
  press("End");
  assert.equal(table.active, 0);
  assert.ok(table.scroller.scrollTop > 1000);
  assert.equal(table.still, true);
  press("Enter");
  assert.deepEqual(chosen, [[0, true]]);
  press("Home");
  assert.equal(table.active, 99);
  assert.equal(table.still, false);
  assert.equal(table.table.getAttribute("aria-activedescendant"), "dnsnb-row-99");
});

test("a following table takes the newest alone, and the rest when somebody asks", () => {
  const desk = deskOf();
  fill(desk, 1000);
  const table = new Table({ onFollow() {}, onSort() {}, onChoose() {}, onKey() {} });
  table.show(desk.store, desk.store.rows(null, 100), desk.store.matching);
  assert.equal(table.seqs.length, 100);
  assert.equal(table.table.getAttribute("aria-rowcount"), "1001");
  fill(desk, 10);
  table.table.fire("keydown", { key: "End" });
  assert.equal(table.seqs.length, 1000, "as of the moment that was shown");
  assert.equal(table.active, 0);
});

test("sorting tells the headers and the handler", () => {
  const desk = deskOf();
  fill(desk, 10);
  const sorts = [];
  const table = new Table({ onFollow() {}, onSort: (s) => sorts.push(s), onChoose() {}, onKey() {} });
  table.show(desk.store, desk.store.rows());
  table.sortBy("qname");
  table.sortBy("qname");
  table.sortBy("time");
  assert.deepEqual(sorts, [{ column: "qname", down: false }, { column: "qname", down: true }, null]);
  assert.equal(table.headCells[0].getAttribute("aria-sort"), "descending");
  assert.equal(table.headCells[2].getAttribute("aria-sort"), "none");
});

test("a bar filters the rest, and a second click gives it up", () => {
  const desk = deskOf();
  fill(desk, 50);
  const bars = barsPane(desk, "status", "Status");
  bars.draw();
  const button = bars.el.find((n) => n.tagName === "BUTTON");
  button.fire("click", {});
  assert.equal(desk.store.matching, 25);
  bars.draw();
  assert.equal(bars.el.find((n) => n.tagName === "BUTTON" && n.getAttribute("aria-pressed") === "true") !== null, true);
  bars.el.find((n) => n.getAttribute?.("aria-pressed") === "true").fire("click", {});
  assert.equal(desk.store.selection.empty, true);
});

test("the list editor adds, removes, and says errors under its field", async () => {
  const asked = [];
  const desk = deskOf(async (method, path, body) => {
    asked.push([method, path, body]);
    if (body?.names?.[0] === "not a name") throw new Error("'not a name': a label can't hold a space");
    return method === "DELETE" ? { removed: body.names } : { added: body.names };
  });
  desk.channel("dns/blacklist/", { list: "blacklist", driver: "memory", count: 1, entries: [{ name: HOSTILE[0] }] });
  const pane = listPane(desk, "blacklist", "Blacklist");
  const field = pane.el.find((n) => n.tagName === "INPUT" && n.getAttribute("type") === "text");
  const form = pane.el.find((n) => n.tagName === "FORM");
  field.value = "ads.example.com";
  form.fire("submit");
  await later();
  assert.deepEqual(asked.pop(), ["POST", "/api/dns/blacklist", { names: ["ads.example.com"] }]);
  assert.match(pane.el.textContent, /Added ads\.example\.com/);
  assert.equal(field.value, "");
  field.value = "";
  form.fire("submit");
  await later();
  assert.match(pane.el.textContent, /Type a name first/);
  pane.el.find((n) => n.getAttribute?.("aria-label")?.startsWith("Remove <script>")).fire("click");
  await later();
  assert.deepEqual(asked.pop(), ["DELETE", "/api/dns/blacklist", { names: [HOSTILE[0]] }]);
});

test("a row's detail shows the event and its explanation, and acts on it", async () => {
  const asked = [];
  const desk = deskOf(async (method, path, body) => {
    asked.push([method, path, body]);
    if (path.startsWith("/api/dns/test")) return { steps: [{ step: "blacklist", verdict: "blocked", list: "ads", rule: "||x^", line: 7, ms: 0.04 }] };
    return { added: body.names };
  });
  fill(desk, 6);
  let looked = null;
  const pane = detailPane(desk, { onClose() {}, onLookup: (name, type) => (looked = [name, type]) });
  pane.show(5);
  await later();
  assert.equal(pane.el.hidden, false);
  assert.match(pane.el.textContent, /blacklist blocked ads · \|\|x\^ \(line 7\)/);
  pane.act.block();
  await later();
  assert.deepEqual(asked.at(-1), ["POST", "/api/dns/blacklist", { names: [`${HOSTILE[5]}.example`] }]);
  pane.act.again();
  assert.deepEqual(looked, [`${HOSTILE[5]}.example`, "A"]);
  pane.act.onlyClient();
  assert.deepEqual(desk.store.selection.values.client, ["10.0.0.2"]);
});

test("one warning for a lost connection: after a second, never before the first, gone on return", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const desk = deskOf();
  const warn = warning(desk);
  const go = (state, reason) => {
    desk.setConnection(state, reason);
    warn.update();
  };
  warn.update();
  go("waiting", "refused");
  t.mock.timers.tick(5000);
  assert.equal(warn.el.hidden, true, "never on first load");
  go("open");
  go("waiting", "reset by peer");
  t.mock.timers.tick(900);
  assert.equal(warn.el.hidden, true);
  t.mock.timers.tick(200);
  assert.equal(warn.el.hidden, false);
  assert.match(warn.el.textContent, /reset by peer/);
  go("open");
  assert.equal(warn.el.hidden, true);
});

test("fields above the columns are shown by one key, walked past, and filter after a moment", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const desk = deskOf();
  fill(desk, 10);
  const said = [];
  const table = new Table({ onFollow() {}, onSort() {}, onChoose() {}, onKey() {}, onFilter: (column, text) => said.push([column, text]) });
  table.show(desk.store, desk.store.rows());
  assert.equal(table.toggleFilters(), true);
  assert.equal(table.table.getAttribute("aria-rowcount"), "12");
  assert.equal(table.body.children[0].getAttribute("aria-rowindex"), "3");
  table.fields.qname.value = "<script>";
  table.fields.qname.fire("input");
  t.mock.timers.tick(200);
  assert.deepEqual(said, [["qname", "<script>"]]);
  table.table.fire("keydown", { key: "End", target: table.fields.qname });
  assert.equal(table.active, null, "keys in a field are the field's");
  table.showFilters({ status: "blocked" });
  assert.equal(table.fields.status.value, "blocked");
  assert.equal(table.fields.qname.value, "");
  assert.equal(table.toggleFilters(), false);
});

test("a log without a server: nothing to press, no command is sent", () => {
  const desk = deskOf(() => assert.fail("a command was sent"));
  fill(desk, 4);
  const line = statusLine(desk, { onShow() {}, commands: false, about: "following <b>x</b>.log" });
  assert.match(line.el.textContent, /following <b>x<\/b>\.log/);
  assert.equal(line.actions.hidden, true);
  const pane = detailPane(desk, { onClose() {}, onLookup() {}, commands: false });
  pane.show(3);
  assert.doesNotMatch(pane.el.textContent, /Block|Look up/);
  assert.match(pane.el.textContent, /Only this client/);
});

test("a closed session says so at once, and is no lost connection", () => {
  const desk = deskOf();
  desk.channel("dns/status", { running: true, dns: "127.0.0.1:53" });
  desk.setConnection("open");
  const warn = warning(desk);
  const line = statusLine(desk, { onShow() {} });
  warn.update();
  desk.setConnection("closed", "the session is closed");
  warn.update();
  line.drawState();
  assert.equal(warn.el.hidden, false);
  assert.match(warn.el.textContent, /Closed: the session is closed/);
  assert.match(line.el.textContent, /closed/);
  assert.equal(line.actions.inert, true);
});
