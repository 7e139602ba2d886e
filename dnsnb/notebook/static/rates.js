// Queries over time: counts by status and a latency histogram, by second for an hour and by minute for two days.

import { STATUSES } from "./text.js";

const KINDS = STATUSES.length;
const BINS = 40; // half octaves from 1/64 ms
const SECONDS = 3600;
export const MINUTES = 2880;
const STATUS_AT = new Map(STATUSES.map((s, i) => [s, i]));

export function latencyBin(ms) {
  return ms > 0 ? Math.max(0, Math.min(BINS - 1, Math.floor((Math.log2(ms) + 6) * 2))) : 0;
}

const binMiddle = (bin) => 2 ** ((bin + 0.5) / 2 - 6);

class Ring {
  constructor(step, size) {
    this.step = step;
    this.size = size;
    this.stamp = new Float64Array(size).fill(-1);
    this.counts = new Uint32Array(size * KINDS);
    this.hist = new Uint32Array(size * BINS);
  }

  /** The slot of a second, emptied if it held an older turn of the ring; -1 when that second is long gone. */
  slot(second) {
    const tick = Math.floor(second / this.step);
    const at = tick % this.size;
    if (this.stamp[at] === tick) return at;
    if (this.stamp[at] > tick) return -1;
    this.stamp[at] = tick;
    this.counts.fill(0, at * KINDS, (at + 1) * KINDS);
    this.hist.fill(0, at * BINS, (at + 1) * BINS);
    return at;
  }

  find(tick) {
    const at = tick % this.size;
    return this.stamp[at] === tick ? at : -1;
  }
}

export class Rates {
  constructor() {
    this.clear();
  }

  clear() {
    this.rings = [new Ring(1, SECONDS), new Ring(60, MINUTES)];
    this.first = Infinity;
    this.last = 0;
  }

  /** Whether there are rows, but none of the last five minutes. */
  get past() {
    return this.last > 0 && Date.now() / 1000 - this.last > 300;
  }

  /** The end of what is shown, in seconds: now; of a log without a server that is past, its last row. */
  now(log) {
    return log && this.past ? this.last + 1 : Date.now() / 1000;
  }

  add(second, kind, n, bin = -1) {
    if (!(second > 0)) return;
    if (second < this.first) this.first = second;
    if (second > this.last) this.last = second;
    for (const ring of this.rings) {
      const at = ring.slot(second);
      if (at < 0) continue;
      ring.counts[at * KINDS + kind] += n;
      if (bin >= 0) ring.hist[at * BINS + bin] += n;
    }
  }

  addBatch(batch) {
    const time = batch.columns.time?.values;
    if (!time) return;
    const status = batch.columns.status;
    const kinds = status ? status.dict.map((s) => STATUS_AT.get(s) ?? KINDS - 1) : [KINDS - 1];
    const latency = batch.columns.latency_ms?.values;
    for (let i = 0; i < batch.count; i++) {
      const ms = latency ? latency[i] : NaN;
      this.add(Math.floor(time[i] / 1e6), kinds[status ? status.codes[i] : 0], 1, Number.isNaN(ms) ? -1 : latencyBin(ms));
    }
  }

  /** Take in what the sender counted: {step, at: [second…], counts: [[n by status]…], hist: [[bin, n, …]…]}. */
  load(pack) {
    const ring = this.rings[pack.step === 60 ? 1 : 0];
    const both = pack.step === 1 && pack.add;
    pack.at.forEach((second, i) => {
      this.first = Math.min(this.first, second);
      this.last = Math.max(this.last, second);
      for (const one of both ? this.rings : [ring]) {
        const at = one.slot(second);
        if (at < 0) continue;
        pack.counts[i].forEach((n, kind) => (one.counts[at * KINDS + kind] += n));
        const pairs = pack.hist?.[i] || [];
        for (let p = 0; p < pairs.length; p += 2) one.hist[at * BINS + pairs[p]] += pairs[p + 1];
      }
    });
  }

  /** Bars from `from` to `to` (seconds), `step` seconds each: counts by status, and latency quantiles (ms, NaN when unknown). */
  series(from, to, step) {
    const start = Math.floor(from / step) * step;
    const bars = Math.max(1, Math.ceil((to - start) / step));
    const out = emptySeries(start, step, bars);
    const hist = new Float64Array(bars * BINS);
    const ring = this.rings[step >= 60 || to - from > SECONDS ? 1 : 0];
    for (let tick = Math.floor(start / ring.step); tick * ring.step < to; tick++) {
      const at = ring.find(tick);
      if (at < 0) continue;
      const bar = Math.floor((tick * ring.step - start) / step);
      if (bar < 0 || bar >= bars) continue;
      for (let k = 0; k < KINDS; k++) out.counts[bar * KINDS + k] += ring.counts[at * KINDS + k];
      for (let b = 0; b < BINS; b++) hist[bar * BINS + b] += ring.hist[at * BINS + b];
    }
    return withQuantiles(out, hist);
  }

  /** Sums over the last `seconds` (an hour at most) up to `to`: by status, and the latency quantiles of the whole. */
  total(seconds, to = this.last + 1) {
    const ring = this.rings[0];
    const counts = new Float64Array(KINDS);
    const hist = new Float64Array(BINS);
    for (let tick = to - seconds; tick < to; tick++) {
      const at = ring.find(tick);
      if (at < 0) continue;
      for (let k = 0; k < KINDS; k++) counts[k] += ring.counts[at * KINDS + k];
      for (let b = 0; b < BINS; b++) hist[b] += ring.hist[at * BINS + b];
    }
    const byStatus = Object.fromEntries(STATUSES.map((s, k) => [s, counts[k]]));
    return { sum: counts.reduce((a, b) => a + b), byStatus, p50: quantile(hist, 0, 0.5), p95: quantile(hist, 0, 0.95), p99: quantile(hist, 0, 0.99) };
  }
}

export function emptySeries(start, step, bars) {
  return { start, step, bars, kinds: KINDS, counts: new Float64Array(bars * KINDS) };
}

/** The same bars made from rows: used when a filter is in force. */
export function seriesOf(store, seqs, from, to, step) {
  const start = Math.floor(from / step) * step;
  const bars = Math.max(1, Math.ceil((to - start) / step));
  const out = emptySeries(start, step, bars);
  const hist = new Float64Array(bars * BINS);
  const kinds = store.text.status.texts.map((s) => STATUS_AT.get(s) ?? KINDS - 1);
  const { time, latency_ms: latency } = store.number;
  const codes = store.text.status.codes;
  for (let i = 0; i < seqs.length; i++) {
    const at = seqs[i] % store.capacity;
    const bar = Math.floor((time[at] / 1e6 - start) / step);
    if (bar < 0 || bar >= bars) continue;
    out.counts[bar * KINDS + kinds[codes[at]]]++;
    const ms = latency[at];
    if (!Number.isNaN(ms)) hist[bar * BINS + latencyBin(ms)]++;
  }
  return withQuantiles(out, hist);
}

function withQuantiles(out, hist) {
  for (const [key, q] of [["p50", 0.5], ["p95", 0.95], ["p99", 0.99]]) {
    out[key] = new Float64Array(out.bars).fill(NaN);
    for (let bar = 0; bar < out.bars; bar++) out[key][bar] = quantile(hist, bar * BINS, q);
  }
  return out;
}

function quantile(hist, base, q) {
  let sum = 0;
  for (let b = 0; b < BINS; b++) sum += hist[base + b];
  if (!sum) return NaN;
  let seen = 0;
  for (let b = 0; b < BINS; b++) {
    seen += hist[base + b];
    if (seen >= q * sum) return binMiddle(b);
  }
  return NaN;
}
