import assert from "node:assert/strict";
import { test } from "node:test";
import { readColumns } from "../../src/chart/codec";

test("columns are read one after the other, from any offset", () => {
  const values = [60, 120, 1.5, Number.NaN];
  const bytes = new ArrayBuffer(3 + 8 * values.length);
  const view = new DataView(bytes, 3);
  values.forEach((value, index) => {
    view.setFloat64(index * 8, value, true);
  });
  const [times, prices] = readColumns(view, 2);
  assert.deepEqual([...(times ?? [])], [60, 120]);
  assert.deepEqual([...(prices ?? [])], [1.5, Number.NaN]);
});

test("decoded columns do not change with the buffer", () => {
  const source = Float64Array.from([60, 1]);
  const [times] = readColumns(source.buffer, 2);
  source[0] = 99;
  assert.equal(times?.[0], 60);
});

test("no bytes are no rows", () => {
  assert.deepEqual(
    readColumns(null, 3).map((column) => column.length),
    [0, 0, 0],
  );
});

test("bytes that do not fit the columns are refused", () => {
  assert.throws(() => readColumns(new ArrayBuffer(24), 2), RangeError);
  assert.throws(() => readColumns(new ArrayBuffer(9), 1), RangeError);
});
