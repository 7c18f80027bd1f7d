import assert from "node:assert/strict";
import { test } from "node:test";
import type { DashboardState, TaskRow } from "../../src/dashboard/schema";
import { Mirror } from "../../src/dashboard/state";

const table = () => ({ order: [], rows: {} });

const task = (name: string, runs: number): TaskRow => ({
  name,
  group: "",
  state: "running",
  health: "ok",
  priority: "HIGH",
  schedule: "every 30 s",
  runs,
  failures: 0,
  overruns: 0,
  last: null,
  took: null,
  next: null,
  late: null,
  late99: null,
  error: "",
  can: ["stop"],
});

function state(now = 1): DashboardState {
  return {
    head: {
      mode: "paper",
      venue: "paper:synthetic:seed=42",
      note: "synthetic",
      words: "synthetic: not real prices",
      running: true,
      healthy: true,
      reasons: [],
      warnings: [],
      market_time: 0,
      now,
      started: 0,
      strategies: 0,
      signals: 0,
      url: "",
    },
    account: {
      quote: "USDT",
      equity: 1,
      start: 1,
      realised: 0,
      unrealised: 0,
      exposure: 0,
      day: null,
    },
    curve: { values: [1, 2] },
    risk: {
      killed: null,
      halted: null,
      rejected: 0,
      max_exposure: null,
      max_daily_loss: null,
      stop_file: "data/STOP",
      token_file: "",
    },
    loop: { lag: 0, p50: 0, p99: 0, worst: 0, limit: 1, stall: "" },
    tasks: { order: ["a", "b"], rows: { a: task("a", 1), b: task("b", 5) } },
    strategies: table(),
    positions: table(),
    books: table(),
    holds: table(),
    orders: table(),
    fills: table(),
    feeds: table(),
    log: table(),
  };
}

test("changes in sequence make the next state, and keep the unchanged objects", () => {
  const mirror = new Mirror({ seq: 7, state: state() });
  const before = mirror.state;
  const changes = { head: { now: 2 }, tasks: { rows: { a: { runs: 2 } } } };
  assert.equal(mirror.delta(8, changes), "applied");
  assert.deepEqual(mirror.state.head, { ...before.head, now: 2 });
  assert.deepEqual(mirror.state.tasks.rows.a, task("a", 2));
  assert.equal(mirror.state.tasks.rows.b, before.tasks.rows.b);
  assert.equal(mirror.state.account, before.account);
});

test("a row that is not in the order is removed, and a new one is complete", () => {
  const mirror = new Mirror({ seq: 0, state: state() });
  mirror.delta(1, { tasks: { order: ["c", "a"], rows: { c: task("c", 0) } } });
  assert.deepEqual(mirror.state.tasks.order, ["c", "a"]);
  assert.deepEqual(Object.keys(mirror.state.tasks.rows), ["c", "a"]);
  mirror.delta(2, { tasks: { order: ["a", "b"], rows: { b: task("b", 9) } } });
  assert.deepEqual(mirror.state.tasks.rows.b, task("b", 9));
});

test("a gap changes nothing until a whole state arrives", () => {
  const mirror = new Mirror({ seq: 3, state: state() });
  assert.equal(mirror.delta(5, { head: { now: 9 } }), "gap");
  assert.equal(mirror.state.head.now, 1);
  assert.equal(mirror.whole(6, state(10)), "applied");
  assert.equal(mirror.delta(7, { head: { now: 11 } }), "applied");
  assert.equal(mirror.state.head.now, 11);
});

test("a late or repeated message is ignored", () => {
  const mirror = new Mirror({ seq: 3, state: state() });
  assert.equal(mirror.delta(3, { head: { now: 9 } }), "old");
  assert.equal(mirror.whole(2, state(9)), "old");
  assert.equal(mirror.state.head.now, 1);
});
