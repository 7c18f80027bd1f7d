import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { BLIP, KernelLink } from "../src/kernel";
import type { Model } from "../src/model";

class Signal<Value> {
  slots = new Set<(sender: unknown, value: Value) => void>();
  connect = (slot: (sender: unknown, value: Value) => void) => this.slots.add(slot);
  disconnect = (slot: (sender: unknown, value: Value) => void) => this.slots.delete(slot);
  emit(value: Value) {
    for (const slot of this.slots) slot(this, value);
  }
}

function bench() {
  const kernel = {
    statusChanged: new Signal<string>(),
    connectionStatusChanged: new Signal<string>(),
    disposed: new Signal<undefined>(),
  };
  const values = new Map<string, unknown>();
  const sent: unknown[] = [];
  const listeners = new Set<() => void>();
  const model: Model = {
    widget_manager: { kernel },
    get: (name) => values.get(name),
    set: (name, value) => values.set(name, value),
    on: (_, listener) => listeners.add(listener as () => void),
    off: (_, listener) => listeners.delete(listener as () => void),
    send: (content) => sent.push(content),
  };
  const link = KernelLink.of(model);
  const lives: string[] = [];
  link.listen(() => lives.push(link.life));
  const message = () => {
    for (const listener of listeners) listener();
  };
  return { kernel, model, link, lives, sent, message, listeners };
}

test("every end of a kernel is final", () => {
  for (const status of ["restarting", "autorestarting", "terminating", "dead"]) {
    const { kernel, link, lives, message } = bench();
    kernel.statusChanged.emit("busy");
    assert.equal(link.life, "live");
    kernel.statusChanged.emit(status);
    kernel.statusChanged.emit("idle");
    message();
    assert.deepEqual(lives, ["gone"], status);
    assert.notEqual(link.cause, "");
  }
  const { kernel, lives } = bench();
  kernel.disposed.emit(undefined);
  assert.deepEqual(lives, ["gone"]);
});

test("a short loss of the connection is not shown, a longer one until the kernel answers", () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  try {
    const { kernel, lives, sent, message } = bench();
    kernel.connectionStatusChanged.emit("connecting");
    mock.timers.tick(BLIP - 1);
    kernel.connectionStatusChanged.emit("connected");
    mock.timers.tick(BLIP);
    assert.deepEqual([lives, sent], [[], []]);
    kernel.connectionStatusChanged.emit("connecting");
    mock.timers.tick(BLIP);
    assert.deepEqual(lives, ["away"]);
    kernel.connectionStatusChanged.emit("connected");
    assert.deepEqual(sent, [{ type: "resync" }]);
    assert.deepEqual(lives, ["away"]);
    message();
    assert.deepEqual(lives, ["away", "live"]);
  } finally {
    mock.timers.reset();
  }
});

test("all views of a model share its kernel, which leaves nothing behind", () => {
  const { kernel, model, link, listeners } = bench();
  assert.equal(KernelLink.of(model), link);
  // A front end may write all values of a model into the notebook.
  assert.doesNotThrow(() => JSON.stringify(link));
  link.close();
  assert.equal(listeners.size + kernel.statusChanged.slots.size, 0);
});

test("a front end without such a connection counts as live", () => {
  const values = new Map<string, unknown>();
  const model: Model = {
    get: (name) => values.get(name),
    set: (name, value) => values.set(name, value),
    on: () => {},
    off: () => {},
    send: () => {},
  };
  assert.equal(KernelLink.of(model).life, "live");
});
