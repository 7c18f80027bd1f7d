"""`Bot`: the bot as cells use it, without ``await``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botlib.bot.async_bot import AsyncBot
from botlib.bot.delegation import of_core, of_lab
from botlib.bot.names import unknown_name
from botlib.core.clock import iso
from botlib.core.timeframe import parse_duration
from botlib.lab import Lab
from botlib.runtime import Blocking, Runtime
from botlib.views.progress import ProgressStep, watch_progress

if TYPE_CHECKING:
    from botlib.backtesting import BacktestResult, ParityReport
    from botlib.drill import DrillReport


class NotebookTasks(Blocking):
    """The task manager of a bot in a cell: its async methods are plain calls."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return name in self.aio

    def __str__(self) -> str:
        return str(self.aio)


class Bot(Blocking):
    """The bot in a notebook: every method of `AsyncBot`, without ``await``.

    `botlib.connect` returns it. Its ``aio`` is the `AsyncBot`, for code that runs on the loop.
    Research runs in the thread of the cell, so that an interrupt reaches it.
    """

    __slots__ = ("_lab", "_runtime")

    def __init__(self, core: AsyncBot, runtime: Runtime) -> None:
        super().__init__(core, runtime.call)
        object.__setattr__(self, "_runtime", runtime)
        object.__setattr__(self, "_lab", Lab(core.lab, runtime))

    @property
    def aio(self) -> AsyncBot:
        """The async bot, whose methods are awaited on the runtime."""
        core: AsyncBot = self._obj
        return core

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and not hasattr(type(self.aio), name):
            if name not in vars(self.aio):
                raise unknown_name(name, [one for one in dir(self) if not one.startswith("_")])
        return super().__getattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(type(self))})

    @property
    def lab(self) -> Lab:
        """Research on the candles of this market; the research methods of the bot are its own."""
        lab: Lab = self._lab
        return lab

    @property
    def tasks(self) -> NotebookTasks:
        """The task manager, with plain calls: ``bot.tasks.stop_task("x")``."""
        return NotebookTasks(self.aio.tasks, self._call)

    def wait(self, run_for: float | str | None = None, *, progress: bool = True) -> None:
        """Wait for a span of market time such as ``"12h"``, or until the bot is stopped.

        Args:
            run_for: seconds, or a text; None waits for the stop.
            progress: show a progress bar of market time.

        Raises:
            Exception: the error of a CRITICAL task that failed, so that a headless run fails.
        """
        if not progress or run_for is None:
            self._call(self.aio.wait(run_for))
            return
        span, clock = parse_duration(run_for), self.aio.engine.market_clock
        start = clock.now()

        def step() -> ProgressStep:
            now = clock.now()
            return ProgressStep((now - start) // 60_000, round(span / 60), f"{iso(now)} UTC")

        watch_progress(self._runtime, self.aio.wait(span), step, what="market time", unit="min")

    def fire_drill(self, *, faults: Sequence[str] | None = None) -> DrillReport:
        """Inject faults into a separate bot, and grade how it recovers from them.

        Dropped connections, lost answers and fills, doubled frames, a restart of the exchange, a
        kernel that is killed with a position and a sleeping computer are injected into a separate
        bot, in a separate Jupyter kernel and on a separate paper exchange: this bot and its account
        are not affected. The drill takes about a minute.

        Args:
            faults: names of faults, such as ``["kernel killed"]``; None injects all.

        Raises:
            InvalidInput: a fault is unknown.
        """
        state = ProgressStep(0, 0, "")

        def note(done: int, total: int, fault: str) -> None:
            nonlocal state
            state = ProgressStep(done, total, fault)

        return watch_progress(
            self._runtime,
            self.aio.fire_drill(faults=faults, progress=note),
            lambda: state,
            what="fire drill",
            unit="faults",
        )

    def kill(self, reason: str, *, close_positions: bool = False) -> list[str]:
        """Stop entries at once, until `rearm`; return what was done, in sentences.

        It takes effect from this thread, also while the loop hangs, and outlasts restarts. Exits
        and protective stops go on.

        Args:
            reason: quoted wherever an entry is refused.
            close_positions: also sell every position at the market.
        """
        self.aio.engine.kill_switch.throw(reason, by="method")
        done: list[str] = self._call(self.aio.kill(reason, close_positions=close_positions))
        return done

    trade = of_core(AsyncBot.trade)
    follow = of_core(AsyncBot.follow)
    chart = of_core(AsyncBot.chart)
    candles = of_lab(Lab.candles)
    frames = of_lab(Lab.frames)
    backtest = of_lab(Lab.backtest)
    sweep = of_lab(Lab.sweep)
    walk_forward = of_lab(Lab.walk_forward)
    cross_validate = of_lab(Lab.cross_validate)
    check = of_lab(Lab.check)
    experiments = of_lab(Lab.experiments)
    download = of_lab(Lab.download)
    import_files = of_lab(Lab.import_files)

    def compare(self, result: BacktestResult, name: str | None = None) -> ParityReport:
        """Compare a backtest with the fills of this bot in the same span.

        Args:
            name: the name a strategy trades under, where several trade the same symbol; None
                compares all fills of the symbol.
        """
        from botlib.backtesting import BacktestResult, compare

        costs = None
        if isinstance(result, BacktestResult) and result.symbol:
            listed = self.aio.lab.market(result.symbol)
            costs = listed.costs if listed.exact else None
        return compare(result, self._call(self.aio.journaled_fills(name)), costs)
