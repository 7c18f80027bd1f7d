/** The series of a chart, created from their specification and drawn from the window. */

import {
  type AutoscaleInfoProvider,
  CandlestickSeries,
  type CandlestickSeriesPartialOptions,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  LineSeries,
  LineStyle,
  type PriceFormat,
  PriceScaleMode,
  type SeriesType,
  type UTCTimestamp,
} from "lightweight-charts";
import { compact, decimalsFor, number } from "../format";
import type { Palette } from "../theme";
import { columnsOf, partsOf, type SeriesSpec, type Spec } from "./protocol";
import type { CandleWindow } from "./window";

type Api = ISeriesApi<SeriesType>;

const STYLES: Record<NonNullable<SeriesSpec["style"]>, LineStyle> = {
  solid: LineStyle.Solid,
  dashed: LineStyle.Dashed,
  dotted: LineStyle.Dotted,
  "long dashes": LineStyle.LargeDashed,
};

/** Of panes below the candles: a new one begins with the options that another scale got last. */
const LINEAR = PriceScaleMode.Normal;

/** A point of the library, without data if the value is missing. */
type Point = { time: UTCTimestamp } & Record<string, unknown>;

export class ShownSeries {
  #decimals: number;

  constructor(
    readonly spec: SeriesSpec,
    readonly api: Api,
    /** The first of its columns in a row. */
    readonly column: number,
    readonly overlay: boolean,
    decimals: number,
    private palette: Palette,
  ) {
    this.#decimals = decimals;
  }

  value(rows: CandleWindow, row: number): number {
    return rows.value(this.column, row);
  }

  /** Format one of its values. */
  text(value: number): string {
    return this.spec.kind === "volume" ? compact(value) : number(value, this.#decimals);
  }

  /** Return the colour of its text in the legend. */
  colour(value: number): string {
    if (this.spec.kind === "volume") return this.palette.muted;
    if (this.spec.signed) return value < 0 ? this.palette.down : this.palette.up;
    return this.spec.color || this.palette.accent;
  }

  point(rows: CandleWindow, row: number): Point {
    const time = rows.time(row) as UTCTimestamp;
    const value = rows.value(this.column, row);
    if (Number.isNaN(value)) return { time };
    if (this.spec.kind === "candles") {
      const at = (offset: number) => rows.value(this.column + offset, row);
      return { time, open: value, high: at(1), low: at(2), close: at(3) };
    }
    if (this.spec.kind === "volume") {
      const fell = rows.value(4, row) < rows.value(1, row);
      return { time, value, color: `${fell ? this.palette.down : this.palette.up}66` };
    }
    if (this.spec.signed) {
      return { time, value, color: `${value < 0 ? this.palette.down : this.palette.up}a0` };
    }
    return { time, value };
  }

  setAll(rows: CandleWindow): void {
    this.#suitDecimals(rows);
    const points: Point[] = new Array(rows.length);
    for (let row = 0; row < rows.length; row++) points[row] = this.point(rows, row);
    this.api.setData(points as Parameters<Api["setData"]>[0]);
  }

  update(rows: CandleWindow, row: number): void {
    const point = this.point(rows, row) as Parameters<Api["update"]>[0];
    this.api.update(point, row < rows.length - 1);
  }

  paint(palette: Palette): void {
    this.palette = palette;
    if (this.spec.kind === "candles") this.api.applyOptions(candleColours(palette));
    else if (!this.spec.color) this.api.applyOptions({ color: palette.accent });
  }

  /** Set the decimals of an indicator in its own pane by the size of its values. */
  #suitDecimals(rows: CandleWindow): void {
    if (this.overlay || this.spec.kind === "volume") return;
    let largest = 0;
    for (let row = 0; row < rows.length; row++) {
      const size = Math.abs(this.value(rows, row));
      if (size > largest) largest = size;
    }
    const decimals = decimalsFor(largest);
    if (decimals === this.#decimals) return;
    this.#decimals = decimals;
    this.api.applyOptions({ priceFormat: priceFormat(decimals) });
  }
}

/** Add every series of the specification to the chart, and set the heights of the panes. */
export function addSeries(chart: IChartApi, spec: Spec, palette: Palette): ShownSeries[] {
  let column = 1;
  const shown = spec.series.map((series) => {
    const made = addOne(chart, series, spec, column, palette);
    column += columnsOf(series);
    return made;
  });
  chart.panes().forEach((pane, index) => {
    pane.setStretchFactor(spec.panes[index] ?? 1);
  });
  return shown;
}

function addOne(
  chart: IChartApi,
  series: SeriesSpec,
  spec: Spec,
  column: number,
  palette: Palette,
): ShownSeries {
  const overlay = series.pane === 0;
  const decimals = overlay ? spec.price_decimals : 2;
  const format = priceFormat(decimals);
  const made = (api: Api) => new ShownSeries(series, api, column, overlay, decimals, palette);
  if (series.kind === "candles") {
    const options = { ...candleColours(palette), priceFormat: format };
    return made(chart.addSeries(CandlestickSeries, options, series.pane));
  }
  const color = series.color || palette.accent;
  const quiet = { color, priceLineVisible: false, lastValueVisible: !overlay, priceFormat: format };
  if (series.kind === "volume") {
    const options = {
      ...quiet,
      lastValueVisible: false,
      priceFormat: { type: "volume" } as PriceFormat,
      ...(overlay ? { priceScaleId: "" } : {}),
    };
    const api = chart.addSeries(HistogramSeries, options, series.pane);
    const margins = overlay ? { top: 0.82, bottom: 0 } : { top: 0.25, bottom: 0 };
    api.priceScale().applyOptions({ scaleMargins: margins, mode: LINEAR });
    return made(api);
  }
  // A single line over the candles is a trend and drawn thick; bands are thin.
  const alone = partsOf(series.title)[1] === "";
  const api =
    series.kind === "histogram"
      ? chart.addSeries(HistogramSeries, { ...quiet, lastValueVisible: false }, series.pane)
      : chart.addSeries(
          LineSeries,
          {
            ...quiet,
            lineWidth: alone && overlay ? 2 : 1,
            lineStyle: STYLES[series.style ?? "solid"],
            crosshairMarkerRadius: 3,
          },
          series.pane,
        );
  if (!overlay) {
    api.priceScale().applyOptions({ scaleMargins: { top: 0.22, bottom: 0.08 }, mode: LINEAR });
  }
  const levels = series.levels ?? [];
  if (levels.length > 0) api.applyOptions({ autoscaleInfoProvider: including(levels) });
  for (const price of levels) {
    api.createPriceLine({
      price,
      color: `${palette.muted}90`,
      lineWidth: 1,
      lineStyle: LineStyle.SparseDotted,
      axisLabelVisible: false,
      title: "",
    });
  }
  return made(api);
}

/** Return a provider of the visible range of values that includes the levels. */
function including(levels: number[]): AutoscaleInfoProvider {
  return (base) => {
    const info = base();
    if (info?.priceRange == null) return info;
    const { minValue, maxValue } = info.priceRange;
    const priceRange = {
      minValue: Math.min(minValue, ...levels),
      maxValue: Math.max(maxValue, ...levels),
    };
    return { ...info, priceRange };
  };
}

function priceFormat(decimals: number): PriceFormat {
  const formatter = (value: number) => number(value, decimals);
  return { type: "custom", minMove: 10 ** -decimals, formatter };
}

function candleColours(palette: Palette): CandlestickSeriesPartialOptions {
  return {
    upColor: palette.up,
    downColor: palette.down,
    wickUpColor: palette.up,
    wickDownColor: palette.down,
    borderVisible: false,
  };
}
