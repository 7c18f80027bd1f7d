import assert from "node:assert/strict";
import { test } from "node:test";
import type { ISeriesApi, SeriesType } from "lightweight-charts";
import { type Group, grouped, labelOf, NEAR, placed } from "../../src/chart/markers";
import { MarksOnCandles } from "../../src/chart/marks";
import type { Marker } from "../../src/chart/protocol";
import { bands, Shading, shadeAt } from "../../src/chart/shades";
import { CandleWindow } from "../../src/chart/window";
import { LIGHT } from "../../src/theme";

function candles(...times: number[]): CandleWindow {
  const window = new CandleWindow(1);
  window.replace([Float64Array.from(times)]);
  return window;
}

const marker = (time: number, text: string, kind = "exit"): Marker => ({
  time,
  text,
  kind,
  position: kind === "entry" ? "belowBar" : "aboveBar",
  shape: kind === "entry" ? "arrowUp" : "arrowDown",
});

test("a marker is at the candle that contains its time", () => {
  const found = placed([marker(179, "a"), marker(60, "b")], candles(60, 120, 180), 60);
  assert.deepEqual(
    found.map(({ time, text }) => [time, text]),
    [
      [60, "b"],
      [120, "a"],
    ],
  );
});

test("markers outside the window are ignored", () => {
  const rows = candles(60, 120);
  assert.deepEqual(placed([marker(59, "a"), marker(180, "b")], rows, 60), []);
  assert.equal(placed([marker(179, "c")], rows, 60).length, 1);
  assert.deepEqual(placed([marker(60, "d")], candles(), 60), []);
});

test("markers on one side of the candles that are near are one", () => {
  const rows = candles(0, 60, 120, 180, 240);
  const marks = [
    marker(0, "buy", "entry"),
    marker(60, "+1 %"),
    marker(60, "sell"),
    marker(120, "-1 %", "stop"),
    marker(240, "sell"),
  ];
  const sizes = (spacing: number) => grouped(marks, rows, spacing).map((one) => one.markers.length);
  assert.deepEqual(sizes(NEAR), [1, 2, 1, 1]);
  assert.deepEqual(sizes(NEAR / 2), [1, 3, 1]);
  assert.deepEqual(sizes(1), [1, 4]);
  const [, group] = grouped(marks, rows, NEAR / 2);
  assert.deepEqual([group?.from, group?.to, group?.above], [1, 2, true]);
});

test("a group says how many of what it has", () => {
  const group = (...markers: Marker[]): Group => ({ markers, from: 0, to: 0, above: true });
  assert.equal(labelOf(group(marker(0, "sell"))), "sell");
  assert.equal(labelOf(group(marker(0, "sell"), marker(0, "sell"))), "2 × sell");
  assert.equal(labelOf(group(marker(0, "+1 %"), marker(0, "-1 %"))), "2 exits");
  assert.equal(labelOf(group(marker(0, "a", "entry"), marker(0, "b", "entry"))), "2 entries");
  assert.equal(labelOf(group(marker(0, "+1 %"), marker(0, "stop", "stop"))), "2");
});

test("a repaired range covers its candles fully", () => {
  const rows = candles(0, 60, 120, 180);
  assert.deepEqual(bands([{ from: 60, to: 120, kind: "repaired" }], rows), [
    { from: 0.5, to: 2.5, kind: "repaired" },
  ]);
  assert.deepEqual(bands([{ from: 180, to: 180, kind: "repaired" }], rows), [
    { from: 2.5, to: 3.5, kind: "repaired" },
  ]);
});

test("missing candles mark the gap between their neighbours", () => {
  const rows = candles(0, 60, 240);
  const [band] = bands([{ from: 120, to: 180, kind: "missing" }], rows);
  assert.ok(band && band.from > 1 && band.to < 2 && band.from < band.to);
  assert.ok(band.to - band.from < 0.5, "and it hides neither of them");
});

test("shades outside the window are ignored", () => {
  const rows = candles(600, 660);
  assert.deepEqual(bands([{ from: 0, to: 540, kind: "missing" }], rows), []);
  assert.deepEqual(bands([{ from: 720, to: 900, kind: "missing" }], rows), []);
  assert.deepEqual(bands([{ from: 0, to: 60, kind: "missing" }], candles()), []);
});

test("the kind of the candle at the crosshair is returned", () => {
  const shades = [{ from: 60, to: 120, kind: "repaired" as const }];
  assert.equal(shadeAt(shades, 60), "repaired");
  assert.equal(shadeAt(shades, 120), "repaired");
  assert.equal(shadeAt(shades, 180), undefined);
});

/** The part of a chart that marks use, which counts its layouts. */
function laidOut() {
  const told = { layouts: 0 };
  const series = {
    data: () => [],
    subscribeDataChanged: () => assert.fail("they are set by hand"),
  };
  const chart = { timeScale: () => ({ getVisibleLogicalRange: () => null }) };
  const to = { chart, series, requestUpdate: () => told.layouts++ } as never;
  return { told, to };
}

test("a new candle causes no layout if no marker moves", () => {
  const { told, to } = laidOut();
  const series = { attachPrimitive: (one: { attached: (to: never) => void }) => one.attached(to) };
  const marks = new MarksOnCandles(series as unknown as ISeriesApi<SeriesType>, LIGHT);
  const rows = candles(60, 120);
  marks.setMarkers([marker(60, "a")], rows, 60);
  const shown = told.layouts;
  rows.upsert([180]);
  marks.setMarkers([marker(60, "a")], rows, 60);
  assert.equal(told.layouts, shown);
  rows.drop(1);
  marks.setMarkers([marker(120, "a")], rows, 60);
  assert.equal(told.layouts, shown + 1);
  marks.setMarkers([marker(120, "a"), marker(180, "b")], rows, 60);
  assert.equal(told.layouts, shown + 2);
});

test("a new candle causes no layout if no shade moves", () => {
  const { told, to } = laidOut();
  const shading = new Shading({} as never);
  shading.attached(to);
  const rows = candles(60, 120);
  const shades = [{ from: 60, to: 60, kind: "repaired" as const }];
  shading.show(shades, rows);
  rows.upsert([180]);
  shading.show(shades, rows);
  assert.equal(told.layouts, 1);
  shading.show([], rows);
  assert.equal(told.layouts, 2);
});
