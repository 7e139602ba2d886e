// What is selected: sets of values by dimension, a span of time, search terms, a filter by column. It can say itself as a
// pandas expression.

import { quoted } from "./text.js";

export const DIMENSIONS = ["client", "domain", "qtype", "status", "upstream", "list"];
const SEARCHABLE = ["client", "client_name", "transport", "qname", "domain", "qtype", "qclass", "rcode", "status", "list", "rule", "upstream", "answers", "flags"];
const NUMERIC = { latency: "latency_ms", latency_ms: "latency_ms", ttl: "ttl", ede: "ede", query_bytes: "query_bytes", response_bytes: "response_bytes", id: "id" };
const ALIASES = { name: "qname", type: "qtype", answer: "answers" };

export class Selection {
  constructor() {
    this.values = {};
    this.span = null; // [from, to) in µs
    this.search = "";
    this.filters = {}; // column of the table -> what was written above it
    this.terms = [];
  }

  get empty() {
    return !this.span && !this.terms.length && !Object.keys(this.values).length;
  }

  /** Choose a value, or give it up; `only` drops the dimension's other values. */
  toggle(dimension, value, only = false) {
    const had = this.values[dimension] || [];
    const without = had.filter((v) => v !== value);
    const next = only ? [value] : without.length === had.length ? [...had, value] : without;
    if (next.length) this.values[dimension] = next;
    else delete this.values[dimension];
  }

  setSearch(text) {
    this.search = text;
    this.parse();
  }

  setFilter(column, text) {
    if (text.trim()) this.filters[column] = text;
    else delete this.filters[column];
    this.parse();
  }

  parse() {
    const own = Object.entries(this.filters).flatMap(([column, text]) => parseFilter(column, text).map((term) => ({ ...term, filter: column })));
    this.terms = [...parseSearch(this.search), ...own];
  }

  clear() {
    this.values = {};
    this.span = null;
    this.filters = {};
    this.setSearch("");
  }

  /** The plain data that travels to Python: `dnsnb.notebook.selection` reads it. */
  toJSON() {
    return { values: this.values, span: this.span, search: this.search, filters: this.filters, terms: this.terms, expression: expression(this) };
  }

  static from(data) {
    const s = new Selection();
    if (data) {
      for (const d of DIMENSIONS) if (Array.isArray(data.values?.[d]) && data.values[d].length) s.values[d] = [...data.values[d]];
      s.span = Array.isArray(data.span) ? data.span : null;
      for (const [column, text] of Object.entries(data.filters || {})) if (FILTERED[column] && typeof text === "string") s.filters[column] = text;
      s.setSearch(typeof data.search === "string" ? data.search : "");
    }
    return s;
  }
}

/** Words of a search: `ads`, `-ads`, `type:AAAA`, `-client:tv`, `latency>50`; quotes keep spaces together. */
export function parseSearch(text) {
  const terms = [];
  for (const [word] of text.matchAll(/-?(?:[A-Za-z_]+:)?"[^"]*"?|\S+/g)) {
    const numeric = /^([a-z_]+)(>=|<=|>|<)(\d+(?:\.\d+)?)$/.exec(word);
    if (numeric && NUMERIC[numeric[1]]) {
      terms.push({ column: NUMERIC[numeric[1]], op: numeric[2], value: Number(numeric[3]) });
      continue;
    }
    const not = word.length > 1 && word[0] === "-";
    let rest = not ? word.slice(1) : word;
    let column = "any";
    const named = /^([A-Za-z_]+):(.*)$/s.exec(rest);
    if (named) {
      const name = ALIASES[named[1].toLowerCase()] || named[1].toLowerCase();
      if (SEARCHABLE.includes(name)) {
        column = name;
        rest = named[2];
      }
    }
    rest = rest.replace(/^"|"$/g, "").toLowerCase();
    if (rest) terms.push({ column, op: not ? "not" : "has", value: rest });
  }
  return terms;
}

/** Columns that a term may look in together. */
export const GROUPS = { any: ["qname", "client", "client_name"], who: ["client", "client_name"], why: ["list", "rule"] };

/** How the filter of each column of the table reads: by its words, whole values, or a number. */
export const FILTERED = { client: "who", qname: "qname", qtype: "whole", status: "status", rule: "why", upstream: "upstream", latency_ms: "number", answers: "answers" };

/** What is written above a column: `ads -cdn`, `A AAAA` or `-PTR` for types, `50` or `<0.5` for a latency in ms. */
export function parseFilter(column, text) {
  const kind = FILTERED[column];
  const words = text.match(/-?"[^"]*"?|\S+/g) || [];
  const bare = (word) => word.replace(/^-(?=.)/, "").replace(/^"|"$/g, "");
  if (kind === "number") {
    const found = /^(>=|<=|>|<)?\s*(\d+(?:\.\d+)?)/.exec(text.trim());
    return found ? [{ column, op: found[1] || ">=", value: Number(found[2]) }] : [];
  }
  const sides = [words.filter((w) => w === "-" || w[0] !== "-"), words.filter((w) => w !== "-" && w[0] === "-")].map((side) => side.map(bare).filter(Boolean));
  if (kind === "whole") return sides.flatMap((side, i) => (side.length ? [{ column, op: i ? "none" : "is", value: side.map((w) => w.toUpperCase()) }] : []));
  return sides.flatMap((side, i) => side.map((word) => ({ column: kind, op: i ? "not" : "has", value: word.toLowerCase() })));
}

/** The clauses of a selection, each with the pandas text and what takes it away. */
export function clauses(selection) {
  const parts = [];
  for (const d of DIMENSIONS) {
    const values = selection.values[d];
    if (!values) continue;
    parts.push({ text: d === "domain" ? anyOf(values.map(inDomain)) : isOneOf(d, values), drop: (s) => delete s.values[d] });
  }
  if (selection.span) {
    const [from, to] = selection.span.map((us) => JSON.stringify(new Date(us / 1000).toISOString()));
    parts.push({ text: `time >= ${from} and time < ${to}`, drop: (s) => (s.span = null) });
  }
  selection.terms.forEach((term) => parts.push({ text: termText(term), drop: (s) => (term.filter ? s.setFilter(term.filter, "") : s.setSearch("")) }));
  return parts;
}

export function expression(selection) {
  return clauses(selection).map((c) => c.text).join(" and ");
}

function isOneOf(column, values) {
  const real = values.filter((v) => v !== null);
  const parts = [];
  if (real.length === 1) parts.push(`${column} == ${quoted(real[0])}`);
  else if (real.length) parts.push(`${column} in [${real.map(quoted).join(", ")}]`);
  if (real.length < values.length) parts.push(`${column}.isna()`);
  return anyOf(parts);
}

const inDomain = (d) => (d === null ? "qname.isna()" : `qname == ${quoted(d)} or qname.str.endswith(${quoted("." + d)})`);

const anyOf = (parts) => (parts.length > 1 || parts[0].includes(" or ") ? `(${parts.join(" or ")})` : parts[0]);

function termText({ column, op, value }) {
  if (op === "is" || op === "none") return `${column} ${op === "is" ? "in" : "not in"} [${value.map(quoted).join(", ")}]`;
  if (op !== "has" && op !== "not") return `${column} ${op} ${value}`;
  const contains = (c) =>
    c === "answers"
      ? `answers.astype("str").str.contains(${quoted(value)}, case=False, regex=False)`
      : `${c}.str.contains(${quoted(value)}, case=False, regex=False)`;
  const text = anyOf((GROUPS[column] || [column === "domain" ? "qname" : column]).map(contains));
  return op === "not" ? `~(${text.replace(/^\((.*)\)$/s, "$1")})` : text;
}
