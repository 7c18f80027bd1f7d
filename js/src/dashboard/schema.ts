/** The JSON of a dashboard. Written by js/schema.py from botlib/widgets/dashboard/schema.py. */

export type Health = "ok" | "warn" | "bad" | "off";

/** Whether candles come; `stale` for a mirror that does not hear its venue. */
export type FeedState = "ok" | "repairing" | "late" | "stale" | "stopped";

/** Whether a protective stop rests at the venue; `unknown` while an order is being settled. */
export type Protection = "resting" | "unknown" | "missing" | "none";

/** What a strategy does: it is asked and signals, or never did; its warm-up is not reached; it did not learn again when it had to; its entries are refused; no candles come; it raises errors; it is not asked. */
export type StrategyStateName =
  | "working"
  | "quiet"
  | "blind"
  | "stale"
  | "refused"
  | "starved"
  | "failing"
  | "off";

/** What a page can request: for a task its start, stop, a run now or its last error; for a strategy that it is asked again or no more, the sale of what it holds, or the lines of its last failure. */
export type Action =
  | "start"
  | "stop"
  | "run"
  | "error"
  | "kill"
  | "kill_and_sell"
  | "rearm"
  | "strategy_on"
  | "strategy_off"
  | "flatten"
  | "strategy_error";

/** What keeps entries back: a halt until a person re-arms, a caution while it lasts; or what a desk cannot do at present. */
export type HoldKind = "halt" | "caution" | "trouble";

export type RequestId = number | string;

/** Rows by key, and their keys in the order of display. */
export interface DashboardTable<RowT> {
  order: string[];
  rows: Record<string, RowT>;
}

/** The engine as a whole. */
export interface HeadSection {
  /** The kind of market, such as `mirror`. */
  mode: string;
  /** What the name of the kind leaves open, such as `play money`; may be empty. */
  note: string;
  /** Whose prices and whose money it is. */
  words: string;
  venue: string;
  running: boolean;
  healthy: boolean;
  reasons: string[];
  /** What a person should look at, although it is healthy. */
  warnings: string[];
  /** 0 before the first candle. */
  market_time: number;
  /** Wall time. */
  now: number;
  started: number;
  strategies: number;
  signals: number;
  /** Address of the control API; empty when it is off. */
  url: string;
}

/** Figures of the account. */
export interface AccountSection {
  quote: string;
  equity: number | null;
  start: number | null;
  realised: number | null;
  unrealised: number | null;
  exposure: number | null;
  /** Profit since midnight UTC. */
  day: number | null;
}

/** Equity over the run. */
export interface CurveSection {
  values: number[];
}

/** Who threw the kill switch, when and why. */
export interface KillRecord {
  reason: string;
  by: string;
  at: number;
}

/** The kill switch and the limits of the risk checks. */
export interface RiskSection {
  killed: KillRecord | null;
  /** Why entries are stopped. */
  halted: string | null;
  rejected: number;
  max_exposure: number | null;
  max_daily_loss: number | null;
  stop_file: string;
  token_file: string;
}

/** Lag of the event loop in seconds. */
export interface LoopSection {
  lag: number;
  p50: number;
  p99: number;
  worst: number;
  /** The lag above which the engine is unhealthy. */
  limit: number;
  /** What blocked the loop last; empty when nothing did. */
  stall: string;
}

/** One background task. */
export interface TaskRow {
  name: string;
  group: string;
  state: string;
  health: Health;
  priority: string;
  schedule: string;
  runs: number;
  failures: number;
  overruns: number;
  last: number | null;
  /** Seconds. */
  took: number | null;
  next: number | null;
  /** Median lateness of its runs in seconds. */
  late: number | null;
  late99: number | null;
  error: string;
  /** The actions that are possible now. */
  can: Action[];
}

/** One strategy, what it does and what it earned. */
export interface StrategyRow {
  name: string;
  /** Its class with the parameters that are not the defaults. */
  strategy: string;
  symbol: string;
  timeframe: string;
  state: StrategyStateName;
  health: Health;
  /** The reason or the figures of its state. */
  detail: string;
  /** Market time of the first failure or refusal in a row. */
  since: number | null;
  /** Failures or refusals in a row. */
  count: number;
  /** False if its signals are only shown. */
  trades: boolean;
  asked: number;
  /** Open time of the newest candle it was asked about; market time. */
  last_asked: number | null;
  signals: number;
  /** `entry` or `exit`; empty before the first. */
  last_signal: string;
  /** Open time of the candle of its last signal; market time. */
  signalled: number | null;
  order_cost: string;
  held: string;
  value: number | null;
  /** Booked and not booked yet, since its first fill. */
  profit: number | null;
  /** Booked since midnight UTC. */
  day: number | null;
  /** Round trips that have ended. */
  trips: number;
  /** Those of them that earned something. */
  won: number;
  errors: number;
  /** The actions that are possible now. */
  can: Action[];
}

/** One position. */
export interface PositionRow {
  symbol: string;
  amount: string;
  entry: string;
  price: string;
  value: number | null;
  gain: number | null;
  /** Gain as a fraction of the cost. */
  share: number;
  stop: string;
  protection: Protection;
  strategy: string;
  opened: number | null;
}

/** What one strategy holds of one symbol, what it wants, and what protects it. */
export interface BookRow {
  strategy: string;
  symbol: string;
  held: string;
  /** The amount it is to hold; empty when nothing is to change. */
  wants: string;
  /** Why it wants that. */
  reason: string;
  stop: string;
  target: string;
  protection: Protection;
  /** Whether its strategy has not been registered since the start. */
  orphaned: boolean;
  /** What its desk does or waits for. */
  doing: string;
}

/** One reason why nothing is entered, or trouble of a desk. */
export interface HoldRow {
  kind: HoldKind;
  text: string;
  source: string;
  /** Empty when it concerns all. */
  symbol: string;
  /** Wall time. */
  since: number | null;
}

/** One order. */
export interface OrderRow {
  /** Market time. */
  time: number | null;
  /** Wall time. */
  wall: number;
  symbol: string;
  side: string;
  type: string;
  amount: string;
  price: string;
  status: string;
  strategy: string;
  message: string;
  /** What it is for: entry, exit, stop, target, emergency or manual. */
  role: string;
  /** Wall time since which its outcome is not known, null when it is known. */
  unknown_since: number | null;
}

/** One execution of an order. */
export interface FillRow {
  /** Market time. */
  time: number;
  symbol: string;
  side: string;
  amount: string;
  price: string;
  cost: number | null;
  fee: string;
  fee_asset: string;
}

/** One subscription to candles, or one order book. */
export interface FeedRow {
  symbol: string;
  /** `book` for an order book. */
  timeframe: string;
  state: FeedState;
  /** Seconds since the last event. */
  age: number | null;
  closed: number | null;
  last: number | null;
  gaps: number;
  /** Candles that the venue lacks. */
  holes: number;
  /** Frames that could not be used. */
  bad: number;
}

/** One line of the log. */
export interface LogRow {
  /** Wall time. */
  time: number;
  level: string;
  name: string;
  text: string;
}

/** Everything that a dashboard shows. */
export interface DashboardState {
  head: HeadSection;
  account: AccountSection;
  curve: CurveSection;
  risk: RiskSection;
  loop: LoopSection;
  tasks: DashboardTable<TaskRow>;
  strategies: DashboardTable<StrategyRow>;
  positions: DashboardTable<PositionRow>;
  books: DashboardTable<BookRow>;
  holds: DashboardTable<HoldRow>;
  orders: DashboardTable<OrderRow>;
  fills: DashboardTable<FillRow>;
  feeds: DashboardTable<FeedRow>;
  log: DashboardTable<LogRow>;
}

/** The part of each section that differs: values, or of a table the columns that differ by row, and the order of the rows. A row that is not in the order is gone. */
type SectionChanges<Section> =
  Section extends DashboardTable<infer Row>
    ? { order?: string[]; rows?: Record<string, Partial<Row>> }
    : Partial<Section>;
export type DashboardChanges = {
  [Name in keyof DashboardState]?: SectionChanges<DashboardState[Name]>;
};

/** A whole state, and the number of the last message that is part of it. */
export interface Snapshot {
  seq: number;
  state: DashboardState;
}

/** Kernel to page: a whole state. */
export interface WholeMessage {
  type: "whole";
  seq: number;
  state: DashboardState;
}

/** Kernel to page: what changed since the message before it. */
export interface DeltaMessage {
  type: "delta";
  seq: number;
  changes: DashboardChanges;
}

/** Kernel to page: a request was received and is being carried out. */
export interface TakenMessage {
  type: "taken";
  id: RequestId;
}

/** Kernel to page: the outcome of a request. */
export interface DoneMessage {
  type: "done";
  id: RequestId;
  ok: boolean;
  text: string;
}

export type KernelMessage = WholeMessage | DeltaMessage | TakenMessage | DoneMessage;

/** Page to kernel: a view is drawn; a whole state is sent if it lags behind. */
export interface ReadyMessage {
  type: "ready";
  seq: number;
}

/** Page to kernel: a message was missed, so a whole state is needed. */
export interface ResyncMessage {
  type: "resync";
  seq: number;
}

/** Page to kernel: a request, which is carried out once however often it arrives. */
export interface ActMessage {
  type: "act";
  id: RequestId;
  action: Action;
  target: string;
}

/** Page to kernel: a question how far a request has come. */
export interface AskMessage {
  type: "ask";
  id: RequestId;
}

export type PageMessage = ReadyMessage | ResyncMessage | ActMessage | AskMessage;
