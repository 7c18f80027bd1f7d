import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Actions,
  type Clock,
  DEADLINE,
  GRACE,
  LOST,
  type Outcome,
  PATIENCE,
} from "../../src/dashboard/actions";
import type { PageMessage } from "../../src/dashboard/schema";

/** A clock that tests advance. */
class ManualClock implements Clock {
  #now = 0;
  #timers = new Map<number, { at: number; callback: () => void }>();
  #next = 1;
  setTimeout(callback: () => void, milliseconds: number): number {
    this.#timers.set(this.#next, { at: this.#now + milliseconds, callback });
    return this.#next++;
  }
  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as number);
  }
  get left(): number {
    return this.#timers.size;
  }
  move(milliseconds: number): void {
    this.#now += milliseconds;
    for (const [id, timer] of [...this.#timers]) {
      if (timer.at <= this.#now) {
        this.#timers.delete(id);
        timer.callback();
      }
    }
  }
}

function bench() {
  const clock = new ManualClock();
  const sent: PageMessage[] = [];
  const outcomes: Outcome[] = [];
  const actions = new Actions(
    (content) => sent.push(content),
    () => {},
    (outcome) => outcomes.push(outcome),
    clock,
    "v",
  );
  return { clock, sent, outcomes, actions };
}

test("a request waits for the running cell, then works, then is done", () => {
  const { clock, sent, outcomes, actions } = bench();
  actions.ask("stop", "a");
  assert.deepEqual(sent, [{ type: "act", id: "v-1", action: "stop", target: "a" }]);
  assert.equal(actions.stage("stop", "a"), "sent");
  clock.move(PATIENCE - 1);
  assert.equal(actions.any("waiting"), false);
  clock.move(1);
  assert.equal(actions.stage("stop", "a"), "waiting");
  assert.equal(actions.any("waiting"), true);
  actions.taken("v-1");
  assert.equal(actions.stage("stop", "a"), "working");
  actions.done("v-1", true, "stopped");
  assert.equal(actions.stage("stop", "a"), undefined);
  assert.deepEqual([outcomes[0]?.ok, outcomes[0]?.text], [true, "stopped"]);
});

test("a kernel that answers at once is never shown as busy", () => {
  const { clock, actions } = bench();
  actions.ask("run", "a");
  actions.taken("v-1");
  clock.move(10 * PATIENCE);
  assert.equal(actions.stage("run", "a"), "working");
  actions.done("v-1", false, "no");
  assert.equal(clock.left, 0);
});

test("a request in progress is not sent twice, another one is sent", () => {
  const { sent, actions } = bench();
  assert.equal(actions.ask("stop", "a"), true);
  assert.equal(actions.ask("stop", "a"), false);
  assert.equal(actions.ask("stop", "b"), true);
  assert.equal(actions.ask("run", "a"), true);
  assert.equal(sent.length, 3);
  actions.done("v-1", true, "");
  assert.equal(actions.ask("stop", "a"), true);
});

test("a waiting request is sent again with its own id when the button is pressed again", () => {
  const { clock, sent, actions } = bench();
  actions.ask("stop", "a");
  clock.move(PATIENCE);
  assert.equal(actions.ask("stop", "a"), true);
  assert.deepEqual(sent[1], sent[0]);
  actions.taken("v-1");
  assert.equal(actions.ask("stop", "a"), false);
});

test("a lost answer is requested, and shown if the kernel still has it", () => {
  const { clock, sent, outcomes, actions } = bench();
  actions.ask("run", "a");
  actions.taken("v-1");
  clock.move(DEADLINE - 1);
  assert.equal(sent.length, 1);
  clock.move(1);
  assert.deepEqual(sent[1], { type: "ask", id: "v-1" });
  actions.taken("v-1");
  actions.done("v-1", true, "a has run");
  assert.equal(outcomes[0]?.text, "a has run");
  assert.equal(clock.left, 0);
});

test("a working kernel is asked repeatedly, and never shown as silent", () => {
  const { clock, sent, actions } = bench();
  actions.ask("run", "a");
  actions.taken("v-1");
  for (let times = 1; times <= 5; times += 1) {
    clock.move(DEADLINE);
    assert.equal(sent.length, 1 + times);
    actions.taken("v-1");
    assert.equal(actions.stage("run", "a"), "working");
  }
});

test("without any answer the button can be pressed again, for the same request", () => {
  const { clock, sent, outcomes, actions } = bench();
  actions.ask("run", "a");
  actions.taken("v-1");
  clock.move(DEADLINE);
  clock.move(GRACE - 1);
  assert.equal(actions.stage("run", "a"), "working");
  clock.move(1);
  assert.equal(actions.stage("run", "a"), "silent");
  assert.equal(actions.any("silent"), true);
  assert.equal(actions.ask("run", "a"), true);
  assert.deepEqual(sent.at(-1), sent[0]);
  actions.taken("v-1");
  assert.equal(actions.stage("run", "a"), "working");
  actions.done("v-1", false, "no");
  assert.deepEqual([outcomes.length, clock.left, actions.any("silent")], [1, 0, false]);
});

test("answers to the requests of another view are ignored", () => {
  const { outcomes, actions } = bench();
  actions.ask("stop", "a");
  actions.taken("w-1");
  actions.done("w-1", true, "");
  assert.equal(actions.stage("stop", "a"), "sent");
  assert.deepEqual(outcomes, []);
});

test("nothing is reported after the view was closed", () => {
  const { clock, outcomes, actions } = bench();
  actions.ask("stop", "a");
  actions.close();
  clock.move(10 * PATIENCE);
  actions.done("v-1", true, "");
  assert.deepEqual([clock.left, outcomes.length, actions.any("waiting")], [0, 0, false]);
});

test("requests of a lost kernel are settled as not known, and none is sent", () => {
  const { clock, sent, outcomes, actions } = bench();
  actions.ask("kill", "");
  actions.open = false;
  assert.deepEqual(
    outcomes.map(({ ok, text }) => [ok, text]),
    [[false, LOST]],
  );
  assert.equal(actions.ask("run", "a"), false);
  assert.equal(sent.length, 1);
  assert.equal(clock.left, 0);
  actions.open = true;
  assert.equal(actions.ask("run", "a"), true);
});
