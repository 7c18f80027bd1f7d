/** Wishes of the person: what was asked of the kernel, and how far it has come. */

/** `sent`: just now; `waiting`: the kernel is busy with a cell; `working`: it has begun. */
export type Stage = "sent" | "waiting" | "working";

export interface Wish {
  readonly id: string;
  readonly action: string;
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

export class Actions {
  #wishes = new Map<string, Wish>();
  #timers = new Map<string, unknown>();
  #next = 1;

  constructor(
    private readonly send: (content: Record<string, unknown>) => void,
    private readonly changed: () => void,
    private readonly settled: (outcome: Outcome) => void,
    private readonly clock: Clock = globalThis as unknown as Clock,
    // Every view of a model hears every answer: each has names of its own for its wishes.
    private readonly view: string = Math.random().toString(36).slice(2, 10),
  ) {}

  /**
   * Ask for an action, unless the same is under way; tell whether it was sent. One that still
   * waits is sent again under its own name, since the first message may have been lost; the kernel
   * carries it out once.
   */
  ask(action: string, target: string): boolean {
    const known = this.#find(action, target);
    if (known !== undefined) {
      if (known.stage !== "waiting") return false;
      this.send({ type: "act", id: known.id, action, target });
      return true;
    }
    const wish: Wish = { id: `${this.view}-${this.#next++}`, action, target, stage: "sent" };
    this.#wishes.set(wish.id, wish);
    this.#timers.set(
      wish.id,
      this.clock.setTimeout(() => this.#move(wish, "waiting"), PATIENCE),
    );
    this.send({ type: "act", id: wish.id, action, target });
    this.changed();
    return true;
  }

  /** The kernel has begun. */
  taken(id: unknown): void {
    const wish = this.#wishes.get(id as string);
    if (wish === undefined) return;
    this.#stopTimer(wish.id);
    wish.stage = "working";
    this.changed();
  }

  /** The kernel has finished; an answer to another view's wish is none of ours. */
  done(id: unknown, ok: boolean, text: string): void {
    const wish = this.#wishes.get(id as string);
    if (wish === undefined) return;
    this.#stopTimer(wish.id);
    this.#wishes.delete(wish.id);
    this.settled({ wish, ok, text });
    this.changed();
  }

  /** How far an action on a target has come; undefined where none is under way. */
  stage(action: string, target: string): Stage | undefined {
    return this.#find(action, target)?.stage;
  }

  /** Whether anything waits for the running cell. */
  get waiting(): boolean {
    return [...this.#wishes.values()].some((wish) => wish.stage === "waiting");
  }

  /** The view is gone: nothing is told any more. */
  close(): void {
    for (const id of [...this.#timers.keys()]) this.#stopTimer(id);
    this.#wishes.clear();
  }

  #find(action: string, target: string): Wish | undefined {
    for (const wish of this.#wishes.values()) {
      if (wish.action === action && wish.target === target) return wish;
    }
    return undefined;
  }

  #move(wish: Wish, stage: Stage): void {
    this.#timers.delete(wish.id);
    if (wish.stage !== "sent") return;
    wish.stage = stage;
    this.changed();
  }

  #stopTimer(id: string): void {
    const timer = this.#timers.get(id);
    if (timer !== undefined) this.clock.clearTimeout(timer);
    this.#timers.delete(id);
  }
}
