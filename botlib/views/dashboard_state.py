"""`StateBuilder`: everything the dashboard shows of an engine, as plain JSON values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Final, cast

from botlib.core.model import OrderStatus
from botlib.core.text import formats
from botlib.core.text.masking import masked, masked_values
from botlib.core.timeframe import SECOND
from botlib.tasks.status import ACTIVE, TaskState
from botlib.views.paths import project_path
from botlib.views.positions import is_position, price_of
from botlib.views.strategies import OFF, StrategyFacts, strategy_facts

if TYPE_CHECKING:
    from botlib.core.model import Fill, Order, Position
    from botlib.market_data import BookStatus, StreamStatus
    from botlib.paper import MirrorState
    from botlib.tasks.status import TaskStatus
    from botlib.views.engine import OperableEngine
    from botlib.widgets.dashboard.schema import (
        AccountSection,
        Action,
        BookRow,
        DashboardState,
        DashboardTable,
        FeedRow,
        FeedState,
        FillRow,
        HeadSection,
        Health,
        HoldKind,
        HoldRow,
        LoopSection,
        OrderRow,
        PositionRow,
        Protection,
        RiskSection,
        RowT,
        StrategyRow,
        StrategyStateName,
        TaskRow,
    )

ROWS: Final = 20
"""Most orders and fills that are shown."""

_WORST_FIRST: Final[tuple[Protection, ...]] = ("missing", "unknown", "resting")

_BAD_STATES: Final = frozenset({TaskState.FAILED, TaskState.STUCK})
_OFF_STATES: Final = frozenset(
    {TaskState.STOPPED, TaskState.DISABLED, TaskState.PENDING, TaskState.DONE}
)


class StateBuilder:
    """The state of one engine as the dashboard's schema describes it. Runs on the engine's loop."""

    def __init__(self, engine: OperableEngine) -> None:
        self._engine = engine

    def build(self, prices: dict[str, float]) -> DashboardState:
        """Return everything the dashboard shows as plain JSON values.

        Args:
            prices: the newest ones by symbol; open positions are valued at them.
        """
        ledger = self._engine.orders.ledger
        unknown = {order.client_order_id for order in ledger.unsettled}
        # An order whose outcome is not known is shown however old it is.
        shown = [*ledger.unsettled, *ledger.newest(ROWS)]
        orders = {order.client_order_id: _order(order, unknown) for order in shown}
        fills = list(ledger.last_fills)[-ROWS:]
        positions = _table(
            (position.symbol, self._position(position, prices))
            for position in self._engine.positions.all()
            if is_position(self._engine, position, prices)
        )
        held = positions["order"]
        engine_runs = self._engine.started
        state: DashboardState = {
            "head": self._head(),
            "account": self._account(prices),
            "curve": {"values": [round(value, 2) for value in self._engine.account.curve.values]},
            "risk": self._risk(prices),
            "loop": self._loop(),
            "tasks": self._tasks(),
            "strategies": _table(
                (facts.active.name, _strategy(facts, engine_runs))
                for facts in strategy_facts(self._engine, prices)
            ),
            "positions": positions,
            "books": self._books(held),
            "holds": self._holds(),
            "orders": _table(orders.items()),
            "fills": _table(
                (f"{fill.symbol} {fill.trade_id}", _fill(fill)) for fill in reversed(fills)
            ),
            "feeds": self._feeds(),
            "log": _table(
                (
                    str(line.number),
                    {"time": line.time, "level": line.level, "name": line.name, "text": line.text},
                )
                for line in reversed(self._engine.log.tail())
            ),
        }
        # Names and descriptions are texts of the user as well.
        return cast("DashboardState", masked_values(state))

    def _head(self) -> HeadSection:
        engine = self._engine
        health = engine.health()
        return {
            "mode": engine.kind,
            "note": engine.kind_words.note,
            "words": engine.kind_words.words,
            "venue": engine.shown_venue,
            "running": engine.started,
            "healthy": health.healthy,
            "reasons": [masked(reason) for reason in health.reasons],
            "warnings": [masked(warning) for warning in health.warnings],
            "market_time": engine.market_clock.now() // SECOND * SECOND,
            "now": engine.system_clock.now() // SECOND * SECOND,
            "started": 0 if engine.run_start is None else engine.run_start.time,
            "strategies": len(engine.signals.strategies),
            "signals": engine.signals.signals,
            "url": engine.control.url or "",
        }

    def _account(self, prices: dict[str, float]) -> AccountSection:
        engine = self._engine
        equity = engine.account.equity
        day = engine.account.day_profit(prices)
        return {
            "quote": engine.account.quote,
            "equity": _money(equity),
            "start": _money(None if engine.run_start is None else engine.run_start.equity),
            "realised": _money(engine.positions.realised()),
            "unrealised": _money(engine.positions.unrealised(prices)),
            "exposure": _money(engine.positions.exposure(prices)),
            "day": _money(day),
        }

    def _risk(self, prices: dict[str, float]) -> RiskSection:
        engine = self._engine
        kill, limits = engine.kill_switch.thrown, engine.risk.limits
        token = engine.control.token_file
        return {
            "killed": None
            if kill is None
            else {"reason": kill.reason, "by": kill.by, "at": kill.at},
            "halted": engine.halts.first,
            "rejected": engine.risk.rejected,
            "max_exposure": _money(limits.max_exposure),
            "max_daily_loss": _money(limits.max_daily_loss),
            "stop_file": project_path(engine.settings, engine.kill_switch.stop_file),
            "token_file": "" if token is None else project_path(engine.settings, token),
        }

    def _loop(self) -> LoopSection:
        engine = self._engine
        lag, stalls = engine.lag, engine.stalls()
        return {
            "lag": round(lag.current, 4),
            "p50": round(lag.percentile(50), 4),
            "p99": round(lag.percentile(99), 4),
            "worst": round(lag.worst, 4),
            "limit": engine.settings.health.max_lag,
            "stall": stalls[-1].where if stalls else "",
        }

    def _tasks(self) -> DashboardTable[TaskRow]:
        status = self._engine.tasks.status()
        reasons = " ".join([*status.health.reasons, *status.health.warnings])
        rows = {task.name: _task(task, reasons) for task in status.tasks}
        if not self._engine.started:
            # Stopped tasks of a stopped engine are no fault, and can not be started again.
            rows = {name: {**row, "health": "off", "can": []} for name, row in rows.items()}
        return _table(rows.items())

    def _position(self, position: Position, prices: dict[str, float]) -> PositionRow:
        engine, symbol = self._engine, position.symbol
        price = price_of(position, prices)
        gain = (price - position.entry_price) * position.amount
        paid = position.entry_price * position.amount
        stops = engine.orders.ledger.stops(symbol)
        resting = [stop for stop in stops if stop.status is OrderStatus.OPEN]
        guard = engine.orders.protection(symbol)
        entry = engine.orders.ledger.order(guard.entry) if guard is not None else None
        states = [
            str(book["protection"])
            for book in engine.orders.book_rows()
            if book["symbol"] == symbol
        ]
        protection: Protection = next((one for one in _WORST_FIRST if one in states), "none")
        return {
            "symbol": symbol,
            "amount": _number(position.amount),
            "entry": _number(formats.rounded(position.entry_price)),
            "price": _number(price),
            "value": _money(price * position.amount),
            "gain": _money(gain),
            "share": round(float(gain / paid), 5) if paid else 0.0,
            "stop": _number(resting[0].stop_price) if resting else "",
            "protection": protection,
            "strategy": entry.strategy if entry is not None else self._holder(symbol),
            "opened": position.opened,
        }

    def _books(self, held: Collection[str]) -> DashboardTable[BookRow]:
        rows: list[tuple[str, BookRow]] = []
        for book in self._engine.orders.book_rows():
            # What is too little to be sold is no position, nor is nothing.
            empty = not book["held"] or str(book["symbol"]) not in held
            if book["wants"] is None and empty:
                continue
            guarded = book["protection"] != "none"
            row: BookRow = {
                "strategy": str(book["strategy"]),
                "symbol": str(book["symbol"]),
                "held": _number(cast("Decimal", book["held"])),
                "wants": _number(cast("Decimal | None", book["wants"])),
                "reason": str(book["reason"]),
                "stop": _number(cast("Decimal | None", book["stop"])) if guarded else "",
                "target": _number(cast("Decimal | None", book["target"])) if guarded else "",
                "protection": cast("Protection", book["protection"]),
                "orphaned": bool(book["orphaned"]),
                "doing": masked(str(book["doing"]))[:200],
            }
            rows.append((f"{row['strategy']} {row['symbol']}", row))
        return _table(rows)

    def _holds(self) -> DashboardTable[HoldRow]:
        """Return why nothing is entered, what a person has to end first."""
        engine = self._engine
        rows: list[HoldRow] = [
            {
                "kind": "halt",
                "text": masked(halt.reason),
                "source": halt.source,
                "symbol": halt.symbol or "",
                "since": halt.began,
            }
            for halt in engine.halts.all
        ]
        passing: tuple[tuple[HoldKind, Iterable[str]], ...] = (
            ("caution", engine.orders.cautions),
            ("trouble", engine.orders.troubles()),
        )
        if engine.settings.mode == "watch":
            passing = (("caution", ("this bot only watches the market: nothing is ordered",)),)
        for kind, texts in passing if engine.started else ():
            rows += [
                {"kind": kind, "text": masked(text), "source": "", "symbol": "", "since": None}
                for text in texts
            ]
        return _table((f"{row['kind']} {row['text']}", row) for row in rows)

    def _holder(self, symbol: str) -> str:
        """Return the names of the strategies that hold a symbol."""
        books = self._engine.positions.books(symbol)
        return ", ".join(name for name, book in books.items() if book.amount > 0)

    def _feeds(self) -> DashboardTable[FeedRow]:
        engine = self._engine
        now = engine.market_clock.now()
        deadline = 2 * engine.settings.exchange.data_deadline
        status = engine.stream.status()
        rows: list[tuple[str, FeedRow]] = []
        quiet = self._quiet(status)
        for entry in status.subscriptions:
            behind = None if entry.last_event is None else max(0, now - entry.last_event)
            age = None if behind is None else behind / SECOND + quiet
            late = age is not None and age > deadline
            row: FeedRow = {
                "symbol": entry.symbol,
                "timeframe": entry.timeframe,
                "state": self._feed_state(late, entry.ready),
                "age": None if age is None else round(age, 1),
                "closed": entry.closed,
                "last": entry.last_closed,
                "gaps": entry.gaps,
                "holes": entry.holes,
                "bad": entry.bad_frames,
            }
            rows.append((f"{entry.symbol} {entry.timeframe}", row))
        if engine.started and engine.mirror is not None:
            rows.insert(0, _mirror(engine.mirror))
        return _table([*rows, *map(self._book, engine.books.status())])

    def _book(self, book: BookStatus) -> tuple[str, FeedRow]:
        late = book.silence > 2 * self._engine.settings.exchange.data_deadline
        row: FeedRow = {
            "symbol": book.symbol,
            "timeframe": "book",
            "state": self._feed_state(late, book.ready),
            "age": round(book.silence, 1),
            "closed": None,
            "last": None,
            "gaps": book.gaps,
            "holes": 0,
            "bad": 0,
        }
        return f"{book.symbol} book", row

    def _feed_state(self, late: bool, ready: bool) -> FeedState:
        if not self._engine.started:
            return "stopped"
        return "late" if late else "ok" if ready else "repairing"

    def _quiet(self, status: StreamStatus) -> float:
        """Return the seconds since the last frame; only frames advance the market clock."""
        if self._engine.in_lockstep:
            return 0.0  # the market itself waits for the next request
        silences = [one.silence for one in status.connections if one.silence is not None]
        return min(silences, default=0.0)


def _mirror(mirror: MirrorState) -> tuple[str, FeedRow]:
    row: FeedRow = {
        "symbol": mirror.venue,
        "timeframe": "mirror",
        "state": "stale" if mirror.stale else "ok",
        "age": round(mirror.silent, 1),
        "closed": None,
        "last": None,
        "gaps": mirror.gaps,
        "holes": 0,
        "bad": mirror.malformed,
    }
    return f"{mirror.venue} mirror", row


def _task(task: TaskStatus, reasons: str) -> TaskRow:
    active = task.state in ACTIVE
    forever = task.schedule == "for ever"
    can: list[Action] = (
        ["stop"] if active else ["start"] if task.state is not TaskState.DISABLED else []
    )
    if not forever and task.state is not TaskState.DISABLED:
        can.append("run")
    return {
        "name": task.name,
        "group": task.group or "",
        "state": str(task.state),
        "health": _health(task, reasons),
        "priority": task.priority,
        "schedule": task.schedule,
        "runs": task.runs,
        "failures": task.failures,
        "overruns": task.overruns + task.skipped,
        "last": _second(task.last_start),
        "took": None if task.last_duration is None else round(task.last_duration, 3),
        "next": _second(task.next_run) if active else None,
        "late": None if task.lateness_p50 is None else round(task.lateness_p50, 3),
        "late99": None if task.lateness_p99 is None else round(task.lateness_p99, 3),
        # Masked before it is cut, or half of a secret could remain.
        "error": masked(task.last_error or "")[:300],
        "can": can,
    }


def _health(task: TaskStatus, reasons: str) -> Health:
    if task.state in _BAD_STATES or f"task {task.name!r}" in reasons:
        return "bad"
    if task.failures_in_row or task.state in (TaskState.BACKOFF, TaskState.PAUSED):
        return "warn"
    return "off" if task.state in _OFF_STATES else "ok"


_STRATEGY_HEALTH: Final[dict[str, Health]] = {
    "failing": "bad",
    "starved": "bad",
    "refused": "warn",
    "blind": "warn",
    "stale": "warn",
    OFF: "off",
}


def _strategy(facts: StrategyFacts, engine_runs: bool) -> StrategyRow:
    active, signal = facts.active, facts.active.last_signal
    can: list[Action] = []
    if engine_runs:
        can = ["strategy_off" if facts.running else "strategy_on"]
        can += ["flatten"] if facts.value > 0 else []
    if active.failure is not None:
        can.append("strategy_error")
    return {
        "name": active.name,
        "strategy": repr(active.strategy),
        "symbol": active.symbol,
        "timeframe": ", ".join(active.strategy.timeframes),
        "state": cast("StrategyStateName", facts.state),
        "health": _STRATEGY_HEALTH.get(facts.state, "ok"),
        "detail": masked(facts.detail)[:300],
        "since": facts.since,
        "count": facts.count,
        "trades": active.trades,
        "asked": active.evaluations,
        "last_asked": active.evaluated,
        "signals": active.signals,
        "last_signal": "" if signal is None else signal.action.value,
        "signalled": None if signal is None else signal.timestamp,
        "order_cost": _number(active.order_cost),
        "held": _number(facts.held),
        "value": _money(facts.value),
        "profit": _money(facts.profit),
        "day": _money(facts.day),
        "trips": facts.trips,
        "won": facts.won,
        "errors": active.errors,
        "can": can,
    }


def _order(order: Order, unknown: Collection[str]) -> OrderRow:
    average = order.average
    price = order.stop_price or order.price if average is None else formats.rounded(average)
    return {
        "time": order.market_time,
        "wall": order.created,
        "symbol": order.symbol,
        "side": str(order.side),
        "type": str(order.type),
        "amount": _number(order.amount),
        "price": "" if price is None else _number(price),
        "status": str(order.status),
        "strategy": order.strategy,
        "message": masked(order.message)[:300],
        "role": str(order.role),
        "unknown_since": order.created if order.client_order_id in unknown else None,
    }


def _fill(fill: Fill) -> FillRow:
    return {
        "time": fill.timestamp,
        "symbol": fill.symbol,
        "side": str(fill.side),
        "amount": _number(fill.amount),
        "price": _number(fill.price),
        "cost": _money(fill.cost),
        "fee": _number(fill.fee),
        "fee_asset": fill.fee_asset,
    }


def _table(rows: Iterable[tuple[str, RowT]]) -> DashboardTable[RowT]:
    """Return a table: rows by their keys, and the order of the keys."""
    known = dict(rows)
    return {"order": list(known), "rows": known}


def _money(value: Decimal | None) -> float | None:
    return None if value is None else round(float(value), 2)


def _number(value: Decimal | None) -> str:
    """Return a decimal as text, without trailing zeros."""
    if value is None:
        return ""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _second(time: int | None) -> int | None:
    return None if time is None else round(time / SECOND) * SECOND
