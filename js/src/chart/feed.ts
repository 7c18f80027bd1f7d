/** The updates of a chart: checked for losses, conflated, and drawn when affordable. */

import { Conflation, RedrawThrottle } from "./conflate";
import type { Message, Row } from "./protocol";
import { Sequence } from "./sequence";
import { countBatch, newStats } from "./stats";
import type { Timers } from "./timers";

/** The part of a view that draws updates. */
export interface Drawer {
  /** Number of columns of its rows. */
  readonly width: number;
  draw(rows: Row[]): void;
  /** Called after the counts changed. */
  counted(): void;
  /** Called after an update was lost: the whole window is needed. */
  lost(): void;
}

export class Feed {
  readonly stats = newStats();
  readonly sequence = new Sequence(-1);
  readonly #pending = new Conflation();
  readonly #throttle = new RedrawThrottle();

  constructor(
    private readonly timers: Timers,
    private readonly drawer: Drawer,
  ) {}

  /**
   * Handle an update. After a loss it is drawn as well, since a blocking cell may delay the answer
   * of the kernel; rows with other columns than those shown are not.
   */
  update(message: Extract<Message, { type: "update" }>): void {
    const noted = this.sequence.note(message.seq);
    if (noted === "old") return;
    if (noted === "gap") this.stats.gaps++;
    const fits = message.rows.every((row) => row.length === this.drawer.width);
    if (!fits || !this.sequence.whole) this.drawer.lost();
    if (!fits) return;
    this.#pending.add(message.rows, message);
    const wait = this.#throttle.wait(performance.now(), document.hidden);
    this.timers.once("flush", wait, () => this.#flush());
  }

  /** Restart with a history that includes every update up to `seq`. */
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
      this.#throttle.costs(ms);
    };
    const hidden = document.hidden;
    if (!hidden) {
      // The library draws in the next frame, after this callback, which counts as well.
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
    this.#throttle.drawn(began);
    if (hidden) cost(spent);
  }
}
