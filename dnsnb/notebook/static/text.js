// How values read: numbers with units, times, and hostile names made harmless and visible.

export const STATUSES = ["cached", "stale", "forwarded", "local", "blocked", "refused", "limited", "failed", "unknown"];

/** Make an element; strings become text nodes, never markup. `on*` props are listeners, others attributes. */
export function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "value") el.value = value;
    else el.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) el.append(child);
  return el;
}

/** Set an element's text only when it changed, so that nothing moves that has not changed. */
export function put(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

// Controls, bidi overrides, zero-width and other characters that would hide or reorder a name.
const TRICKS = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffc]/g;

/** A text from the network as it may be shown: what would be invisible is spelled out. */
export function plain(text) {
  return text === null || text === undefined ? "" : String(text).replace(TRICKS, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** Cut a long name in its middle, so that both the host and the domain stay readable. */
export function middle(text, most) {
  if (text.length <= most) return text;
  const tail = Math.ceil((most - 1) * 0.6);
  return text.slice(0, most - 1 - tail) + "…" + text.slice(text.length - tail);
}

export function count(n) {
  return n === null || n === undefined || Number.isNaN(n) ? "–" : Math.round(n).toLocaleString("en-US");
}

export function short(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return "–";
  if (n < 10 && n > 0) return n.toFixed(1);
  if (n < 10000) return count(n);
  return n < 1e6 ? (n / 1e3).toFixed(n < 1e5 ? 1 : 0) + "k" : (n / 1e6).toFixed(1) + "M";
}

export function percent(part, whole) {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  return (share > 0 && share < 10 ? share.toFixed(1) : Math.round(share)) + " %";
}

export function millis(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 0.1) return "<0.1 ms";
  if (ms >= 1000) return (ms / 1000).toFixed(1) + " s";
  return (ms < 10 ? ms.toFixed(1) : Math.round(ms)) + " ms";
}

const two = (n) => String(n).padStart(2, "0");

/** Local wall time of microseconds since the epoch. */
export function clock(us, withMillis = true) {
  const d = new Date(us / 1000);
  const base = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return withMillis ? `${base}.${String(d.getMilliseconds()).padStart(3, "0")}` : base;
}

export function day(us) {
  const d = new Date(us / 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/** A Python string literal of any text: the expression must survive quotes, backslashes and what can't be seen. */
export function quoted(text) {
  return JSON.stringify(String(text)).replace(TRICKS, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

let rules = { has: () => false };

/** Know the public suffix list: lines such as `co.uk`, `*.ck`, `!www.ck`; single labels needn't be told. */
export function knowSuffixes(lines) {
  rules = new Set(lines);
}

/** The registered domain by the public suffixes that are known, where the sender gave none; else the name itself. */
export function registered(name) {
  const labels = name.split(/(?<!\\)\./);
  let suffix = labels.length - 1; // where the public suffix begins: the last label, unless a rule says more
  for (let i = suffix - 1; i >= 0; i--) {
    const tail = labels.slice(i).join(".");
    if (rules.has(`!${tail}`)) {
      suffix = i + 1;
      break;
    }
    if (rules.has(tail) || rules.has(`*.${labels.slice(i + 1).join(".")}`)) suffix = i;
  }
  return suffix > 0 ? labels.slice(suffix - 1).join(".") : name;
}

/** A list's entry is a name, or an object that has one. */
export const nameOf = (entry) => (typeof entry === "string" ? entry : entry.name);
