"""The paper exchange as a process: assembly, start and end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from aiohttp import WSCloseCode, web

from botlib.core.asynctools import first_of
from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.keys import KeyRegister
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.signatures import wall_time
from botlib.paper.api.dispatch import Dispatcher
from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.openapi import description
from botlib.paper.api.operations import operations
from botlib.paper.api.orders import OrderHandlers
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.api.rest import RestApi
from botlib.paper.api.wsapi import WsApi
from botlib.paper.market.depth import Depth
from botlib.paper.market.market import PaperMarket
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.operator.administration import Administration
from botlib.paper.operator.control_api import ControlApi
from botlib.paper.operator.fault_actions import FaultActions
from botlib.paper.operator.scenario import Scenario, ScenarioPlayer
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.refusals import Refusal
from botlib.paper.streams.connection import PING_INTERVAL, refused_response
from botlib.paper.streams.idle_connections import IdleConnections
from botlib.paper.streams.user_streams import EventOrder
from botlib.paper.venue import Venue

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
KEPT_ALIVE: Final = 75.0
"""Seconds for which a connection stays open after a request, for the next one."""
SAVE_INTERVAL: Final = 1.0
"""Usual seconds between two notes of the market time in the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperSettings:
    """How a paper exchange is started.

    Attributes:
        start: first market time in ms; None for now, or for the beginning of a recording.
        pace: how market time passes.
        port: 0 for any free one.
        ledger: the account's file; None for an account that ends with the process.
        balances: what a new account owns.
        fee: fraction of what a trade receives.
        slippage: fraction by which market orders fill worse than the price.
        depth: what stands around the price; None for a market that fills any amount at one price.
        burn_bnb: let the account of the exchange's own keys pay its fees in BNB, from the start.
        bnb_price: what a BNB costs in any quote, for fees paid in it; None for the market's price.
        events: whether the user events of a request leave before its answer, after it, or either.
        event_seed: decides which, where either is possible.
        symbols: symbols to list besides the market's own.
        watch_parent: end when the parent process does.
        save_interval: seconds between two notes of the market time in the ledger.
    """

    start: int | None = None
    pace: MarketPace = field(default_factory=lambda: MarketPace(1.0))
    port: int = 0
    ledger: Path | None = None
    balances: Mapping[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(10_000)})
    fee: Decimal = Decimal("0.001")
    slippage: Decimal = Decimal(0)
    depth: Depth | None = None
    burn_bnb: bool = False
    bnb_price: Decimal | None = None
    events: EventOrder = "either"
    event_seed: int = 0
    symbols: tuple[str, ...] = ()
    watch_parent: bool = False
    save_interval: float = SAVE_INTERVAL


@dataclass(frozen=True, slots=True)
class Ready:
    """What a started exchange tells about itself."""

    url: str
    venue: str
    pid: int
    market_time: int


class PaperExchange:
    """A paper exchange inside the running loop: `start`, `run`, `close`.

    Args:
        market: what is traded.
        settings: how.
        player: of scenarios, with the faults; one that outlives this exchange is given by whoever
            starts it again.
    """

    def __init__(
        self, market: PaperMarket, settings: PaperSettings, player: ScenarioPlayer | None = None
    ) -> None:
        self.settings = settings
        self._ledger = Ledger.open(settings.ledger, venue=market.venue, balances=settings.balances)
        try:
            for symbol in settings.symbols:
                market.listing(symbol)
            fee = settings.fee
            engine = MatchingEngine(self._ledger, Commission(fee, fee, self._bnb_price))
            self.player = player or ScenarioPlayer()
            self.faults = self.player.faults
            self.venue = Venue(
                market,
                engine,
                start=_start(market, settings, self._ledger.market_time),
                pace=settings.pace,
                faults=self.faults,
                slippage=settings.slippage,
                depth=settings.depth,
                events=settings.events,
                seed=settings.event_seed,
            )
            if settings.burn_bnb and not engine.account.burns_bnb:
                engine.burn_bnb(DEFAULT_ACCOUNT, True, self.venue.market_time)
                self._ledger.flush()
            for symbol, waiting in engine.state.working.items():
                if waiting:
                    self.venue.feed(symbol)
        except BaseException:
            self._ledger.close()
            raise
        self.keys = KeyRegister()
        self.limits = RateLimits(wall_time, lambda: self.venue.market_time)
        engine.first_fill = self.limits.filled
        data = MarketDataHandlers(self.venue)
        trading = OrderHandlers(self.venue, data, self.limits)
        self._operations = operations(data, trading)
        dispatcher = Dispatcher(
            self._operations, self.limits, self.faults, lambda: self.venue.market_time
        )
        self._wsapi = WsApi(dispatcher, self.venue, self.keys)
        self._rest = RestApi(dispatcher, trading, self.keys)
        self.administration = Administration(self.venue, self.keys)
        acts = FaultActions(self.venue, self._wsapi, self.faults, self.administration)
        self.player.enter(acts, self.venue)
        self._control = ControlApi(self.venue, acts, self.player, self.administration, dispatcher)
        self._door = IdleConnections()
        self._runner: web.AppRunner | None = None
        self._saved = -1

    async def start(self) -> Ready:
        """Listen on the loopback address.

        Raises:
            PaperExchangeError: the port is taken.
        """
        app = web.Application(client_max_size=2**20)
        app.on_response_prepare.append(self._door.greet)
        app.router.add_get("/ws-api/v3", self._wsapi.handle)
        for path in ("/ws", "/ws/{t:.*}", "/stream", "/stream/ws", "/stream/ws/{t:.*}"):
            app.router.add_get(path, self._streams)
        app.router.add_route("*", "/api/{version:v1|v3}/{path:.*}", self._rest.api)
        app.router.add_route("*", "/sapi/v1/{path:.*}", self._rest.sapi)
        app.router.add_get("/openapi.json", self._openapi)
        app.router.add_routes(self._control.routes())
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            keepalive_timeout=KEPT_ALIVE,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self.settings.port)
        try:
            await site.start()
        except OSError as error:
            raise PaperExchangeError(
                f"Cannot listen on {HOST}:{self.settings.port}: {error.strerror or error}. "
                "Give another port, or 0 for any free one."
            ) from None
        port = self._runner.addresses[0][1]
        return Ready(
            f"http://{HOST}:{port}", self.venue.market.venue, os.getpid(), self.venue.market_time
        )

    async def run(self) -> None:
        """Run the market, the pings and the notes of its time until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.venue.run())
            group.create_task(self._ping())
            group.create_task(self._save())
            group.create_task(self.player.run())

    async def close(self) -> None:
        """Close the sockets politely and the ledger last."""
        sockets = [*self.venue.streams.connections, *self._wsapi.connections]
        async with asyncio.TaskGroup() as group:
            for connection in sockets:
                group.create_task(connection.close(WSCloseCode.GOING_AWAY, "Server shutdown"))
        if self._runner is not None:
            await self._runner.cleanup()
        self._save_time()
        self._ledger.close()

    async def _openapi(self, request: web.Request) -> web.Response:
        return web.json_response(description(self._operations))

    async def _streams(self, request: web.Request) -> web.StreamResponse:
        try:
            self.limits.connect(request.remote or "")
        except Refusal as refused:
            return refused_response(refused)
        return await self.venue.streams.handle(request)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL)
            for connection in (*self.venue.streams.connections, *self._wsapi.connections):
                await connection.tend()
            if self._runner is not None and self._runner.server is not None:
                now = asyncio.get_running_loop().time()
                self._door.sweep(self._runner.server.connections, now)

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(self.settings.save_interval)
            try:
                self._save_time()
            except PaperExchangeError as error:
                logger.error("%s", error)

    def _bnb_price(self, asset: str) -> Decimal | None:
        return self.settings.bnb_price or self.venue.bnb_price(asset)

    def _save_time(self) -> None:
        if self.venue.market_time != self._saved:
            self._ledger.save_time(self.venue.market_time)
            self._saved = self.venue.market_time


def _start(market: PaperMarket, settings: PaperSettings, stored: int) -> int:
    symbols = [listing.symbol for listing in market.listings()]
    spans = [market.span(symbol) for symbol in symbols]
    first = min(begin for begin, _ in spans)
    ends = [end for _, end in spans if end is not None]
    last = max(ends) if len(ends) == len(spans) else None
    wanted = settings.start
    if wanted is None:
        wanted = first if last is not None else wall_time()
    if last is not None and wanted > last:
        raise PaperExchangeError(
            f"The recording cannot start at {wanted} ms: it covers {first} to {last}. "
            "Choose a start inside it."
        )
    return max(wanted, first, stored)


class _Restart:
    """A restart that somebody ordered."""

    def __init__(self) -> None:
        self.ordered = asyncio.Event()
        self.away = 0.0

    def order(self, away: float) -> None:
        """Close the exchange, and open it ``away`` seconds later."""
        self.away = away
        self.ordered.set()


async def serve(
    market: PaperMarket,
    settings: PaperSettings,
    ready: Callable[[Ready], None],
    scenario: Scenario | None = None,
) -> None:
    """Serve a market until SIGTERM, SIGINT or, where asked for, the end of the parent process.

    Args:
        ready: called once, when requests are answered.
        scenario: faults to play, from then on.

    Raises:
        PaperExchangeError: it cannot start; the message says why.
    """
    stop, restart, player = asyncio.Event(), _Restart(), ScenarioPlayer()
    player.faults.restart = restart.order
    player.faults.crash = _die
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    exchange = PaperExchange(market, settings, player)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(exchange.close)
        started = await exchange.start()
        settings = replace(settings, port=int(started.url.rpartition(":")[2]))
        if scenario is not None:
            player.load(scenario)
        ready(started)
        watching = _watch_parent(stop) if settings.watch_parent else _nothing()
        async with asyncio.TaskGroup() as group:
            parent = group.create_task(watching)
            while True:
                running = group.create_task(exchange.run())
                await first_of(stop.wait(), restart.ordered.wait())
                running.cancel()
                if stop.is_set():
                    break
                here = exchange.venue.market_time
                await stack.aclose()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), restart.away)
                restart.ordered.clear()
                if stop.is_set():
                    break
                # The market went on meanwhile, where it follows a clock.
                passed = round(restart.away * (settings.pace.speed or 0.0) * 1_000)
                settings = replace(settings, start=here + passed)
                exchange = PaperExchange(market, settings, player)
                stack.push_async_callback(exchange.close)
                await exchange.start()
            parent.cancel()


async def _nothing() -> None:
    """Watch nobody."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Input(asyncio.Protocol):
    """Notices the end of standard input."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, error: Exception | None) -> None:
        self._stop.set()


async def _watch_parent(stop: asyncio.Event) -> None:
    # A parent that dies closes the pipe it held; where there is no pipe, its number changes.
    parent = os.getppid()
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: _Input(stop), sys.stdin)
    except (ValueError, OSError):
        pass
    while os.getppid() == parent:  # noqa: ASYNC110 (no event tells of a parent's end)
        await asyncio.sleep(0.5)
    stop.set()
