"""The façade a person types: one object, every call usable from a cell without ``await``."""

from __future__ import annotations

import asyncio
import html
import logging
import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botlib.config import Settings
from botlib.engine import Orchestrator, RunSummary, watch_progress
from botlib.engine.health import EngineHealth
from botlib.errors import ConfigError
from botlib.runtime import HEADLESS, Blocking, Runtime, get_runtime
from botlib.store import CandleStorage, Database, OrderJournal
from botlib.symbol import unified_symbol
from botlib.tasks import BackgroundTaskManager
from botlib.tasks.status import ACTIVE
from botlib.timeframe import parse_duration

if TYPE_CHECKING:
    import pandas as pd

    from botlib.strategy import Strategy

logger = logging.getLogger(__name__)

RESIDENT: Final = "bot"
HOME: Final = "BOTLIB_HOME"
"""Environment variable that names the folder ``data/`` belongs into."""

START_TIMEOUT: Final = 180.0


class AsyncBot:
    """Research and trading on one market; the async core of `Bot`.

    Its methods run on the runtime thread. From a cell use the `Bot` that `connect` returns.
    """

    def __init__(self, settings: Settings, runtime: Runtime, *, live: bool = False) -> None:
        self.settings = settings
        self.engine = Orchestrator(
            settings, live=live, lag=runtime.lag, stalls=lambda: runtime.stalls
        )

    @property
    def tasks(self) -> BackgroundTaskManager:
        """The task manager; in a cell its table shows what every task did."""
        return self.engine.tasks

    def task(self, **settings: Any) -> Callable[..., Any]:
        """Register the decorated function as a task and start it.

        Takes what `TaskConfig` takes: ``@bot.task(interval=30, priority="HIGH", timeout=20)``. The
        name, by default the function's, is its identity: the same cell again changes nothing, a
        changed function replaces the task.
        """
        return self.engine.tasks.task(start_immediately=True, **settings)

    @property
    def database(self) -> str:
        """Path of the SQLite file with the candles, orders and fills of this market."""
        return self.engine.database

    def streams(self) -> pd.DataFrame:
        """Return what every subscription did, one row each."""
        columns = ("symbol", "timeframe", "ready", "last_closed", "frames", "closed", "backfilled")
        more = ("duplicates", "late", "bad_frames", "gaps", "holes", "failures")
        status = self.engine.stream.status().subscriptions
        return _table(status, columns + more, times=("last_closed",))

    @property
    def url(self) -> str | None:
        """Where the health page is."""
        return self.engine.control.url

    @property
    def positions(self) -> pd.DataFrame:
        """Every position that was ever held, one row each."""
        columns = ("symbol", "amount", "entry_price", "opened", "realised")
        return _table(self.engine.positions.all(), columns, times=("opened",))

    def health(self) -> EngineHealth:
        """Return whether the bot does its work, with the reasons where it does not."""
        return self.engine.health()

    def status(self) -> dict[str, Any]:
        """Return the state of services, strategies, orders and limits."""
        return self.engine.status()

    async def start(self) -> None:
        """Start everything; on an error everything is stopped again."""
        await self.engine.start()

    async def stop(self) -> None:
        """Stop everything; positions stay as they are."""
        await self.engine.stop()

    async def trade(
        self,
        strategy: Strategy,
        symbol: str,
        *,
        name: str,
        order_cost: float | str | Decimal | None = None,
    ) -> str:
        """Put a strategy to work on a symbol; the same name again replaces it.

        Args:
            strategy: its first timeframe is the one that trades.
            name: its identity.
            order_cost: quote units per entry; by default half of ``risk.max_order_cost``.
        """
        cost = None if order_cost is None else Decimal(str(order_cost))
        active = await self.engine.trade(strategy, symbol, name=name, order_cost=cost)
        return f"{active.name}: {active.strategy} on {active.symbol}"

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        *,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Return stored closed candles: columns open to volume, index open time (UTC).

        Args:
            since: first open time, ms; ``until``: last open time, ms.
            limit: the newest n only.
        """
        return await asyncio.to_thread(
            self._frame, unified_symbol(symbol), timeframe, since, until, limit
        )

    async def orders(self) -> pd.DataFrame:
        """Return every order of the journal, one row each, the oldest first."""
        columns = ("created", "symbol", "side", "type", "amount", "status", "filled", "average")
        more = ("strategy", "client_order_id", "venue_order_id", "message")
        return _table(await self._journal(OrderJournal.orders), columns + more, ("created",))

    async def fills(self) -> pd.DataFrame:
        """Return every fill of the journal, one row each, the oldest first."""
        columns = ("timestamp", "symbol", "side", "price", "amount", "cost", "fee", "fee_asset")
        more = ("maker", "trade_id", "client_order_id")
        return _table(await self._journal(OrderJournal.fills), columns + more, ("timestamp",))

    async def equity(self) -> Decimal:
        """Ask the venue for the balances and return what the account is worth."""
        return await self.engine.account.value()

    async def summary(self) -> RunSummary:
        """Return the figures of the run so far; after `stop`, the final ones."""
        return await self.engine.summary()

    async def wait(self, run_for: float | str | None = None) -> None:
        """Wait for a span of market time such as ``"12h"``, or until the bot is stopped.

        Raises:
            Exception: what a CRITICAL task failed with, so that a headless run fails visibly.
        """
        await self.engine.wait(None if run_for is None else parse_duration(run_for))

    async def _journal(self, read: Callable[[OrderJournal], list[Any]]) -> list[Any]:
        def work() -> list[Any]:
            with self._reader() as database:
                return read(OrderJournal(database))

        return await asyncio.to_thread(work)

    def _frame(
        self, symbol: str, timeframe: str, since: int | None, until: int | None, limit: int | None
    ) -> pd.DataFrame:
        with self._reader() as database:
            return CandleStorage(database).frame(symbol, timeframe, since, until, limit)

    def _reader(self) -> Database:
        # A connection of its own: it also reads after the stop, and long reads hold up nobody.
        return Database.open(Path(self.engine.database), self.engine.venue, readonly=True)

    def __repr__(self) -> str:
        engine = self.engine
        running = sum(task.state in ACTIVE for task in engine.tasks.status().tasks)
        equity = engine.account.equity if engine.started else None
        parts = [
            engine.settings.mode.upper(),
            engine.venue or "not connected",
            "connected" if engine.started else "stopped",
            f"{running} tasks running",
        ]
        if equity is not None:
            parts.append(f"{equity:,.2f} {engine.account.quote}".replace(",", "\u202f"))
        return " · ".join(parts)

    def _repr_html_(self) -> str:
        health = self.health()
        colour = "#2e9e5b" if health.healthy else "#d64545"
        notes = "healthy" if health.healthy else "; ".join(health.reasons)
        return (
            f'<div class="botlib"><b>{html.escape(repr(self))}</b>'
            f'<br><span style="color:{colour}">●</span> {html.escape(notes)}</div>'
        )


class Bot(Blocking):
    """The bot in a notebook: every method of `AsyncBot`, without ``await``.

    Made by `connect`. Its ``aio`` is the `AsyncBot` itself, for code that runs on the loop.
    """

    __slots__ = ("_runtime",)

    def __init__(self, core: AsyncBot, runtime: Runtime) -> None:
        super().__init__(core, runtime.call)
        object.__setattr__(self, "_runtime", runtime)

    def wait(self, run_for: float | str | None = None, *, progress: bool = True) -> None:
        """Wait for a span of market time such as ``"12h"``, or until the bot is stopped.

        Args:
            run_for: seconds or a text; None waits for the stop.
            progress: show how far the market has come.

        Raises:
            Exception: what a CRITICAL task failed with, so that a headless run fails visibly.
        """
        if progress and run_for is not None:
            span = parse_duration(run_for)
            watch_progress(self._runtime, self.aio.wait(span), self.aio.engine.market_clock, span)
        else:
            self._call(self.aio.wait(run_for))


def connect(
    config: str | Path | None = None,
    *,
    live: bool = False,
    recorded: str | Path | None = None,
    **changes: Any,
) -> Bot:
    """Connect to a market and start working; run again, it is the same bot.

    Without arguments it is a paper account on a synthetic market: no key, no network, no server.
    Other settings than before replace the bot that runs.

    Args:
        config: a YAML file; ``botlib config --example`` prints one.
        live: arms live trading, together with ``mode: live`` in the file.
        recorded: a candle file to replay on the paper exchange in place of the synthetic market;
            the symbols and strategies become those of the file.
        changes: settings that differ from the file, such as ``symbols=["BTC/USDT"]``.

    Raises:
        ConfigError: a setting is not accepted.
        BotlibError: something did not start; nothing is left running.
    """
    project = project_directory(Path.cwd())
    settings = Settings.load(_find(config, project) if config is not None else None)
    if changes:
        settings = settings.override(changes)
    if recorded is not None:
        settings = settings.override(_recorded_changes(_find(recorded, project), settings))
    if not settings.data_directory.is_absolute():
        settings = settings.override({"data_directory": project / settings.data_directory})
    runtime = get_runtime(watch_parent=HEADLESS in os.environ)
    before: Bot | None = runtime.residents.get(RESIDENT)
    if before is not None:
        if before.aio.engine.started and before.aio.settings == settings:
            return before
        logger.info("the settings changed: the bot is replaced")
        _release(before, runtime)
    _log_to(settings.data_directory / "logs" / "botlib.log")
    core = runtime.call(_make(settings, runtime, live))
    bot = Bot(core, runtime)
    runtime.call(core.start(), timeout=START_TIMEOUT)
    runtime.residents[RESIDENT] = bot
    runtime.add_closer(RESIDENT, core.stop)
    return bot


def project_directory(start: Path) -> Path:
    """Return the folder ``data/`` belongs into: ``BOTLIB_HOME``, or the nearest one up that has a
    project file, so that a notebook in ``notebooks/`` and a run from the project share one.
    """
    if HOME in os.environ:
        return Path(os.environ[HOME]).resolve()
    for folder in (start, *start.parents):
        if any((folder / name).is_file() for name in ("pyproject.toml", "environment.yml")):
            return folder
    return start


async def _make(settings: Settings, runtime: Runtime, live: bool) -> AsyncBot:
    # On the loop, since its parts belong to the loop they are made on.
    return AsyncBot(settings, runtime, live=live)


def _release(bot: Bot, runtime: Runtime) -> None:
    runtime.remove_closer(RESIDENT)
    runtime.residents.pop(RESIDENT, None)
    bot.stop()


def _find(path: str | Path, project: Path) -> Path:
    found = Path(path).expanduser()
    return found if found.is_absolute() or found.exists() else project / found


def _recorded_changes(path: Path, settings: Settings) -> dict[str, Any]:
    """Return the settings that replay one candle file."""
    from botlib.recording import read_recording

    recording = read_recording(path)
    fitting = [tf for tf in settings.timeframes if _fits(tf, recording.timeframe)]
    if not fitting:
        raise ConfigError(
            f"{path.name} has candles of {recording.timeframe}, from which none of the timeframes "
            f"{', '.join(settings.timeframes)} can be made. "
            f"Pass timeframes=['{recording.timeframe}']."
        )
    strategies = [
        entry.model_dump()
        for entry in settings.strategies
        if entry.symbol == recording.symbol and entry.timeframe in fitting
    ]
    changes: dict[str, Any] = {
        "symbols": [recording.symbol],
        "timeframes": fitting,
        "paper": {"market": "recording", "recording": [path], "start": None},
    }
    if "strategies" in settings.model_fields_set:
        changes["strategies"] = strategies
    return changes


def _table(rows: Sequence[object], columns: Sequence[str], times: Sequence[str]) -> pd.DataFrame:
    """Return attributes of objects as a frame, for looking and computing.

    ``times`` name the columns that hold ms; decimals become float64.
    """
    import pandas as pd

    def cell(value: object) -> object:
        return float(value) if isinstance(value, Decimal) else value

    frame = pd.DataFrame(
        [[cell(getattr(row, name)) for name in columns] for row in rows], columns=list(columns)
    )
    for name in times:
        frame[name] = pd.to_datetime(frame[name], unit="ms")
    return frame


def _fits(timeframe: str, base: str) -> bool:
    from botlib.timeframe import timeframe_ms

    return timeframe_ms(timeframe) % timeframe_ms(base) == 0


def _log_to(path: Path) -> None:
    """Write the kit's log to a file, once, whichever bot came before."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    root = logging.getLogger("botlib")
    for handler in list(root.handlers):
        if isinstance(handler, RotatingFileHandler):
            if Path(handler.baseFilename) == path.resolve():
                return
            root.removeHandler(handler)
            handler.close()
    path.touch(mode=0o600)
    handler = RotatingFileHandler(path, maxBytes=10_000_000, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    if root.level == logging.NOTSET:
        root.setLevel(logging.INFO)
