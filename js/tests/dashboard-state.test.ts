import assert from "node:assert/strict";
import { test } from "node:test";
import { Mirror, type State } from "../src/dashboard/state";

const table = () => ({ order: [], rows: {} });

function state(): State {
  return {
    head: { mode: "paper", now: 1 },
    account: { equity: 1 },
    curve: { values: [1, 2] },
    risk: {},
    loop: { lag: 0 },
    tasks: { order: ["a", "b"], rows: { a: { runs: 1, state: "running" }, b: { runs: 5 } } },
    positions: table(),
    orders: table(),
    fills: table(),
    feeds: table(),
    log: table(),
  };
}

test("changes in sequence make the next state, and leave what did not change as it is", () => {
  const mirror = new Mirror({ seq: 7, state: state() });
  const before = mirror.state;
  const changes = { head: { now: 2 }, tasks: { rows: { a: { runs: 2 } } } };
  assert.equal(mirror.delta(8, changes), "applied");
  assert.deepEqual(mirror.state.head, { mode: "paper", now: 2 });
  assert.deepEqual(mirror.state.tasks.rows.a, { runs: 2, state: "running" });
  assert.equal(mirror.state.tasks.rows.b, before.tasks.rows.b);
  assert.equal(mirror.state.account, before.account);
});

test("a row that is not in the order is gone, and a new one is whole", () => {
  const mirror = new Mirror({ seq: 0, state: state() });
  mirror.delta(1, { tasks: { order: ["c", "a"], rows: { c: { runs: 0 } } } });
  assert.deepEqual(mirror.state.tasks.order, ["c", "a"]);
  assert.deepEqual(Object.keys(mirror.state.tasks.rows), ["c", "a"]);
  mirror.delta(2, { tasks: { order: ["a", "b"], rows: { b: { runs: 9 } } } });
  assert.deepEqual(mirror.state.tasks.rows.b, { runs: 9 });
});

test("a gap changes nothing and heals with a whole state", () => {
  const mirror = new Mirror({ seq: 3, state: state() });
  assert.equal(mirror.delta(5, { head: { now: 9 } }), "gap");
  assert.equal(mirror.state.head.now, 1);
  assert.equal(mirror.whole(6, { ...state(), head: { now: 10 } }), "applied");
  assert.equal(mirror.delta(7, { head: { now: 11 } }), "applied");
  assert.equal(mirror.state.head.now, 11);
});

test("what comes late or twice is left alone", () => {
  const mirror = new Mirror({ seq: 3, state: state() });
  assert.equal(mirror.delta(3, { head: { now: 9 } }), "old");
  assert.equal(mirror.whole(2, { ...state(), head: { now: 9 } }), "old");
  assert.equal(mirror.state.head.now, 1);
});
