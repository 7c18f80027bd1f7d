/** Format values for display. Times are milliseconds since the epoch, shown in UTC. */

const MONEY = new Intl.NumberFormat("en-US", {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});
const COUNT = new Intl.NumberFormat("en-US");

export const DASH = "–";

type Figure = number | null | undefined;

export function money(value: Figure): string {
  return typeof value === "number" ? MONEY.format(value) : DASH;
}

/** Format a decimal such as "65,660.923145" with seven significant digits, or two decimals. */
export function short(value: string): string {
  const [whole = "", part] = value.split(".");
  if (part === undefined) return value;
  const before = whole.replace(/^-?0*/, "").replaceAll(",", "").length;
  const zeros = before > 0 ? 0 : (/^0*/.exec(part)?.[0].length ?? 0);
  const keep = Math.max(2, 7 - before) + zeros;
  if (part.length <= keep) return value;
  return new Intl.NumberFormat("en-US", { maximumFractionDigits: Math.min(keep, 20) }).format(
    Number(value.replaceAll(",", "")),
  );
}

export function signed(value: Figure): string {
  if (typeof value !== "number") return DASH;
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${MONEY.format(Math.abs(value))}`;
}

export function share(value: Figure): string {
  if (typeof value !== "number") return DASH;
  const sign = value > 0 ? "+" : value < 0 ? "−" : "";
  return `${sign}${MONEY.format(Math.abs(value * 100))} %`;
}

export function count(value: Figure): string {
  return typeof value === "number" ? COUNT.format(value) : "";
}

/** Format the time of day, such as 14:03:07. */
export function clock(value: Figure): string {
  return typeof value === "number" ? new Date(value).toISOString().slice(11, 19) : "";
}

/** Format day and time of day, such as 2026-01-05 14:03:07. */
export function stamp(value: Figure): string {
  if (typeof value !== "number") return "";
  return new Date(value).toISOString().slice(0, 19).replace("T", " ");
}

/** Format a duration in seconds, in its two largest units or with a fraction if it is short. */
export function span(seconds: number): string {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d`;
}

/** Format the time that has passed since a moment, at `now`. */
export function ago(value: Figure, now: number): string {
  if (typeof value !== "number") return "";
  return value >= now - 1000 ? "now" : span(Math.round((now - value) / 1000));
}

/** Format the time until a moment, at `now`. */
export function ahead(value: Figure, now: number): string {
  if (typeof value !== "number") return "";
  return value <= now ? "now" : `in ${span(Math.round((value - now) / 1000))}`;
}

/** Return the CSS class of a gain or a loss. */
export function gainClass(value: Figure): string {
  if (typeof value !== "number" || value === 0) return "";
  return value > 0 ? "bl-up" : "bl-down";
}
