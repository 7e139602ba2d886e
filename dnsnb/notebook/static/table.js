// The rows, newest first: an ARIA grid of a few dozen recycled rows over any number, that follows the newest until scrolled.

import { FILTERED } from "./selection.js";
import { clock, count, day, h, middle, millis, plain, put } from "./text.js";

const ROW = 24; // px, as in the style sheet
const POINTED = 3000; // ms

export const COLUMNS = [
  { key: "time", label: "time", width: 112, keep: true, show: (r) => clock(r.time), title: (r) => `${day(r.time)} ${clock(r.time)}` },
  { key: "client", label: "client", width: 108, show: (r) => plain(r.client_name || r.client), title: (r) => plain([r.client_name, r.client].filter(Boolean).join(" · ")) },
  { key: "qname", label: "name", grow: 2.7, keep: true, show: (r) => plain(r.qname), title: (r) => plain(r.qname), cut: true },
  { key: "qtype", label: "type", width: 62, show: (r) => plain(r.qtype) },
  { key: "status", label: "status", width: 98, keep: true, show: (r) => plain(r.status), mark: true },
  { key: "rule", label: "list · rule", grow: 1.7, show: (r) => plain([r.list, r.rule].filter(Boolean).join(" · ")), wide: true },
  { key: "upstream", label: "upstream", width: 130, show: (r) => plain(r.upstream) || "–", wide: true },
  { key: "latency_ms", label: "latency", width: 74, right: true, show: (r) => millis(r.latency_ms) },
  { key: "answers", label: "answer", grow: 1.6, show: (r) => plain(r.answers.join(", ")) || (r.rcode && r.rcode !== "NOERROR" ? plain(r.rcode) : "–"), wide: true },
];

export class Table {
  /** `onChoose(seq)` when a row is opened, `onFollow(following)`, `onSort(sort)`, `onFilter(column, text)`, `onKey(event, row)`. */
  constructor(handlers) {
    this.handlers = handlers;
    this.seqs = new Float64Array(0);
    this.total = 0;
    this.sort = null;
    this.active = null; // seq of the row that has the focus
    this.column = 2;
    this.following = true;
    this.walking = false; // the keyboard moves among the rows
    this.pointed = -1e9; // when the pointer last moved over them
    this.head = h("tr", { role: "row", "aria-rowindex": "1" });
    this.headCells = COLUMNS.map((c, i) => {
      const button = h("button", { class: "dnsnb-sort", type: "button", tabindex: "-1", onclick: () => this.sortBy(c.key) }, c.label);
      const cell = h("th", { role: "columnheader", scope: "col", "aria-colindex": i + 1, class: cellClass(c) }, button);
      this.head.append(cell);
      return cell;
    });
    this.fields = {};
    this.typing = {}; // a timer by column: two fields may be written in at once
    this.filterRow = h("tr", { role: "row", "aria-rowindex": "2", class: "dnsnb-filters", hidden: true }, ...COLUMNS.map((c, i) => {
      const hint = { whole: "A AAAA", number: "> ms" }[FILTERED[c.key]] ?? "filter";
      const field = FILTERED[c.key] && h("input", { type: "search", class: "dnsnb-input", "aria-label": `Filter ${c.label}`, placeholder: hint, autocomplete: "off", spellcheck: "false", oninput: () => this.filtered(c.key) });
      if (field) this.fields[c.key] = field;
      return h("td", { role: "gridcell", "aria-colindex": i + 1, class: cellClass(c) }, field || null);
    }));
    this.body = h("tbody", { role: "rowgroup" });
    this.table = h("table", { role: "grid", "aria-label": "Queries, newest first", "aria-colcount": COLUMNS.length, tabindex: "0" }, h("colgroup", {}, ...COLUMNS.map((c) => h("col", { class: cellClass(c) }))), h("thead", { role: "rowgroup" }, this.head, this.filterRow), this.body);
    this.sizeColumns();
    this.spacer = h("div", { class: "dnsnb-spacer" });
    this.scroller = h("div", { class: "dnsnb-scroll" }, this.table, this.spacer);
    this.fresh = h("button", { class: "dnsnb-new", type: "button", hidden: true, onclick: () => this.follow() });
    this.empty = h("div", { class: "dnsnb-empty", hidden: true });
    this.el = h("div", { class: "dnsnb-tablebox" }, this.scroller, this.fresh, this.empty);
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.table.addEventListener("keydown", (e) => this.key(e));
    this.body.addEventListener("click", (e) => this.click(e, false));
    this.body.addEventListener("dblclick", (e) => this.click(e, true));
    this.body.addEventListener("pointermove", () => (this.pointed = performance.now()), { passive: true });
    this.body.addEventListener("pointerleave", () => (this.pointed = -1e9));
    this.pool = [];
  }

  /** Rows stand still while scrolled, walked by keyboard or pointed at: nobody should click on a row that has just moved. */
  get still() {
    return !this.following || this.walking || performance.now() - this.pointed < POINTED;
  }

  /** Show the fields above the columns, or put them away; returns whether they are there now. */
  toggleFilters(on = this.filterRow.hidden) {
    this.filterRow.hidden = !on;
    this.spacer.style.top = on ? `${2 * ROW}px` : "";
    this.tell();
    if (on) this.fields.qname.focus();
    return on;
  }

  filtered(key) {
    clearTimeout(this.typing[key]);
    this.typing[key] = setTimeout(() => this.handlers.onFilter(key, this.fields[key].value), 120);
  }

  /** Say the filters in force in their fields, unless somebody is writing there. */
  showFilters(filters) {
    if (this.filterRow.hidden && Object.keys(filters).length) {
      this.filterRow.hidden = false;
      this.spacer.style.top = `${2 * ROW}px`;
    }
    for (const [key, field] of Object.entries(this.fields)) if (field.value !== (filters[key] || "") && document.activeElement !== field) field.value = filters[key] || "";
  }

  /** Rows of the grid that are heads. */
  get heads() {
    return this.filterRow.hidden ? 1 : 2;
  }

  tell() {
    this.table.setAttribute("aria-rowcount", String(this.total + this.heads));
    for (const row of this.pool) row.seq = -1;
    this.paint();
  }

  sizeColumns() {
    const cols = this.table.querySelectorAll("col");
    COLUMNS.forEach((c, i) => c.width && (cols[i].style.width = `${c.width}px`));
    this.cols = cols;
  }

  /** Share what the fixed columns leave among those that grow; a fixed table takes no calc() for that. */
  share() {
    const whole = this.scroller.clientWidth;
    if (!whole || whole === this.shared) return;
    this.shared = whole;
    const there = COLUMNS.map((c, i) => [c, i]).filter(([, i]) => this.headCells[i].offsetWidth);
    const rest = whole - there.reduce((sum, [c]) => sum + (c.width || 0), 0);
    const parts = there.reduce((sum, [c]) => sum + (c.grow || 0), 0);
    for (const [c, i] of there) if (c.grow) this.cols[i].style.width = `${Math.max(60, Math.floor((rest * c.grow) / parts))}px`;
  }

  /** Show these rows of the store (seqs in display order); `total` when they are only the newest of so many. */
  show(store, seqs, total = seqs.length) {
    this.store = store;
    this.seqs = seqs;
    this.total = total;
    this.shownAt = store.next;
    this.table.setAttribute("aria-rowcount", String(total + this.heads));
    this.paint();
  }

  /** Somebody wants more than the newest: get the rest, as of the moment that is shown. */
  whole() {
    if (this.seqs.length >= this.total) return;
    this.seqs = this.store.rows(null, Infinity, this.shownAt);
    this.total = this.seqs.length;
  }

  paint() {
    if (!this.store) return;
    const { scrollTop, clientHeight } = this.scroller;
    const total = this.total;
    const visible = Math.max(1, Math.ceil((clientHeight || 320) / ROW) + 2);
    const first = Math.max(0, Math.min(total - visible, Math.floor(scrollTop / ROW)));
    while (this.pool.length < visible) this.pool.push(this.newRow());
    const tall = `${total * ROW}px`;
    if (this.spacer.style.height !== tall) this.spacer.style.height = tall;
    const shift = `translateY(${first * ROW}px)`;
    if (this.body.style.transform !== shift) this.body.style.transform = shift;
    this.pool.forEach((row, i) => {
      const index = first + i;
      if (i >= visible || index >= this.seqs.length) row.el.hidden = true;
      else this.fill(row, this.seqs[index], index);
    });
    this.markFocus();
  }

  newRow() {
    const cells = COLUMNS.map((c, i) => h("td", { role: "gridcell", "aria-colindex": i + 1, class: cellClass(c) }));
    const el = h("tr", { role: "row" }, ...cells);
    this.body.append(el);
    return { el, cells, seq: -1 };
  }

  fill(row, seq, index) {
    row.el.hidden = false;
    row.index = index;
    row.el.setAttribute("aria-rowindex", String(index + 1 + this.heads));
    if (row.seq === seq && row.gone === !this.store.has(seq)) return;
    row.seq = seq;
    row.gone = !this.store.has(seq);
    row.el.id = `${this.id || "dnsnb"}-row-${seq}`;
    if (row.gone) {
      row.cells.forEach((cell, i) => put(cell, i === 2 ? "no longer held here" : ""));
      row.el.className = "dnsnb-gone";
      return;
    }
    const data = this.store.row(seq);
    row.el.className = `dnsnb-is-${STATUS_CLASS.test(data.status) ? data.status : "unknown"}`;
    COLUMNS.forEach((c, i) => {
      const text = c.show(data);
      put(row.cells[i], c.cut ? middle(text, this.nameRoom || 48) : text);
      const title = c.title ? c.title(data) : text;
      if (row.cells[i].title !== title) row.cells[i].title = title;
    });
  }

  measure() {
    this.share();
    const wide = this.headCells[2].offsetWidth;
    const room = wide ? Math.max(18, Math.floor((wide - 14) / 7.3)) : 48;
    if (room !== this.nameRoom) {
      this.nameRoom = room;
      for (const row of this.pool) row.seq = -1;
    }
  }

  /** How many rows have come since the shown ones, when the table stands still. */
  behind(n) {
    this.fresh.hidden = !this.still || !n;
    if (n) put(this.fresh, `+${count(n)} new ▲`);
  }

  scrolled() {
    if (this.scroller.scrollTop > 0) this.whole();
    const following = this.scroller.scrollTop < ROW / 2;
    if (following !== this.following) {
      this.following = following;
      this.handlers.onFollow(following);
    }
    this.paint();
  }

  follow() {
    this.scroller.scrollTop = 0;
    this.following = true;
    this.walking = false;
    this.pointed = -1e9;
    this.handlers.onFollow(true);
  }

  sortBy(key) {
    const down = this.sort?.column === key ? !this.sort.down : key === "time" || key === "latency_ms";
    this.sort = key === "time" && down ? null : { column: key, down };
    COLUMNS.forEach((c, i) => {
      const now = this.sort || { column: "time", down: true };
      this.headCells[i].setAttribute("aria-sort", c.key !== now.column ? "none" : now.down ? "descending" : "ascending");
    });
    this.handlers.onSort(this.sort);
  }

  indexOf(seq) {
    return seq === null ? -1 : this.seqs.indexOf(seq);
  }

  click(event, open) {
    const el = event.target.closest("tr");
    const row = this.pool.find((r) => r.el === el);
    if (!row || row.gone) return;
    this.active = row.seq;
    const cell = event.target.closest("td");
    if (cell) this.column = row.cells.indexOf(cell);
    this.markFocus();
    this.table.focus({ preventScroll: true });
    this.handlers.onChoose(row.seq, open);
  }

  markFocus() {
    let shown = "";
    for (const row of this.pool) {
      const on = !row.el.hidden && row.seq === this.active;
      row.el.setAttribute("aria-selected", String(on));
      row.cells.forEach((cell, i) => cell.classList.toggle("dnsnb-focus", on && i === this.column));
      if (on) shown = row.el.id;
    }
    if (shown) this.table.setAttribute("aria-activedescendant", shown);
    else this.table.removeAttribute("aria-activedescendant");
  }

  /** Move the focus to a row of the shown ones, scrolling just enough. */
  go(index) {
    this.whole();
    if (!this.seqs.length) return;
    const at = Math.max(0, Math.min(this.seqs.length - 1, index));
    this.active = this.seqs[at];
    this.walking = true;
    const room = this.scroller.clientHeight - ROW * this.heads;
    const { scrollTop } = this.scroller;
    if (at * ROW < scrollTop) this.scroller.scrollTop = at * ROW;
    else if ((at + 1) * ROW > scrollTop + room) this.scroller.scrollTop = (at + 1) * ROW - room;
    this.paint();
  }

  key(event) {
    if (event.target.tagName === "INPUT") {
      if (event.key === "Enter" || event.key === "ArrowDown") this.table.focus();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if ((event.ctrlKey || event.metaKey) && event.key === "c" && !String(globalThis.getSelection?.() || "")) this.handlers.onKey(event, this.active);
      return;
    }
    const at = this.indexOf(this.active);
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW) - 2);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? 0 : at - 1, PageDown: at + page, PageUp: at - page, End: this.total - 1 }[event.key];
    if (event.key === "Home") {
      this.follow();
      this.active = this.seqs.length ? this.seqs[0] : null;
      this.paint();
    } else if (to !== undefined) this.go(to);
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      this.column = Math.max(0, Math.min(COLUMNS.length - 1, this.column + (event.key === "ArrowRight" ? 1 : -1)));
      this.markFocus();
    } else if (event.key === "Enter" && at >= 0) this.handlers.onChoose(this.active, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

const STATUS_CLASS = /^[a-z]+$/;

function cellClass(c) {
  return [`dnsnb-c-${c.key}`, c.right && "dnsnb-right", c.wide && "dnsnb-wide", !c.keep && "dnsnb-narrow-out"].filter(Boolean).join(" ");
}
