/** The messages between kernel and page. Times are UTC seconds, prices float64. */

export type SeriesKind = "candles" | "volume" | "line" | "histogram";

export interface SeriesSpec {
  id: string;
  kind: SeriesKind;
  pane: number;
  title: string;
  color: string;
  /** Colour the bars by the sign of their value. */
  signed?: boolean;
  /** Of a line: those of one colour differ in it. */
  style?: "solid" | "dashed" | "dotted" | "long dashes";
  /** Values at which a faint line is drawn, and which are always in view. */
  levels?: number[];
}

export interface Spec {
  version: number;
  title: string;
  symbol: string;
  timeframe: string;
  /** The timeframes that can be shown in its place. */
  timeframes: string[];
  /** Seconds from one candle to the next. */
  step: number;
  /** The kind of market, such as "mirror"; empty for candles of a frame. */
  kind: string;
  /** Whose prices and whose money it is. */
  words: string;
  venue: string;
  price_decimals: number;
  series: SeriesSpec[];
  /** Relative heights of the panes. */
  panes: number[];
}

export interface WindowInfo {
  rows: number;
  seq: number;
  more: boolean;
  spec: number;
}

export interface Marker {
  time: number;
  position: "aboveBar" | "belowBar";
  shape: "arrowUp" | "arrowDown" | "circle";
  kind: string;
  text: string;
  /** When it happened; `time` is the open of its candle. */
  at?: number;
  /** What it was, as labels and values. */
  card?: [label: string, value: string][];
}

export interface Line {
  id: string;
  price: number;
  color: string;
  title: string;
  style: "solid" | "dashed" | "dotted";
  /** For a line over a past range: times from which it held, and prices. */
  steps?: [since: number, price: number][];
  /** Time of the last candle of the range. */
  to?: number;
}

export interface Shade {
  /** Times of its first and its last candle. */
  from: number;
  to: number;
  kind: "repaired" | "missing";
}

export interface Marks {
  markers?: Marker[];
  lines?: Line[];
  shades?: Shade[];
}

/** When the kernel received the oldest row of an update, and sent it, in ms since 1970. */
export interface Times {
  taken: number;
  sent: number;
}

/** A row of an update: time, open, high, low, close, then one value per further series. */
export type Row = (number | null)[];

export type Message =
  | ({ type: "history"; view?: string } & WindowInfo)
  | { type: "older"; rows: number; more: boolean; before: number; spec: number }
  | ({ type: "update"; seq: number; rows: Row[] } & Times)
  | { type: "shoot"; id: string | number }
  | { type: "leave" };

export const EMPTY_SPEC: Spec = {
  version: 0,
  title: "",
  symbol: "",
  timeframe: "",
  timeframes: [],
  step: 60,
  kind: "",
  words: "",
  venue: "",
  price_decimals: 2,
  series: [],
  panes: [],
};

/** Return the number of columns of a series: four for candles, one for every other. */
export function columnsOf(series: SeriesSpec): number {
  return series.kind === "candles" ? 4 : 1;
}

/** Return the number of columns of a row, its time included. */
export function widthOf(spec: Spec): number {
  return spec.series.reduce((total, series) => total + columnsOf(series), 1);
}

/** Return the indicator and the column of a title: "macd(12, 26, 9)", "signal". */
export function partsOf(title: string): [study: string, part: string] {
  const end = title.lastIndexOf(" ");
  if (end < 0 || title.endsWith(")")) return [title, ""];
  return [title.slice(0, end), title.slice(end + 1)];
}
