/** The columns of the dashboard's tables. */

import {
  ago,
  ahead,
  clock,
  count,
  decimal,
  decimalsOfTexts,
  duration,
  number,
  percent,
  stamp,
} from "../format";
import { gainClass } from "./patch";
import type {
  BookRow,
  FeedRow,
  FeedState,
  FillRow,
  Health,
  HoldKind,
  HoldRow,
  LogRow,
  OrderRow,
  PositionRow,
  Protection,
  StrategyRow,
  TaskRow,
} from "./schema";
import type { Column, Shown } from "./table";

type Texts<Key extends string> = { readonly [Name in Key]: string };
type Times = { readonly time: number | null; readonly wall?: number };

type Look = Pick<Column<unknown>, "least" | "spare">;

const plain = <Key extends string>(
  title: string,
  key: Key,
  look: Look = {},
): Column<Texts<Key>> => ({
  title,
  ...look,
  show: (row) => row[key],
});
/** A price or an amount, with the decimals of its column, and all its digits as the title. */
const figure = <Key extends string>(
  title: string,
  key: Key,
  look: Look = {},
): Column<Texts<Key>> => ({
  title,
  kind: "num",
  least: 60,
  ...look,
  figure: (row) => row[key],
  show: (row, _, decimals) => ({ text: decimal(row[key], decimals), title: row[key] }),
});
const side: Column<Texts<"side">> = {
  title: "side",
  show: (row) => ({ text: row.side, tone: row.side === "buy" ? "bl-up" : "bl-down" }),
};
const wallTime: Column<{ time: number }> = {
  title: "wall time",
  least: 58,
  show: (row) => ({ text: clock(row.time), title: `${stamp(row.time)} UTC, wall time` }),
};
/** Market time, which differs from wall time in a fast market; an order has both. */
const marketTime: Column<Times> = {
  title: "market time",
  least: 68,
  show: (row) => ({ text: clock(row.time), title: marketTimes(row) }),
};

const HEALTH: Record<Health, string> = {
  ok: "bl-ok",
  warn: "bl-warn",
  bad: "bl-bad",
  off: "bl-muted",
};
const FEED: Record<FeedState, string> = {
  ok: "bl-ok",
  repairing: "bl-warn",
  late: "bl-bad",
  stale: "bl-bad",
  stopped: "bl-muted",
};
const STOP: Record<Protection, string> = {
  resting: "bl-ok",
  unknown: "bl-warn",
  missing: "bl-bad",
  none: "bl-muted",
};
const STATUS: Record<string, string> = {
  filled: "bl-ok",
  open: "bl-accent",
  unknown: "bl-warn",
  intent: "bl-warn",
  sent: "bl-warn",
  pending_cancel: "bl-warn",
  partially_filled: "bl-accent",
  absent: "bl-muted",
  rejected: "bl-bad",
  expired: "bl-bad",
  canceled: "bl-muted",
};
const HOLD: Record<HoldKind, string> = {
  halt: "bl-bad",
  caution: "bl-warn",
  trouble: "bl-warn",
};
const LEVEL: Record<string, string> = {
  WARNING: "bl-warn",
  ERROR: "bl-bad",
  CRITICAL: "bl-bad",
  INFO: "bl-muted",
};

export function marketTimes(row: Times): string {
  const { time, wall } = row;
  const said = time === null ? "market time not known" : `${stamp(time)} UTC, market time`;
  return wall === undefined ? said : `${said}\n${stamp(wall)} UTC, wall time`;
}

function dotted(value: string, tone: string): Shown {
  return { text: value, tone: `bl-dot ${tone}` };
}

function late(row: TaskRow): Shown {
  const [p50, p99] = [row.late, row.late99];
  if (p50 === null || p99 === null) return { text: "" };
  return {
    text: duration(p99),
    tone: p99 > 1 ? "bl-warn" : "",
    title: `lateness: median ${duration(p50)}, 99 % ${duration(p99)}`,
  };
}

function protection(row: { protection: Protection; stop: string }): Shown {
  const kind = row.protection;
  const said: Record<Protection, string> = {
    resting: decimal(row.stop, decimalsOfTexts([row.stop])),
    unknown: "being settled",
    missing: "MISSING",
    none: "no stop",
  };
  return {
    text: said[kind],
    tone: `bl-dot ${STOP[kind]}`,
    title: kind === "resting" ? "The stop rests at the exchange, whether this runs or not." : "",
  };
}

export const TASKS: readonly Column<TaskRow>[] = [
  {
    title: "task",
    show: (row) => ({ text: row.name, tone: "bl-name", title: `${row.name} ${row.group}`.trim() }),
  },
  { title: "state", least: 68, show: (row) => dotted(row.state, HEALTH[row.health]) },
  {
    title: "schedule",
    spare: 1,
    show: (row) => ({ text: row.schedule, tone: "bl-muted", title: row.priority }),
  },
  { title: "runs", kind: "num", spare: 1, least: 40, show: (row) => count(row.runs) },
  {
    title: "last run",
    kind: "num",
    least: 58,
    spare: 1,
    timed: true,
    show: (row, now) => ({
      text: ago(row.last, now),
      title: `${stamp(row.last)} UTC, wall time${row.took === null ? "" : `, took ${duration(row.took)}`}`,
    }),
  },
  {
    title: "next",
    kind: "num",
    least: 58,
    spare: 1,
    timed: true,
    show: (row, now) => ({
      text: ahead(row.next, now),
      title: `${stamp(row.next)} UTC, wall time`,
    }),
  },
  { title: "late", kind: "num", spare: 1, least: 46, show: late },
];

/** What protects money comes first: in a narrow view the last columns are left out. */
export const POSITIONS: readonly Column<PositionRow>[] = [
  { title: "symbol", show: (row) => ({ text: row.symbol, tone: "bl-name" }) },
  figure("amount", "amount"),
  { title: "stop", least: 84, show: protection },
  {
    title: "gain",
    kind: "num",
    least: 54,
    show: (row) => ({ text: number(row.gain, 2, true), tone: gainClass(row.gain) }),
  },
  {
    title: "",
    kind: "num",
    least: 54,
    show: (row) => ({ text: percent(row.share, 2, true), tone: gainClass(row.share) }),
  },
  figure("price", "price", { spare: 2 }),
  figure("entry", "entry", { spare: 1 }),
  plain("strategy", "strategy", { spare: 1 }),
];

export const STRATEGIES: readonly Column<StrategyRow>[] = [
  {
    title: "strategy",
    show: (row) => ({
      text: row.name,
      tone: "bl-name",
      title: `${row.strategy} on ${row.symbol} ${row.timeframe}${row.trades ? "" : ", only shown"}`,
    }),
  },
  {
    title: "state",
    least: 70,
    show: (row) => ({ ...dotted(row.state, HEALTH[row.health]), title: row.detail }),
  },
  {
    ...figure("held", "held", { spare: 2 }),
    show: (row, _, decimals) =>
      Number(row.held) === 0
        ? { text: "flat", tone: "bl-muted" }
        : { text: decimal(row.held, decimals), title: row.held },
  },
  {
    title: "profit",
    kind: "num",
    least: 54,
    show: (row) => ({
      text: number(row.profit, 2, true),
      tone: gainClass(row.profit),
      title: "booked and open, since its first fill",
    }),
  },
  {
    title: "today",
    kind: "num",
    least: 54,
    show: (row) => ({
      text: number(row.day, 2, true),
      tone: gainClass(row.day),
      title: "booked since midnight UTC",
    }),
  },
  {
    title: "trips",
    kind: "num",
    spare: 2,
    show: (row) => ({ text: count(row.trips), title: `${row.won} of them earned something` }),
  },
  { title: "signals", kind: "num", spare: 1, show: (row) => count(row.signals) },
  plain("symbol", "symbol", { spare: 1 }),
];

export const BOOKS: readonly Column<BookRow>[] = [
  {
    title: "strategy",
    show: (row) => ({
      text: row.orphaned ? `${row.strategy} (orphaned)` : row.strategy,
      tone: row.orphaned ? "bl-name bl-warn" : "bl-name",
      title: row.orphaned ? "Its strategy was not registered; what it holds stays protected." : "",
    }),
  },
  plain("symbol", "symbol"),
  figure("held", "held"),
  {
    title: "wants",
    kind: "num",
    figure: (row) => row.wants,
    show: (row, _, decimals) => ({
      text: decimal(row.wants, decimals),
      tone: row.wants === "" ? "" : "bl-accent",
      title: row.reason,
    }),
  },
  { title: "stop", least: 84, show: protection },
  figure("target", "target", { spare: 1 }),
  {
    title: "doing",
    rest: true,
    show: (row) => ({
      text: row.wants === "" ? row.doing : `${row.reason} ${row.doing}`,
      tone: "bl-muted",
      title: row.doing,
    }),
  },
];

export const HOLDS: readonly Column<HoldRow>[] = [
  { title: "kind", show: (row) => dotted(row.kind, HOLD[row.kind]) },
  { title: "why", rest: true, wraps: true, show: (row) => row.text },
  { title: "by", show: (row) => ({ text: row.source, tone: "bl-muted" }) },
  plain("symbol", "symbol", { spare: 1 }),
  {
    title: "since",
    kind: "num",
    timed: true,
    show: (row, now) => ({ text: ago(row.since, now), title: stamp(row.since) }),
  },
];

function status(row: OrderRow, now: number): Shown {
  const since = row.unknown_since;
  if (since === null) {
    return { text: row.status, tone: STATUS[row.status] ?? "", title: row.message };
  }
  const title = `Its outcome has not been known since ${stamp(since)} UTC.\n${row.message}`;
  return { text: `${row.status} ${ago(since, now)}`, tone: "bl-warn", title };
}

export const ORDERS: readonly Column<OrderRow>[] = [
  marketTime,
  plain("symbol", "symbol"),
  side,
  {
    title: "role",
    show: (row) => ({ text: row.role, title: row.type.replaceAll("_", " ") }),
  },
  figure("amount", "amount"),
  figure("price", "price"),
  { title: "status", timed: true, show: status },
];

export const FILLS: readonly Column<FillRow>[] = [
  marketTime,
  plain("symbol", "symbol"),
  side,
  figure("amount", "amount"),
  figure("price", "price"),
  { title: "cost", kind: "num", show: (row) => number(row.cost) },
  {
    title: "fee",
    kind: "num",
    figure: (row) => row.fee,
    show: (row, _, decimals) => `${decimal(row.fee, decimals)} ${row.fee_asset}`,
  },
];

export const FEEDS: readonly Column<FeedRow>[] = [
  {
    title: "feed",
    show: (row) => ({ text: `${row.symbol} ${row.timeframe}`, tone: "bl-name" }),
  },
  { title: "state", show: (row) => dotted(row.state, FEED[row.state]) },
  {
    title: "age",
    kind: "num",
    least: 46,
    show: (row) => duration(row.age),
  },
  { title: "candles", kind: "num", show: (row) => (row.closed === null ? "" : count(row.closed)) },
  {
    title: "gaps",
    kind: "num",
    show: (row) => ({
      text: `${count(row.gaps)}`,
      tone: row.gaps ? "bl-warn" : "bl-muted",
      title: `${count(row.holes)} candles the venue lacks, ${count(row.bad)} unusable frames`,
    }),
  },
];

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

export const LOG: readonly Column<LogRow>[] = [
  wallTime,
  {
    title: "level",
    show: (row) => ({ text: row.level.toLowerCase(), tone: LEVEL[row.level] ?? "" }),
  },
  { title: "from", spare: 1, show: (row) => ({ text: row.name, tone: "bl-muted" }) },
  {
    title: "message",
    rest: true,
    wraps: true,
    show: (row) => ({ text: cut(row.text, 160), title: row.text }),
  },
];
