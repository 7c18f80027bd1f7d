/** The drawing of one specification: series, legend, marks and shades of one window. */

import type { IChartApi } from "lightweight-charts";
import type { Palette } from "../theme";
import { Legend } from "./legend";
import type { Group } from "./markers";
import { MarksOnCandles } from "./marks";
import { type Marks, type Row, type Spec, widthOf } from "./protocol";
import { addSeries, type ShownSeries } from "./series";
import { Shading, shadeAt } from "./shades";
import { CandleWindow } from "./window";

/** Pixels that the logo needs, and a height of a pane that has no room for it below a legend. */
const LOGO = 52;
const LOW = 60;

export class Plot {
  readonly rows: CandleWindow;
  readonly series: ShownSeries[];
  readonly #shading: Shading;
  readonly #legend: Legend;
  #marksOn: MarksOnCandles | undefined;
  #marks: Marks = {};
  /** The time under the crosshair, if there is one. */
  #pointed: number | undefined;

  /** `hidden` are the ids of the series that a reader has hidden, which outlive the plot. */
  constructor(
    private readonly chart: IChartApi,
    private readonly root: HTMLElement,
    readonly spec: Spec,
    private palette: Palette,
    private readonly hidden: Set<string>,
  ) {
    this.rows = new CandleWindow(widthOf(spec));
    this.series = addSeries(chart, spec, palette);
    this.#legend = new Legend(root, spec, this.series, (id) => this.#toggle(id));
    this.#showHidden();
    this.#shading = new Shading(palette);
    const candles = this.series[0]?.api;
    if (candles !== undefined) {
      candles.attachPrimitive(this.#shading);
      this.#marksOn = new MarksOnCandles(candles, palette);
    }
  }

  /** Remove everything from the chart. */
  remove(): void {
    this.#legend.remove();
    for (const series of this.series) this.chart.removeSeries(series.api);
  }

  /** Redraw the window, after more than one row changed. */
  drawAll(): void {
    for (const series of this.series) series.setAll(this.rows);
    this.#drawMarks();
    this.legend();
  }

  /**
   * Draw changed rows and return how many candles were added. Rows older than the window are left
   * out: they are loaded when the view is scrolled back to them.
   */
  drawRows(rows: Row[]): number {
    const before = this.rows.length;
    let anew = false;
    for (const row of rows) {
      if (before > 0 && (row[0] as number) < this.rows.first) continue;
      const at = this.rows.find(row[0] as number);
      const old = at >= 0 && at < this.rows.length - 1 ? this.#present(at) : "";
      const done = this.rows.upsert(row);
      if (done.change === "inserted") anew = true;
      // The library cannot add or remove an older point, so everything is redrawn.
      else if (old !== "" && old !== this.#present(done.row)) anew = true;
      if (!anew) for (const series of this.series) series.update(this.rows, done.row);
    }
    const added = this.rows.length - before;
    if (anew) this.drawAll();
    else {
      if (added > 0) this.#drawMarks();
      this.legend();
    }
    return added;
  }

  marks(marks: Marks): void {
    this.#marks = marks;
    this.#drawMarks();
    this.#marksOn?.setLines(marks.lines ?? []);
  }

  /** What is drawn of the markers, and where in the pane of the candles. */
  get drawnMarkers(): { x: number; y: number; markers: unknown[] }[] {
    return this.#marksOn?.markers.drawn ?? [];
  }

  /** Return the markers at a point of the pane of the candles. */
  markersAt(x: number, y: number): Group | undefined {
    return this.#marksOn?.markers.at(x, y);
  }

  /** Show the candle of a time in the legend; without a time, the last one. */
  point(time: number | undefined): void {
    this.#pointed = time;
    this.legend();
  }

  legend(): void {
    let row = this.#pointed === undefined ? -1 : this.rows.find(this.#pointed);
    if (row < 0) {
      row = this.rows.length - 1;
      while (row > 0 && Number.isNaN(this.rows.value(4, row))) row--;
    }
    const tag = shadeAt(this.#marks.shades ?? [], this.rows.time(row));
    this.#legend.show(this.rows, row, this.palette, tag);
  }

  /** Position the legends over their panes. */
  place(): void {
    const top = this.root.getBoundingClientRect().top;
    this.chart.panes().forEach((pane, index, all) => {
      const legend = this.#legend.panes[index];
      const element = pane.getHTMLElement();
      if (legend === undefined || element === null) return;
      const rect = element.getBoundingClientRect();
      legend.style.top = `${Math.round(rect.top - top)}px`;
      legend.style.maxHeight = `${Math.round(rect.height)}px`;
      // The logo of the library is at the left end of the lowest pane, and covers a low one.
      const covered = index === all.length - 1 && rect.height < LOW;
      legend.style.paddingLeft = covered ? `${LOGO}px` : "";
    });
  }

  paint(palette: Palette): void {
    this.palette = palette;
    for (const series of this.series) series.paint(palette);
    this.#shading.paint(palette);
    this.#marksOn?.markers.paint(palette);
    this.drawAll();
  }

  /** Remove the oldest rows and draw the others. */
  trim(count: number): void {
    this.rows.drop(count);
    this.drawAll();
  }

  #toggle(id: string): void {
    if (!this.hidden.delete(id)) this.hidden.add(id);
    this.#showHidden();
  }

  #showHidden(): void {
    for (const { api, spec } of this.series) {
      const visible = !this.hidden.has(spec.id);
      if (api.options().visible !== visible) api.applyOptions({ visible });
    }
    this.#legend.mark(this.hidden);
  }

  #drawMarks(): void {
    this.#marksOn?.setMarkers(this.#marks.markers ?? [], this.rows, this.spec.step);
    this.#shading.show(this.#marks.shades ?? [], this.rows);
  }

  /** Return which series have a value in a row. */
  #present(row: number): string {
    return this.series
      .map((series) => (Number.isNaN(series.value(this.rows, row)) ? "0" : "1"))
      .join("");
  }
}
