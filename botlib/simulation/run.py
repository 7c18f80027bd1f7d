"""`simulate`: a bot and its exchange in one process, in virtual time, repeatable."""

from __future__ import annotations

import asyncio
import math
import shutil
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botlib.config import Settings
from botlib.core.asynctools import innermost_error
from botlib.core.errors import InvalidInput
from botlib.core.temporary import temporary_directory
from botlib.core.timeframe import parse_duration
from botlib.simulation.loop import VirtualLoop
from botlib.simulation.result import SimulationResult
from botlib.simulation.simulation import Script, Simulation
from botlib.simulation.venue import START, paper_options
from botlib.strategy import strategy_object

if TYPE_CHECKING:
    from botlib.strategy import Strategy

STEP: Final = "15s"
"""Market time between two prices: four a minute, as in a replay."""

NO_DATABASE: Final = "none: the files of a simulation are removed at its end"
"""What a summary says in place of the database."""

_MEMORY: Final = Path("/dev/shm")


def simulate(
    config: str | Path | Settings | None = None,
    *,
    run_for: float | str = "1d",
    seed: int | None = None,
    strategies: Strategy | Sequence[Strategy] = (),
    script: Script | None = None,
    step: float | str = STEP,
    log: str | Path | None = None,
    **changes: Any,
) -> SimulationResult:
    """Run a bot and its paper exchange in virtual time, as fast as the computer allows.

    The bot is the one that `connect` starts, on the exchange that it would trade on, with the same
    protocol between them; only waiting takes no time. The same configuration and seed give the same
    run, event by event. Files are created in a temporary directory and removed at the end.

    Args:
        config: settings, or a YAML file; None uses the defaults.
        run_for: market time from when the bot is ready, such as ``"1d"``; a recording may end
            earlier.
        seed: of the synthetic market and the random source; None uses the one of the settings.
        strategies: traded on every symbol, in place of those of the settings.
        script: an async function that receives the `Simulation` and runs beside the bot, to order
            faults or read a state; it is cancelled at the end.
        step: market time between two prices of a symbol; real venues send one every ``"2s"``.
        log: file of the event log; None writes none.
        changes: settings to override, such as ``symbols=["BTC/USDT"]``.

    Raises:
        ConfigError: a setting is not accepted, or the market cannot be simulated.
        SimulationError: a coroutine waits and no timer or connection can wake it.
        Exception: the error with which a CRITICAL task failed for good, or one of the script.
    """
    settings = config if isinstance(config, Settings) else Settings.load(config)
    given = [strategies] if not isinstance(strategies, Sequence) else list(strategies)
    given = [strategy_object(one, "simulate") for one in given]
    settings = settings.override(changes)
    paper: dict[str, Any] = {"lockstep": False, "speed": 1.0}
    if seed is not None:
        paper["seed"] = seed
    fixed: dict[str, Any] = {"paper": paper, "health": {"port": 0}}
    if given:
        fixed["strategies"] = []
    seconds, millis = parse_duration(run_for), round(parse_duration(step) * 1_000)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise InvalidInput(f"Cannot simulate for {run_for!r}. Accepted: a span such as '1d'.")
    directory = temporary_directory("simulation", _MEMORY if _MEMORY.is_dir() else None)
    try:
        settings = settings.override({**fixed, "data_directory": directory})
        ledger = directory / "paper.ledger.db"
        options = paper_options(settings, step=millis, ledger=ledger)
        market = options.open_market()
        start = options.first_moment(market, now=START)
        simulation = Simulation(
            settings,
            market,
            replace(options, start=start),
            seed=settings.paper.seed,
            log=None if log is None else Path(log),
        )
        found = _in_thread(lambda: simulation.run(seconds, strategies=given, script=script), start)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return replace(found, summary=replace(found.summary, database=NO_DATABASE))


def _in_thread(main: Callable[[], Awaitable[SimulationResult]], start: int) -> SimulationResult:
    """Run a coroutine on a virtual loop in a thread, as a notebook's own thread has a loop."""
    loops: list[VirtualLoop] = []
    found: list[SimulationResult] = []
    errors: list[BaseException] = []
    stop = threading.Event()

    def make_loop() -> VirtualLoop:
        loops.append(VirtualLoop(start))
        return loops[0]

    async def body() -> SimulationResult:
        task = asyncio.current_task()
        assert task is not None
        cancels.append(task.cancel)
        if stop.is_set():
            task.cancel()
        return await main()

    cancels: list[Callable[[], object]] = []

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=make_loop) as runner:
                found.append(runner.run(body()))
        except BaseException as error:
            errors.append(innermost_error(error))

    thread = threading.Thread(target=work, name="botlib-simulation")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        stop.set()
        for cancel in cancels:
            loops[0].call_soon_threadsafe(cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return found[0]
