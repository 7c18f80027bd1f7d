/** Format numbers and UTC times. */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const UNITS: [number, string][] = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e3, "K"],
];

const two = (value: number) => String(value).padStart(2, "0");

/** Return the decimals that show about four digits of numbers as large as `largest`. */
export function decimalsFor(largest: number): number {
  if (!Number.isFinite(largest) || largest === 0) return 2;
  return Math.min(8, Math.max(0, 4 - Math.ceil(Math.log10(Math.abs(largest)))));
}

/** Format a number with separated thousands; a dash if it is not finite. */
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

/** Format an amount in K, M, B or T. */
export function compact(value: number): string {
  if (!Number.isFinite(value)) return "–";
  for (const [size, unit] of UNITS) {
    if (Math.abs(value) >= size) return `${number(value / size, 2)}${unit}`;
  }
  return number(value, decimalsFor(value));
}

/** Format a change as a percentage with its sign. */
export function percent(fraction: number): string {
  if (!Number.isFinite(fraction)) return "";
  return `${fraction > 0 ? "+" : ""}${number(fraction * 100, 2)}\u2009%`;
}

/** Format UTC seconds as "5 Jan 2026 13:45 UTC", with seconds if they are not zero. */
export function moment(seconds: number): string {
  const date = new Date(seconds * 1000);
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  const rest = date.getUTCSeconds();
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return `${day} ${clock}${rest === 0 ? "" : `:${two(rest)}`} UTC`;
}

/** Format a tick of the time axis; `kind`: year, month, day, time, time with seconds. */
export function tick(seconds: number, kind: number): string {
  const date = new Date(seconds * 1000);
  if (kind === 0) return String(date.getUTCFullYear());
  if (kind === 1) return MONTHS[date.getUTCMonth()] ?? "";
  if (kind === 2) return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  const clock = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  return kind === 4 ? `${clock}:${two(date.getUTCSeconds())}` : clock;
}
