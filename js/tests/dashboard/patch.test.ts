import assert from "node:assert/strict";
import { test } from "node:test";
import { Cell, reorder, writes } from "../../src/dashboard/patch";

/** The part of an element that patching uses. */
class FakeElement {
  textContent = "";
  title = "";
  classes = new Set<string>();
  children: FakeElement[] = [];
  parent: FakeElement | undefined;
  moves = 0;
  classList = {
    add: (...names: string[]) => {
      for (const name of names) this.classes.add(name);
    },
    remove: (...names: string[]) => {
      for (const name of names) this.classes.delete(name);
    },
  };
  get firstElementChild(): FakeElement | null {
    return this.children[0] ?? null;
  }
  get nextElementSibling(): FakeElement | null {
    const all = this.parent?.children ?? [];
    return all[all.indexOf(this) + 1] ?? null;
  }
  insertBefore(child: FakeElement, before: FakeElement | null): void {
    child.parent?.children.splice(child.parent.children.indexOf(child), 1);
    const at = before === null ? this.children.length : this.children.indexOf(before);
    this.children.splice(at, 0, child);
    child.parent = this;
    this.moves += 1;
  }
}

const real = (fake: FakeElement) => fake as unknown as HTMLElement;

test("a cell writes only differences", () => {
  const fake = new FakeElement();
  const cell = new Cell(real(fake));
  const begun = writes.count;
  cell.write("a", "bl-ok bl-dot", "why");
  assert.equal(writes.count - begun, 3);
  cell.write("a", "bl-ok bl-dot", "why");
  assert.equal(writes.count - begun, 3);
  cell.write("b", "bl-bad", "why");
  assert.equal(writes.count - begun, 5);
  assert.deepEqual([fake.textContent, [...fake.classes]], ["b", ["bl-bad"]]);
});

test("the element's own class is kept", () => {
  const fake = new FakeElement();
  fake.classes.add("num");
  const cell = new Cell(real(fake));
  cell.write("1", "bl-up");
  cell.write("2");
  assert.deepEqual([...fake.classes], ["num"]);
});

test("text is never parsed as markup", () => {
  const fake = new FakeElement();
  new Cell(real(fake)).write("<script>alert(1)</script>");
  assert.equal(fake.textContent, "<script>alert(1)</script>");
});

test("children are reordered, and those in place are not moved", () => {
  const parent = new FakeElement();
  const [a, b, c, d] = [1, 2, 3, 4].map(() => new FakeElement()) as [
    FakeElement,
    FakeElement,
    FakeElement,
    FakeElement,
  ];
  reorder(real(parent), [a, b, c].map(real));
  assert.equal(parent.moves, 3);
  reorder(real(parent), [a, b, c].map(real));
  assert.equal(parent.moves, 3);
  reorder(real(parent), [d, a, b, c].map(real));
  assert.deepEqual([parent.children, parent.moves], [[d, a, b, c], 4]);
  reorder(real(parent), [c, d, a, b].map(real));
  assert.deepEqual([parent.children, parent.moves], [[c, d, a, b], 5]);
});
