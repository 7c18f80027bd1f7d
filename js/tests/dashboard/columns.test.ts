import assert from "node:assert/strict";
import { test } from "node:test";
import { marketTimes } from "../../src/dashboard/columns";
import { lagShare } from "../../src/dashboard/head";
import { gainClass } from "../../src/dashboard/patch";
import { layout } from "../../src/dashboard/spark";

test("gains and losses have a colour, zero has none", () => {
  assert.deepEqual([1, -1, 0, null].map(gainClass), ["bl-up", "bl-down", "", ""]);
});

test("an order shows market time and wall time", () => {
  const [market, wall] = [Date.UTC(2026, 0, 5, 14, 3, 7), Date.UTC(2026, 10, 22, 3, 30)];
  assert.equal(marketTimes({ time: market }), "2026-01-05 14:03:07 UTC, market time");
  assert.equal(
    marketTimes({ time: market, wall }),
    "2026-01-05 14:03:07 UTC, market time\n2026-11-22 03:30:00 UTC, wall time",
  );
  assert.match(marketTimes({ time: null, wall }), /^market time not known\n2026-11-22/);
});

test("the lag meter is empty at a millisecond and full at a second", () => {
  assert.deepEqual(
    [0, 0.001, 0.0316, 1, 60].map((lag) => Number(lagShare(lag).toFixed(2))),
    [0, 0, 0.5, 1, 1],
  );
});

test("a sparkline fills its height; a flat one is at its level", () => {
  const { points, base } = layout([1, 3, 2], 1);
  assert.equal(points, "0.0,37.0 110.0,3.0 220.0,20.0");
  assert.equal(base, 37);
  assert.equal(layout([5, 5], 5).points, "0.0,20.0 220.0,20.0");
});
