import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

import { Model, install } from "./dom.mjs";

install();
let frames = [];
globalThis.requestAnimationFrame = (run) => frames.push(run);
globalThis.cancelAnimationFrame = () => {};
const paint = () => {
  const now = frames;
  frames = [];
  for (const run of now) run();
};

const { default: widget, openDesk } = await import("../../dnsnb/notebook/static/widget.js");

const head = (seq, count = 1, more = {}) => ({ t: "frame", epoch: "e1", seq, count, fresh: true, columns: count ? [{ name: "qname", kind: "const", dict: [`n${seq}.example`] }, { name: "time", kind: "f64", buffer: 0 }] : [], ...more });
const times = (count) => [new DataView(new Float64Array(count).fill(1e15).buffer)];

function opened(traits = {}) {
  const model = new Model({ snapshot: {}, selection: null, options: {}, ...traits });
  const desk = openDesk(model);
  return { model, desk, custom: (message, buffers = []) => model.emit("msg:custom", message, buffers) };
}

test("opening says hello at once, without waiting for anything", () => {
  const { model } = opened();
  assert.deepEqual(model.sent, [{ t: "hello", epoch: null, last: 0, visible: false }]);
});

test("each frame is acknowledged once it is drawn, replays are not taken twice", () => {
  const { model, desk, custom } = opened();
  custom(head(1, 2, { whole: true }), times(2));
  assert.equal(model.sent.length, 1);
  paint();
  assert.deepEqual(model.sent.at(-1), { t: "ack", seq: 1, visible: false });
  custom(head(1, 2), times(2));
  assert.equal(desk.store.count, 2);
  custom(head(2, 1), times(1));
  assert.equal(desk.store.count, 3);
});

test("another kernel's epoch begins anew", () => {
  const { desk, custom } = opened();
  custom(head(5, 2, { whole: true }), times(2));
  custom({ ...head(1, 1, { whole: true }), epoch: "e2" }, times(1));
  assert.equal(desk.store.count, 1);
});

test("visibility is told when it changes, and only then", () => {
  const { model, desk } = opened();
  desk.seen(1);
  desk.seen(1);
  desk.seen(-1);
  assert.deepEqual(model.sent.filter((m) => m.t === "hello").map((m) => m.visible), [false, true]);
  desk.seen(-1);
  assert.equal(model.sent.at(-1).visible, false);
});

test("a command is answered by its number, an error keeps its words", async () => {
  const { model, desk, custom } = opened();
  const one = desk.request("POST", "/api/dns/blacklist", { names: ["a"] });
  const two = desk.request("GET", "/api/dns/status");
  const [a, b] = model.sent.filter((m) => m.t === "request");
  custom({ t: "reply", id: b.id, value: { running: true } });
  custom({ t: "reply", id: a.id, error: { message: "'a b' is not a name", code: "bad_name" } });
  assert.deepEqual(await two, { running: true });
  await assert.rejects(one, /'a b' is not a name/);
});

test("a busy kernel is told of, until it answers", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { model, desk, custom } = opened();
  const parts = [];
  desk.on((part) => parts.push(part));
  const asked = desk.request("GET", "/api/dns/status");
  t.mock.timers.tick(1400);
  assert.equal(desk.waiting, 0);
  t.mock.timers.tick(200);
  assert.equal(desk.waiting, 1);
  custom({ t: "reply", id: model.sent.at(-1).id, value: {} });
  await asked;
  assert.equal(desk.waiting, 0);
  assert.deepEqual(parts, ["busy", "busy"]);
});

test("a reload while a cell blocks: the snapshot paints, later frames replace its rows", () => {
  const snapshot = { epoch: "e1", channels: { "dns/status": { running: true, dns: "127.0.0.1:1" } }, connection: { state: "open" }, rates: [], rows: { time: [1e15], qname: ["kept.example"] } };
  const { model, desk, custom } = opened({ snapshot });
  assert.equal(desk.store.row(desk.store.rows()[0]).qname, "kept.example");
  assert.equal(desk.channels["dns/status"].running, true);
  model.set("snapshot", { ...snapshot, rows: { time: [1e15, 2e15], qname: ["a.example", "b.example"] } });
  assert.equal(desk.store.count, 2);
  custom(head(7, 1), times(1));
  assert.equal(desk.store.row(desk.store.rows()[0]).qname, "n7.example");
  assert.equal(desk.store.count, 1);
});

test("the selection goes to Python, its echo changes nothing, Python's own does", () => {
  const { model, desk } = opened();
  desk.select((s) => s.toggle("status", "blocked"));
  const told = model.sent.at(-1);
  assert.equal(told.t, "selected");
  assert.equal(told.data.expression, 'status == "blocked"');
  desk.select((s) => s.toggle("status", "cached"));
  model.set("selection", told.data);
  assert.deepEqual(desk.store.selection.values.status, ["blocked", "cached"]);
  model.set("selection", { values: { client: ["tv"] }, search: "", span: null });
  assert.deepEqual(desk.store.selection.values, { client: ["tv"] });
});

test("closing the model leaves no listener behind", () => {
  const { model, desk } = opened();
  desk.close();
  assert.equal(Object.values(model.listeners).flat().length, 0);
});

test("anywidget finds what it looks for", () => {
  const made = widget();
  assert.deepEqual(Object.keys(made), ["initialize", "render"]);
});

test("no module makes markup from text or reaches out to the network", () => {
  const folder = new URL("../../dnsnb/notebook/static/", import.meta.url);
  for (const name of readdirSync(folder).filter((n) => n.endsWith(".js"))) {
    const source = readFileSync(new URL(name, folder), "utf8");
    for (const word of ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "https://", "http://"]) {
      assert.ok(!source.includes(word), `${name} has ${word}`);
    }
  }
});

test("the files parse on their own", () => {
  const folder = new URL("../../dnsnb/notebook/static/", import.meta.url);
  for (const name of readdirSync(folder).filter((n) => n.endsWith(".js"))) {
    execFileSync(process.execPath, ["--check", "--input-type=module"], { input: readFileSync(new URL(name, folder)) });
  }
});
