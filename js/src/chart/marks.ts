/** Markers of entries and exits, and price lines of positions, stops and orders. */

import {
  createSeriesMarkers,
  type IPriceLine,
  type ISeriesApi,
  type ISeriesMarkersPluginApi,
  type ISeriesPrimitive,
  LineStyle,
  type SeriesMarker,
  type SeriesType,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import type { Line, Marker } from "./protocol";
import { Tracks } from "./tracks";
import type { CandleWindow } from "./window";

const STYLES: Record<string, LineStyle> = {
  solid: LineStyle.Solid,
  dashed: LineStyle.LargeDashed,
  dotted: LineStyle.Dotted,
};

/**
 * Return the markers within the window, in order of time, each moved to the open of its candle.
 * `step` is the length of a candle in seconds.
 */
export function placed(markers: Marker[], rows: CandleWindow, step: number): Marker[] {
  const end = rows.last + step;
  return markers
    .filter((marker) => marker.time >= rows.first && marker.time < end)
    .map((marker) => {
      const at = rows.lowerBound(marker.time);
      const exact = at < rows.length && rows.time(at) === marker.time;
      return { ...marker, time: rows.time(exact ? at : at - 1) };
    })
    .sort((a, b) => a.time - b.time);
}

export class MarksOnCandles {
  #plugin: ISeriesMarkersPluginApi<Time>;
  #lines = new Map<string, { line: IPriceLine; as: string }>();
  #tracks = new Tracks();
  /** The markers and their rows, to skip an update that does not change them. */
  #drawn = "[]";

  constructor(private readonly candles: ISeriesApi<SeriesType>) {
    this.#plugin = createSeriesMarkers(withoutNotifications(candles), []);
    candles.attachPrimitive(this.#tracks);
  }

  /** Draw the markers on these candles, unless none moved: drawing them is expensive. */
  setMarkers(markers: Marker[], rows: CandleWindow, step: number): void {
    this.#tracks.follow(rows);
    const shown = placed(markers, rows, step);
    const drawn = JSON.stringify(shown.map((marker) => [rows.find(marker.time), marker]));
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#plugin.setMarkers(
      shown.map(
        (marker): SeriesMarker<Time> => ({
          time: marker.time as UTCTimestamp,
          position: marker.position,
          shape: marker.shape,
          color: marker.color,
          text: marker.text,
        }),
      ),
    );
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

/**
 * Return the candles without notifications of changed points, for the markers.
 *
 * At each notification the markers would read all candles again and request a layout of the whole
 * chart, which draws everything twice. They are set again when candles are added or removed, and
 * drawn with the candles.
 */
function withoutNotifications(candles: ISeriesApi<SeriesType>): ISeriesApi<SeriesType> {
  const attachPrimitive = (markers: ISeriesPrimitive<Time>) => {
    const attached = markers.attached?.bind(markers);
    markers.attached = (to) => {
      const series = Object.create(to.series, { subscribeDataChanged: { value: () => {} } });
      attached?.({ ...to, series });
    };
    candles.attachPrimitive(markers);
  };
  return Object.create(candles, { attachPrimitive: { value: attachPrimitive } });
}
