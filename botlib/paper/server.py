"""The process of a paper exchange: it serves until a signal ends it, with restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from botlib.core.asynctools import first_of
from botlib.paper.exchange import ExchangeReady, PaperExchange
from botlib.paper.market.market import PaperMarket
from botlib.paper.mirror.market import MirrorMarket
from botlib.paper.operator.scenario import Scenario, ScenarioPlayer
from botlib.paper.options import PaperOptions


class _Restart:
    """A restart that was ordered."""

    def __init__(self) -> None:
        self.ordered = asyncio.Event()
        self.away = 0.0

    def order(self, away: float) -> None:
        """Close the exchange, and open it ``away`` seconds later."""
        self.away = away
        self.ordered.set()


async def serve(options: PaperOptions, ready: Callable[[ExchangeReady], None]) -> None:
    """Serve a market until SIGTERM, SIGINT or, if asked for, the end of the parent process.

    Args:
        options: the market and how it is served; a scenario among them starts when it is ready.
        ready: called once, when requests are answered.

    Raises:
        PaperExchangeError: it cannot start; the message says why.
        RecordingError: a recording cannot be read.
        UnknownSymbol: the market cannot trade one of the symbols.
    """
    scenario = None if options.scenario is None else Scenario.load(options.scenario)
    market = options.open_market()
    async with AsyncExitStack() as stack:
        if isinstance(market, MirrorMarket):
            stack.push_async_callback(market.close)
            await market.open(options.symbols)
        await _serve(market, options, ready, scenario)


async def _serve(
    market: PaperMarket,
    options: PaperOptions,
    ready: Callable[[ExchangeReady], None],
    scenario: Scenario | None,
) -> None:
    stop, restart, player = asyncio.Event(), _Restart(), ScenarioPlayer()
    player.faults.restart = restart.order
    player.faults.crash = _die
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    exchange = PaperExchange(market, options, player)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(exchange.close)
        started = await exchange.start()
        options = replace(options, port=int(started.url.rpartition(":")[2]))
        if scenario is not None:
            player.load(scenario)
        async with asyncio.TaskGroup() as group:
            told = False
            parent = group.create_task(_watch_parent(stop)) if options.watch_parent else None
            while True:
                running = group.create_task(exchange.run())
                if not told:
                    await exchange.venue.prepared()
                    ready(started)
                    told = True
                await first_of(stop.wait(), restart.ordered.wait())
                running.cancel()
                if stop.is_set():
                    break
                here, now = exchange.venue.market_time, exchange.venue.is_wall_time
                await stack.aclose()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), restart.away)
                restart.ordered.clear()
                if stop.is_set():
                    break
                # A market that follows a clock has gone on meanwhile; one at the wall time starts
                # at the wall time again.
                if not now:
                    passed = round(restart.away * (options.pace.speed or 0.0) * 1_000)
                    options = replace(options, start=here + passed)
                exchange = PaperExchange(market, options, player)
                stack.push_async_callback(exchange.close)
                await exchange.start()
            if parent is not None:
                parent.cancel()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Input(asyncio.Protocol):
    """Sets an event at the end of standard input."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, error: Exception | None) -> None:
        self._stop.set()


async def _watch_parent(stop: asyncio.Event) -> None:
    # A parent that dies closes the pipe to this process; without a pipe the parent's id changes.
    parent = os.getppid()
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: _Input(stop), sys.stdin)
    except (ValueError, OSError):
        pass
    while os.getppid() == parent:  # noqa: ASYNC110 (a parent's end is no event)
        await asyncio.sleep(0.5)
    stop.set()
