/** The candles of a chart, column by column, in order of time. */

import type { Row } from "./protocol";

/** The effect of an upsert: a new last row, a changed row, or a row between or before others. */
export type Change = "appended" | "replaced" | "inserted";

export class CandleWindow {
  #columns: Float64Array[];
  #length = 0;

  constructor(readonly width: number) {
    this.#columns = Array.from({ length: width }, () => new Float64Array(0));
  }

  get length(): number {
    return this.#length;
  }

  /** The time of the first row, or infinity if there is none. */
  get first(): number {
    return this.#length === 0 ? Number.POSITIVE_INFINITY : this.time(0);
  }

  /** The time of the last row, or minus infinity if there is none. */
  get last(): number {
    return this.#length === 0 ? Number.NEGATIVE_INFINITY : this.time(this.#length - 1);
  }

  time(row: number): number {
    return this.value(0, row);
  }

  /** Return a value, NaN if it is missing. Column 0 holds the times, 1 to 4 the candle. */
  value(column: number, row: number): number {
    return this.#columns[column]?.[row] ?? Number.NaN;
  }

  /** Return the index of the first row at or after `time`; the length if there is none. */
  lowerBound(time: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.time(middle) < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Return the index of the row with exactly this time, or -1. */
  find(time: number): number {
    const row = this.lowerBound(time);
    return row < this.#length && this.time(row) === time ? row : -1;
  }

  /** Replace all rows by these columns. */
  replace(columns: Float64Array[]): void {
    this.#columns = ascending(columns);
    this.#length = this.#columns[0]?.length ?? 0;
  }

  /** Prepend those rows that are older than the first, and return their number. */
  prepend(columns: Float64Array[]): number {
    const older = ascending(columns);
    const first = this.first;
    let count = older[0]?.length ?? 0;
    while (count > 0 && (older[0]?.[count - 1] ?? first) >= first) count--;
    if (count === 0) return 0;
    this.#columns = this.#columns.map((column, index) => {
      const joined = new Float64Array(count + this.#length);
      joined.set((older[index] ?? new Float64Array(count)).subarray(0, count));
      joined.set(column.subarray(0, this.#length), count);
      return joined;
    });
    this.#length += count;
    return count;
  }

  /** Insert or replace the row of a time. Throws a RangeError for a row without a time. */
  upsert(row: Row): { row: number; change: Change } {
    const time = row[0];
    if (typeof time !== "number" || !Number.isFinite(time)) {
      throw new RangeError(`a row needs a time, not ${String(time)}`);
    }
    const at = this.lowerBound(time);
    const found = at < this.#length && this.time(at) === time;
    if (!found) this.#open(at);
    this.#columns.forEach((column, index) => {
      column[at] = row[index] ?? Number.NaN;
    });
    if (found) return { row: at, change: "replaced" };
    return { row: at, change: at === this.#length - 1 ? "appended" : "inserted" };
  }

  /** Remove the oldest rows. */
  drop(count: number): void {
    if (count <= 0) return;
    this.#columns = this.#columns.map((column) => column.slice(count, this.#length));
    this.#length = Math.max(0, this.#length - count);
  }

  /** Make room for one row before row `at`. */
  #open(at: number): void {
    if ((this.#columns[0]?.length ?? 0) === this.#length) {
      const capacity = this.#length + Math.max(64, this.#length >> 2);
      this.#columns = this.#columns.map((column) => {
        const wider = new Float64Array(capacity);
        wider.set(column);
        return wider;
      });
    }
    for (const column of this.#columns) column.copyWithin(at + 1, at, this.#length);
    this.#length++;
  }
}

/**
 * Return how many of the oldest rows to remove: none away from the right edge, and none of those
 * on screen or near it.
 */
export function surplus(state: {
  rows: number;
  window: number;
  visible: number;
  atRightEdge: boolean;
}): number {
  if (!state.atRightEdge) return 0;
  const keep = Math.max(state.window, Math.ceil(state.visible * 1.25) + 200);
  return state.rows > keep * 1.5 ? state.rows - keep : 0;
}

/** Return the columns in strictly ascending order of time; of equal times the last row stays. */
function ascending(columns: Float64Array[]): Float64Array[] {
  const times = columns[0] ?? new Float64Array(0);
  let ordered = true;
  for (let row = 0; row < times.length && ordered; row++) {
    const time = times[row] as number;
    ordered = Number.isFinite(time) && (row === 0 || time > (times[row - 1] as number));
  }
  if (ordered) return columns;
  const kept = new Map<number, number>();
  times.forEach((time, row) => {
    if (Number.isFinite(time)) kept.set(time, row);
  });
  const order = [...kept.entries()].sort(([a], [b]) => a - b).map(([, row]) => row);
  return columns.map((column) => Float64Array.from(order, (row) => column[row] as number));
}
