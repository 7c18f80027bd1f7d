/** Whether the kernel of a model is there, as the front end reports it. */

import type { Model } from "./model";

/** `live`; `away`: the connection to it is lost; `gone`: it has ended or was restarted. */
export type Life = "live" | "away" | "gone";

/** Milliseconds for which the connection may be lost before it counts: a reconnection is shorter. */
export const BLIP = 1500;

const KEY = "_kernel";

/** The states of a kernel after which its models are lost, and what happened. */
const ENDS: Record<string, string> = {
  restarting: "it was restarted",
  autorestarting: "it died",
  terminating: "it was shut down",
  dead: "it has ended",
};

interface Signal<Value> {
  connect(slot: (sender: unknown, value: Value) => void): unknown;
  disconnect(slot: (sender: unknown, value: Value) => void): unknown;
}

/** The part of a kernel of JupyterLab that is used; other front ends have none of it. */
export interface KernelConnection {
  readonly statusChanged?: Signal<string>;
  readonly connectionStatusChanged?: Signal<string>;
  readonly disposed?: Signal<unknown>;
}

/** The kernel behind one model: all its views are told when it is lost, and when it is back. */
export class KernelLink {
  life: Life = "live";
  /** What happened to it, in a few words. */
  cause = "";
  /** When it was lost, ms since 1970. */
  since = 0;
  /** When its last message arrived, ms since 1970. */
  heard = Date.now();
  // Hidden fields, so that a front end that stores the values of a model can write this one.
  readonly #model: Model;
  readonly #listeners = new Set<() => void>();
  readonly #kernel: KernelConnection | undefined;
  #blip: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model) {
    this.#model = model;
    this.#kernel = model.widget_manager?.kernel ?? undefined;
    this.#kernel?.statusChanged?.connect(this.#status);
    this.#kernel?.connectionStatusChanged?.connect(this.#connection);
    this.#kernel?.disposed?.connect(this.#disposed);
    model.on("msg:custom", this.#message);
  }

  /** Return the kernel of a model. */
  static of(model: Model): KernelLink {
    const found = model.get(KEY) as KernelLink | undefined;
    if (found) return found;
    const made = new KernelLink(model);
    // It stays in the page, and is the same for all views.
    model.set(KEY, made);
    return made;
  }

  /** Call a function after every change of `life`. */
  listen(listener: () => void): void {
    this.#listeners.add(listener);
  }

  unlisten(listener: () => void): void {
    this.#listeners.delete(listener);
  }

  /** End the watch, as the model is removed. */
  close(): void {
    clearTimeout(this.#blip);
    this.#kernel?.statusChanged?.disconnect(this.#status);
    this.#kernel?.connectionStatusChanged?.disconnect(this.#connection);
    this.#kernel?.disposed?.disconnect(this.#disposed);
    this.#model.off("msg:custom", this.#message);
    this.#listeners.clear();
  }

  #status = (_: unknown, status: string): void => {
    const cause = ENDS[status];
    if (cause !== undefined) this.#move("gone", cause);
  };

  #disposed = (): void => this.#move("gone", "it was shut down");

  #connection = (_: unknown, status: string): void => {
    clearTimeout(this.#blip);
    if (status !== "connected") {
      this.#blip = setTimeout(() => this.#move("away", ""), BLIP);
    } else if (this.life === "away") {
      // Whether it is the same kernel shows when it answers.
      this.#model.send({ type: "resync" });
    }
  };

  #message = (): void => {
    this.heard = Date.now();
    if (this.life === "away") this.#move("live", "");
  };

  #move(life: Life, cause: string): void {
    if (this.life === life || this.life === "gone") return;
    this.life = life;
    this.cause = cause;
    this.since = Date.now();
    for (const listener of [...this.#listeners]) listener();
  }
}
