/** Write numbers and UTC times the way traders read them. */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const UNITS: [number, string][] = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"],
];

const two = (value: number) => String(value).padStart(2, "0");

/** Return how many decimals show about four digits of numbers as large as `largest`. */
export function decimalsFor(largest: number): number {
  if (!Number.isFinite(largest) || largest === 0) return 2;
  return Math.min(8, Math.max(0, 4 - Math.ceil(Math.log10(Math.abs(largest)))));
}

/** Write a number with thousands apart; a dash where there is none. */
export function number(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return "–";
  const [whole = "", fraction] = Math.abs(value).toFixed(decimals).split(".");
  let grouped = whole.slice(-3);
  for (let end = whole.length - 3; end > 0; end -= 3) {
    grouped = `${whole.slice(Math.max(0, end - 3), end)}\u2009${grouped}`;
  }
  const sign = value < 0 && Number(value.toFixed(decimals)) !== 0 ? "−" : "";
  return `${sign}${grouped}${fraction === undefined ? "" : `.${fraction}`}`;
}

/** Write an amount in K, M, B or T. */
export function compact(value: number): string {
  if (!Number.isFinite(value)) return "–";
  for (const [size, unit] of UNITS) {
    if (Math.abs(value) >= size) return `${number(value / size, 2)}${unit}`;
  }
  return number(value, decimalsFor(value));
}

/** Write a change as a percentage with its sign. */
export function percent(fraction: number): string {
  if (!Number.isFinite(fraction)) return "";
  return `${fraction > 0 ? "+" : ""}${number(fraction * 100, 2)}\u2009%`;
}

/** Write UTC seconds as "5 Jan 2026 13:45 UTC"; the seconds only where they are not zero. */
export function moment(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  const rest = date.getUTCSeconds();
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return `${day} ${clock}${rest === 0 ? "" : `:${two(rest)}`} UTC`;
}

/** Write the mark of a time axis; `kind` counts year, month, day, time, time with seconds. */
export function tick(seconds: number, kind: number): string {
  const date = new Date(seconds * 1000);
  if (kind === 0) return String(date.getUTCFullYear());
  if (kind === 1) return MONTHS[date.getUTCMonth()] ?? "";
  if (kind === 2) return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return kind === 4 ? `${clock}:${two(date.getUTCSeconds())}` : clock;
}
