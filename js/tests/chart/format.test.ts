import assert from "node:assert/strict";
import { test } from "node:test";
import { compact, decimalsFor, moment, number, percent, tick } from "../../src/chart/format";

const SECONDS = Date.UTC(2026, 0, 5, 13, 45) / 1000;

test("numbers are grouped and negative ones have a minus", () => {
  assert.equal(number(1234567.891, 2), "1\u2009234\u2009567.89");
  assert.equal(number(-12.5, 1), "−12.5");
  assert.equal(number(-0.001, 1), "0.0");
  assert.equal(number(Number.NaN, 2), "–");
  assert.equal(number(0.00001234, 8), "0.00001234");
});

test("amounts are short", () => {
  assert.equal(compact(1234), "1.23K");
  assert.equal(compact(-2_500_000), "−2.50M");
  assert.equal(compact(12.345), "12.35");
  assert.equal(compact(0), "0.00");
});

test("small numbers get more decimals", () => {
  assert.equal(decimalsFor(70), 2);
  assert.equal(decimalsFor(12_000), 0);
  assert.equal(decimalsFor(0.00012), 7);
  assert.equal(decimalsFor(0), 2);
});

test("changes have a sign", () => {
  assert.equal(percent(0.0123), "+1.23\u2009%");
  assert.equal(percent(-0.5), "−50.00\u2009%");
  assert.equal(percent(Number.NaN), "");
});

test("times are UTC and labelled as such", () => {
  assert.equal(moment(SECONDS), "5 Jan 2026 13:45 UTC");
  assert.equal(moment(SECONDS + 7), "5 Jan 2026 13:45:07 UTC");
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((kind) => tick(SECONDS, kind)),
    ["2026", "Jan", "5 Jan", "13:45", "13:45:00"],
  );
});
