/** Markers of entries and exits, and price lines of positions, stops and orders. */

import { type IPriceLine, type ISeriesApi, LineStyle, type SeriesType } from "lightweight-charts";
import type { Palette } from "../theme";
import { Markers } from "./markers";
import type { Line, Marker } from "./protocol";
import { Tracks } from "./tracks";
import type { CandleWindow } from "./window";

const STYLES: Record<string, LineStyle> = {
  solid: LineStyle.Solid,
  dashed: LineStyle.LargeDashed,
  dotted: LineStyle.Dotted,
};

export class MarksOnCandles {
  readonly markers: Markers;
  #lines = new Map<string, { line: IPriceLine; as: string }>();
  #tracks = new Tracks();

  constructor(
    private readonly candles: ISeriesApi<SeriesType>,
    palette: Palette,
  ) {
    this.markers = new Markers(palette);
    candles.attachPrimitive(this.#tracks);
    candles.attachPrimitive(this.markers);
  }

  /** Draw the markers on these candles. */
  setMarkers(markers: Marker[], rows: CandleWindow, step: number): void {
    this.#tracks.follow(rows);
    this.markers.show(markers, rows, step);
  }

  /** Show these lines: update those that changed, and remove those that are no longer there. */
  setLines(all: Line[]): void {
    const lines = all.filter((line) => line.steps === undefined);
    this.#tracks.show(all);
    const wanted = new Set(lines.map((line) => line.id));
    for (const [id, shown] of this.#lines) {
      if (wanted.has(id)) continue;
      this.candles.removePriceLine(shown.line);
      this.#lines.delete(id);
    }
    for (const line of lines) {
      if (!Number.isFinite(line.price)) continue;
      const as = JSON.stringify(line);
      const shown = this.#lines.get(line.id);
      if (shown?.as === as) continue;
      const options = {
        price: line.price,
        color: line.color,
        lineStyle: STYLES[line.style] ?? LineStyle.LargeDashed,
        lineWidth: 1 as const,
        axisLabelVisible: true,
      };
      if (shown) {
        shown.line.applyOptions(options);
        shown.as = as;
      } else {
        this.#lines.set(line.id, { line: this.candles.createPriceLine(options), as });
      }
    }
  }
}
