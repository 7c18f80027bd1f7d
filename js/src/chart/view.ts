/** One view of a chart: it draws the messages of the kernel and reports clicks and requests. */

import {
  type IChartApi,
  type MouseEventParams,
  PriceScaleMode,
  type Time,
} from "lightweight-charts";
import { clock } from "../format";
import { KernelLink } from "../kernel";
import type { Model } from "../model";
import { followTheme, type Mode, type Palette, paletteOf } from "../theme";
import { colours, createCanvas, MARGINS, RIGHT_OFFSET } from "./canvas";
import { readColumns } from "./codec";
import { Feed } from "./feed";
import { Focus } from "./focus";
import { Frame } from "./frame";
import { EDGE, OlderCandles } from "./older";
import { picture } from "./picture";
import { homeOf, type Place, Places } from "./places";
import { Plot } from "./plot";
import { EMPTY_SPEC, type Marks, type Message, type Spec, type WindowInfo } from "./protocol";
import type { Stats } from "./stats";
import { Timers } from "./timers";

const WAITING = 2_000; // ms until the view shows that the kernel is busy
const MOST_ROOM = 0.4; // largest share of the pane's height for the legend over the candles
const LOOK = 100; // ms between two checks for a replacing view
const LOOKS = 100; // checks until none is expected any more

interface Shown {
  chart: IChartApi;
  series: Record<string, unknown>;
  stats: Stats;
  markers: () => { x: number; y: number; markers: unknown[] }[];
}

declare global {
  var __botlibCharts: Shown[] | undefined;
}

export class ChartView {
  readonly #id = Math.random().toString(36).slice(2, 10);
  readonly #frame: Frame;
  readonly #chart: IChartApi;
  readonly #timers = new Timers();
  readonly #feed: Feed;
  readonly #shown: Shown;
  readonly #theme: ReturnType<typeof followTheme>;
  readonly #resize: ResizeObserver;
  readonly #kernel: KernelLink;
  readonly #focus: Focus;
  /** The ids of the series that the reader has hidden. */
  readonly #hidden = new Set<string>();
  #logarithmic = false;
  readonly #listeners: [string, (...parts: never[]) => void][];
  #plot: Plot;
  #palette: Palette;
  readonly #older: OlderCandles;
  #laidOut = false;
  #dead = false;

  constructor(
    private readonly model: Model,
    el: HTMLElement,
  ) {
    const began = performance.now();
    this.#kernel = KernelLink.of(model);
    const back = () => this.#chart.timeScale().scrollToPosition(RIGHT_OFFSET, false);
    this.#frame = new Frame(el, back, {
      timeframe: (name) => this.#askTimeframe(name),
      logarithmic: (on) => this.#scaleBy(on),
      fullScreen: () => this.#frame.fullScreen(),
    });
    this.#height();
    this.#showNotice();
    this.#palette = paletteOf(this.#mode());
    this.#chart = createCanvas(this.#frame.canvas, this.#palette);
    this.#focus = new Focus(this.#frame.root, this.#chart);
    this.#feed = this.#makeFeed();
    this.#shown = {
      chart: this.#chart,
      series: {},
      stats: this.#feed.stats,
      markers: () => this.#plot.drawnMarkers,
    };
    this.#plot = this.#makePlot();
    this.#older = new OlderCandles(this.#chart, this.#frame, this.#timers, {
      plot: () => this.#plot,
      request: (before, want) => this.#send({ type: "older", before, want }),
      possible: () => this.#kernel.life !== "gone",
      trimmed: () => this.#count(),
    });
    Object.assign(this.#frame.root, { __botlib: this.#shown });
    globalThis.__botlibCharts ??= [];
    globalThis.__botlibCharts.push(this.#shown);
    this.#theme = followTheme(
      this.#frame.root,
      () => this.#mode(),
      (palette) => this.#paint(palette),
    );
    this.#resize = new ResizeObserver(() => this.#place());
    this.#resize.observe(this.#frame.root);
    const info = this.model.get("window_info") as Partial<WindowInfo> | undefined;
    if (info?.spec === this.#plot.spec.version) {
      this.#load(info as WindowInfo, this.model.get("window") as DataView | null);
    }
    this.#chart.subscribeCrosshairMove((at) => this.#pointed(at));
    this.#chart.subscribeClick((at) => this.#clicked(at));
    const scale = this.#chart.timeScale();
    scale.subscribeVisibleLogicalRangeChange(
      (range) => range && this.#older.moved(range.from, range.to),
    );
    scale.subscribeSizeChange((width) => this.#resized(width));
    this.#listeners = [
      ["msg:custom", (message: Message, buffers?: DataView[]) => this.#message(message, buffers)],
      ["change:spec", () => this.#specChanged()],
      ["change:marks", () => this.#plot.marks(this.#marks())],
      ["change:notice", () => this.#showNotice()],
      ["change:theme", () => this.#theme.apply()],
      ["change:height", () => this.#height()],
    ];
    for (const [event, listener] of this.#listeners) this.model.on(event, listener);
    this.#kernel.listen(this.#lives);
    this.#lives();
    this.#resized(scale.width());
    afterPaint(() => this.#painted(began));
  }

  /** Remove the view from the page and cancel its pending work. */
  remove(): void {
    if (this.#dead) return;
    try {
      this.#send({ type: "gone" });
    } catch {
      // The kernel has ended, so there is no receiver.
    }
    this.#dead = true;
    for (const [event, listener] of this.#listeners) this.model.off(event, listener);
    this.#kernel.unlisten(this.#lives);
    this.#timers.stop();
    this.#focus.remove();
    this.#theme.stop();
    this.#resize.disconnect();
    const charts = globalThis.__botlibCharts ?? [];
    if (charts.includes(this.#shown)) charts.splice(charts.indexOf(this.#shown), 1);
    this.#chart.remove();
    this.#frame.root.remove();
  }

  // Values of the model

  #spec(): Spec {
    return { ...EMPTY_SPEC, ...(this.model.get("spec") as Partial<Spec> | undefined) };
  }

  #marks(): Marks {
    return (this.model.get("marks") as Marks | undefined) ?? {};
  }

  #showNotice(): void {
    this.#frame.notice = (this.model.get("notice") as string | undefined) ?? "";
  }

  #mode(): Mode {
    return (this.model.get("theme") as Mode | undefined) ?? "auto";
  }

  #height(): void {
    this.#frame.height = (this.model.get("height") as number | undefined) ?? 520;
  }

  // From the kernel

  #message(message: Message, buffers: DataView[] = []): void {
    if (this.#dead) return;
    const bytes = buffers[0] ?? null;
    if (message.type === "update") this.#feed.update(message);
    else if (message.type === "history") this.#history(message, bytes);
    else if (message.type === "older") this.#prepend(message, bytes);
    else if (message.type === "shoot") void this.#shoot(message.id);
    else if (message.type === "leave") this.#leave();
  }

  #history(message: Extract<Message, { type: "history" }>, bytes: DataView | null): void {
    if (message.view !== undefined && message.view !== this.#id) return;
    if (message.spec !== this.#spec().version) {
      this.#specChanged();
      return;
    }
    if (message.spec !== this.#plot.spec.version) {
      this.#timers.cancel("spec");
      const { timeframe } = this.#plot.spec;
      this.#plot.remove();
      this.#plot = this.#makePlot();
      // The candles of another timeframe begin at the newest one.
      if (timeframe !== this.#plot.spec.timeframe) {
        this.#chart.timeScale().scrollToPosition(RIGHT_OFFSET, false);
      }
    }
    this.#load(message, bytes);
    this.#timers.once("place", 50, () => this.#place());
  }

  #prepend(message: Extract<Message, { type: "older" }>, bytes: DataView | null): void {
    const { rows } = this.#plot;
    const { before, spec } = message;
    this.#older.answered();
    if (before !== rows.first || spec !== this.#plot.spec.version) return;
    this.#older.more = message.more;
    if (rows.prepend(readColumns(bytes, rows.width)) > 0) this.#plot.drawAll();
    this.#count();
  }

  async #shoot(id: string | number): Promise<void> {
    try {
      const png = await picture(this.#chart, this.#frame.root, this.#palette);
      this.#send({ type: "shot", id }, [png]);
    } catch (error) {
      this.#send({ type: "shot", id, error: String(error) });
    }
  }

  /** A changed specification is drawn with the history that follows it. */
  #specChanged(): void {
    this.#timers.once("spec", 1000, () => {
      if (this.#spec().version !== this.#plot.spec.version) this.#resync();
    });
  }

  /**
   * Remove this view once another replaces it; if none does, as in a reloaded page, it stays.
   */
  #leave(): void {
    const { root } = this.#frame;
    const scale = this.#chart.timeScale();
    const { barSpacing } = scale.options();
    const place: Place = { barSpacing, position: scale.scrollPosition() };
    const [places, home] = [Places.of(this.model), homeOf(root)];
    if (this.#laidOut) places.leave(home, place);
    let looks = 0;
    const look = () => {
      if (!root.isConnected && !places.holds(home, place)) this.remove();
      else if (++looks < LOOKS) this.#timers.once("leave", LOOK, look);
      else places.forget(home, place);
    };
    this.#timers.once("leave", 0, look);
  }

  /** Show that the kernel is lost or back; nothing is requested from one that is gone. */
  #lives = (): void => {
    this.#frame.tell({ kernel: this.#kernel.life });
    this.#frame.bar.open = this.#kernel.life !== "gone";
    this.#frame.gone.update(this.#kernel, `its last state, of ${clock(this.#kernel.heard)} UTC`);
    if (this.#kernel.life === "gone") this.#older.answered();
  };

  // To the kernel

  #send(content: Record<string, unknown>, buffers?: ArrayBuffer[]): void {
    if (this.#dead || this.#kernel.life === "gone") return;
    this.model.send({ ...content, view: this.#id }, undefined, buffers);
  }

  #painted(began: number): void {
    if (this.#dead) return;
    const { rows, spec } = this.#plot;
    this.#place();
    this.#frame.tell({ ready: 1 });
    const ms = Math.round(performance.now() - began);
    this.#send({ type: "ready", seq: this.#feed.sequence.got, spec: spec.version });
    this.#send({ type: "painted", rows: rows.length, ms });
  }

  #resync(): void {
    const { have, got } = this.#feed.sequence;
    if (!this.#feed.sequence.ask(performance.now())) return;
    this.#send({ type: "resync", have, got, spec: this.#spec().version });
  }

  #askTimeframe(name: string): void {
    if (name === this.#plot.spec.timeframe || this.#kernel.life === "gone") return;
    this.#frame.bar.asked = name;
    this.#send({ type: "timeframe", timeframe: name });
    this.#timers.once("waiting", WAITING, () => {
      this.#frame.loading = `waiting for the candles of ${name}: a cell runs, or the venue is slow`;
    });
  }

  #clicked(at: MouseEventParams<Time>): void {
    if (at.point === undefined) return;
    const pane = at.paneIndex ?? 0;
    const inPane = this.#plot.series.find((series) => series.spec.pane === pane);
    const hovered = this.#plot.series.find((series) => series.api === at.hoveredInfo?.series);
    this.#send({
      type: "click",
      time: at.time ?? null,
      price: inPane?.api.coordinateToPrice(at.point.y) ?? null,
      pane,
      series: hovered?.spec.id ?? null,
    });
  }

  // On the page

  #pointed(at: MouseEventParams<Time>): void {
    this.#plot.point(at.time as number | undefined);
    const { point } = at;
    const inCandles = point !== undefined && (at.paneIndex ?? 0) === 0;
    const group = inCandles ? this.#plot.markersAt(point.x, point.y) : undefined;
    const { offsetTop } = this.#frame.canvas;
    this.#frame.card.show(group, point?.x ?? 0, (point?.y ?? 0) + offsetTop, this.#palette);
  }

  #scaleBy(logarithmic: boolean): void {
    this.#logarithmic = logarithmic;
    const mode = logarithmic ? PriceScaleMode.Logarithmic : PriceScaleMode.Normal;
    this.#chart.priceScale("right", 0).applyOptions({ mode });
    this.#frame.bar.logarithmic = logarithmic;
  }

  /** Create the series of the specification. */
  #makePlot(): Plot {
    const spec = this.#spec();
    const plot = new Plot(this.#chart, this.#frame.root, spec, this.#palette, this.#hidden);
    this.#frame.bar.show(spec);
    this.#scaleBy(this.#logarithmic);
    plot.marks(this.#marks());
    const { series } = plot;
    this.#shown.series = Object.fromEntries(series.map((one) => [one.spec.id, one.api]));
    this.#chart.applyOptions({ timeScale: { secondsVisible: spec.step < 60 } });
    return plot;
  }

  #makeFeed(): Feed {
    const view = this;
    return new Feed(this.#timers, {
      get width() {
        return view.#plot.rows.width;
      },
      draw: (rows) => {
        if (this.#staying(() => this.#plot.drawRows(rows)) > 0) this.#older.trim();
      },
      counted: () => this.#count(),
      lost: () => this.#resync(),
    });
  }

  /** Replace all rows by a history. */
  #load(info: WindowInfo, bytes: DataView | null): void {
    const { rows } = this.#plot;
    const columns = readColumns(bytes, rows.width);
    this.#staying(() => {
      rows.replace(columns);
      this.#plot.drawAll();
    });
    this.#feed.restart(info.seq);
    this.#older.window = Math.max(500, info.rows);
    this.#older.more = info.more;
    this.#older.answered();
    this.#count();
  }

  /** Draw without moving the view: at the right edge it stays there, elsewhere at its candles. */
  #staying<Result>(draw: () => Result): Result {
    const scale = this.#chart.timeScale();
    if (!this.#laidOut) return draw();
    const before = scale.scrollPosition();
    const { last } = this.#plot.rows;
    const result = draw();
    const { rows } = this.#plot;
    const newer = Number.isFinite(last) ? rows.length - 1 - rows.lowerBound(last) : 0;
    const wanted = before >= EDGE ? before : before - newer;
    if (scale.scrollPosition() !== wanted) scale.scrollToPosition(wanted, false);
    return result;
  }

  #count(): void {
    const { rows } = this.#plot;
    const { applied, gaps } = this.#feed.stats;
    this.#frame.tell({ rows: rows.length, seq: this.#feed.sequence.got, applied, gaps });
    this.#frame.empty = rows.length === 0;
  }

  /** Scroll to the right edge, or the stored position, once the chart has a width. */
  #resized(width: number): void {
    if (!this.#laidOut && width > 0) {
      this.#laidOut = true;
      const left = Places.of(this.model).take(homeOf(this.#frame.root));
      const scale = this.#chart.timeScale();
      if (left) scale.applyOptions({ barSpacing: left.barSpacing });
      scale.scrollToPosition(left?.position ?? RIGHT_OFFSET, false);
    }
    this.#place();
  }

  /** Position the texts over their panes and axes. */
  #place(): void {
    if (this.#dead) return;
    this.#plot.place();
    this.#frame.place(this.#chart);
    this.#makeRoom();
    for (const pane of this.#chart.panes()) {
      const element = pane.getHTMLElement();
      if (element !== null) this.#resize.observe(element);
    }
  }

  /** Keep the candles below the legend, however many lines it has. */
  #makeRoom(): void {
    const legend = this.#frame.root.querySelector<HTMLElement>('.bl-legend[data-pane="0"]');
    const height = this.#chart.panes()[0]?.getHeight() ?? 0;
    if (legend === null || height === 0) return;
    const scale = this.#chart.priceScale("right");
    const { scaleMargins } = scale.options();
    const top = Math.min(MOST_ROOM, Math.max(MARGINS.top, legend.scrollHeight / height));
    if (Math.abs(top - scaleMargins.top) < 0.01) return;
    scale.applyOptions({ scaleMargins: { ...scaleMargins, top } });
  }

  #paint(palette: Palette): void {
    if (palette === this.#palette) return;
    this.#palette = palette;
    this.#chart.applyOptions(colours(palette));
    this.#plot.paint(palette);
  }
}

/** Call back after the browser has painted; in a hidden tab, which never paints, soon. */
function afterPaint(callback: () => void): void {
  let called = false;
  const once = () => {
    if (!called) callback();
    called = true;
  };
  requestAnimationFrame(() => setTimeout(once, 0));
  setTimeout(once, 500);
}
