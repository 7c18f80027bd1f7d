import assert from "node:assert/strict";
import { test } from "node:test";
import { marketTimes } from "../../src/dashboard/columns";
import {
  ago,
  ahead,
  clock,
  count,
  gainClass,
  money,
  share,
  short,
  signed,
  span,
} from "../../src/dashboard/format";
import { lagShare } from "../../src/dashboard/head";
import { layout } from "../../src/dashboard/spark";

test("computed values are shortened to their significant digits", () => {
  assert.equal(short("65,660.92314501"), "65,660.92");
  assert.equal(short("3,816.1774"), "3,816.177");
  assert.equal(short("0.0151223"), "0.0151223");
  assert.equal(short("0.00001234567891"), "0.00001234568");
  assert.equal(short("12"), "12");
  assert.equal(short(""), "");
});

test("money has two decimals, and a sign if it is a change", () => {
  assert.equal(money(1234567.8), "1,234,567.80");
  assert.equal(money(null), "–");
  assert.equal(signed(-12.4), "−12.40");
  assert.equal(signed(12.4), "+12.40");
  assert.equal(signed(0), "0.00");
  assert.equal(share(0.01303), "+1.30 %");
  assert.equal(count(12345), "12,345");
});

test("gains and losses have a colour, zero has none", () => {
  assert.deepEqual([1, -1, 0, null].map(gainClass), ["bl-up", "bl-down", "", ""]);
});

test("durations are shown in their largest units", () => {
  const said = [0.0004, 0.026, 1.25, 59.6, 180, 7300, 200000].map(span);
  assert.deepEqual(said, ["0 ms", "26 ms", "1.3 s", "60 s", "3 min", "2 h 1 min", "2 d"]);
});

test("times are UTC, past and future ones relative to now", () => {
  const now = Date.UTC(2026, 0, 5, 14, 3, 7);
  assert.equal(clock(now), "14:03:07");
  assert.equal(ago(now - 13000, now), "13 s");
  assert.equal(ago(now, now), "now");
  assert.equal(ahead(now + 17000, now), "in 17 s");
  assert.equal(ahead(now - 1, now), "now");
  assert.equal(ahead(null, now), "");
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
