import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE, Sequence } from "../../src/chart/sequence";

test("updates in order leave no gap", () => {
  const sequence = new Sequence(4);
  assert.equal(sequence.note(5), "next");
  assert.equal(sequence.note(6), "next");
  assert.equal(sequence.whole, true);
  assert.deepEqual([sequence.have, sequence.got, sequence.gaps], [6, 6, 0]);
});

test("an update included in the history is old", () => {
  const sequence = new Sequence(4);
  assert.equal(sequence.note(4), "old");
  assert.equal(sequence.note(3), "old");
  assert.equal(sequence.got, 4);
});

test("a lost update is noticed once, and remembered until a history arrives", () => {
  const sequence = new Sequence(0);
  assert.equal(sequence.note(1), "next");
  assert.equal(sequence.note(4), "gap");
  assert.equal(sequence.note(5), "next");
  assert.equal(sequence.whole, false);
  assert.deepEqual([sequence.have, sequence.got, sequence.gaps], [1, 5, 1]);
  sequence.restart(5);
  assert.equal(sequence.whole, true);
  assert.equal(sequence.note(6), "next");
});

test("every further loss counts", () => {
  const sequence = new Sequence(0);
  for (const seq of [2, 3, 7]) sequence.note(seq);
  assert.equal(sequence.gaps, 2);
  assert.equal(sequence.have, 0);
});

test("the window is requested once, and again only after a while", () => {
  const sequence = new Sequence(0);
  assert.equal(sequence.ask(1000), true);
  assert.equal(sequence.ask(1000 + PATIENCE - 1), false);
  assert.equal(sequence.ask(1000 + PATIENCE), true);
});

test("the first loss after a history is requested at once", () => {
  const sequence = new Sequence(0);
  sequence.ask(1000);
  sequence.restart(9);
  assert.equal(sequence.ask(1001), true);
});
