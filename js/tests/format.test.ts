import assert from "node:assert/strict";
import { test } from "node:test";
// The tests of botlib/core/text/formats.py check the same cases.
import cases from "../../tests/core/text/format_cases.json";
import {
  ago,
  ahead,
  clock,
  column,
  compact,
  decimal,
  decimalsFor,
  decimalsOfTexts,
  duration,
  type Figure,
  moment,
  number,
  percent,
  stamp,
  tick,
} from "../src/format";

const SECONDS = Date.UTC(2026, 0, 5, 13, 45) / 1000;

test("numbers are grouped and negative ones have a minus", () => {
  for (const [value, decimals, text] of cases.number as [Figure, number, string][]) {
    assert.equal(number(value, decimals), text);
  }
  assert.equal(number(Number.NaN), "–");
});

test("gains and changes have a sign", () => {
  for (const [value, text] of cases.gain as [Figure, string][]) {
    assert.equal(number(value, 2, true), text);
  }
  for (const [value, text] of cases.percent as [Figure, string][]) {
    assert.equal(percent(value, 2, true), text);
  }
});

test("other values are written as in cards and tables", () => {
  const writers = { compact, duration, stamp, clock };
  for (const [name, write] of Object.entries(writers)) {
    for (const [value, text] of cases[name as keyof typeof writers] as [Figure, string][]) {
      assert.equal(write(value), text, name);
    }
  }
  for (const [values, texts] of cases.column as [Figure[], string[]][]) {
    assert.deepEqual(column(values), texts);
  }
});

test("decimals of a venue keep every digit, computed ones are shortened", () => {
  const written = (texts: string[]) => texts.map((text) => decimal(text, decimalsOfTexts(texts)));
  assert.deepEqual(written(["0.01511", "0.0151", ""]), ["0.01511", "0.01510", ""]);
  assert.deepEqual(written(["65660.9", "-1"]), ["65\u2009660.9", "−1.0"]);
  assert.deepEqual(written(["1", "12345"]), ["1", "12\u2009345"]);
  assert.deepEqual(written(["65838.459419411503"]), ["65\u2009838.46"]);
  assert.deepEqual(written(["123456789.12345678"]), ["123\u2009456\u2009789.12345678"]);
  assert.deepEqual(written(["-0.00"]), ["0"]);
});

test("small numbers get more decimals", () => {
  assert.deepEqual([70, 12_000, 0.00012, 0].map(decimalsFor), [2, 0, 7, 2]);
});

test("past and future times are relative to now", () => {
  const now = Date.UTC(2026, 0, 5, 14, 3, 7);
  assert.equal(ago(now - 5000, now), "5 s ago");
  assert.equal(ago(now, now), "now");
  assert.equal(ago(null, now), "");
  assert.equal(ahead(now + 17000, now), "in 17 s");
  assert.equal(ahead(now + 7_500_000, now), "in 2 h 5 min");
  assert.equal(ahead(now - 1, now), "now");
});

test("times of a chart are UTC and labelled as such", () => {
  assert.equal(moment(SECONDS), "5 Jan 2026 13:45 UTC");
  assert.equal(moment(SECONDS + 7), "5 Jan 2026 13:45:07 UTC");
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((kind) => tick(SECONDS, kind)),
    ["2026", "Jan", "5 Jan", "13:45", "13:45:00"],
  );
});
