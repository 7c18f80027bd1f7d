import assert from "node:assert/strict";
import { test } from "node:test";
import type { Line } from "../../src/chart/protocol";
import { near, pieces, stacked } from "../../src/chart/tracks";
import { CandleWindow } from "../../src/chart/window";

/** Candles a minute apart from 0 on, each from 90 to 110. */
function candles(count: number, first = 0): CandleWindow {
  const window = new CandleWindow(5);
  const times = Float64Array.from({ length: count }, (_, row) => (first + row) * 60);
  const all = (value: number) => new Float64Array(count).fill(value);
  window.replace([times, all(100), all(110), all(90), all(100)]);
  return window;
}

const line = (steps: [number, number][], to?: number): Line => ({
  id: "stop",
  price: 0,
  color: "#000",
  title: "",
  style: "dashed",
  steps,
  ...(to === undefined ? {} : { to }),
});

test("a line covers the candles of its range, the last included", () => {
  assert.deepEqual(pieces(line([[60, 95]], 180), candles(6)), [{ from: 0.5, to: 3.5, price: 95 }]);
  assert.deepEqual(pieces(line([[60, 95]], 60), candles(6)), [{ from: 0.5, to: 1.5, price: 95 }]);
});

test("a line with several prices is at each until the next", () => {
  const moved = line(
    [
      [60, 95],
      [180, 96],
      [240, 97],
    ],
    240,
  );
  assert.deepEqual(pieces(moved, candles(6)), [
    { from: 0.5, to: 2.5, price: 95 },
    { from: 2.5, to: 3.5, price: 96 },
    { from: 3.5, to: 4.5, price: 97 },
  ]);
});

test("a line without an end reaches the newest candle", () => {
  assert.deepEqual(pieces(line([[60, 95]]), candles(4)), [{ from: 0.5, to: 3.5, price: 95 }]);
});

test("only the part of a line within the window is drawn", () => {
  const moved = line(
    [
      [0, 95],
      [240, 96],
    ],
    420,
  );
  assert.deepEqual(pieces(moved, candles(4, 5)), [{ from: -0.5, to: 2.5, price: 96 }]);
  assert.deepEqual(pieces(line([[0, 95]], 240), candles(4, 5)), []);
  assert.deepEqual(pieces(line([[600, 95]], 660), candles(4, 5)), []);
  assert.deepEqual(pieces(line([[0, 95]], 60), candles(0)), []);
});

test("prices near the candles are kept in view, distant ones are not", () => {
  assert.deepEqual(near([80, 120, 500], candles(6), 1, 4), {
    priceRange: { minValue: 80, maxValue: 120 },
  });
  assert.equal(near([500], candles(6), 1, 4), null);
  assert.equal(near([100], candles(0), 0, 4), null);
  assert.equal(near([100], candles(6), 8, 9), null, "no candle is on screen");
});

test("titles are above their lines, and below each other if the lines are close", () => {
  assert.deepEqual(stacked([100, 200]), [97, 197]);
  assert.deepEqual(stacked([200, 196, 198]), [219, 193, 206]);
  assert.deepEqual(stacked([]), []);
});
