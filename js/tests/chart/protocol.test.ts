import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_SPEC, partsOf, type SeriesSpec, widthOf } from "../../src/chart/protocol";

test("a title names an indicator and possibly one of its columns", () => {
  assert.deepEqual(partsOf("ema(20)"), ["ema(20)", ""]);
  assert.deepEqual(partsOf("macd(12, 26, 9) signal"), ["macd(12, 26, 9)", "signal"]);
  assert.deepEqual(partsOf("volume"), ["volume", ""]);
  assert.deepEqual(partsOf("ema(rsi(14) , 3) x"), ["ema(rsi(14) , 3)", "x"]);
});

test("a row has a time, four columns of a candle and one of every other series", () => {
  const series = (kind: SeriesSpec["kind"]): SeriesSpec => ({
    id: kind,
    kind,
    pane: 0,
    title: kind,
    color: "",
  });
  assert.equal(widthOf(EMPTY_SPEC), 1);
  const spec = { ...EMPTY_SPEC, series: [series("candles"), series("volume"), series("line")] };
  assert.equal(widthOf(spec), 7);
});
