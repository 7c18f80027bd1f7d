/** Detection of lost updates. */

/** Time until an unanswered request for the window is repeated, in ms. */
export const PATIENCE = 2000;

export class Sequence {
  /** The number of the last update that arrived, or of the history. */
  got: number;
  /** The number of the last update before the first that was lost. */
  have: number;
  /** Number of losses. */
  gaps = 0;
  #asked = Number.NEGATIVE_INFINITY;

  constructor(seq: number) {
    this.got = seq;
    this.have = seq;
  }

  /** Whether no update was lost since the last history. */
  get whole(): boolean {
    return this.have === this.got;
  }

  /** Record a history that includes every update up to `seq`. */
  restart(seq: number): void {
    this.got = seq;
    this.have = seq;
    this.#asked = Number.NEGATIVE_INFINITY;
  }

  /**
   * Record the update `seq`. An "old" one is drawn already. After a "gap" the update can be drawn,
   * since it holds complete candles, and the whole window is to be requested.
   */
  note(seq: number): "next" | "old" | "gap" {
    if (seq <= this.got) return "old";
    const next = seq === this.got + 1;
    if (next && this.whole) this.have = seq;
    this.got = seq;
    if (next) return "next";
    this.gaps++;
    return "gap";
  }

  /** Return whether to request the window at `now` (in ms), and record the request. */
  ask(now: number): boolean {
    if (now - this.#asked < PATIENCE) return false;
    this.#asked = now;
    return true;
  }
}
