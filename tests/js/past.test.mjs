import assert from "node:assert/strict";
import test from "node:test";

import { install } from "./dom.mjs";

install();
const { Chart } = await import("../../dnsnb/notebook/static/chart.js");
const { Rates } = await import("../../dnsnb/notebook/static/rates.js");

const ago = (seconds) => Math.floor(Date.now() / 1000) - seconds;

test("a log of the past opens as a whole, and what goes on in it as a server does", () => {
  const rates = new Rates();
  const chart = new Chart({ onBrush() {} });
  assert.equal(chart.fit(rates), 300); // nothing is known yet
  rates.add(ago(30 * 86400), 0, 1);
  assert.equal(chart.fit(rates), 0);
  rates.add(ago(0), 0, 1);
  assert.equal(chart.fit(rates), 300);
});

test("a window that was chosen stays", () => {
  const rates = new Rates();
  const chart = new Chart({ onBrush() {} });
  chart.choose(3600);
  rates.add(ago(86400), 0, 1);
  assert.equal(chart.fit(rates), 3600);
});

test("a window of an old log ends at its last row, and all of it is no more than the bars that are kept", () => {
  const rates = new Rates();
  const last = Math.floor(Date.now() / 1000) - 86400;
  rates.add(10, 0, 1); // one row of 1970
  rates.add(last, 0, 5);
  assert.equal(rates.now(true), last + 1);
  assert.ok(rates.now(false) > last + 86000);
  assert.equal(rates.total(300, rates.now(true)).sum, 5);
  const chart = new Chart({ onBrush() {} });
  let { from, to, step } = chart.frame(rates, rates.now(true));
  assert.ok(last >= from && last < to && to - from < 600, `${from} to ${to}`);
  chart.window = 0;
  ({ from, to, step } = chart.frame(rates, rates.now(true)));
  assert.ok(last >= from && last < to && to - from <= 2 * 86400 + 2 * step, `${from} to ${to}`);
});
