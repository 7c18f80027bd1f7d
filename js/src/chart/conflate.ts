/** Draw only what can be seen: the last state of each candle, no more often than is affordable. */

import type { Row, Times } from "./protocol";

/** The shortest time between two redraws, and the one in a tab nobody sees, in ms. */
export const FASTEST = 33;
export const HIDDEN = 250;
/** Drawing may take this fraction of the main thread: 1 / 2. */
export const SHARE = 2;
/** However costly drawing is, the picture is never older than this, in ms. */
export const SLOWEST = 2000;

export interface Batch {
  /** One row per candle, in the order of their times. */
  rows: Row[];
  /** Of each message in the batch. */
  times: Times[];
  /** How many rows were overtaken by a later state of their candle. */
  coalesced: number;
}

export class Conflation {
  #rows = new Map<number, Row>();
  #times: Times[] = [];
  #seen = 0;

  get empty(): boolean {
    return this.#times.length === 0;
  }

  add(rows: Row[], times: Times): void {
    for (const row of rows) {
      if (typeof row[0] === "number") this.#rows.set(row[0], row);
      this.#seen++;
    }
    this.#times.push(times);
  }

  /** Return what is to be drawn and begin anew. */
  take(): Batch {
    const rows = [...this.#rows.values()].sort((a, b) => (a[0] as number) - (b[0] as number));
    const batch = { rows, times: this.#times, coalesced: this.#seen - rows.length };
    this.clear();
    return batch;
  }

  clear(): void {
    this.#rows = new Map();
    this.#times = [];
    this.#seen = 0;
  }
}

/** Remember what a redraw costs, and say how long to wait for the next. */
export class Pace {
  /** The smoothed cost of one redraw, in ms. */
  cost = 0;
  #last = Number.NEGATIVE_INFINITY;

  /** Note that a redraw began at `at`, in ms. */
  drawn(at: number): void {
    this.#last = at;
  }

  /** Note what a redraw cost, in ms. */
  costs(ms: number): void {
    this.cost = 0.7 * this.cost + 0.3 * ms;
  }

  /** Return how long to wait from `now` until the next redraw, in ms. */
  wait(now: number, hidden: boolean): number {
    const least = hidden ? HIDDEN : FASTEST;
    const interval = Math.min(SLOWEST, Math.max(least, SHARE * this.cost));
    return Math.max(0, interval - (now - this.#last));
  }
}
