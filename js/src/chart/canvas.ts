/** The empty chart: how it looks and moves, whatever it shows. */

import {
  type ChartOptions,
  CrosshairMode,
  createChart,
  type DeepPartial,
  type IChartApi,
  type Time,
} from "lightweight-charts";
import type { Palette } from "../theme";
import { moment, tick } from "./format";

const FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** How many candles of space there are at the right. */
export const RIGHT_OFFSET = 6;

/** Shares of a pane's height above and below what it shows. */
export const MARGINS = { top: 0.14, bottom: 0.08 };

/** Make a chart that fills `root`. Every time it writes is UTC. */
export function createCanvas(root: HTMLElement, palette: Palette): IChartApi {
  const chart = createChart(root, {
    autoSize: true,
    crosshair: { mode: CrosshairMode.Normal },
    // The logo links to TradingView, which the licence of the library asks for: it stays.
    layout: { attributionLogo: true, fontFamily: FONT, fontSize: 11 },
    localization: { locale: "en", timeFormatter: (time: Time) => moment(time as number) },
    rightPriceScale: {
      scaleMargins: MARGINS,
      minimumWidth: 64,
      entireTextOnly: true,
    },
    timeScale: {
      timeVisible: true,
      barSpacing: 7,
      minBarSpacing: 0.2,
      // The range cannot be set before the first resize, so the place of the view is given here.
      rightOffset: RIGHT_OFFSET,
      // A candle that was missing at first is followed like any other.
      allowShiftVisibleRangeOnWhitespaceReplacement: true,
      // Zooming out at the right edge shows more of the past and not more of the future.
      rightBarStaysOnScroll: true,
      tickMarkFormatter: (time: Time, kind: number) => tick(time as number, kind),
    },
  });
  chart.applyOptions(colours(palette));
  return chart;
}

/** Return the options that differ between light and dark. */
export function colours(palette: Palette): DeepPartial<ChartOptions> {
  const crosshair = { color: palette.muted, labelBackgroundColor: palette.label };
  return {
    layout: {
      background: { color: palette.bg },
      textColor: palette.muted,
      panes: { separatorColor: palette.border, separatorHoverColor: palette.hover },
    },
    grid: { vertLines: { color: palette.grid }, horzLines: { color: palette.grid } },
    crosshair: { vertLine: crosshair, horzLine: crosshair },
    rightPriceScale: { borderColor: palette.border },
    timeScale: { borderColor: palette.border },
  };
}
