/** A screenshot of a chart as PNG. */

import type { IChartApi } from "lightweight-charts";
import type { Palette } from "../theme";

const WORDS =
  ".bl-bar > span, .bl-frames > span, .bl-frames > [aria-pressed='true'], .bl-legend span, .bl-utc";

/**
 * Return the chart, with the texts over it in `root`, as the bytes of a PNG.
 *
 * Throws an Error if the chart is not on screen or the browser returns no image.
 */
export async function picture(
  chart: IChartApi,
  root: HTMLElement,
  palette: Palette,
): Promise<ArrayBuffer> {
  const panes = chart.takeScreenshot(true);
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const box = root.getBoundingClientRect();
  if (context === null || panes.width === 0 || box.width === 0) {
    throw new Error("the chart is not on screen, so there is nothing to take a picture of");
  }
  const ratio = panes.width / root.clientWidth;
  const above = Math.round(chart.chartElement().getBoundingClientRect().top - box.top);
  canvas.width = panes.width;
  canvas.height = panes.height + above * ratio;
  context.fillStyle = palette.panel;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(panes, 0, above * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.textBaseline = "middle";
  for (const element of root.querySelectorAll<HTMLElement>(WORDS)) {
    write(context, element, box, palette);
  }
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (blob === null) throw new Error("the browser could not write the picture as PNG");
  return blob.arrayBuffer();
}

/** Draw the text of an element without children at its position on screen. */
function write(
  context: CanvasRenderingContext2D,
  element: HTMLElement,
  box: DOMRect,
  palette: Palette,
): void {
  const text = element.textContent ?? "";
  const rect = element.getBoundingClientRect();
  if (text === "" || element.childElementCount > 0 || rect.width === 0) return;
  const style = getComputedStyle(element);
  const x = rect.left - box.left;
  const y = rect.top - box.top;
  let indent = 0;
  if (element.classList.contains("bl-badge")) {
    context.fillStyle = palette.bg;
    context.fillRect(x, y, rect.width, rect.height);
    context.strokeStyle = style.color;
    context.strokeRect(x + 0.5, y + 0.5, rect.width - 1, rect.height - 1);
    indent = Number.parseFloat(style.paddingLeft) + 1;
  }
  context.fillStyle = style.color;
  context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  context.letterSpacing = style.letterSpacing === "normal" ? "0px" : style.letterSpacing;
  const centred = style.justifyContent === "center";
  context.textAlign = centred ? "center" : "left";
  const written = style.textTransform === "uppercase" ? text.toUpperCase() : text;
  const left = centred ? x + rect.width / 2 : x + indent;
  context.fillText(written, left, y + rect.height / 2, rect.width);
}
