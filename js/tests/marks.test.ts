import assert from "node:assert/strict";
import { test } from "node:test";
import { placed } from "../src/chart/marks";
import type { Marker } from "../src/chart/protocol";
import { bands, shadeAt } from "../src/chart/shades";
import { CandleWindow } from "../src/chart/window";

function candles(...times: number[]): CandleWindow {
  const window = new CandleWindow(1);
  window.replace([Float64Array.from(times)]);
  return window;
}

const marker = (time: number, text: string): Marker => ({
  time,
  text,
  position: "aboveBar",
  shape: "circle",
  color: "#000",
});

test("a marker stands at the candle it happened in", () => {
  const found = placed([marker(179, "a"), marker(60, "b")], candles(60, 120, 180), 60);
  assert.deepEqual(
    found.map(({ time, text }) => [time, text]),
    [
      [60, "b"],
      [120, "a"],
    ],
  );
});

test("markers outside the window are left out", () => {
  const rows = candles(60, 120);
  assert.deepEqual(placed([marker(59, "a"), marker(180, "b")], rows, 60), []);
  assert.equal(placed([marker(179, "c")], rows, 60).length, 1);
  assert.deepEqual(placed([marker(60, "d")], candles(), 60), []);
});

test("a repaired stretch covers its candles whole", () => {
  const rows = candles(0, 60, 120, 180);
  assert.deepEqual(bands([{ from: 60, to: 120, kind: "repaired" }], rows), [
    { from: 0.5, to: 2.5, kind: "repaired" },
  ]);
  assert.deepEqual(bands([{ from: 180, to: 180, kind: "repaired" }], rows), [
    { from: 2.5, to: 3.5, kind: "repaired" },
  ]);
});

test("missing candles mark the place between their neighbours", () => {
  const rows = candles(0, 60, 240);
  const [band] = bands([{ from: 120, to: 180, kind: "missing" }], rows);
  assert.ok(band && band.from > 1 && band.to < 2 && band.from < band.to);
  assert.ok(band.to - band.from < 0.5, "and it hides neither of them");
});

test("shades outside the window are left out", () => {
  const rows = candles(600, 660);
  assert.deepEqual(bands([{ from: 0, to: 540, kind: "missing" }], rows), []);
  assert.deepEqual(bands([{ from: 720, to: 900, kind: "missing" }], rows), []);
  assert.deepEqual(bands([{ from: 0, to: 60, kind: "missing" }], candles()), []);
});

test("the candle at the crosshair is told of", () => {
  const shades = [{ from: 60, to: 120, kind: "repaired" as const }];
  assert.equal(shadeAt(shades, 60), "repaired");
  assert.equal(shadeAt(shades, 120), "repaired");
  assert.equal(shadeAt(shades, 180), undefined);
});
