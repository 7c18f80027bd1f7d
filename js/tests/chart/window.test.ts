import assert from "node:assert/strict";
import { test } from "node:test";
import { CandleWindow, surplus } from "../../src/chart/window";

const columns = (...rows: number[][]) =>
  [0, 1].map((column) => Float64Array.from(rows, (row) => row[column] as number));

function holding(...rows: number[][]): CandleWindow {
  const window = new CandleWindow(2);
  window.replace(columns(...rows));
  return window;
}

const all = (window: CandleWindow) =>
  Array.from({ length: window.length }, (_, row) => [window.time(row), window.value(1, row)]);

test("an empty window has no first or last time and finds nothing", () => {
  const window = new CandleWindow(2);
  assert.equal(window.first, Number.POSITIVE_INFINITY);
  assert.equal(window.last, Number.NEGATIVE_INFINITY);
  assert.equal(window.find(60), -1);
  assert.ok(Number.isNaN(window.value(1, 0)));
});

test("rows are found by their time", () => {
  const window = holding([60, 1], [120, 2], [240, 3]);
  assert.equal(window.find(120), 1);
  assert.equal(window.find(180), -1);
  assert.equal(window.lowerBound(180), 2);
  assert.equal(window.lowerBound(999), 3);
});

test("a newer row is appended, a known one replaced, one between inserted", () => {
  const window = holding([60, 1], [180, 3]);
  assert.deepEqual(window.upsert([240, 4]), { row: 2, change: "appended" });
  assert.deepEqual(window.upsert([240, 5]), { row: 2, change: "replaced" });
  assert.deepEqual(window.upsert([120, 2]), { row: 1, change: "inserted" });
  assert.deepEqual(all(window), [
    [60, 1],
    [120, 2],
    [180, 3],
    [240, 5],
  ]);
});

test("thousands of rows can be appended", () => {
  const window = new CandleWindow(2);
  for (let row = 0; row < 5000; row++) window.upsert([row * 60, row]);
  assert.equal(window.length, 5000);
  assert.equal(window.value(1, 4321), 4321);
  assert.equal(window.last, 4999 * 60);
});

test("null is a missing value", () => {
  const window = holding([60, 1]);
  window.upsert([60, null]);
  assert.ok(Number.isNaN(window.value(1, 0)));
});

test("a row without a time is refused", () => {
  assert.throws(() => new CandleWindow(2).upsert([null, 1]), RangeError);
});

test("only rows older than the first are prepended", () => {
  const window = holding([180, 3], [240, 4]);
  assert.equal(window.prepend(columns([60, 1], [120, 2], [180, 9])), 2);
  assert.deepEqual(all(window), [
    [60, 1],
    [120, 2],
    [180, 3],
    [240, 4],
  ]);
  assert.equal(window.prepend(columns([60, 7])), 0);
  window.upsert([300, 5]);
  assert.equal(window.last, 300);
});

test("rows are sorted by time, and of equal times the last stays", () => {
  const window = holding([120, 2], [60, 1], [120, 5], [Number.NaN, 9]);
  assert.deepEqual(all(window), [
    [60, 1],
    [120, 5],
  ]);
});

test("the oldest rows can be dropped, and rows appended after", () => {
  const window = holding([60, 1], [120, 2], [180, 3]);
  window.drop(2);
  window.upsert([240, 4]);
  assert.deepEqual(all(window), [
    [180, 3],
    [240, 4],
  ]);
});

test("nothing is removed while the view shows the past", () => {
  assert.equal(surplus({ rows: 9000, window: 2000, visible: 150, atRightEdge: false }), 0);
});

test("at the right edge the rows are cut to the window once they are half as many again", () => {
  const state = { window: 2000, visible: 150, atRightEdge: true };
  assert.equal(surplus({ ...state, rows: 2999 }), 0);
  assert.equal(surplus({ ...state, rows: 3001 }), 1001);
});

test("rows on screen are never removed", () => {
  const rows = 12_000;
  const dropped = surplus({ rows, window: 2000, visible: 6000, atRightEdge: true });
  assert.ok(dropped > 0);
  assert.ok(rows - dropped >= 6000 * 1.25);
});
