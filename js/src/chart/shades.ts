/** Shades of repaired candles, and of gaps where candles are missing. */

import type {
  IChartApi,
  IPrimitivePaneRenderer,
  IPrimitivePaneView,
  ISeriesPrimitive,
  Logical,
  SeriesAttachedParameter,
  Time,
} from "lightweight-charts";
import type { Palette } from "../theme";
import type { Shade } from "./protocol";
import type { CandleWindow } from "./window";

export interface Band {
  /** Row numbers; a half is between two candles. */
  from: number;
  to: number;
  kind: Shade["kind"];
}

/**
 * Return the shades of the window as bands of rows. A band covers the full width of its candles,
 * the first and the last included; if they are missing, it marks the gap between the neighbours.
 */
export function bands(shades: Shade[], rows: CandleWindow): Band[] {
  const found: Band[] = [];
  for (const shade of shades) {
    if (rows.length === 0 || shade.to < rows.first || shade.from > rows.last) continue;
    const first = rows.lowerBound(shade.from);
    const last = rows.lowerBound(shade.to);
    const after = rows.time(last) === shade.to ? last + 1 : last;
    const empty = first >= after;
    found.push({
      from: empty ? first - 0.65 : first - 0.5,
      to: empty ? first - 0.35 : after - 0.5,
      kind: shade.kind,
    });
  }
  return found;
}

/** Return the kind of the shade over the candle at `time`, if there is one. */
export function shadeAt(shades: Shade[], time: number): Shade["kind"] | undefined {
  return shades.find((shade) => time >= shade.from && time <= shade.to)?.kind;
}

type Target = Parameters<IPrimitivePaneRenderer["draw"]>[0];

/** The primitive that draws the bands behind the candles. */
export class Shading implements ISeriesPrimitive<Time> {
  #chart: IChartApi | undefined;
  #redraw = () => {};
  #bands: Band[] = [];
  #views: readonly IPrimitivePaneView[];

  constructor(private palette: Palette) {
    const renderer: IPrimitivePaneRenderer = { draw: (target) => this.#draw(target) };
    this.#views = [{ zOrder: () => "bottom", renderer: () => renderer }];
  }

  attached(to: SeriesAttachedParameter<Time>): void {
    this.#chart = to.chart as IChartApi;
    this.#redraw = to.requestUpdate;
  }

  detached(): void {
    this.#chart = undefined;
    this.#redraw = () => {};
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.#views;
  }

  show(shades: Shade[], rows: CandleWindow): void {
    const found = bands(shades, rows);
    // Usually a new candle moves none of them, and a redraw would lay out the whole chart.
    if (JSON.stringify(found) === JSON.stringify(this.#bands)) return;
    this.#bands = found;
    this.#redraw();
  }

  paint(palette: Palette): void {
    this.palette = palette;
    this.#redraw();
  }

  #draw(target: Target): void {
    const scale = this.#chart?.timeScale();
    if (scale === undefined || this.#bands.length === 0) return;
    const spacing = scale.options().barSpacing;
    const x = (row: number) => {
      const whole = Math.round(row);
      const centre = scale.logicalToCoordinate(whole as Logical);
      return centre === null ? null : centre + (row - whole) * spacing;
    };
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      for (const band of this.#bands) {
        const from = x(band.from);
        const to = x(band.to);
        if (from === null || to === null || to < 0 || from > mediaSize.width) continue;
        const width = Math.max(2, to - from);
        context.fillStyle = this.palette[band.kind];
        context.fillRect(from, 0, width, mediaSize.height);
        if (band.kind === "missing") hatch(context, from, width, mediaSize.height);
      }
    });
  }
}

/** Draw slanted lines over a band, which distinguish it from others without colour. */
function hatch(context: CanvasRenderingContext2D, left: number, width: number, height: number) {
  context.save();
  context.beginPath();
  context.rect(left, 0, width, height);
  context.clip();
  context.strokeStyle = context.fillStyle;
  context.lineWidth = 1;
  context.beginPath();
  for (let x = left - height; x < left + width; x += 8) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
  context.restore();
}
