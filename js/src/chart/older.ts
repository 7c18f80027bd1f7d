/** The candles before those of a view: requested near its left end, and dropped at the right one. */

import type { IChartApi } from "lightweight-charts";
import type { Frame } from "./frame";
import type { Plot } from "./plot";
import type { Timers } from "./timers";
import { surplus } from "./window";

/** Scroll positions from here on count as the right edge, in candles. */
export const EDGE = -1.5;

const NEAR_LEFT = 50; // candles left of the view at which older ones are requested
const PATIENCE = 10_000; // ms until the request is repeated
const LOADING = 300; // ms until the view shows that they are being loaded
const WAITING = 2_000; // ms until the view shows that the kernel is busy
const LARGEST_CHUNK = 20_000; // most candles per request

/** The part of a view that requests and draws them. */
export interface OlderView {
  plot(): Plot;
  request(before: number, want: number): void;
  /** Whether anything can be requested. */
  possible(): boolean;
  /** Called after candles were dropped. */
  trimmed(): void;
}

export class OlderCandles {
  /** Candles that a view has at first. */
  window = 2000;
  /** Whether there are older ones. */
  more = false;
  #asked = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly chart: IChartApi,
    private readonly frame: Frame,
    private readonly timers: Timers,
    private readonly view: OlderView,
  ) {}

  /** Request older candles near the left end, and drop them again at the right one. */
  moved(from: number, to: number): void {
    const { rows } = this.view.plot();
    const now = performance.now();
    this.frame.away = this.chart.timeScale().scrollPosition() < EDGE;
    if (from >= NEAR_LEFT || !this.more || rows.length === 0 || !this.view.possible()) {
      this.timers.once("trim", 400, () => this.trim());
      return;
    }
    if (now - this.#asked < PATIENCE) return;
    this.#asked = now;
    const want = Math.min(LARGEST_CHUNK, Math.max(this.window, Math.ceil(to - from) * 2));
    this.view.request(rows.first, want);
    this.timers.once("loading", LOADING, () => {
      this.frame.loading = "loading older candles …";
    });
    this.timers.once("waiting", WAITING, () => {
      this.frame.loading = "waiting for older candles: a cell runs, or the venue is slow";
    });
  }

  /** Record that no request is pending. */
  answered(): void {
    this.#asked = Number.NEGATIVE_INFINITY;
    this.timers.cancel("loading");
    this.timers.cancel("waiting");
    this.frame.loading = "";
  }

  /** Drop the candles beyond the window, if the view is at the right edge. */
  trim(): void {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    const count = surplus({
      rows: this.view.plot().rows.length,
      window: this.window,
      visible: range === null ? 0 : range.to - range.from,
      atRightEdge: scale.scrollPosition() >= EDGE,
    });
    if (count === 0) return;
    this.view.plot().trim(count);
    this.more = true;
    this.view.trimmed();
  }
}
