// What the folded sections are made of: controls, tables, and the place where an outcome is said.

import { h, plain, put } from "./text.js";

export const button = (text, run, more = {}) => h("button", { type: "button", class: "dnsnb-button", onclick: run, ...more }, text);
export const input = (label, more = {}) => h("input", { type: "text", class: "dnsnb-input", "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: "false", ...more });
export const choice = (label, options, onchange) => h("select", { class: "dnsnb-input", "aria-label": label, onchange }, ...options.map(([value, text]) => h("option", { value }, text ?? value)));

/** Where a command's outcome is said, beside what gave it. */
export function speaker() {
  const el = h("p", { class: "dnsnb-said", role: "status" });
  const say = (text, bad = false) => {
    put(el, plain(text));
    el.classList.toggle("dnsnb-bad", bad);
  };
  /** Run a command; its control rests meanwhile, an error is said here. */
  const attempt = async (control, run, doing = "") => {
    if (control) control.disabled = true;
    const began = Date.now();
    const wait = () => say(`${doing || "Working"}… ${Math.round((Date.now() - began) / 1000)} s`);
    say(doing ? `${doing}…` : "…");
    const clockwork = setInterval(wait, 1000); // a long load is seen to go on
    try {
      say((await run()) || "");
      return true;
    } catch (error) {
      say(error.message, true);
      return false;
    } finally {
      clearInterval(clockwork);
      if (control) control.disabled = false;
    }
  };
  return { el, say, attempt };
}

/** A section that is folded away: `load` is called each time it is opened. */
export function folded(title, body, load) {
  return { title, load, el: h("section", { class: "dnsnb-pane", "aria-label": title, hidden: true }, body) };
}

export function rowsTable(label, heads) {
  const body = h("tbody", {});
  const head = h("thead", {}, h("tr", {}, ...heads.map((t) => h("th", { scope: "col" }, t))));
  const el = h("div", { class: "dnsnb-grid" }, h("table", { "aria-label": label }, head, body));
  return { el, fill: (rows, empty) => ((head.hidden = !rows.length), body).replaceChildren(...(rows.length ? rows.map((cells) => h("tr", {}, ...cells.map((c) => h("td", {}, c)))) : [h("tr", {}, h("td", { colspan: heads.length, class: "dnsnb-muted" }, empty))])) };
}
