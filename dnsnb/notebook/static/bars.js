// Headers that filter: the most frequent values of each dimension as small bars; a click filters everything else.

import { count, h, percent, plain, put } from "./text.js";

export const HEADS = [
  ["client", "Clients"],
  ["domain", "Domains"],
  ["qtype", "Types"],
  ["status", "Status"],
  ["upstream", "Upstreams"],
  ["list", "Lists"],
];

export function barsPane(desk, dimension, title, most = 6) {
  const items = h("ul", { class: "dnsnb-bars" });
  const el = h("section", { class: "dnsnb-head", "aria-label": `${title}: click to filter` }, h("h3", {}, title), items);
  const pool = [];

  const make = () => {
    const name = h("span", { class: "dnsnb-barname" });
    const number = h("span", { class: "dnsnb-barcount" });
    const fill = h("span", { class: "dnsnb-barfill" });
    const button = h("button", { type: "button", class: "dnsnb-bar", onclick: (e) => desk.select((s) => s.toggle(dimension, item.value, !(e.ctrlKey || e.metaKey || e.shiftKey) && !(s.values[dimension] || []).includes(item.value))) }, fill, name, number);
    const item = { li: h("li", {}, button), button, name, number, fill, value: null };
    items.append(item.li);
    return item;
  };

  const draw = () => {
    const { store } = desk;
    const best = store.top(dimension, most);
    const chosen = new Set(store.selection.values[dimension] || []);
    const whole = best.length ? Math.max(...best.map(([, n]) => n)) : 1;
    while (pool.length < best.length) pool.push(make());
    pool.forEach((item, i) => {
      item.li.hidden = i >= best.length;
      if (i >= best.length) return;
      const [value, n] = best[i];
      item.value = value;
      const shown = value === null ? "none" : dimension === "client" ? plain(store.names.get(value) || value) : plain(value);
      put(item.name, shown);
      put(item.number, count(n));
      const on = chosen.has(value);
      item.button.setAttribute("aria-pressed", String(on));
      item.button.title = `${shown}${dimension === "client" && shown !== value ? ` (${plain(value)})` : ""}: ${count(n)} of ${count(store.matching)} queries, ${percent(n, store.matching)}. Click: only these. Ctrl-click: these as well.`;
      item.button.className = `dnsnb-bar${dimension === "status" ? ` dnsnb-is-${plain(value)}` : ""}${chosen.size && !on ? " dnsnb-off" : ""}`;
      item.fill.style.width = `${Math.max(1, (100 * n) / whole)}%`;
    });
    el.classList.toggle("dnsnb-none", !best.length);
  };
  return { el, draw };
}
