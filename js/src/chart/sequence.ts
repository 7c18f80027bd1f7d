/** Notice updates that were lost on the way. */

/** How long a request for everything may stay unanswered before it is repeated, in ms. */
export const PATIENCE = 2000;

export class Sequence {
  /** The number of the last update that arrived; the one of the history before any did. */
  got: number;
  /** The number of the last update before the first that was lost. */
  have: number;
  /** How often updates were lost. */
  gaps = 0;
  #asked = Number.NEGATIVE_INFINITY;

  constructor(seq: number) {
    this.got = seq;
    this.have = seq;
  }

  /** Tell whether nothing is missing since the last history. */
  get whole(): boolean {
    return this.have === this.got;
  }

  /** Note a history that contains every update up to `seq`. */
  restart(seq: number): void {
    this.got = seq;
    this.have = seq;
    this.#asked = Number.NEGATIVE_INFINITY;
  }

  /**
   * Note the update `seq`. An "old" one is in the picture already. After a "gap" the update is to
   * be drawn all the same, since it holds whole candles, and everything to be asked for.
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

  /** Tell whether to ask for everything at `now` (in ms), and remember having asked. */
  ask(now: number): boolean {
    if (now - this.#asked < PATIENCE) return false;
    this.#asked = now;
    return true;
  }
}
