/**
 * Lines that the library cannot draw: those over a past range, such as the stop of a closed
 * position, and the titles of price lines, which it would draw over the newest candles.
 */

import type {
  AutoscaleInfo,
  IPrimitivePaneRenderer,
  IPrimitivePaneView,
  ISeriesPrimitive,
  Logical,
  SeriesAttachedParameter,
  Time,
} from "lightweight-charts";
import type { Line } from "./protocol";
import type { CandleWindow } from "./window";

/** A horizontal piece of a line, from the left edge of one row to the right edge of another. */
export interface Piece {
  from: number;
  to: number;
  price: number;
}

const DASHES: Record<string, number[]> = { solid: [], dashed: [6, 4], dotted: [1, 3] };

const FONT = '11px -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
const TITLE = 13; // pixels from one title to the next

/** Largest distance of a line in view from the middle of the candles, relative to their spread. */
const NEAR = 1.25;

/** Return the pieces of a line within the window. */
export function pieces(line: Line, rows: CandleWindow): Piece[] {
  const steps = line.steps ?? [];
  const end = line.to ?? rows.last;
  if (rows.length === 0 || end < rows.first) return [];
  return steps.flatMap(([since, price], index) => {
    const from = rows.lowerBound(since);
    const next = steps[index + 1]?.[0];
    const last = rows.lowerBound(end);
    const after = rows.time(last) === end ? last + 1 : last;
    const to = next === undefined ? after : Math.min(rows.lowerBound(next), after);
    return to > from ? [{ from: from - 0.5, to: to - 0.5, price }] : [];
  });
}

/**
 * Return the lowest and the highest price near the candles of these rows, as a range of values to
 * show; a range that includes distant lines would flatten the candles.
 */
export function near(
  prices: number[],
  rows: CandleWindow,
  from: number,
  to: number,
): AutoscaleInfo | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let row = Math.max(0, Math.floor(from)); row <= to && row < rows.length; row++) {
    low = Math.min(low, nanTo(rows.value(3, row), low));
    high = Math.max(high, nanTo(rows.value(2, row), high));
  }
  const reach = NEAR * (high - low);
  const kept = prices.filter((price) => Math.abs(price - (low + high) / 2) < reach);
  if (kept.length === 0) return null;
  return { priceRange: { minValue: Math.min(...kept), maxValue: Math.max(...kept) } };
}

const nanTo = (value: number, other: number) => (Number.isNaN(value) ? other : value);

/**
 * Return the y coordinates of titles for lines at these: each above its own line, and moved down if
 * it would cover the one above.
 */
export function stacked(heights: number[]): number[] {
  const order = heights.map((_, index) => index);
  order.sort((a, b) => (heights[a] ?? 0) - (heights[b] ?? 0));
  const placed = heights.map((height) => height - 3);
  let above = Number.NEGATIVE_INFINITY;
  for (const index of order) {
    above = Math.max(placed[index] ?? 0, above + TITLE);
    placed[index] = above;
  }
  return placed;
}

type Target = Parameters<IPrimitivePaneRenderer["draw"]>[0];

/** The primitive that draws the lines over the candles, and keeps near ones in view. */
export class Tracks implements ISeriesPrimitive<Time> {
  #at: SeriesAttachedParameter<Time> | undefined;
  #lines: Line[] = [];
  #rows: CandleWindow | undefined;
  #drawn: { line: Line; pieces: Piece[] }[] = [];
  #views: readonly IPrimitivePaneView[];

  constructor() {
    const renderer: IPrimitivePaneRenderer = { draw: (target) => this.#draw(target) };
    this.#views = [{ renderer: () => renderer }];
  }

  attached(to: SeriesAttachedParameter<Time>): void {
    this.#at = to;
  }

  detached(): void {
    this.#at = undefined;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.#views;
  }

  /** Draw on these candles after they changed. */
  follow(rows: CandleWindow): void {
    this.#rows = rows;
    this.#place();
  }

  show(lines: Line[]): void {
    this.#lines = lines;
    this.#place();
  }

  autoscaleInfo(from: Logical, to: Logical): AutoscaleInfo | null {
    if (this.#rows === undefined || this.#lines.length === 0) return null;
    const prices = this.#lines
      .filter((line) => line.steps === undefined && Number.isFinite(line.price))
      .map((line) => line.price);
    for (const { pieces } of this.#drawn) {
      for (const one of pieces) if (one.to > from && one.from < to) prices.push(one.price);
    }
    return near(prices, this.#rows, from, to);
  }

  #place(): void {
    const rows = this.#rows;
    if (rows === undefined) return;
    const held = this.#lines.filter((line) => line.steps !== undefined);
    if (held.length === 0 && this.#drawn.length === 0) return;
    this.#drawn = held.map((line) => ({ line, pieces: pieces(line, rows) }));
    this.#at?.requestUpdate();
  }

  #draw(target: Target): void {
    if (this.#at === undefined || this.#lines.length === 0) return;
    this.#titles(target);
    if (this.#drawn.length === 0) return;
    const { chart, series } = this.#at;
    const scale = chart.timeScale();
    const spacing = scale.options().barSpacing;
    const x = (row: number) => {
      const whole = Math.round(row);
      const centre = scale.logicalToCoordinate(whole as Logical);
      return centre === null ? Number.NaN : centre + (row - whole) * spacing;
    };
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      context.lineWidth = 1;
      for (const { line, pieces } of this.#drawn) {
        context.strokeStyle = line.color;
        context.setLineDash(DASHES[line.style] ?? []);
        context.beginPath();
        let end = Number.NaN;
        for (const piece of pieces) {
          const from = x(piece.from);
          const to = x(piece.to);
          const y = series.priceToCoordinate(piece.price);
          if (y === null || !(to >= 0 && from <= mediaSize.width)) continue;
          const height = Math.round(y) + 0.5;
          // A line with several prices is drawn as steps.
          if (piece.from === end) context.lineTo(from, height);
          else context.moveTo(from, height);
          context.lineTo(to, height);
          end = piece.to;
        }
        context.stroke();
      }
      context.setLineDash([]);
    });
  }

  /** Draw the titles of current lines on the left, away from the newest candles. */
  #titles(target: Target): void {
    const shown = this.#lines.flatMap((line) => {
      const y = line.steps === undefined ? this.#at?.series.priceToCoordinate(line.price) : null;
      return y != null && line.title !== "" ? [{ line, y: y as number }] : [];
    });
    const heights = stacked(shown.map((one) => one.y));
    const ground = this.#at?.chart.options().layout.background;
    target.useMediaCoordinateSpace(({ context }) => {
      context.font = FONT;
      context.textAlign = "left";
      context.textBaseline = "bottom";
      context.lineWidth = 3;
      // The outline in the background colour separates the letters from the candles.
      context.strokeStyle = ground !== undefined && "color" in ground ? ground.color : "#fff0";
      shown.forEach(({ line }, index) => {
        context.strokeText(line.title, 9, heights[index] ?? 0);
        context.fillStyle = line.color;
        context.fillText(line.title, 9, heights[index] ?? 0);
      });
    });
  }
}
