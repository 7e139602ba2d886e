// The dashboard: one calm surface made of panels, redrawn only where something changed.

import { HEADS, barsPane } from "./bars.js";
import { Chart, WINDOWS } from "./chart.js";
import { clientsSection } from "./clients.js";
import { detailPane } from "./detail.js";
import { cacheSection, listsSection, lookupSection, pauseControl, recordsSection, settingsSection } from "./panes.js";
import { seriesOf } from "./rates.js";
import { clauses, expression } from "./selection.js";
import { copyText, statusLine, warning } from "./status.js";
import { Table } from "./table.js";
import { count, h, middle, millis, plain, put } from "./text.js";

const NEWEST = 250; // rows taken while the table follows: the rest only when somebody scrolls
const ALL = ["status", "chart", "bars", "table", "controls"];

/**
 * Draw the panels of a desk into `el`; returns what takes them away. `options`: {panels, dimensions, height, commands, about};
 * without `commands` there is only a log to look at, and `about` says which.
 */
export function mount(el, desk, options = {}) {
  const panels = options.panels?.length ? options.panels : ALL;
  const commands = options.commands !== false;
  const has = (name) => panels.includes(name) && (commands || name !== "controls");
  const root = h("div", { class: "dnsnb", role: "region", "aria-label": "DNS dashboard" });
  const offs = [];
  let choice = null;
  let themed = false;
  const dirty = new Set(["all"]);
  let asked = 0;
  let drawnAt = { bars: 0, sorted: 0, numbers: 0, chart: 0 };

  const mark = (...parts) => {
    for (const p of parts) dirty.add(p);
    if (!asked) asked = requestAnimationFrame(() => ((asked = 0), draw()));
  };
  const onShow = (change) => desk.select(change);

  const status = statusLine(desk, { onShow, commands, about: options.about });
  const warn = warning(desk);
  const chart = new Chart({ onBrush: (span) => desk.select((s) => (s.span = span)) });
  const windows = h("span", { class: "dnsnb-seg", role: "group", "aria-label": "Time shown" });
  const press = (seconds) => WINDOWS.forEach(([, s], i) => windows.children[i].setAttribute("aria-pressed", String(s === seconds)));
  for (const [label, seconds] of WINDOWS) {
    const button = h("button", { type: "button", "aria-pressed": String(chart.window === seconds), onclick: () => {
      chart.choose(seconds);
      press(seconds);
      drawnAt.chart = 0;
      mark("chart");
    } }, label);
    windows.append(button);
  }
  const pause = h("button", { type: "button", class: "dnsnb-button", "aria-pressed": "false", title: "Space", onclick: () => hold(!desk.paused) }, "Pause view");
  const legend = h("span", { class: "dnsnb-legend", "aria-hidden": "true" }, ...["cached", "forwarded", "local", "blocked", "failed"].map((s) => h("span", { class: `dnsnb-is-${s}` }, h("i", {}), s)));
  const quantiles = h("span", { class: "dnsnb-muted dnsnb-quantiles", title: "Latency of the last 5 minutes. The strip below the bars shows each bar's p50, p95 and p99 on a logarithmic scale" });
  const heads = (options.dimensions || HEADS.map(([d]) => d)).map((d) => barsPane(desk, d, HEADS.find(([k]) => k === d)[1], options.most));

  const chips = h("span", { class: "dnsnb-chips", role: "group", "aria-label": "The filter in force" });
  const copy = h("button", { type: "button", class: "dnsnb-button", hidden: true, title: "Copy the filter as a pandas expression", onclick: async () => {
    const text = expression(desk.store.selection);
    put(copy, (await copyText(`session.frame.query(${JSON.stringify(text)}, engine="python")`)) ? "copied" : "copy failed");
    setTimeout(() => put(copy, "copy as pandas"), 900);
  } }, "copy as pandas");
  const search = h("input", { type: "search", class: "dnsnb-input dnsnb-search", "aria-label": "Search the rows", placeholder: "/ search: ads  -cdn  type:AAAA  latency>50", autocomplete: "off", spellcheck: "false" });
  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => desk.select((s) => s.setSearch(search.value)), 120);
  });
  const rowsSaid = h("span", { class: "dnsnb-muted dnsnb-rows" });
  const table = new Table({
    onFollow: () => mark("table"),
    onSort: () => mark("table"),
    onFilter: (column, text) => desk.select((s) => s.setFilter(column, text)),
    onChoose: (seq) => choose(seq),
    onKey: (event, seq) => {
      if (seq !== null && desk.store.has(seq)) copyText(asLine(desk.store.row(seq)));
    },
  });
  const filtering = h("button", { type: "button", class: "dnsnb-button", "aria-pressed": "false", title: "f", onclick: () => toggleFilters() }, "Filter columns");
  const toggleFilters = (on) => {
    if (!has("table")) return;
    filtering.setAttribute("aria-pressed", String(table.toggleFilters(on)));
    mark("table");
  };
  const lookup = lookupSection(desk);
  const sections = has("controls") ? [listsSection(desk), clientsSection(desk), cacheSection(desk), recordsSection(desk), settingsSection(desk), lookup] : has("table") && commands ? [lookup] : [];
  const tabs = tabbed(sections);
  const detail = detailPane(desk, { commands, onClose: () => choose(null), onLookup: (name, type) => (tabs.open(lookup), lookup.ask(name, type)) });
  const hold = (on) => {
    desk.pause(on);
    if (!on) table.follow();
  };
  const choose = (seq) => {
    choice = seq;
    detail.show(seq);
    mark("table");
  };

  const keys = h("p", { class: "dnsnb-keys", hidden: true }, "Keys: / search · f filter columns · Space pause · ↑ ↓ PgUp PgDn Home End rows · Enter detail · b block · a allow · Ctrl-C copy the row · Esc clear · ? this line");
  if (has("status")) root.append(status.el, status.said, status.busy);
  root.append(keys);
  root.append(warn.el);
  if (has("chart")) root.append(h("div", { class: "dnsnb-charthead" }, windows, pause, h("span", { class: "dnsnb-gap" }), legend, quantiles), chart.el);
  if (has("bars")) root.append(h("div", { class: "dnsnb-heads" }, ...heads.map((b) => b.el)));
  const filterLine = h("div", { class: "dnsnb-filter" }, chips, copy, h("span", { class: "dnsnb-gap" }), rowsSaid, has("table") ? filtering : null, has("table") ? search : null);
  if (has("table") || has("bars") || has("chart")) root.append(filterLine);
  if (has("table")) root.append(table.el, detail.el);
  if (has("controls")) {
    const pausing = pauseControl(desk, status.complain);
    status.actions.prepend(pausing.el);
    pausing.load();
    offs.push(pausing.close);
  }
  root.append(tabs.el);
  if (has("controls") && panels.length < 3) tabs.open(sections[0]);
  if (options.height) table.scroller.style.height = `${options.height}px`;
  el.append(root);

  const draw = () => {
    if (!root.isConnected) return;
    if (!themed) applyTheme(root); // its colours can be read only now
    themed = true;
    const all = dirty.delete("all");
    const want = (part) => dirty.delete(part) || all;
    const now = performance.now();
    const { store, rates } = desk;
    if (want("status")) {
      status.drawState();
      const closed = desk.connection.state === "closed";
      root.classList.toggle("dnsnb-closed", closed);
      tabs.el.inert = closed;
    }
    if (want("numbers") && (all || now - drawnAt.numbers > 450)) {
      drawnAt.numbers = now;
      status.drawNumbers();
      const five = rates.total(300, Math.floor(rates.now(!commands)) + 1);
      put(quantiles, `p50 ${millis(five.p50)} · p95 ${millis(five.p95)} · p99 ${millis(five.p99)}`);
    }
    const soon = desk.store.selection.empty ? 0 : 450; // bars of a filter are made from rows
    if (has("chart") && want("chart") && (!desk.paused || all || drawnAt.chart === 0) && now - drawnAt.chart > soon) {
      drawnAt.chart = now;
      if (!commands) press(chart.fit(rates));
      const frame = chart.frame(rates, rates.now(!commands));
      const s = store.selection;
      const filtered = !s.empty && !(s.span && Object.keys(s.values).length === 0 && !s.terms.length);
      chart.draw(filtered ? seriesOf(store, withoutSpan(store), frame.from, frame.to, frame.step) : rates.series(frame.from, frame.to, frame.step), frame, s.span);
    }
    if (has("bars") && want("bars")) {
      if (all || now - drawnAt.bars > 450) {
        drawnAt.bars = now;
        for (const b of heads) b.draw();
      } else dirty.add("bars");
    }
    if (want("filter")) drawFilter();
    if (has("table") && want("table")) drawTable(now);
    put(rowsSaid, store.selection.empty ? `${count(store.count)} rows` : `${count(store.matching)} of ${count(store.count)} rows`);
    put(pause, desk.paused ? `Resume${desk.heldRows ? ` (+${count(desk.heldRows)})` : ""}` : "Pause view");
    pause.setAttribute("aria-pressed", String(desk.paused));
  };

  /** Rows that pass everything but the brush itself, so that the chart shows what the brush was drawn over. */
  const withoutSpan = (store) => {
    const s = store.selection;
    if (!s.span) return store.rows();
    const span = s.span;
    s.span = null;
    store.recount();
    const seqs = store.rows();
    s.span = span;
    store.recount();
    return seqs;
  };

  const drawTable = (now) => {
    const { store } = desk;
    table.measure();
    const still = table.still || (table.sort && now - drawnAt.sorted < 900 && drawnAt.selection === desk.store.selection);
    if (still && drawnAt.selection === store.selection && table.store) {
      table.paint();
      table.behind(Math.max(0, store.next - table.shownAt) + desk.heldRows);
    } else {
      if (table.sort) drawnAt.sorted = now;
      drawnAt.selection = store.selection;
      if (table.sort) table.show(store, store.rows(table.sort));
      else table.show(store, store.rows(null, NEWEST), store.matching);
      table.behind(0);
    }
    table.empty.hidden = table.seqs.length > 0;
    if (!table.seqs.length) drawEmpty();
  };

  const drawEmpty = () => {
    const status = desk.channels["dns/status"];
    if (!commands && !desk.store.count) put(table.empty, "No rows yet. They appear as the log is written.");
    else if (desk.store.count) put(table.empty, "No row passes the filter. Press Esc to clear it.");
    else if (status?.running && status.dns) {
      const [host, port] = splitAddress(status.dns);
      put(table.empty, `No queries yet. Try: dig @${host} -p ${port} example.com`);
    } else put(table.empty, status ? "The server is stopped. Press Start to answer queries." : "Waiting for the server…");
  };

  const drawFilter = () => {
    const s = desk.store.selection;
    if (search.value !== s.search && document.activeElement !== search) search.value = s.search;
    table.showFilters(s.filters);
    filtering.setAttribute("aria-pressed", String(!table.filterRow.hidden));
    chips.replaceChildren(
      ...clauses(s).flatMap((c, i) => [
        i ? h("span", { class: "dnsnb-muted" }, "and") : null,
        h("button", { type: "button", class: "dnsnb-chip dnsnb-code", title: `${plain(c.text)}\nClick: take this away`, "aria-label": `Remove the filter ${plain(c.text)}`, onclick: () => desk.select((x) => c.drop(x)) }, middle(plain(c.text.replaceAll(", case=False, regex=False", "")), 90), " ✕"),
      ]).filter(Boolean),
    );
    copy.hidden = s.empty;
    filterLine.hidden = s.empty && !has("table"); // a chart or bars alone say nothing while nothing is chosen
    if (s.empty) chips.append(h("span", { class: "dnsnb-muted" }, "all queries"));
  };

  offs.push(
    desk.on((part) => {
      if (part === "rows") mark("numbers", "chart", "bars", "table");
      else if (part === "selection") {
        drawnAt.bars = 0;
        drawnAt.chart = 0;
        table.follow();
        mark("chart", "bars", "filter", "table");
      } else if (part === "connection") {
        warn.update();
        mark("status", "numbers");
      } else if (part === "busy") status.drawBusy();
      else if (part === "dns/status") mark("status", "table");
      else if (part === "dns/info") mark("numbers");
      for (const s of sections) s.update(part);
    }),
  );

  root.addEventListener("keydown", (event) => {
    const writing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "Escape") {
      if (writing) event.target.value = "";
      if (choice !== null) choose(null);
      else {
        desk.select((s) => s.clear());
        table.follow();
      }
      if (writing) table.table.focus();
    } else if (writing || event.ctrlKey || event.metaKey || event.altKey) {
      if (writing) event.stopPropagation(); // the notebook's own shortcuts are letters too
      return;
    } else if (event.key === "/") search.focus();
    else if (event.key === "f") toggleFilters();
    else if (event.key === "?") keys.hidden = !keys.hidden;
    else if (event.key === " " && event.target.tagName !== "BUTTON" && event.target.tagName !== "SUMMARY") hold(!desk.paused);
    else if (commands && (event.key === "b" || event.key === "a") && table.active !== null) {
      if (choice !== table.active) choose(table.active);
      detail.act[event.key === "b" ? "block" : "allow"]();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });

  const everything = () => mark("all");
  const size = new ResizeObserver(() => mark("chart", "table"));
  size.observe(root);
  const shade = () => {
    applyTheme(root);
    mark("chart");
  };
  const theme = new MutationObserver(shade);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", shade);
  offs.push(() => scheme.removeEventListener("change", shade));
  for (const node of [document.documentElement, document.body]) theme.observe(node, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-vscode-theme-kind", "data-theme"] });
  const tick = setInterval(() => mark("numbers", "chart", "bars", "table"), 1000);
  document.addEventListener("visibilitychange", everything);
  offs.push(() => size.disconnect(), () => theme.disconnect(), () => clearInterval(tick), () => document.removeEventListener("visibilitychange", everything), () => warn.close(), () => cancelAnimationFrame(asked));
  warn.update();
  mark("all");
  const close = () => {
    for (const off of offs) off();
    root.remove();
  };
  return { root, close };
}

/** What stands folded below: one line of names, each shows its section, one at a time. */
function tabbed(sections) {
  let shown = null;
  const buttons = sections.map((s) => h("button", { type: "button", class: "dnsnb-tab", "aria-expanded": "false", onclick: () => open(shown === s ? null : s) }, s.title));
  const open = (section) => {
    shown = section;
    sections.forEach((s, i) => {
      s.el.hidden = s !== section;
      buttons[i].setAttribute("aria-expanded", String(s === section));
    });
    section?.load?.();
  };
  const el = h("div", { class: "dnsnb-more", hidden: !sections.length }, h("div", { class: "dnsnb-tabs", role: "group", "aria-label": "Lists, clients, cache, records, settings, look-up" }, ...buttons), ...sections.map((s) => s.el));
  open(null);
  return { el, open };
}

/** Follow the host's theme by what its background turns out to be, whoever the host is. */
function applyTheme(root) {
  const html = document.documentElement;
  const said = html.dataset.theme || (html.classList.contains("dark") ? "dark" : "");
  root.style.colorScheme = said === "dark" || said === "light" ? said : "";
  const dark = luminance(getComputedStyle(root).backgroundColor) < 0.4;
  root.classList.toggle("dnsnb-dark", dark);
  if (getComputedStyle(root).getPropertyValue("--jp-layout-color0")) root.style.colorScheme = dark ? "dark" : "light";
}

function luminance(colour) {
  const [r, g, b] = (colour.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
  const scale = colour.startsWith("color(") ? 1 : 255;
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / scale;
}

function splitAddress(address) {
  const at = address.lastIndexOf(":");
  return [plain(address.slice(0, at).replace(/^\[|\]$/g, "")), plain(address.slice(at + 1))];
}

function asLine(row) {
  return [new Date(row.time / 1000).toISOString(), row.client, row.qname, row.qtype, row.status, row.list, row.rule, row.upstream, row.latency_ms, row.answers.join(" ")].map((v) => plain(v ?? "")).join("\t");
}
