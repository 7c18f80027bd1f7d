import assert from "node:assert/strict";
import { test } from "node:test";
import { Conflation, FASTEST, HIDDEN, Pace, SLOWEST } from "../src/chart/conflate";

const at = (sent: number) => ({ taken: sent - 1, sent });

test("the last state of each candle stays, in the order of time", () => {
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

test("what was taken is gone", () => {
  const pending = new Conflation();
  pending.add([[60, 1]], at(10));
  assert.equal(pending.empty, false);
  pending.take();
  assert.equal(pending.empty, true);
  assert.deepEqual(pending.take(), { rows: [], times: [], coalesced: 0 });
});

test("rows without a time are left out", () => {
  const pending = new Conflation();
  pending.add([[null, 1]], at(10));
  assert.deepEqual(pending.take().rows, []);
});

test("the first redraw is at once, the next after the shortest interval", () => {
  const pace = new Pace();
  assert.equal(pace.wait(500, false), 0);
  pace.drawn(500);
  assert.equal(pace.wait(510, false), FASTEST - 10);
  assert.equal(pace.wait(600, false), 0);
});

test("a tab nobody sees redraws seldom", () => {
  const pace = new Pace();
  pace.drawn(500);
  assert.equal(pace.wait(500, true), HIDDEN);
});

test("costly redraws leave half of the time to the page", () => {
  const pace = new Pace();
  for (let redraw = 0; redraw < 50; redraw++) pace.costs(60);
  pace.drawn(0);
  assert.ok(Math.abs(pace.wait(0, false) - 120) < 1);
});

test("however costly, the picture is never too old", () => {
  const pace = new Pace();
  for (let redraw = 0; redraw < 50; redraw++) pace.costs(5000);
  pace.drawn(0);
  assert.equal(pace.wait(0, false), SLOWEST);
});
