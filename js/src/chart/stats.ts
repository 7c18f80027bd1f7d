/** The counts of a view, for measurements. */

import type { Times } from "./protocol";

const KEPT = 5000; // most lags that are kept, which bounds the memory of a long run

export interface Stats {
  /** Time from sending to drawing of the last few thousand messages, ms. */
  lag: number[];
  /** Time from the arrival of its oldest row in the kernel to its drawing, ms. */
  age: number[];
  /** Update messages drawn. */
  applied: number;
  /** Redraws. */
  frames: number;
  /** Number of losses. */
  gaps: number;
  /** Rows replaced by a later state of their candle before they were drawn. */
  coalesced: number;
  /** Time the page spent on updates, ms. */
  busy_ms: number;
}

export function newStats(): Stats {
  return { lag: [], age: [], applied: 0, frames: 0, gaps: 0, coalesced: 0, busy_ms: 0 };
}

/** Count a batch of messages that has just been drawn. */
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
