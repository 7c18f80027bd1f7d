/** Markers of entries and exits: those near each other are drawn as one, with their number. */

import type {
  AutoscaleInfo,
  IPrimitivePaneRenderer,
  IPrimitivePaneView,
  ISeriesPrimitive,
  Logical,
  SeriesAttachedParameter,
  Time,
} from "lightweight-charts";
import type { Palette } from "../theme";
import type { Marker } from "./protocol";
import type { CandleWindow } from "./window";

/** Pixels within which markers on one side of the candles are drawn as one. */
export const NEAR = 28;
/** Pixels from a candle to its marker, the size of a marker, and the room that both need. */
const GAP = 5;
const SIZE = 9;
const ROOM = 34;
const LABEL = 14;
/** A height of the pane below which the labels get no room: the candles need it. */
const LOW = 180;
/** Pixels from the middle of a marker within which it is pointed at. */
const REACH = 11;
const FONT = '11px -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** Markers that are drawn as one. */
export interface Group {
  markers: Marker[];
  /** The first and the last row of its markers. */
  from: number;
  to: number;
  above: boolean;
}

/** What was drawn of a group, and where. */
interface Drawn {
  group: Group;
  x: number;
  y: number;
}

/** In a group of several kinds, the look is that of the first one here that is among them. */
const FIRST = ["stop", "target", "exit", "entry", "exit signal", "entry signal", "note"];

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

/** Return groups of placed markers, if a candle has a width of `spacing` pixels. */
export function grouped(markers: Marker[], rows: CandleWindow, spacing: number): Group[] {
  const open: Record<string, Group> = {};
  const found: Group[] = [];
  for (const marker of markers) {
    const row = rows.find(marker.time);
    const last = open[marker.position];
    if (last !== undefined && (row - last.from) * spacing < NEAR) {
      last.markers.push(marker);
      last.to = row;
      continue;
    }
    const above = marker.position === "aboveBar";
    const group = { markers: [marker], from: row, to: row, above };
    open[marker.position] = group;
    found.push(group);
  }
  return found;
}

/** Return the text beside a group: that of its marker, or how many of what it has. */
export function labelOf({ markers }: Group): string {
  const [first] = markers;
  if (first === undefined || markers.length === 1) return first?.text ?? "";
  const kinds = new Set(markers.map((marker) => marker.kind));
  const texts = new Set(markers.map((marker) => marker.text));
  if (texts.size === 1 && first.text !== "") return `${markers.length} × ${first.text}`;
  if (kinds.size > 1) return String(markers.length);
  return `${markers.length} ${{ entry: "entries", exit: "exits" }[first.kind] ?? `${first.kind}s`}`;
}

function kindOf({ markers }: Group): string {
  const kinds = new Set(markers.map((marker) => marker.kind));
  return FIRST.find((kind) => kinds.has(kind)) ?? "note";
}

type Target = Parameters<IPrimitivePaneRenderer["draw"]>[0];
type Context = CanvasRenderingContext2D;

export class Markers implements ISeriesPrimitive<Time> {
  #at: SeriesAttachedParameter<Time> | undefined;
  #markers: Marker[] = [];
  #rows: CandleWindow | undefined;
  #groups: Group[] = [];
  #spacing = 0;
  #drawn: Drawn[] = [];
  /** The markers and their rows, to skip an update that does not change them. */
  #shown = "[]";
  readonly #views: readonly IPrimitivePaneView[];

  constructor(private palette: Palette) {
    const renderer: IPrimitivePaneRenderer = { draw: (target) => this.#draw(target) };
    this.#views = [{ zOrder: () => "top", renderer: () => renderer }];
  }

  attached(to: SeriesAttachedParameter<Time>): void {
    this.#at = to;
  }

  detached(): void {
    this.#at = undefined;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.#views;
  }

  paint(palette: Palette): void {
    this.palette = palette;
    this.#at?.requestUpdate();
  }

  /** Draw markers on these candles, unless none moved. */
  show(markers: Marker[], rows: CandleWindow, step: number): void {
    const shown = placed(markers, rows, step);
    const drawn = JSON.stringify(shown.map((marker) => [rows.find(marker.time), marker]));
    this.#rows = rows;
    if (drawn === this.#shown) return;
    this.#shown = drawn;
    this.#markers = shown;
    this.#spacing = 0;
    this.#at?.requestUpdate();
  }

  /** What is drawn, and where. */
  get drawn(): { x: number; y: number; markers: Marker[] }[] {
    return this.#drawn.map(({ x, y, group }) => ({ x, y, markers: group.markers }));
  }

  /** Return the group at a point of the pane, if there is one. */
  at(x: number, y: number): Group | undefined {
    return this.#drawn.find((one) => Math.hypot(one.x - x, one.y - y) <= REACH)?.group;
  }

  /** Reserve room for the markers above and below the candles that are seen. */
  autoscaleInfo(from: Logical, to: Logical): AutoscaleInfo | null {
    const seen = this.#groups.filter((group) => group.to >= from && group.from <= to);
    if (seen.length === 0) return null;
    const height = this.#at?.chart.panes()[0]?.getHeight() ?? 0;
    const each = height < LOW ? ROOM - LABEL : ROOM;
    const room = (above: boolean) => (seen.some((one) => one.above === above) ? each : 0);
    return { priceRange: null, margins: { above: room(true), below: room(false) } };
  }

  #draw(target: Target): void {
    this.#drawn = [];
    const rows = this.#rows;
    if (this.#at === undefined || rows === undefined || this.#markers.length === 0) return;
    const { chart, series } = this.#at;
    const scale = chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (range === null) return;
    const spacing = scale.options().barSpacing;
    if (spacing !== this.#spacing) {
      this.#spacing = spacing;
      this.#groups = grouped(this.#markers, rows, spacing);
    }
    target.useMediaCoordinateSpace(({ context }) => {
      const labels: [left: number, top: number, right: number][] = [];
      // The newest labels come first: one that would cover them is farther out, or left out.
      for (const group of [...this.#groups].reverse()) {
        if (group.to < range.from - 1 || group.from > range.to + 1) continue;
        // The library has no coordinates between two candles.
        const left = scale.logicalToCoordinate(group.from as Logical);
        const y = series.priceToCoordinate(edge(rows, group));
        if (left === null || y === null) continue;
        const x = left + ((group.to - group.from) / 2) * spacing;
        const turn = group.above ? -1 : 1;
        const middle = y + turn * (GAP + SIZE / 2);
        this.#drawn.push({ group, x, y: middle });
        this.#shape(context, group, x, middle, turn);
        this.#label(context, group, x, middle + turn * (SIZE / 2 + 2 + LABEL / 2), labels);
      }
    });
  }

  #shape(context: Context, group: Group, x: number, y: number, turn: number): void {
    const half = SIZE / 2;
    context.beginPath();
    if (group.markers.every((marker) => marker.shape === "circle")) {
      context.arc(x, y, half - 0.5, 0, 2 * Math.PI);
    } else {
      // The point is towards the candle.
      context.moveTo(x, y - turn * half);
      context.lineTo(x + half, y + turn * half);
      context.lineTo(x - half, y + turn * half);
      context.closePath();
    }
    // The outline in the background colour separates it from the candles.
    context.lineWidth = 3;
    context.strokeStyle = this.palette.bg;
    context.stroke();
    context.fillStyle = this.#colour(group);
    context.fill();
  }

  #label(
    context: Context,
    group: Group,
    x: number,
    y: number,
    labels: [left: number, top: number, right: number][],
  ): void {
    const text = labelOf(group);
    if (text === "") return;
    context.font = FONT;
    const width = context.measureText(text).width + 6;
    const [left, right] = [x - width / 2, x + width / 2];
    const free = (top: number) =>
      labels.every(
        (one) => Math.abs(one[1] - top) >= LABEL || left >= one[2] + 2 || right <= one[0] - 2,
      );
    const away = group.above ? -LABEL : LABEL;
    const top = [y - LABEL / 2, y - LABEL / 2 + away].find(free);
    if (top === undefined) return;
    labels.push([left, top, right]);
    context.globalAlpha = 0.85;
    context.fillStyle = this.palette.bg;
    context.fillRect(left, top, width, LABEL);
    context.globalAlpha = 1;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = this.#colour(group);
    context.fillText(text, x, top + LABEL / 2 + 0.5);
  }

  #colour(group: Group): string {
    return markColour(this.palette, kindOf(group));
  }
}

/** Return the colour of a kind of marker. */
export function markColour(palette: Palette, kind: string): string {
  const found: Record<string, string> = {
    entry: palette.entry,
    exit: palette.exit,
    stop: palette.stop,
    target: palette.target,
    "entry signal": palette.entry,
    "exit signal": palette.exit,
  };
  return found[kind] ?? palette.muted;
}

/** Return the highest or the lowest price of the candles of a group. */
function edge(rows: CandleWindow, { from, to, above }: Group): number {
  let found = Number.NaN;
  for (let row = from; row <= to; row++) {
    const value = rows.value(above ? 2 : 3, row);
    if (Number.isNaN(value)) continue;
    if (Number.isNaN(found)) found = value;
    found = above ? Math.max(found, value) : Math.min(found, value);
  }
  return found;
}
