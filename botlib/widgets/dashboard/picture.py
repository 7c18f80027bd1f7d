"""The static picture of a dashboard: a card of HTML for headless notebooks and exports."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from botlib.core.clock import iso
from botlib.core.text import formats
from botlib.core.text.cards import Tone, Toned, card, figures, lines, section, spark
from botlib.core.text.tables import html_table
from botlib.widgets.dashboard.schema import (
    BookRow,
    DashboardState,
    DashboardTable,
    FeedRow,
    FillRow,
    HoldRow,
    LogRow,
    OrderRow,
    PositionRow,
    RowT,
    StrategyRow,
    TaskRow,
)

ROWS: Final = 10
"""Rows of orders, fills and log lines in the picture."""

_HEALTH: Final = {"ok": Tone.GOOD, "warn": Tone.WARN, "bad": Tone.BAD, "off": Tone.PLAIN}
_FEED: Final = {
    "ok": Tone.GOOD,
    "repairing": Tone.WARN,
    "late": Tone.BAD,
    "stale": Tone.BAD,
    "stopped": Tone.PLAIN,
}
_STOP: Final = {
    "resting": Tone.GOOD,
    "unknown": Tone.WARN,
    "missing": Tone.BAD,
    "none": Tone.PLAIN,
}


def headline(state: DashboardState) -> str:
    """Return the state in one line."""
    head, account = state["head"], state["account"]
    parts = [
        head["mode"].upper(),
        f"{head['venue']} ({head['words']})",
        "running" if head["running"] else "stopped",
        f"{_amount(account['equity'])} {account['quote']}",
        _counted(len(state["tasks"]["order"]), "task"),
        _counted(len(state["positions"]["order"]), "position"),
    ]
    if state["risk"]["halted"]:
        parts.append("entries stopped")
    return " · ".join(parts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def picture(state: DashboardState) -> str:
    """Return the state as a card of HTML that needs nothing else."""
    head, risk = state["head"], state["risk"]
    alarm = bool(risk["halted"]) or (head["running"] and not head["healthy"])
    if not head["running"]:
        tone, word = Tone.PLAIN, "stopped"
    else:
        tone = Tone.BAD if alarm else Tone.WARN if head["warnings"] else Tone.GOOD
        word = "healthy with warnings" if head["warnings"] else "healthy"
        if not head["healthy"]:
            word = "unhealthy"
    blocks = [
        lines([f"Entries are stopped: {risk['halted']}"], Tone.BAD) if risk["halted"] else "",
        lines(head["reasons"], Tone.BAD) if head["running"] else "",
        lines(head["warnings"], Tone.WARN) if head["running"] else "",
        _account(state),
        _rows("POSITIONS", state["positions"], _POSITION),
        _rows("STRATEGIES", state["strategies"], _STRATEGY),
        _rows("BOOKS", state["books"], _BOOK),
        _rows("HALTS AND CAUTIONS", state["holds"], _HOLD),
        _rows("TASKS", state["tasks"], _TASK),
        _rows("ORDERS", state["orders"], _ORDER, ROWS),
        _rows("FILLS", state["fills"], _FILL, ROWS),
        _rows("FEEDS", state["feeds"], _FEEDS),
        _rows("LOG", state["log"], _LOG, ROWS),
    ]
    at = f"{iso(head['market_time'])} UTC, market time" if head["market_time"] else "not started"
    return card(
        head["venue"],
        *blocks,
        notes=f"{word} · {at} · {head['words']}",
        tone=tone,
        badge=head["mode"].upper(),
    )


def _account(state: DashboardState) -> str:
    account, loop, risk = state["account"], state["loop"], state["risk"]
    equity, start = account["equity"], account["start"]
    gain = None if equity is None or start is None else equity - start
    curve = state["curve"]["values"]
    return figures(
        [
            (f"equity {account['quote']}", _amount(equity)),
            ("this run", _signed(gain)),
            ("today", _signed(account["day"])),
            ("booked", _signed(account["realised"])),
            ("open", _signed(account["unrealised"])),
            (
                "exposure",
                f"{_amount(account['exposure'])} of {_amount(risk['max_exposure'])}",
            ),
            (
                "loop lag",
                f"{formats.duration(loop['lag'])}, worst {formats.duration(loop['worst'])}",
            ),
        ]
    ) + spark(curve, level=start)


def _status(row: OrderRow) -> object:
    if row["unknown_since"] is None:
        return row["status"]
    return Toned(f"{row['status']} since {_clock(row['unknown_since'])}", Tone.WARN)


Columns = tuple[tuple[str, Callable[[RowT], object]], ...]

_POSITION: Final[Columns[PositionRow]] = (
    ("symbol", lambda row: row["symbol"]),
    ("amount", lambda row: _figure(row["amount"])),
    ("entry", lambda row: _figure(row["entry"])),
    ("price", lambda row: _figure(row["price"])),
    ("gain", lambda row: _signed(row["gain"])),
    ("", lambda row: Toned(formats.percent(row["share"], sign=True), Tone.of(row["share"]))),
    ("stop", lambda row: Toned(_figure(row["stop"]), _STOP[row["protection"]])),
    ("protection", lambda row: Toned(row["protection"], _STOP[row["protection"]])),
    ("strategy", lambda row: row["strategy"]),
)
_STRATEGY: Final[Columns[StrategyRow]] = (
    ("strategy", lambda row: row["name"]),
    ("state", lambda row: Toned(row["state"], _HEALTH[row["health"]])),
    ("symbol", lambda row: row["symbol"]),
    ("of", lambda row: row["timeframe"]),
    ("asked", lambda row: row["asked"]),
    ("signals", lambda row: row["signals"]),
    ("held", lambda row: _figure(row["held"])),
    ("profit", lambda row: _signed(row["profit"])),
    ("today", lambda row: _signed(row["day"])),
    ("round trips", lambda row: f"{row['trips']}, {row['won']} won" if row["trips"] else None),
    ("", lambda row: row["detail"][:100]),
)
_BOOK: Final[Columns[BookRow]] = (
    ("strategy", lambda row: row["strategy"]),
    ("symbol", lambda row: row["symbol"]),
    ("held", lambda row: _figure(row["held"])),
    ("wants", lambda row: _figure(row["wants"])),
    ("why", lambda row: row["reason"] if row["wants"] else None),
    ("stop", lambda row: Toned(_figure(row["stop"]), _STOP[row["protection"]])),
    ("protection", lambda row: Toned(row["protection"], _STOP[row["protection"]])),
    ("target", lambda row: _figure(row["target"])),
    ("", lambda row: Toned("orphaned", Tone.WARN) if row["orphaned"] else None),
    ("doing", lambda row: row["doing"][:80]),
)
_HOLD: Final[Columns[HoldRow]] = (
    ("kind", lambda row: Toned(row["kind"], Tone.BAD if row["kind"] == "halt" else Tone.WARN)),
    ("why", lambda row: row["text"][:200]),
    ("by", lambda row: row["source"]),
    ("symbol", lambda row: row["symbol"]),
    ("since (wall time)", lambda row: _clock(row["since"])),
)
_TASK: Final[Columns[TaskRow]] = (
    ("task", lambda row: row["name"]),
    ("state", lambda row: Toned(row["state"], _HEALTH[row["health"]])),
    ("schedule", lambda row: row["schedule"]),
    ("runs", lambda row: row["runs"]),
    ("failures", lambda row: Toned(row["failures"], Tone.BAD) if row["failures"] else None),
    ("last (wall time)", lambda row: _clock(row["last"])),
    ("next", lambda row: _clock(row["next"])),
    ("late", lambda row: _duration(row["late99"])),
    ("last error", lambda row: row["error"][:80]),
)
_ORDER: Final[Columns[OrderRow]] = (
    ("market time", lambda row: _clock(row["time"])),
    ("symbol", lambda row: row["symbol"]),
    ("side", lambda row: Toned(row["side"], _side(row))),
    ("role", lambda row: row["role"]),
    ("type", lambda row: row["type"].replace("_", " ")),
    ("amount", lambda row: _figure(row["amount"])),
    ("price", lambda row: _figure(row["price"])),
    ("status", _status),
    ("strategy", lambda row: row["strategy"]),
)
_FILL: Final[Columns[FillRow]] = (
    ("market time", lambda row: _clock(row["time"])),
    ("symbol", lambda row: row["symbol"]),
    ("side", lambda row: Toned(row["side"], _side(row))),
    ("amount", lambda row: _figure(row["amount"])),
    ("price", lambda row: _figure(row["price"])),
    ("cost", lambda row: _amount(row["cost"])),
    ("fee", lambda row: _figure(row["fee"])),
    ("", lambda row: row["fee_asset"]),
)
_FEEDS: Final[Columns[FeedRow]] = (
    ("feed", lambda row: f"{row['symbol']} {row['timeframe']}"),
    ("state", lambda row: Toned(row["state"], _FEED[row["state"]])),
    ("age", lambda row: _duration(row["age"])),
    ("candles", lambda row: row["closed"]),
    ("gaps", lambda row: row["gaps"] or None),
    ("bad frames", lambda row: row["bad"] or None),
)
_LOG: Final[Columns[LogRow]] = (
    ("wall time", lambda row: _clock(row["time"])),
    ("level", lambda row: Toned(row["level"].lower(), _level(row))),
    ("from", lambda row: row["name"]),
    ("text", lambda row: row["text"][:120]),
)


def _rows(
    title: str, table: DashboardTable[RowT], columns: Columns[RowT], most: int | None = None
) -> str:
    keys = table["order"][:most]
    if not keys:
        return ""
    cells = [[show(table["rows"][key]) for _, show in columns] for key in keys]
    # A column without any content is left out.
    used = [
        index
        for index in range(len(columns))
        if any(str(row[index]) not in ("None", "") for row in cells)
    ]
    return section(
        title,
        html_table(
            [columns[index][0] for index in used], [[row[index] for index in used] for row in cells]
        ),
    )


def _side(row: OrderRow | FillRow) -> Tone:
    return Tone.GOOD if row["side"] == "buy" else Tone.BAD


def _level(row: LogRow) -> Tone:
    return {"WARNING": Tone.WARN, "ERROR": Tone.BAD, "CRITICAL": Tone.BAD}.get(
        row["level"], Tone.PLAIN
    )


def _amount(value: float | None) -> str:
    return formats.number(value)


def _signed(value: float | None) -> Toned | None:
    return None if value is None else Toned(formats.number(value, sign=True), Tone.of(value))


def _figure(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _duration(seconds: float | None) -> str | None:
    return None if seconds is None else formats.duration(seconds)


def _clock(time: int | None) -> str | None:
    return None if time is None else formats.clock(time)
