// The rows that the browser holds: a ring of columns, what the selection leaves of them, and counts by dimension.
// Rows are named by their place in the whole stream (`seq`, ever growing); a row older than `oldest` is gone.

import { DIMENSIONS, GROUPS, Selection } from "./selection.js";
import { registered } from "./text.js";

export const TEXT = ["client", "client_name", "transport", "qname", "domain", "qtype", "qclass", "rcode", "status", "list", "rule", "upstream", "answers", "flags", "source"];
export const NUMBER = ["time", "latency_ms", "ttl", "ede", "query_bytes", "response_bytes", "id"];
const OTHER = DIMENSIONS.length; // the bit of time span and search terms
const NOTHING = 0; // code 0 of every text column is null

class TextColumn {
  constructor(capacity) {
    this.codes = new Uint32Array(capacity);
    this.reset();
  }

  reset() {
    this.texts = [null];
    this.index = new Map([[null, NOTHING]]);
  }

  code(text) {
    let code = this.index.get(text);
    if (code === undefined) {
      code = this.texts.push(text) - 1;
      this.index.set(text, code);
    }
    return code;
  }
}

export class Store {
  constructor(capacity = 1 << 17) {
    this.capacity = capacity;
    this.text = Object.fromEntries(TEXT.map((name) => [name, new TextColumn(capacity)]));
    this.number = Object.fromEntries(NUMBER.map((name) => [name, new Float64Array(capacity)]));
    this.fails = new Uint8Array(capacity);
    this.selection = new Selection();
    this.clear();
  }

  clear() {
    this.next = 0;
    this.oldest = 0;
    this.matching = 0;
    for (const name of TEXT) this.text[name].reset();
    this.names = new Map(); // client address -> its name
    this.compile();
    this.counts = Object.fromEntries(DIMENSIONS.map((d) => [d, []]));
  }

  get count() {
    return this.next - this.oldest;
  }

  add(batch) {
    const { columns } = batch;
    const skip = Math.max(0, batch.count - this.capacity);
    const maps = TEXT.map((name) => {
      const column = columns[name];
      if (!column || (name === "domain" && !column.dict)) return null;
      return column.dict.map((text) => this.text[name].code(text));
    });
    const qname = columns.qname;
    const domains = columns.domain || !qname ? null : qname.dict.map((t) => this.text.domain.code(t === null ? null : registered(t)));
    const first = this.next;
    for (let i = skip; i < batch.count; i++) {
      if (this.count === this.capacity) this.drop();
      const at = this.next % this.capacity;
      for (let c = 0; c < TEXT.length; c++) this.text[TEXT[c]].codes[at] = maps[c] ? maps[c][columns[TEXT[c]].codes[i]] : NOTHING;
      if (domains) this.text.domain.codes[at] = domains[qname.codes[i]];
      for (const name of NUMBER) this.number[name][at] = columns[name] ? columns[name].values[i] : NaN;
      this.next++;
    }
    if (columns.client_name && columns.client) {
      const seen = new Set();
      for (let i = skip; i < batch.count; i++) {
        const key = columns.client.codes[i];
        const name = columns.client_name.dict[columns.client_name.codes[i]];
        if (name !== null && !seen.has(key)) {
          seen.add(key);
          this.names.set(columns.client.dict[key], name);
        }
      }
    }
    this.judge(Math.max(first, this.oldest), this.next);
    if (this.text.qname.texts.length > 3 * this.capacity) this.compact();
  }

  drop() {
    const at = this.oldest % this.capacity;
    this.tally(at, -1);
    this.oldest++;
  }

  /** Count a row in each dimension that its own failures, if any, do not hide it from. */
  tally(at, sign) {
    const fails = this.fails[at];
    if (fails === 0) {
      this.matching += sign;
      for (const d of DIMENSIONS) {
        const code = this.text[d].codes[at];
        this.counts[d][code] = (this.counts[d][code] || 0) + sign;
      }
    } else if ((fails & (fails - 1)) === 0 && fails !== 1 << OTHER) {
      const d = DIMENSIONS[31 - Math.clz32(fails)];
      const code = this.text[d].codes[at];
      this.counts[d][code] = (this.counts[d][code] || 0) + sign;
    }
  }

  judge(from, to) {
    for (let seq = from; seq < to; seq++) {
      const at = seq % this.capacity;
      this.fails[at] = this.verdict(at);
      this.tally(at, 1);
    }
  }

  verdict(at) {
    let fails = 0;
    for (let d = 0; d < DIMENSIONS.length; d++) {
      const allowed = this.allowed[d];
      if (allowed && !allowed.has(this.text[DIMENSIONS[d]].codes[at])) fails |= 1 << d;
    }
    for (const test of this.tests) {
      if (!test(at)) {
        fails |= 1 << OTHER;
        break;
      }
    }
    return fails;
  }

  /** Make the selection's tests fast: codes instead of texts, and each distinct text searched once. */
  compile() {
    const s = this.selection;
    this.allowed = DIMENSIONS.map((d) => (s.values[d] ? new Set(s.values[d].map((v) => this.text[d].code(v))) : null));
    this.tests = [];
    if (s.span) {
      const [from, to] = s.span;
      const time = this.number.time;
      this.tests.push((at) => time[at] >= from && time[at] < to);
    }
    for (const term of s.terms) this.tests.push(this.termTest(term));
  }

  termTest({ column, op, value }) {
    if (op === "is" || op === "none") {
      const { codes } = this.text[column];
      const wanted = new Set(value.map((text) => this.text[column].code(text)));
      return (at) => wanted.has(codes[at]) === (op === "is");
    }
    if (op !== "has" && op !== "not") {
      const values = this.number[column];
      const tests = { ">": (v) => v > value, "<": (v) => v < value, ">=": (v) => v >= value, "<=": (v) => v <= value };
      return (at) => tests[op](values[at]);
    }
    const columns = (GROUPS[column] || [column]).map((name) => ({ ...this.text[name], known: [] }));
    const has = (at) => {
      for (const { codes, texts, known } of columns) {
        const code = codes[at];
        let yes = known[code];
        if (yes === undefined) known[code] = yes = texts[code] !== null && texts[code].toLowerCase().includes(value);
        if (yes) return true;
      }
      return false;
    };
    return op === "has" ? has : (at) => !has(at);
  }

  select(selection) {
    this.selection = selection;
    this.recount();
  }

  recount() {
    this.compile();
    this.matching = 0;
    this.counts = Object.fromEntries(DIMENSIONS.map((d) => [d, []]));
    this.judge(this.oldest, this.next);
  }

  /** Tell the registered domains anew: the public suffixes came after the rows. */
  regroup() {
    const { qname, domain } = this.text;
    domain.reset();
    const known = qname.texts.map((text) => domain.code(text === null ? null : registered(text)));
    for (let seq = this.oldest; seq < this.next; seq++) domain.codes[seq % this.capacity] = known[qname.codes[seq % this.capacity]];
    this.recount();
  }

  /** Give up the texts that no row uses any more. */
  compact() {
    for (const name of TEXT) {
      const column = this.text[name];
      const old = column.texts;
      column.reset();
      for (let seq = this.oldest; seq < this.next; seq++) {
        const at = seq % this.capacity;
        column.codes[at] = column.code(old[column.codes[at]]);
      }
    }
    this.recount();
  }

  /** The rows that the selection leaves, newest first: their seqs, at most `most`, older than `before`. `sort` is {column, down} or null. */
  rows(sort = null, most = Infinity, before = this.next) {
    let out = new Float64Array(Math.min(this.matching, most));
    let n = 0;
    for (let seq = before - 1; seq >= this.oldest && n < out.length; seq--) if (this.fails[seq % this.capacity] === 0) out[n++] = seq;
    if (n < out.length) out = out.slice(0, n);
    if (!sort || (sort.column === "time" && sort.down)) return out;
    if (sort.column === "time") return out.reverse();
    const key = this.sortKey(sort.column);
    // one number per row, key above place: numbers sort natively, without a call per comparison
    const packed = out.map((seq, i) => key(seq % this.capacity) * this.capacity + i);
    packed.sort();
    if (sort.down) packed.reverse();
    return packed.map((p) => out[((p % this.capacity) + this.capacity) % this.capacity]);
  }

  sortKey(column) {
    const numbers = this.number[column];
    if (numbers) return (at) => (Number.isNaN(numbers[at]) ? -1 : Math.min(2 ** 34, Math.round(numbers[at] * 1000)));
    const { texts, codes } = this.text[column];
    const order = texts.map((t, i) => i).sort((a, b) => (texts[a] === null ? -1 : texts[b] === null ? 1 : texts[a] < texts[b] ? -1 : 1));
    const rank = new Uint32Array(texts.length);
    order.forEach((code, i) => (rank[code] = i));
    return (at) => rank[codes[at]];
  }

  /** The most frequent values of a dimension, as [text, count], among rows that the other dimensions leave. */
  top(dimension, most) {
    const counts = this.counts[dimension];
    const { texts } = this.text[dimension];
    const best = [];
    for (let code = 0; code < counts.length; code++) {
      const n = counts[code];
      if (!n || (code === NOTHING && dimension !== "status")) continue;
      if (best.length === most && n <= best[most - 1][1]) continue;
      let i = best.length;
      while (i > 0 && best[i - 1][1] < n) i--;
      best.splice(i, 0, [texts[code], n]);
      if (best.length > most) best.pop();
    }
    for (const value of this.selection.values[dimension] || []) {
      if (!best.some(([text]) => text === value)) best.push([value, counts[this.text[dimension].code(value)] || 0]);
    }
    return best;
  }

  has(seq) {
    return seq >= this.oldest && seq < this.next;
  }

  /** One row as a plain object, nulls for what is unknown. */
  row(seq) {
    const at = seq % this.capacity;
    const row = { seq };
    for (const name of TEXT) row[name] = this.text[name].texts[this.text[name].codes[at]];
    for (const name of NUMBER) row[name] = Number.isNaN(this.number[name][at]) ? null : this.number[name][at];
    row.answers = row.answers === null ? [] : row.answers.split("\n");
    return row;
  }
}
