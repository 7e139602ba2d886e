import assert from "node:assert/strict";
import test from "node:test";

import { columns, install } from "./dom.mjs";

install();
const { Desk } = await import("../../dnsnb/notebook/static/desk.js");
const { follow } = await import("../../dnsnb/notebook/static/page.js");

const row = (i) => ({ time: 1e15 + i, qname: `n${i}.example`, status: "cached", id: i });
const rows = (from, to) => columns(to - from + 1, (i) => row(from + i));
const settle = () => new Promise((done) => setTimeout(done, 5));

class Stream {
  constructor(url) {
    this.url = url;
    this.readyState = 1;
    Stream.last = this;
  }
  say(type, data, id = "e-1") {
    this.onmessage({ data: JSON.stringify({ type, data, timestamp: 0 }), lastEventId: id });
  }
  close() {
    this.readyState = 2;
  }
}

const serve = (answers) => {
  const asked = [];
  globalThis.fetch = async (path, init) => {
    asked.push([init.method, path]);
    const [status, body] = answers(path);
    return { ok: status < 400, status, json: async () => body };
  };
  return asked;
};

test("what all rows of a batch share is said once, and shown on each", async () => {
  serve(() => [200, { columns: {} }]);
  const desk = new Desk({ request: async () => ({}) }, 1024);
  const stop = follow(desk, () => {}, Stream);
  Stream.last.onopen();
  await settle();
  const { status, ...columns } = rows(1, 3);
  Stream.last.say("dns/log/event", { columns, constants: { status: status[0], rcode: "NOERROR" }, count: 3, dropped: 0 });
  const seen = [...desk.store.rows()].map((s) => desk.store.row(s));
  assert.deepEqual(seen.map((r) => [r.id, r.status, r.rcode]), [3, 2, 1].map((id) => [id, "cached", "NOERROR"]));
  stop();
});

test("history and stream join without a gap and without a double, whatever the order", async () => {
  serve(() => [200, { columns: rows(1, 10) }]);
  const desk = new Desk({ request: async () => ({}) }, 1024);
  const stop = follow(desk, () => {}, Stream);
  assert.equal(Stream.last.url, "/api/sse/stream?batch=1");
  Stream.last.onopen();
  Stream.last.say("dns/log/event", { columns: rows(9, 12), count: 4, dropped: 0 });
  await settle();
  Stream.last.say("dns/log/event", { columns: rows(12, 13), count: 2, dropped: 3 });
  Stream.last.say("dns/log/event", row(14));
  assert.deepEqual([...desk.store.rows()].map((s) => desk.store.row(s).id), [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
  assert.equal(desk.lost, 3);
  stop();
  assert.equal(Stream.last.readyState, 2);
});

test("a log that gives the newest first is turned round", async () => {
  serve(() => [200, { columns: Object.fromEntries(Object.entries(rows(1, 3)).map(([k, v]) => [k, v.reverse()])) }]);
  const desk = new Desk({ request: async () => ({}) }, 1024);
  follow(desk, () => {}, Stream);
  Stream.last.onopen();
  await settle();
  assert.equal(desk.store.row(desk.store.rows()[0]).id, 3);
});

test("a restarted server is a new beginning", async () => {
  serve(() => [200, { columns: {} }]);
  const desk = new Desk({ request: async () => ({}) }, 1024);
  follow(desk, () => {}, Stream);
  Stream.last.onopen();
  await settle();
  Stream.last.say("dns/log/event", { columns: rows(50, 60), count: 11 }, "e1-5");
  assert.equal(desk.store.count, 11);
  Stream.last.say("dns/status", { running: true }, "e2-1");
  await settle();
  Stream.last.say("dns/log/event", { columns: rows(1, 2), count: 2 }, "e2-2");
  assert.deepEqual([...desk.store.rows()].map((s) => desk.store.row(s).id), [2, 1]);
});

test("marked test messages and broken ones change nothing", async () => {
  serve(() => [200, { columns: {} }]);
  const desk = new Desk({ request: async () => ({}) }, 1024);
  follow(desk, () => {}, Stream);
  Stream.last.onopen();
  await settle();
  Stream.last.onmessage({ data: JSON.stringify({ type: "dns/log/event", data: row(1), timestamp: 0, test: true }), lastEventId: "e-1" });
  Stream.last.onmessage({ data: "{broken", lastEventId: "" });
  assert.equal(desk.store.count, 0);
});

test("an ended login asks for the token; another failure tries again", async () => {
  let status = 401;
  serve(() => [status, { error: { message: "no" } }]);
  const desk = new Desk({ request: async () => ({}) }, 1024);
  let denied = 0;
  const stop = follow(desk, () => denied++, Stream);
  const first = Stream.last;
  first.readyState = 2;
  await first.onerror();
  assert.equal(denied, 1);
  status = 503;
  first.readyState = 2;
  await first.onerror();
  assert.equal(denied, 1);
  assert.equal(desk.connection.state, "waiting");
  stop();
});
