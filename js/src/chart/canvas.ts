/** The empty chart: its looks and its reactions to the mouse. */

import {
  type ChartOptions,
  CrosshairMode,
  createChart,
  type DeepPartial,
  type IChartApi,
  type Time,
} from "lightweight-charts";
import { moment, tick } from "../format";
import type { Palette } from "../theme";

const FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** Empty space on the right, in candles. */
export const RIGHT_OFFSET = 6;

/** Margins above and below the values of a pane, as shares of its height. */
export const MARGINS = { top: 0.14, bottom: 0.08 };

/** Create a chart that fills `root`. All its times are UTC. */
export function createCanvas(root: HTMLElement, palette: Palette): IChartApi {
  const chart = createChart(root, {
    autoSize: true,
    crosshair: { mode: CrosshairMode.Normal },
    // A page is scrolled by touch over a chart, too.
    handleScroll: { vertTouchDrag: false },
    // The licence of the library requires the logo, which links to TradingView.
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
      // The range cannot be set before the first resize, so the position is set here.
      rightOffset: RIGHT_OFFSET,
      // Follow a candle that was missing at first like any other.
      allowShiftVisibleRangeOnWhitespaceReplacement: true,
      // Zooming out at the right edge shows more past candles, not more empty space.
      rightBarStaysOnScroll: true,
      tickMarkFormatter: (time: Time, kind: number) => tick(time as number, kind),
    },
  });
  chart.applyOptions(colours(palette));
  return chart;
}

/** Return the options that depend on the palette. */
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
