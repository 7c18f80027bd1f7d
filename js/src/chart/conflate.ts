/** Conflation of updates: the last state of each candle, redrawn no more often than affordable. */

import type { Row, Times } from "./protocol";

/** The shortest time between two redraws, and the one in a hidden tab, in ms. */
export const FASTEST = 33;
export const HIDDEN = 250;
/** The share of the main thread that drawing may take: 1 / SHARE. */
export const SHARE = 2;
/** The longest time between two redraws, however costly they are, in ms. */
export const SLOWEST = 2000;

export interface Batch {
  /** One row per candle, in order of time. */
  rows: Row[];
  /** One per message of the batch. */
  times: Times[];
  /** Number of rows that a later state of their candle replaced. */
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

  /** Return the collected updates and clear them. */
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

/** The time between redraws, which depends on their cost. */
export class RedrawThrottle {
  /** The smoothed cost of one redraw, in ms. */
  cost = 0;
  #last = Number.NEGATIVE_INFINITY;

  /** Record that a redraw started at `at`, in ms. */
  drawn(at: number): void {
    this.#last = at;
  }

  /** Record the cost of a redraw, in ms. */
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
