/** What a view counts, for those who measure it. */

const KEPT = 5000; // lags remembered, so that a long run takes no more memory

export interface Stats {
  /** From taken by the kernel to drawn, ms, the last few thousand messages. */
  lag: number[];
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
  return { lag: [], applied: 0, frames: 0, gaps: 0, coalesced: 0, busy_ms: 0 };
}

/** Count a batch of messages that was drawn now. */
export function countBatch(stats: Stats, taken: number[], coalesced: number): void {
  const now = Date.now();
  for (const at of taken) stats.lag.push(now - at);
  if (stats.lag.length > 2 * KEPT) stats.lag.splice(0, stats.lag.length - KEPT);
  stats.applied += taken.length;
  stats.coalesced += coalesced;
  stats.frames++;
}
