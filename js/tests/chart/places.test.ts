import assert from "node:assert/strict";
import { test } from "node:test";
import { Places } from "../../src/chart/places";
import type { Model } from "../../src/model";

const here = { barSpacing: 6, position: -40 };
const there = { barSpacing: 9, position: 3 };

test("each view finds the position left in its element", () => {
  const places = new Places();
  places.leave("first cell", there);
  places.leave("second cell", here);
  assert.equal(places.take("second cell"), here);
  assert.equal(places.take("second cell"), undefined);
  assert.equal(places.take("third cell"), undefined);
  assert.equal(places.take("first cell"), there);
});

test("views of one cell take their positions in turn", () => {
  const places = new Places();
  places.leave("cell", here);
  places.leave("cell", there);
  assert.deepEqual([places.take("cell"), places.take("cell")], [here, there]);
  assert.equal(places.take("cell"), undefined);
});

test("a position is kept until it is taken or removed", () => {
  const places = new Places();
  places.leave(null, here);
  places.leave(null, there);
  assert.equal(places.holds(null, here), true);
  places.take(null);
  assert.equal(places.holds(null, here), false);
  assert.equal(places.holds(null, there), true);
  places.forget(null, there);
  assert.equal(places.take(null), undefined);
});

test("the views of a model share their positions", () => {
  const values = new Map<string, unknown>();
  const model = {
    get: (name: string) => values.get(name),
    set: (name: string, value: unknown) => values.set(name, value),
  } as unknown as Model;
  Places.of(model).leave("cell", here);
  assert.equal(Places.of(model).take("cell"), here);
});
