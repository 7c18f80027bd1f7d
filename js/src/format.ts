/**
 * Numbers, durations and times as every page writes them.
 *
 * `botlib/core/text/formats.py` has the same rules for cards, tables and pictures, and
 * `tests/core/text/format_cases.json` checks both. Thousands are separated by a thin space, a negative
 * number has a minus sign, and a value that is not known is a dash. Times are UTC; the label beside
 * one says whether it is market time or wall time.
 */

export const THIN = "\u2009";
export const MINUS = "\u2212";
export const NONE = "–";

/** Digits of a computed number that are shown, and at least two decimals. */
const SIGNIFICANT = 7;
const MOST_DECIMALS = 12;
/** Decimals to which amounts and prices of a venue are exact. */
const EXACT = 8;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const UNITS: [number, string][] = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"],
];

/** A number; null or not finite if it is not known. */
export type Figure = number | null | undefined;

const known = (value: Figure): value is number =>
  typeof value === "number" && Number.isFinite(value);
const two = (value: number) => String(value).padStart(2, "0");

/** Format a number such as "12 345.60"; with `sign` a positive one has a plus sign. */
export function number(value: Figure, decimals = 2, sign = false): string {
  if (!known(value)) return NONE;
  const text = grouped(Math.abs(value).toFixed(decimals));
  if (!/[1-9]/.test(text)) return text;
  return `${value < 0 ? MINUS : sign ? "+" : ""}${text}`;
}

/** Format a whole number such as "12 345". */
export function count(value: Figure): string {
  return number(value, 0);
}

/** Format a fraction such as 0.0123 as "1.23 %". */
export function percent(fraction: Figure, decimals = 2, sign = false): string {
  return known(fraction) ? `${number(fraction * 100, decimals, sign)}${THIN}%` : NONE;
}

/** Format an amount in K, M, B or T. */
export function compact(value: Figure): string {
  if (!known(value)) return NONE;
  for (const [size, unit] of UNITS) {
    if (Math.abs(value) >= size) return `${number(value / size, 2)}${unit}`;
  }
  return number(value, decimalsFor(value));
}

/** Return the decimals that show about four digits of numbers as large as `largest`. */
export function decimalsFor(largest: number): number {
  if (!Number.isFinite(largest) || largest === 0) return 2;
  return Math.min(8, Math.max(0, 4 - Math.ceil(Math.log10(Math.abs(largest)))));
}

/** Format the numbers of one column, all with the same decimals. */
export function column(values: readonly Figure[]): string[] {
  const decimals = decimalsOf(values);
  return values.map((value) => number(value, decimals));
}

/** Return the decimals with which all values are shown: what they need, within their digits. */
export function decimalsOf(values: readonly Figure[]): number {
  const found = values.filter(known);
  const largest = found.reduce((size, value) => Math.max(size, Math.abs(value)), 0);
  const most = mostDecimals(largest);
  return found.reduce((needed, value) => Math.max(needed, decimalsIn(value.toFixed(most))), 0);
}

/**
 * Return the decimals of a column of decimals as the kernel sends them, such as "0.01511". Those of
 * a venue keep all their digits, computed ones are shortened.
 */
export function decimalsOfTexts(texts: readonly string[]): number {
  const found = texts.filter((text) => text !== "");
  const largest = found.reduce((size, text) => Math.max(size, Math.abs(Number(text))), 0);
  const most = Math.max(mostDecimals(largest), EXACT);
  const needed = found.reduce((sum, text) => Math.max(sum, decimalsIn(text)), 0);
  return needed <= most ? needed : mostDecimals(largest);
}

/** Format a decimal such as "65660.9" with the decimals of its column; empty stays empty. */
export function decimal(text: string, decimals: number): string {
  if (text === "") return "";
  const [whole = "", fraction = ""] = text.replace("-", "").split(".");
  // A float has fewer digits than a decimal may have.
  const shown =
    fraction.length > decimals
      ? Math.abs(Number(text)).toFixed(decimals)
      : decimals === 0
        ? whole
        : `${whole}.${fraction.padEnd(decimals, "0")}`;
  return `${text.startsWith("-") && /[1-9]/.test(shown) ? MINUS : ""}${grouped(shown)}`;
}

/** Format a measured duration in seconds, such as "26 ms", "1.3 s" or "2 h 5 min". */
export function duration(seconds: Figure): string {
  if (!known(seconds)) return NONE;
  if (seconds < 0.9995) {
    return seconds > 0 && seconds < 0.0005 ? "<1 ms" : `${Math.round(seconds * 1000)} ms`;
  }
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  return whole(seconds);
}

/** Format the time that has passed since a moment (ms), at `now`. */
export function ago(value: Figure, now: number): string {
  if (!known(value)) return "";
  return value >= now - 1000 ? "now" : `${whole((now - value) / 1000)} ago`;
}

/** Format the time until a moment (ms), at `now`. */
export function ahead(value: Figure, now: number): string {
  if (!known(value)) return "";
  return value <= now ? "now" : `in ${whole((value - now) / 1000)}`;
}

/** Format the time of day of a time (ms), such as "14:03:07". */
export function clock(time: Figure): string {
  return known(time) ? new Date(time).toISOString().slice(11, 19) : NONE;
}

/** Format day and time of day of a time (ms), such as "2026-01-05 14:03:07". */
export function stamp(time: Figure): string {
  return known(time) ? new Date(time).toISOString().slice(0, 19).replace("T", " ") : NONE;
}

/** Format UTC seconds as "5 Jan 2026 13:45 UTC", with seconds if they are not zero. */
export function moment(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  const rest = date.getUTCSeconds();
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return `${day} ${time}${rest === 0 ? "" : `:${two(rest)}`} UTC`;
}

/** Format a tick of the time axis; `kind`: year, month, day, time, time with seconds. */
export function tick(seconds: number, kind: number): string {
  const date = new Date(seconds * 1000);
  if (kind === 0) return String(date.getUTCFullYear());
  if (kind === 1) return MONTHS[date.getUTCMonth()] ?? "";
  if (kind === 2) return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  const time = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return kind === 4 ? `${time}:${two(date.getUTCSeconds())}` : time;
}

function grouped(text: string): string {
  const [start = "", fraction] = text.split(".");
  let shown = start.slice(-3);
  for (let end = start.length - 3; end > 0; end -= 3) {
    shown = `${start.slice(Math.max(0, end - 3), end)}${THIN}${shown}`;
  }
  return fraction === undefined ? shown : `${shown}.${fraction}`;
}

/** Format whole seconds in their two largest units. */
function whole(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d`;
}

function mostDecimals(largest: number): number {
  if (largest >= 1) return Math.max(2, SIGNIFICANT - Math.trunc(Math.log10(largest)) - 1);
  const zeros = largest === 0 ? 0 : Math.trunc(-Math.log10(largest));
  return Math.min(MOST_DECIMALS, SIGNIFICANT + zeros);
}

/** Return how many decimals a text has, without zeros at its end. */
function decimalsIn(text: string): number {
  return (text.split(".")[1] ?? "").replace(/0+$/, "").length;
}
