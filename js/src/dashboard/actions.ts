/** Wishes of the person: what was asked of the kernel, and how far it has come. */

import type { Action, ActMessage, AskMessage, RequestId } from "./schema";

/**
 * `sent`: just now; `waiting`: the kernel is busy with a cell; `working`: it has begun; `silent`: it
 * had begun, and does not answer any more.
 */
export type Stage = "sent" | "waiting" | "working" | "silent";

export interface Wish {
  readonly id: RequestId;
  readonly action: Action;
  readonly target: string;
  stage: Stage;
}

export interface Outcome {
  readonly wish: Wish;
  readonly ok: boolean;
  readonly text: string;
}

export interface Clock {
  setTimeout(callback: () => void, milliseconds: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** After so many milliseconds without an answer the kernel is taken to be busy with a cell. */
export const PATIENCE = 500;
/** After so many milliseconds of work the kernel is asked whether the answer was lost. */
export const DEADLINE = 8000;
/** So long it may take to say so. */
export const GRACE = 3000;

export class Actions {
  #wishes = new Map<RequestId, Wish>();
  #timers = new Map<RequestId, unknown>();
  #next = 1;

  constructor(
    private readonly send: (message: ActMessage | AskMessage) => void,
    private readonly changed: () => void,
    private readonly settled: (outcome: Outcome) => void,
    private readonly clock: Clock = globalThis as unknown as Clock,
    // Every view of a model hears every answer: each has names of its own for its wishes.
    private readonly view: string = Math.random().toString(36).slice(2, 10),
  ) {}

  /**
   * Ask for an action, unless the same is under way; tell whether it was sent. One that waits or is
   * not answered is sent again under its own name, since a message may have been lost; the kernel
   * carries it out once, and tells what came of it as often as it is asked.
   */
  ask(action: Action, target: string): boolean {
    const known = this.#find(action, target);
    if (known?.stage === "sent" || known?.stage === "working") return false;
    const wish: Wish = known ?? {
      id: `${this.view}-${this.#next++}`,
      action,
      target,
      stage: "sent",
    };
    this.#wishes.set(wish.id, wish);
    if (known === undefined) this.#later(wish, PATIENCE, () => this.#move(wish, "waiting"));
    this.send({ type: "act", id: wish.id, action, target });
    this.changed();
    return true;
  }

  /** The kernel has begun, or is still at it. */
  taken(id: RequestId): void {
    const wish = this.#wishes.get(id);
    if (wish === undefined) return;
    this.#later(wish, DEADLINE, () => this.#inquire(wish));
    this.#move(wish, "working");
  }

  /** The kernel has finished; an answer to another view's wish is none of ours. */
  done(id: RequestId, ok: boolean, text: string): void {
    const wish = this.#wishes.get(id);
    if (wish === undefined) return;
    this.#stopTimer(wish.id);
    this.#wishes.delete(wish.id);
    this.settled({ wish, ok, text });
    this.changed();
  }

  /** How far an action on a target has come; undefined where none is under way. */
  stage(action: Action, target: string): Stage | undefined {
    return this.#find(action, target)?.stage;
  }

  /** Whether anything has come to a stage. */
  any(stage: Stage): boolean {
    return [...this.#wishes.values()].some((wish) => wish.stage === stage);
  }

  /** The view is gone: nothing is told any more. */
  close(): void {
    for (const id of [...this.#timers.keys()]) this.#stopTimer(id);
    this.#wishes.clear();
  }

  #find(action: Action, target: string): Wish | undefined {
    for (const wish of this.#wishes.values()) {
      if (wish.action === action && wish.target === target) return wish;
    }
    return undefined;
  }

  #inquire(wish: Wish): void {
    this.#later(wish, GRACE, () => this.#move(wish, "silent"));
    this.send({ type: "ask", id: wish.id });
  }

  #move(wish: Wish, stage: Stage): void {
    wish.stage = stage;
    this.changed();
  }

  #later(wish: Wish, milliseconds: number, callback: () => void): void {
    this.#stopTimer(wish.id);
    const timer = this.clock.setTimeout(() => {
      this.#timers.delete(wish.id);
      callback();
    }, milliseconds);
    this.#timers.set(wish.id, timer);
  }

  #stopTimer(id: RequestId): void {
    const timer = this.#timers.get(id);
    if (timer !== undefined) this.clock.clearTimeout(timer);
    this.#timers.delete(id);
  }
}
