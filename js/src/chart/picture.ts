/** A PNG picture of a chart, with the words that are no part of its canvas. */

import type { IChartApi } from "lightweight-charts";
import type { Palette } from "../theme";

const HEAD = 28; // px above the candles

/** Return the chart as the bytes of a PNG, with `headline` above it. Throws where none is made. */
export async function picture(
  chart: IChartApi,
  headline: string,
  palette: Palette,
): Promise<ArrayBuffer> {
  const shot = chart.takeScreenshot(true);
  const ratio = globalThis.devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  canvas.width = shot.width;
  canvas.height = shot.height + HEAD * ratio;
  const context = canvas.getContext("2d");
  if (context === null || shot.width === 0) {
    throw new Error("the chart is not on screen, so there is nothing to take a picture of");
  }
  context.fillStyle = palette.bg;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(shot, 0, HEAD * ratio);
  context.fillStyle = palette.text;
  context.font = `600 ${13 * ratio}px -apple-system, "Segoe UI", Roboto, Arial, sans-serif`;
  context.textBaseline = "middle";
  context.fillText(headline, 10 * ratio, (HEAD / 2) * ratio);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob === null) throw new Error("the browser could not write the picture as PNG");
  return blob.arrayBuffer();
}
