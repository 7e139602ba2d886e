import assert from "node:assert/strict";
import test from "node:test";

import { niceTop } from "../../dnsnb/notebook/static/chart.js";
import { Desk } from "../../dnsnb/notebook/static/desk.js";
import { Rates, latencyBin, seriesOf } from "../../dnsnb/notebook/static/rates.js";
import { clock, knowSuffixes, middle, millis, percent, plain, quoted, registered, short } from "../../dnsnb/notebook/static/text.js";
import { Selection } from "../../dnsnb/notebook/static/selection.js";
import { Store } from "../../dnsnb/notebook/static/store.js";
import { decodeFrame, fromColumns } from "../../dnsnb/notebook/static/wire.js";
import { columns } from "./dom.mjs";

test("hostile names read as what they are", () => {
  assert.equal(plain("a\u202egnp.exe"), "a\\u202egnp.exe");
  assert.equal(plain("nul\u0000l\u001b[31m"), "nul\\u0000l\\u001b[31m");
  assert.equal(plain("<b>{{x}}</b>"), "<b>{{x}}</b>");
  assert.equal(plain(null), "");
  assert.equal(quoted('x"\u200b'), '"x\\"\\u200b"');
  assert.equal(middle("a".repeat(30) + "b".repeat(30), 21).length, 21);
  assert.match(middle("verylonghost.example.com", 12), /…example|…/);
});

test("numbers have their unit and their measure", () => {
  assert.deepEqual([short(0), short(3.14159), short(412), short(20431), short(2.5e6), short(NaN)], ["0", "3.1", "412", "20.4k", "2.5M", "–"]);
  assert.deepEqual([percent(0, 0), percent(1, 1000), percent(61, 100)], ["–", "0.1 %", "61 %"]);
  assert.deepEqual([millis(0.04), millis(0.5), millis(31.2), millis(4500), millis(NaN)], ["<0.1 ms", "0.5 ms", "31 ms", "4.5 s", "–"]);
  assert.match(clock(1.7e15), /^\d\d:\d\d:\d\d\.\d{3}$/);
  assert.deepEqual([0.3, 1, 7, 41, 199].map(niceTop), [0.3, 1, 8, 50, 200]);
  assert.equal(niceTop(0), 1);
});

test("registered domains by the public suffixes that are known, and by two labels until then", () => {
  const names = ["com", "example.com", "a.b.example.com", "www.example.co.uk", "me.github.io", "x.y.ck", "www.ck", "a\\.b.example.com", "."];
  assert.deepEqual(names.map(registered), ["com", "example.com", "example.com", "co.uk", "github.io", "y.ck", "www.ck", "example.com", "."]);
  const store = new Store(16);
  store.add(fromColumns({ time: [1, 2], qname: ["www.example.co.uk", "shop.other.co.uk"] }));
  store.select(Selection.from({ values: { domain: ["co.uk"] } }));
  assert.equal(store.matching, 2);
  knowSuffixes(["co.uk", "github.io", "*.ck", "!www.ck"]);
  store.regroup();
  assert.deepEqual(store.rows().length, 0);
  store.select(Selection.from({ values: { domain: ["example.co.uk"] } }));
  assert.equal(store.matching, 1);
  assert.deepEqual(names.map(registered), ["com", "example.com", "example.com", "example.co.uk", "me.github.io", "x.y.ck", "www.ck", "example.com", "."]);
  knowSuffixes([]);
});

test("a frame's buffers become columns, at any alignment", () => {
  const bytes = new Uint8Array(64);
  const f64 = new Float64Array([1, 2, NaN]);
  bytes.set(new Uint8Array(f64.buffer), 3);
  const i32 = new Int32Array([5, -2147483648, 7]);
  bytes.set(new Uint8Array(i32.buffer), 29);
  bytes.set([0, 1, 0], 50);
  const batch = decodeFrame(
    {
      count: 3,
      columns: [
        { name: "time", kind: "f64", buffer: 0 },
        { name: "ttl", kind: "i32", buffer: 1 },
        { name: "qname", kind: "u8", dict: ["a", null], buffer: 2 },
        { name: "qtype", kind: "const", dict: ["A"] },
      ],
    },
    [new DataView(bytes.buffer, 3, 24), new DataView(bytes.buffer, 29, 12), new DataView(bytes.buffer, 50, 3)],
  );
  assert.deepEqual([...batch.columns.time.values], [1, 2, NaN]);
  assert.deepEqual([...batch.columns.ttl.values], [5, NaN, 7]);
  assert.deepEqual([...batch.columns.qname.codes].map((c) => batch.columns.qname.dict[c]), ["a", null, "a"]);
  assert.deepEqual([...batch.columns.qtype.codes], [0, 0, 0]);
});

const rows = (n, at, status = "cached", ms = 1) => fromColumns(columns(n, () => ({ time: at * 1e6, status, latency_ms: ms, qname: "x.example" })));

test("rates count by second and minute, and know quantiles", () => {
  const rates = new Rates();
  rates.addBatch(rows(3, 1000));
  rates.addBatch(rows(2, 1001, "blocked", 0.05));
  rates.addBatch(rows(95, 1061, "forwarded", 8));
  rates.addBatch(rows(5, 1061, "forwarded", 900));
  const s = rates.series(1000, 1002, 1);
  assert.deepEqual([s.bars, s.counts[0], s.counts[9 + 4]], [2, 3, 2]);
  const minute = rates.series(960, 1080, 60);
  assert.equal(minute.counts.reduce((a, b) => a + b), 105);
  const all = rates.total(300, 1062);
  assert.equal(all.sum, 105);
  assert.ok(all.p50 > 5 && all.p50 < 12, String(all.p50));
  assert.ok(all.p99 > 600 && all.p99 < 1300, String(all.p99));
  assert.equal(Number.isNaN(rates.series(5000, 5001, 1).p50[0]), true);
  assert.deepEqual([latencyBin(0), latencyBin(1e9)], [0, 39]);
});

test("rates of a sender add up with rows, and an hour-old second never overwrites a new one", () => {
  const rates = new Rates();
  rates.load({ step: 1, at: [7200], counts: [[1, 0, 0, 0, 0, 0, 0, 0, 0]], hist: [[10, 1]] });
  rates.load({ step: 60, at: [7200], counts: [[1, 0, 0, 0, 0, 0, 0, 0, 0]], hist: [[10, 1]] });
  rates.addBatch(rows(2, 7200));
  rates.load({ step: 1, add: true, at: [7200], counts: [[0, 0, 0, 0, 4, 0, 0, 0, 0]], hist: [[3, 4]] });
  rates.addBatch(rows(5, 3600)); // the same slot, an hour ago
  const s = rates.series(7200, 7201, 1);
  assert.deepEqual([s.counts[0], s.counts[4]], [3, 4]);
  assert.equal(rates.total(60, 7260).sum, 7);
});

test("the chart of a filter agrees with the chart of everything", () => {
  const desk = new Desk({ request: async () => ({}) }, 4096);
  for (let k = 0; k < 20; k++) desk.rows(rows(k + 1, 5000 + k, k % 2 ? "blocked" : "cached"));
  const whole = desk.rates.series(5000, 5020, 5);
  const same = seriesOf(desk.store, desk.store.rows(), 5000, 5020, 5);
  assert.deepEqual([...same.counts], [...whole.counts]);
  assert.deepEqual([...same.p95], [...whole.p95]);
});

test("a pause holds rows back, counts on, and is bounded", () => {
  const desk = new Desk({ request: async () => ({}) }, 100);
  desk.pause(true);
  for (let k = 0; k < 30; k++) desk.rows(rows(10, 5000 + k));
  assert.equal(desk.store.count, 0);
  assert.ok(desk.heldRows <= 110);
  assert.equal(desk.rates.total(60, 5030).sum, 300);
  desk.pause(false);
  assert.equal(desk.store.count, 100);
});

test("list deltas keep the newest first and never grow without end", () => {
  const desk = new Desk({ request: async () => ({}) });
  desk.channel("dns/blacklist/", { list: "blacklist", version: 1, count: 2, entries: [{ name: "b" }, { name: "a" }] });
  desk.channel("dns/blacklist/", { list: "blacklist", version: 2, count: 2, added: ["c"], removed: ["a"] });
  assert.deepEqual(desk.channels["dns/blacklist/"].entries.map((e) => e.name), ["c", "b"]);
  desk.channel("dns/blacklist/", { list: "blacklist", version: 3, added: Array.from({ length: 900 }, (_, i) => `n${i}`) });
  assert.equal(desk.channels["dns/blacklist/"].entries.length, 500);
  assert.equal(desk.channels["dns/blacklist/"].entries[0].name, "n899");
});

test("a snapshot paints until something newer is here", () => {
  const desk = new Desk({ request: async () => ({}) });
  const snap = (n) => ({ epoch: "e", channels: { "dns/status": { running: true } }, rates: [{ step: 1, at: [9000], counts: [[n, 0, 0, 0, 0, 0, 0, 0, 0]], hist: [[]] }], rows: columns(n, () => ({ time: 9e9, qname: "x", status: "cached" })) });
  desk.snapshot({});
  assert.equal(desk.fromSnapshot, undefined);
  desk.snapshot(snap(2));
  desk.snapshot(snap(3));
  assert.deepEqual([desk.store.count, desk.rates.total(60, 9001).sum], [3, 3]);
  desk.fromSnapshot = false;
  desk.snapshot(snap(9));
  assert.equal(desk.store.count, 3);
});
