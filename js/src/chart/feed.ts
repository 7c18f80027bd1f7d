/** The way of the updates: checked for losses, conflated, and drawn when it is affordable. */

import { Conflation, Pace } from "./conflate";
import type { Message, Row } from "./protocol";
import { Sequence } from "./sequence";
import { countBatch, newStats } from "./stats";
import type { Timers } from "./timers";

/** What draws the updates. */
export interface Drawer {
  /** How many columns its rows have. */
  readonly width: number;
  draw(rows: Row[]): void;
  /** Tell what was counted. */
  counted(): void;
  /** Something is missing: everything is to be asked for. */
  lost(): void;
}

export class Feed {
  readonly stats = newStats();
  readonly sequence = new Sequence(-1);
  readonly #pending = new Conflation();
  readonly #pace = new Pace();

  constructor(
    private readonly timers: Timers,
    private readonly drawer: Drawer,
  ) {}

  /**
   * Take an update. After a loss it is drawn all the same, since a cell that blocks may keep the
   * kernel from answering; rows of other columns than those shown cannot be.
   */
  take(message: Extract<Message, { type: "update" }>): void {
    const noted = this.sequence.note(message.seq);
    if (noted === "old") return;
    if (noted === "gap") this.stats.gaps++;
    const fits = message.rows.every((row) => row.length === this.drawer.width);
    if (!fits || !this.sequence.whole) this.drawer.lost();
    if (!fits) return;
    this.#pending.add(message.rows, message);
    const wait = this.#pace.wait(performance.now(), document.hidden);
    this.timers.once("flush", wait, () => this.#flush());
  }

  /** Begin anew with a history that holds every update up to `seq`. */
  restart(seq: number): void {
    this.#pending.clear();
    this.sequence.restart(seq);
  }

  #flush(): void {
    if (this.#pending.empty) return;
    const began = performance.now();
    let spent = 0;
    const cost = (ms: number) => {
      this.stats.busy_ms += ms;
      this.#pace.costs(ms);
    };
    const hidden = document.hidden;
    if (!hidden) {
      // The library draws in the next frame, after this callback: that counts as well.
      requestAnimationFrame(() => {
        const at = performance.now();
        setTimeout(() => cost(spent + performance.now() - at), 0);
      });
    }
    const { rows, times, coalesced } = this.#pending.take();
    this.drawer.draw(rows);
    countBatch(this.stats, times, coalesced);
    this.drawer.counted();
    spent = performance.now() - began;
    this.#pace.drawn(began);
    if (hidden) cost(spent);
  }
}
