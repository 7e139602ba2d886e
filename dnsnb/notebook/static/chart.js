// Queries over time on a canvas: bars stacked by status, a strip of latency quantiles, a brush that selects a span.

import { MINUTES } from "./rates.js";
import { STATUSES, clock, h, millis, put, short } from "./text.js";

const STRIP = 40; // px of the latency strip
const AXIS = 16;
const LEFT = 44;
export const WINDOWS = [
  ["1 min", 60],
  ["5 min", 300],
  ["15 min", 900],
  ["1 h", 3600],
  ["all", 0],
];
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

export class Chart {
  /** `onBrush(span)` gets [from, to) in µs, or null. */
  constructor({ onBrush }) {
    this.onBrush = onBrush;
    this.window = 300;
    this.fitting = true;
    this.span = null;
    this.hover = null;
    this.canvas = h("canvas", { class: "dnsnb-chart", tabindex: "0", role: "img", "aria-label": "Queries over time" });
    this.tip = h("div", { class: "dnsnb-tip", hidden: true });
    this.el = h("div", { class: "dnsnb-chartbox" }, this.canvas, this.tip);
    this.canvas.addEventListener("pointerdown", (e) => this.grab(e));
    this.canvas.addEventListener("pointermove", (e) => this.move(e));
    this.canvas.addEventListener("pointerup", (e) => this.release(e));
    this.canvas.addEventListener("pointercancel", () => (this.drag = null));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("keydown", (e) => this.key(e));
  }

  choose(seconds) {
    this.window = seconds;
    this.fitting = false;
  }

  /** The window that fits a log, until one is chosen: of the past all of it, five minutes once something is new. */
  fit(rates) {
    if (this.fitting && rates.last) {
      this.choose(rates.past ? 0 : 300);
      this.fitting = rates.past;
    }
    return this.window;
  }

  /** The span to show in seconds and the width of a bar. */
  frame(rates, now) {
    const wide = Math.max(200, this.canvas.clientWidth || 600) - LEFT;
    let to = Math.ceil(now);
    // a young log fills the width: a minute at first, then as much as there is, up to the window
    let from = Math.max(to - this.window, Math.min(to - 60, Number.isFinite(rates.first) ? rates.first - 5 : to));
    if (!this.window) {
      from = Number.isFinite(rates.first) ? Math.max(rates.first, rates.last - MINUTES * 60) : to - 60;
      to = Math.max(rates.last + 1, from + 60);
    }
    const least = (to - from) / Math.max(20, Math.floor(wide / 5));
    const step = STEPS.find((s) => s >= least) || Math.ceil(least / 3600) * 3600;
    return { from: Math.floor(from / step) * step, to: Math.ceil(to / step) * step, step };
  }

  draw(series, frame, span) {
    this.series = series;
    this.view = frame;
    this.span = span;
    const { canvas } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    const ratio = globalThis.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name).trim() || "#888";
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = `11px ${style.fontFamily}`;
    const plot = { left: LEFT, right: width - 2, top: 6, bottom: height - STRIP - AXIS };
    const x = (second) => plot.left + ((second - frame.from) / (frame.to - frame.from)) * (plot.right - plot.left);
    this.plot = plot;

    let most = 0;
    for (let bar = 0; bar < series.bars; bar++) {
      let sum = 0;
      for (let k = 0; k < series.kinds; k++) sum += series.counts[bar * series.kinds + k];
      if (sum > most) most = sum;
    }
    const top = niceTop(most / frame.step);
    const muted = colour("--dnsnb-muted");
    c.strokeStyle = colour("--dnsnb-line");
    c.fillStyle = muted;
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const y = Math.round(plot.bottom - part * (plot.bottom - plot.top)) + 0.5;
      c.beginPath();
      c.moveTo(plot.left, y);
      c.lineTo(plot.right, y);
      c.stroke();
      c.fillText(part === 0 ? "0" : short(top * part), plot.left - 6, y);
    }
    c.fillText("q/s", plot.left - 6, plot.top + 14);
    c.textAlign = "left";

    const colours = STATUSES.map((s) => colour(`--dnsnb-${s}`));
    const barWide = ((plot.right - plot.left) / (frame.to - frame.from)) * frame.step;
    const gap = barWide > 4 ? 1 : 0;
    for (let bar = 0; bar < series.bars; bar++) {
      let y = plot.bottom;
      const left = x(series.start + bar * series.step);
      for (let k = 0; k < series.kinds; k++) {
        const n = series.counts[bar * series.kinds + k];
        if (!n) continue;
        const tall = (n / frame.step / top) * (plot.bottom - plot.top);
        c.fillStyle = colours[k];
        c.fillRect(left, y - tall, Math.max(1, barWide - gap), tall);
        y -= tall;
      }
    }
    this.drawStrip(c, series, x, plot, height, colour);
    c.fillStyle = muted;
    c.textBaseline = "alphabetic";
    this.drawAxis(c, frame, x, plot, height);
    const shade = this.drag ? [Math.min(this.drag.from, this.drag.to), Math.max(this.drag.from, this.drag.to)] : span && span.map((us) => us / 1e6);
    if (shade) {
      const a = Math.max(plot.left, x(shade[0]));
      const b = Math.min(plot.right, x(shade[1]));
      if (b > a) {
        c.fillStyle = colour("--dnsnb-brush");
        c.fillRect(a, plot.top, b - a, height - AXIS - plot.top);
      }
    }
    this.label(series, frame);
  }

  /** For each bar a line from p50 to p99 on a logarithmic scale, with a tick at p95. */
  drawStrip(c, series, x, plot, height, colour) {
    const bottom = height - AXIS - 3;
    const tall = STRIP - 9;
    const y = (ms) => bottom - Math.max(0, Math.min(1, (Math.log10(Math.max(ms, 0.01)) + 2) / 6)) * tall; // 10 µs to 10 s
    const muted = colour("--dnsnb-muted");
    c.textBaseline = "middle";
    c.textAlign = "right";
    c.strokeStyle = colour("--dnsnb-line");
    c.lineWidth = 1;
    for (const [ms, text] of [[1, "1 ms"], [1000, "1 s"]]) {
      const level = Math.round(y(ms)) + 0.5;
      c.beginPath();
      c.moveTo(plot.left, level);
      c.lineTo(plot.right, level);
      c.stroke();
      c.fillStyle = muted;
      c.fillText(text, plot.left - 6, level);
    }
    c.textAlign = "left";
    const wide = ((plot.right - plot.left) / series.bars) * 0.999;
    const [p99, p95, p50] = ["--dnsnb-p99", "--dnsnb-p95", "--dnsnb-p50"].map(colour);
    for (let bar = 0; bar < series.bars; bar++) {
      if (Number.isNaN(series.p50[bar])) continue;
      const left = x(series.start + bar * series.step);
      const mark = Math.max(1, wide - (wide > 4 ? 1 : 0));
      const [low, mid, high] = [y(series.p50[bar]), y(series.p95[bar]), y(series.p99[bar])];
      c.fillStyle = p99;
      c.fillRect(left, high, mark, Math.max(1, low - high));
      c.fillStyle = p95;
      c.fillRect(left, mid - 0.75, mark, 1.5);
      c.fillStyle = p50;
      c.fillRect(left, low - 0.75, mark, 1.5);
    }
  }

  drawAxis(c, frame, x, plot, height) {
    const room = Math.max(2, Math.floor((plot.right - plot.left) / 90));
    const gap = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400].find((s) => (frame.to - frame.from) / s <= room) || 86400;
    c.textAlign = "center";
    for (let s = Math.ceil(frame.from / gap) * gap; s < frame.to; s += gap) {
      const at = x(s);
      if (at < plot.left + 20 || at > plot.right - 24) continue;
      c.fillText(gap < 60 ? clock(s * 1e6, false) : clock(s * 1e6, false).slice(0, 5), at, height - 4);
    }
    c.textAlign = "left";
  }

  label(series, frame) {
    let sum = 0;
    let blocked = 0;
    const kind = STATUSES.indexOf("blocked");
    for (let i = 0; i < series.counts.length; i++) {
      sum += series.counts[i];
      if (i % series.kinds === kind) blocked += series.counts[i];
    }
    const text = `Queries over time, ${clock(frame.from * 1e6, false)} to ${clock(frame.to * 1e6, false)}: ${sum} queries, ${blocked} blocked. Arrow keys move a selection, Shift widens it, Escape clears it.`;
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
  }

  second(event) {
    const box = this.canvas.getBoundingClientRect();
    const part = (event.clientX - box.left - this.plot.left) / (this.plot.right - this.plot.left);
    return this.view.from + Math.max(0, Math.min(1, part)) * (this.view.to - this.view.from);
  }

  grab(event) {
    if (!this.view || event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.second(event);
    this.drag = { from: at, to: at, x: event.clientX };
  }

  move(event) {
    if (!this.view) return;
    if (this.drag) {
      this.drag.to = this.second(event);
      this.draw(this.series, this.view, this.span);
    }
    this.point(event);
  }

  release(event) {
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    const { step } = this.view;
    const [a, b] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
    if (Math.abs(event.clientX - drag.x) < 4) this.onBrush(null);
    else this.onBrush([Math.floor(a / step) * step * 1e6, Math.ceil(b / step) * step * 1e6]);
  }

  leave() {
    this.tip.hidden = true;
  }

  point(event) {
    const bar = Math.floor((this.second(event) - this.series.start) / this.series.step);
    const { series } = this;
    if (bar < 0 || bar >= series.bars) return this.leave();
    const parts = [];
    STATUSES.forEach((s, k) => {
      const n = series.counts[bar * series.kinds + k];
      if (n) parts.push(`${s} ${short(n)}`);
    });
    if (!Number.isNaN(series.p50[bar])) parts.push(`p50 ${millis(series.p50[bar])} · p95 ${millis(series.p95[bar])}`);
    put(this.tip, `${clock((series.start + bar * series.step) * 1e6, false)}  ${parts.join("  ") || "no queries"}`);
    this.tip.hidden = false;
    const box = this.el.getBoundingClientRect();
    const left = event.clientX - box.left;
    this.tip.style.left = `${Math.min(left + 10, Math.max(0, box.width - this.tip.offsetWidth - 4))}px`;
  }

  key(event) {
    if (!this.view) return;
    const { step, from, to } = this.view;
    const move = { ArrowLeft: -step, ArrowRight: step }[event.key];
    if (event.key === "Escape" && this.span) {
      this.onBrush(null);
    } else if (move) {
      let [a, b] = this.span ? this.span.map((us) => us / 1e6) : [to - 10 * step, to];
      if (event.shiftKey) b = Math.max(a + step, Math.min(to, b + move));
      else if (this.span) [a, b] = a + move >= from && b + move <= to ? [a + move, b + move] : [a, b];
      this.onBrush([a * 1e6, b * 1e6]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

export function niceTop(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((m) => Number((m * power).toPrecision(6))).find((v) => v >= most) || 10 * power;
}
