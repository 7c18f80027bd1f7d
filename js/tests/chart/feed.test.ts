import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { type Drawer, Feed } from "../../src/chart/feed";
import type { Row } from "../../src/chart/protocol";
import { Timers } from "../../src/chart/timers";

class Recorder implements Drawer {
  width = 2;
  drawn: Row[][] = [];
  losses = 0;
  draw(rows: Row[]): void {
    this.drawn.push(rows);
  }
  counted(): void {}
  lost(): void {
    this.losses++;
  }
}

const update = (seq: number, ...rows: Row[]) => ({
  type: "update" as const,
  seq,
  taken: 0,
  sent: 0,
  rows,
});

let recorder: Recorder;
let timers: Timers;
let feed: Feed;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  Object.assign(globalThis, { document: { hidden: true } });
  recorder = new Recorder();
  timers = new Timers();
  feed = new Feed(timers, recorder);
  feed.restart(0);
});

test("updates that arrive together are drawn together, the last state of each candle", () => {
  feed.update(update(1, [60, 1]));
  feed.update(update(2, [60, 2]));
  feed.update(update(3, [120, 5]));
  assert.deepEqual(recorder.drawn, []);
  mock.timers.tick(1);
  assert.deepEqual(recorder.drawn, [
    [
      [60, 2],
      [120, 5],
    ],
  ]);
  const { applied, frames, coalesced, gaps } = feed.stats;
  assert.deepEqual([applied, frames, coalesced, gaps], [3, 1, 1, 0]);
});

test("a loss is reported, and the update is drawn as well", () => {
  feed.update(update(3, [60, 3]));
  mock.timers.tick(1);
  assert.equal(recorder.losses, 1);
  assert.equal(feed.stats.gaps, 1);
  assert.deepEqual(recorder.drawn, [[[60, 3]]]);
});

test("a loss is reported with each update until a history arrives", () => {
  for (const seq of [3, 4, 5]) feed.update(update(seq, [60, seq]));
  assert.equal(recorder.losses, 3);
  feed.restart(5);
  feed.update(update(6, [60, 6]));
  assert.equal(recorder.losses, 3);
  assert.equal(feed.stats.gaps, 1);
});

test("updates included in a history are not drawn after it", () => {
  feed.update(update(1, [60, 1]));
  feed.restart(2);
  feed.update(update(2, [60, 2]));
  mock.timers.tick(1000);
  assert.deepEqual(recorder.drawn, []);
});

test("rows with other columns are not drawn, but reported as a loss", () => {
  feed.update(update(1, [60, 1, 2]));
  mock.timers.tick(1000);
  assert.deepEqual(recorder.drawn, []);
  assert.equal(recorder.losses, 1);
});

test("nothing is drawn after the end", () => {
  feed.update(update(1, [60, 1]));
  timers.stop();
  feed.update(update(2, [60, 2]));
  mock.timers.tick(1000);
  assert.deepEqual(recorder.drawn, []);
});
