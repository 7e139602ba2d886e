import assert from "node:assert/strict";
import test from "node:test";

import { Selection, clauses, expression, parseSearch } from "../../dnsnb/notebook/static/selection.js";
import { Store } from "../../dnsnb/notebook/static/store.js";
import { fromColumns } from "../../dnsnb/notebook/static/wire.js";
import { columns } from "./dom.mjs";

const STATUSES = ["cached", "forwarded", "blocked"];
const make = (i) => ({
  time: 1e15 + i * 1e6,
  client: `10.0.0.${i % 4}`,
  client_name: i % 4 === 0 ? "tv" : null,
  qname: `w${i % 7}.site${i % 3}.example`,
  qtype: i % 2 ? "A" : "AAAA",
  status: STATUSES[i % 3],
  list: i % 3 === 2 ? "blacklist" : null,
  latency_ms: i % 3 === 1 ? i : null,
  answers: i % 3 === 1 ? ["192.0.2.1", "192.0.2.2"] : [],
  id: i + 1,
});

function select(store, change) {
  const s = Selection.from(store.selection.toJSON());
  change(s);
  store.select(s);
}

/** What the store should say, counted the slow way. */
function naive(rows, pass) {
  return rows.filter(pass);
}

test("rows come back newest first, whole", () => {
  const store = new Store(64);
  store.add(fromColumns(columns(10, make)));
  const seqs = store.rows();
  assert.equal(seqs.length, 10);
  assert.deepEqual(store.row(seqs[0]).qname, "w2.site0.example");
  assert.deepEqual(store.row(seqs[2]).answers, ["192.0.2.1", "192.0.2.2"]);
  assert.equal(store.row(seqs[0]).list, null);
  assert.equal(store.row(seqs[0]).domain, "site0.example");
});

test("the ring forgets the oldest, and counts with it", () => {
  const store = new Store(32);
  for (let k = 0; k < 10; k++) store.add(fromColumns(columns(13, (i) => make(k * 13 + i))));
  assert.equal(store.count, 32);
  assert.equal(store.oldest, 98);
  assert.equal(store.matching, 32);
  const rows = Array.from({ length: 32 }, (_, i) => make(98 + i));
  for (const [text, n] of store.top("status", 9)) assert.equal(n, naive(rows, (r) => r.status === text).length, text);
});

test("a batch larger than the ring keeps its newest rows", () => {
  const store = new Store(16);
  store.add(fromColumns(columns(100, make)));
  assert.equal(store.count, 16);
  assert.equal(store.row(store.rows()[0]).id, 100);
});

test("each header counts what the other headers leave", () => {
  const store = new Store(256);
  const rows = Array.from({ length: 200 }, (_, i) => make(i));
  store.add(fromColumns(columns(100, make)));
  select(store, (s) => {
    s.toggle("status", "blocked");
    s.toggle("client", "10.0.0.1");
  });
  store.add(fromColumns(columns(100, (i) => make(100 + i)))); // and rows that come later
  const both = naive(rows, (r) => r.status === "blocked" && r.client === "10.0.0.1");
  assert.equal(store.matching, both.length);
  assert.equal(store.rows().length, both.length);
  for (const [text, n] of store.top("status", 9)) assert.equal(n, naive(rows, (r) => r.client === "10.0.0.1" && r.status === text).length);
  for (const [text, n] of store.top("client", 9)) assert.equal(n, naive(rows, (r) => r.status === "blocked" && r.client === text).length);
  for (const [text, n] of store.top("qtype", 9)) assert.equal(n, naive(both, (r) => r.qtype === text).length);
});

test("counts stay right whatever is selected while rows come and go", () => {
  const store = new Store(50);
  let seed = 7;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  let i = 0;
  for (let step = 0; step < 60; step++) {
    const n = random(30);
    store.add(fromColumns(columns(n, (k) => make(random(500) + k))));
    i += n;
    if (step % 3 === 0) select(store, (s) => s.toggle(["client", "status", "qtype", "domain"][random(4)], ["10.0.0.1", "blocked", "A", "site1.example"][random(4)]));
    if (step % 7 === 0) select(store, (s) => s.setSearch(["w3", "", "-w3", "type:a"][random(4)]));
    const fresh = new Store(50);
    fresh.selection = store.selection;
    fresh.compile();
    const lists = {};
    for (let seq = store.oldest; seq < store.next; seq++) {
      const row = store.row(seq);
      for (const key of ["time", "client", "client_name", "qname", "qtype", "status", "list", "id"]) (lists[key] ||= []).push(row[key]);
    }
    fresh.add(fromColumns(lists));
    assert.equal(store.matching, fresh.matching);
    for (const d of ["client", "domain", "qtype", "status", "list"]) assert.deepEqual(new Map(store.top(d, 99)), new Map(fresh.top(d, 99)), d);
  }
});

test("sorting by any column, both ways, is stable and complete", () => {
  const store = new Store(128);
  store.add(fromColumns(columns(100, make)));
  for (const column of ["time", "qname", "client", "status", "latency_ms", "list"]) {
    for (const down of [false, true]) {
      const seqs = store.rows({ column, down });
      assert.equal(new Set(seqs).size, 100);
      const values = [...seqs].map((s) => store.row(s)[column]).map((v) => (v === null ? (typeof make(1)[column] === "number" ? -1 : "") : v));
      const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      assert.deepEqual(values, down ? sorted.reverse() : sorted, column);
    }
  }
});

test("100,000 rows: filtering, sorting and counting stay far below a long task", () => {
  const store = new Store();
  for (let k = 0; k < 50; k++) store.add(fromColumns(columns(2000, (i) => ({ ...make(k * 2000 + i), qname: `h${k * 2000 + i}.example` }))));
  assert.equal(store.count, 100000);
  const took = {};
  const time = (name, run) => {
    const began = performance.now();
    run();
    took[name] = performance.now() - began;
  };
  time("select", () => select(store, (s) => s.toggle("status", "blocked")));
  time("search", () => select(store, (s) => s.setSearch("h999")));
  time("clear", () => select(store, (s) => s.clear()));
  time("sort text", () => store.rows({ column: "qname", down: true }));
  time("sort number", () => store.rows({ column: "latency_ms", down: true }));
  time("top", () => store.top("domain", 6));
  for (const [name, ms] of Object.entries(took)) assert.ok(ms < 500, `${name} took ${ms} ms`);
});

test("texts that no row uses any more are given up", () => {
  const store = new Store(100);
  for (let k = 0; k < 50; k++) store.add(fromColumns(columns(20, (i) => ({ ...make(i), qname: `n${k}-${i}.example` }))));
  assert.ok(store.text.qname.texts.length <= 320);
  assert.equal(store.row(store.rows()[0]).qname, "n49-19.example");
});

test("search words: anywhere, excluded, by column, by number", () => {
  assert.deepEqual(parseSearch('ads -cdn type:AAAA latency>50 client:"my tv" nosuch:x'), [
    { column: "any", op: "has", value: "ads" },
    { column: "any", op: "not", value: "cdn" },
    { column: "qtype", op: "has", value: "aaaa" },
    { column: "latency_ms", op: ">", value: 50 },
    { column: "client", op: "has", value: "my tv" },
    { column: "any", op: "has", value: "nosuch:x" },
  ]);
  const store = new Store(128);
  store.add(fromColumns(columns(100, make)));
  const count = (text) => {
    select(store, (s) => s.setSearch(text));
    return store.matching;
  };
  const rows = Array.from({ length: 100 }, (_, i) => make(i));
  assert.equal(count("W3"), rows.filter((r) => r.qname.includes("w3")).length);
  assert.equal(count("-w3"), rows.filter((r) => !r.qname.includes("w3")).length);
  assert.equal(count("tv"), rows.filter((r) => r.client_name === "tv").length);
  assert.equal(count("latency>50"), rows.filter((r) => r.latency_ms > 50).length);
  assert.equal(count("w3 type:aaaa"), rows.filter((r) => r.qname.includes("w3") && r.qtype === "AAAA").length);
});

test("the selection says itself as a pandas expression, hostile text included", () => {
  const s = new Selection();
  s.toggle("status", "blocked");
  s.toggle("client", "10.0.0.1");
  s.toggle("client", "10.0.0.2");
  s.toggle("domain", "example.com");
  s.setSearch("latency>50");
  assert.equal(expression(s), 'client in ["10.0.0.1", "10.0.0.2"] and (qname == "example.com" or qname.str.endswith(".example.com")) and status == "blocked" and latency_ms > 50');
  const t = new Selection();
  t.toggle("upstream", 'a"b\\c\u202e\n');
  assert.equal(expression(t), 'upstream == "a\\"b\\\\c\\u202e\\n"');
  t.toggle("upstream", 'a"b\\c\u202e\n');
  assert.equal(t.empty, true);
  assert.equal(expression(t), "");
});

test("a filter above a column: words, whole types, a number; each says itself and is taken away by itself", () => {
  const store = new Store(256);
  store.add(fromColumns(columns(60, make)));
  const rows = Array.from({ length: 60 }, (_, i) => make(i));
  const filter = (column, text) => (select(store, (s) => s.setFilter(column, text)), store.matching);
  assert.equal(filter("qname", "site1 -w2"), rows.filter((r) => r.qname.includes("site1") && !r.qname.includes("w2")).length);
  assert.equal(expression(store.selection), 'qname.str.contains("site1", case=False, regex=False) and ~(qname.str.contains("w2", case=False, regex=False))');
  assert.equal(filter("qtype", "a"), rows.filter((r) => r.qname.includes("site1") && !r.qname.includes("w2") && r.qtype === "A").length, "A is not AAAA");
  const [clause] = clauses(store.selection).filter((c) => c.text === 'qtype in ["A"]');
  select(store, (s) => clause.drop(s));
  filter("qname", "");
  assert.equal(store.selection.empty, true);
  assert.equal(filter("client", "TV"), 15, "by name or address");
  filter("client", "");
  assert.equal(filter("latency_ms", "<=10"), rows.filter((r) => r.latency_ms !== null && r.latency_ms <= 10).length);
  assert.equal(filter("latency_ms", "10"), rows.filter((r) => r.latency_ms >= 10).length);
  assert.equal(filter("latency_ms", "slow"), 60, "what is no number filters nothing");
  filter("latency_ms", "");
  assert.equal(filter("qtype", "-AAAA"), 30);
  select(store, (s) => s.setSearch("site0"));
  assert.equal(store.matching, rows.filter((r) => r.qtype !== "AAAA" && r.qname.includes("site0")).length, "beside the search");
  assert.deepEqual(Selection.from(JSON.parse(JSON.stringify(store.selection.toJSON()))).filters, { qtype: "-AAAA" });
  select(store, (s) => s.clear());
  assert.equal(store.matching, 60);
});
