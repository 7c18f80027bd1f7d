/** What a view counts, for those who measure it. */

import type { Times } from "./protocol";

const KEPT = 5000; // lags remembered, so that a long run takes no more memory

export interface Stats {
  /** From sent to drawn, ms, the last few thousand messages. */
  lag: number[];
  /** The same from when the kernel took the oldest row of each. */
  age: number[];
  /** Update messages drawn. */
  applied: number;
  /** Redraws. */
  frames: number;
  /** Times updates were lost. */
  gaps: number;
  /** Rows overtaken by a later state of their candle before they were drawn. */
  coalesced: number;
  /** Time the page spent on updates, ms. */
  busy_ms: number;
}

export function newStats(): Stats {
  return { lag: [], age: [], applied: 0, frames: 0, gaps: 0, coalesced: 0, busy_ms: 0 };
}

/** Count a batch of messages that was drawn now. */
export function countBatch(stats: Stats, times: Times[], coalesced: number): void {
  const now = Date.now();
  for (const { sent, taken } of times) {
    stats.lag.push(now - sent);
    stats.age.push(now - taken);
  }
  for (const kept of [stats.lag, stats.age]) {
    if (kept.length > 2 * KEPT) kept.splice(0, kept.length - KEPT);
  }
  stats.applied += times.length;
  stats.coalesced += coalesced;
  stats.frames++;
}
