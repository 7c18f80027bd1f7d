"""The JSON that the kernel and the pages of a dashboard exchange.

The Python side is checked against these types by mypy. The TypeScript side is checked by tsc
against ``js/src/dashboard/schema.ts``, which ``python js/schema.py`` writes from this module: a
type here is a TypedDict or an alias, and the string below it becomes its comment.

Times are milliseconds since the epoch in UTC. Amounts and prices that are texts are decimals such
as ``0.0151``, without trailing zeros, and empty when they are not known; a view formats them.
Figures of the account are in units of the quote currency, rounded to two digits.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypedDict, TypeVar

RowT = TypeVar("RowT")

Health = Literal["ok", "warn", "bad", "off"]
FeedState = Literal["ok", "repairing", "late", "stale", "stopped"]
"""Whether candles come; ``stale`` for a mirror that does not hear its venue."""
Protection = Literal["resting", "unknown", "missing", "none"]
"""Whether a protective stop rests at the venue; ``unknown`` while an order is being settled."""
StrategyStateName = Literal[
    "working", "quiet", "blind", "stale", "refused", "starved", "failing", "off"
]
"""What a strategy does: it is asked and signals, or never did; its warm-up is not reached; it did
not learn again when it had to; its entries are refused; no candles come; it raises errors; it is
not asked."""
Action = Literal[
    "start",
    "stop",
    "run",
    "error",
    "kill",
    "kill_and_sell",
    "rearm",
    "strategy_on",
    "strategy_off",
    "flatten",
    "strategy_error",
]
"""What a page can request: for a task its start, stop, a run now or its last error; for a strategy
that it is asked again or no more, the sale of what it holds, or the lines of its last failure."""
HoldKind = Literal["halt", "caution", "trouble"]
"""What keeps entries back: a halt until a person re-arms, a caution while it lasts; or what a desk
cannot do at present."""
RequestId = int | str


class DashboardTable(TypedDict, Generic[RowT]):
    """Rows by key, and their keys in the order of display."""

    order: list[str]
    rows: dict[str, RowT]


class HeadSection(TypedDict):
    """The engine as a whole."""

    mode: str
    """The kind of market, such as ``mirror``."""
    note: str
    """What the name of the kind leaves open, such as ``play money``; may be empty."""
    words: str
    """Whose prices and whose money it is."""
    venue: str
    running: bool
    healthy: bool
    reasons: list[str]
    warnings: list[str]
    """What a person should look at, although it is healthy."""
    market_time: int
    """0 before the first candle."""
    now: int
    """Wall time."""
    started: int
    strategies: int
    signals: int
    url: str
    """Address of the control API; empty when it is off."""


class AccountSection(TypedDict):
    """Figures of the account."""

    quote: str
    equity: float | None
    start: float | None
    realised: float | None
    unrealised: float | None
    exposure: float | None
    day: float | None
    """Profit since midnight UTC."""


class CurveSection(TypedDict):
    """Equity over the run."""

    values: list[float]


class KillRecord(TypedDict):
    """Who threw the kill switch, when and why."""

    reason: str
    by: str
    at: int


class RiskSection(TypedDict):
    """The kill switch and the limits of the risk checks."""

    killed: KillRecord | None
    halted: str | None
    """Why entries are stopped."""
    rejected: int
    max_exposure: float | None
    max_daily_loss: float | None
    stop_file: str
    token_file: str


class LoopSection(TypedDict):
    """Lag of the event loop in seconds."""

    lag: float
    p50: float
    p99: float
    worst: float
    limit: float
    """The lag above which the engine is unhealthy."""
    stall: str
    """What blocked the loop last; empty when nothing did."""


class TaskRow(TypedDict):
    """One background task."""

    name: str
    group: str
    state: str
    health: Health
    priority: str
    schedule: str
    runs: int
    failures: int
    overruns: int
    last: int | None
    took: float | None
    """Seconds."""
    next: int | None
    late: float | None
    """Median lateness of its runs in seconds."""
    late99: float | None
    error: str
    can: list[Action]
    """The actions that are possible now."""


class StrategyRow(TypedDict):
    """One strategy, what it does and what it earned."""

    name: str
    strategy: str
    """Its class with the parameters that are not the defaults."""
    symbol: str
    timeframe: str
    state: StrategyStateName
    health: Health
    detail: str
    """The reason or the figures of its state."""
    since: int | None
    """Market time of the first failure or refusal in a row."""
    count: int
    """Failures or refusals in a row."""
    trades: bool
    """False if its signals are only shown."""
    asked: int
    last_asked: int | None
    """Open time of the newest candle it was asked about; market time."""
    signals: int
    last_signal: str
    """``entry`` or ``exit``; empty before the first."""
    signalled: int | None
    """Open time of the candle of its last signal; market time."""
    order_cost: str
    held: str
    value: float | None
    profit: float | None
    """Booked and not booked yet, since its first fill."""
    day: float | None
    """Booked since midnight UTC."""
    trips: int
    """Round trips that have ended."""
    won: int
    """Those of them that earned something."""
    errors: int
    can: list[Action]
    """The actions that are possible now."""


class PositionRow(TypedDict):
    """One position."""

    symbol: str
    amount: str
    entry: str
    price: str
    value: float | None
    gain: float | None
    share: float
    """Gain as a fraction of the cost."""
    stop: str
    protection: Protection
    strategy: str
    opened: int | None


class BookRow(TypedDict):
    """What one strategy holds of one symbol, what it wants, and what protects it."""

    strategy: str
    symbol: str
    held: str
    wants: str
    """The amount it is to hold; empty when nothing is to change."""
    reason: str
    """Why it wants that."""
    stop: str
    target: str
    protection: Protection
    orphaned: bool
    """Whether its strategy has not been registered since the start."""
    doing: str
    """What its desk does or waits for."""


class HoldRow(TypedDict):
    """One reason why nothing is entered, or trouble of a desk."""

    kind: HoldKind
    text: str
    source: str
    symbol: str
    """Empty when it concerns all."""
    since: int | None
    """Wall time."""


class OrderRow(TypedDict):
    """One order."""

    time: int | None
    """Market time."""
    wall: int
    """Wall time."""
    symbol: str
    side: str
    type: str
    amount: str
    price: str
    status: str
    strategy: str
    message: str
    role: str
    """What it is for: entry, exit, stop, target, emergency or manual."""
    unknown_since: int | None
    """Wall time since which its outcome is not known, null when it is known."""


class FillRow(TypedDict):
    """One execution of an order."""

    time: int
    """Market time."""
    symbol: str
    side: str
    amount: str
    price: str
    cost: float | None
    fee: str
    fee_asset: str


class FeedRow(TypedDict):
    """One subscription to candles, or one order book."""

    symbol: str
    timeframe: str
    """``book`` for an order book."""
    state: FeedState
    age: float | None
    """Seconds since the last event."""
    closed: int | None
    last: int | None
    gaps: int
    holes: int
    """Candles that the venue lacks."""
    bad: int
    """Frames that could not be used."""


class LogRow(TypedDict):
    """One line of the log."""

    time: int
    """Wall time."""
    level: str
    name: str
    text: str


class DashboardState(TypedDict):
    """Everything that a dashboard shows."""

    head: HeadSection
    account: AccountSection
    curve: CurveSection
    risk: RiskSection
    loop: LoopSection
    tasks: DashboardTable[TaskRow]
    strategies: DashboardTable[StrategyRow]
    positions: DashboardTable[PositionRow]
    books: DashboardTable[BookRow]
    holds: DashboardTable[HoldRow]
    orders: DashboardTable[OrderRow]
    fills: DashboardTable[FillRow]
    feeds: DashboardTable[FeedRow]
    log: DashboardTable[LogRow]


DashboardChanges = dict[str, dict[str, Any]]
"""The part of each section that differs: values, or of a table the columns that differ by row, and
the order of the rows. A row that is not in the order is gone."""


class Snapshot(TypedDict):
    """A whole state, and the number of the last message that is part of it."""

    seq: int
    state: DashboardState


class WholeMessage(TypedDict):
    """Kernel to page: a whole state."""

    type: Literal["whole"]
    seq: int
    state: DashboardState


class DeltaMessage(TypedDict):
    """Kernel to page: what changed since the message before it."""

    type: Literal["delta"]
    seq: int
    changes: DashboardChanges


class TakenMessage(TypedDict):
    """Kernel to page: a request was received and is being carried out."""

    type: Literal["taken"]
    id: RequestId


class DoneMessage(TypedDict):
    """Kernel to page: the outcome of a request."""

    type: Literal["done"]
    id: RequestId
    ok: bool
    text: str


KernelMessage = WholeMessage | DeltaMessage | TakenMessage | DoneMessage


class ReadyMessage(TypedDict):
    """Page to kernel: a view is drawn; a whole state is sent if it lags behind."""

    type: Literal["ready"]
    seq: int


class ResyncMessage(TypedDict):
    """Page to kernel: a message was missed, so a whole state is needed."""

    type: Literal["resync"]
    seq: int


class ActMessage(TypedDict):
    """Page to kernel: a request, which is carried out once however often it arrives."""

    type: Literal["act"]
    id: RequestId
    action: Action
    target: str


class AskMessage(TypedDict):
    """Page to kernel: a question how far a request has come."""

    type: Literal["ask"]
    id: RequestId


PageMessage = ReadyMessage | ResyncMessage | ActMessage | AskMessage
