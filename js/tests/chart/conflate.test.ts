import assert from "node:assert/strict";
import { test } from "node:test";
import { Conflation, FASTEST, HIDDEN, RedrawThrottle, SLOWEST } from "../../src/chart/conflate";

const at = (sent: number) => ({ taken: sent - 1, sent });

test("the last state of each candle is kept, in order of time", () => {
  const pending = new Conflation();
  pending.add([[120, 1]], at(10));
  pending.add(
    [
      [120, 2],
      [60, 7],
    ],
    at(11),
  );
  pending.add([[120, 3]], at(12));
  assert.deepEqual(pending.take(), {
    rows: [
      [60, 7],
      [120, 3],
    ],
    times: [at(10), at(11), at(12)],
    coalesced: 2,
  });
});

test("taken updates are removed", () => {
  const pending = new Conflation();
  pending.add([[60, 1]], at(10));
  assert.equal(pending.empty, false);
  pending.take();
  assert.equal(pending.empty, true);
  assert.deepEqual(pending.take(), { rows: [], times: [], coalesced: 0 });
});

test("rows without a time are ignored", () => {
  const pending = new Conflation();
  pending.add([[null, 1]], at(10));
  assert.deepEqual(pending.take().rows, []);
});

test("the first redraw is at once, the next after the shortest interval", () => {
  const throttle = new RedrawThrottle();
  assert.equal(throttle.wait(500, false), 0);
  throttle.drawn(500);
  assert.equal(throttle.wait(510, false), FASTEST - 10);
  assert.equal(throttle.wait(600, false), 0);
});

test("a hidden tab redraws rarely", () => {
  const throttle = new RedrawThrottle();
  throttle.drawn(500);
  assert.equal(throttle.wait(500, true), HIDDEN);
});

test("costly redraws leave half of the time to the page", () => {
  const throttle = new RedrawThrottle();
  for (let redraw = 0; redraw < 50; redraw++) throttle.costs(60);
  throttle.drawn(0);
  assert.ok(Math.abs(throttle.wait(0, false) - 120) < 1);
});

test("the longest time between redraws is bounded", () => {
  const throttle = new RedrawThrottle();
  for (let redraw = 0; redraw < 50; redraw++) throttle.costs(5000);
  throttle.drawn(0);
  assert.equal(throttle.wait(0, false), SLOWEST);
});
