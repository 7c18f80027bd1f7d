"""The paper exchange on the running loop: its parts, its start and its end."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from contextlib import closing, suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import WSCloseCode, web

from botlib.core.errors import PaperExchangeError, UnknownSymbol
from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.keys import KeyRegister
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.signatures import wall_time
from botlib.paper.api.dispatch import Dispatcher
from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.mirror_data import MirrorDataHandlers
from botlib.paper.api.openapi import openapi_document
from botlib.paper.api.operations import operations
from botlib.paper.api.orders import OrderHandlers
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.api.rest import RestApi
from botlib.paper.api.wsapi import WsApi
from botlib.paper.market.market import PaperMarket
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.mirror.market import MirrorMarket
from botlib.paper.mirror_venue import MirrorVenue
from botlib.paper.operator.administration import Administration
from botlib.paper.operator.control_api import ControlApi
from botlib.paper.operator.fault_actions import FaultActions
from botlib.paper.operator.scenario import ScenarioPlayer
from botlib.paper.options import PaperOptions
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.refusals import Refusal, unsupported
from botlib.paper.streams.connection import PING_INTERVAL, refused_response
from botlib.paper.venue import Venue
from botlib.serving import HOST, LoopbackServer, ServerRules
from botlib.serving.door import ConnectionLimits

logger = logging.getLogger(__name__)

MAX_BODY: Final = 2**20
FIRST_REQUEST: Final = 20.0
"""Seconds within which a complete request must arrive on a new connection."""
KEPT_ALIVE: Final = 75.0
"""Seconds for which a connection stays open after a request."""
BODY_WITHIN: Final = 10.0
"""Seconds within which the body of a request has to arrive after its head."""
DESCRIPTORS_LEFT: Final = 128
"""File descriptors of the process that are not used for connections."""


@dataclass(frozen=True, slots=True)
class ExchangeReady:
    """The address and the identity of a started exchange."""

    url: str
    venue: str
    pid: int
    market_time: int


class PaperExchange:
    """A paper exchange on the running loop: `start`, `run`, `close`.

    Args:
        market: what is traded.
        options: its options.
        player: the player of scenarios, with the faults; that of the exchange before a restart, so
            that faults survive it. None for a new one.

    Raises:
        WrongVenue: the ledger belongs to another market.
        PaperExchangeError: the ledger cannot be used, or the start is outside the recording.
        UnknownSymbol: the market cannot trade one of the symbols.
    """

    def __init__(
        self, market: PaperMarket, options: PaperOptions, player: ScenarioPlayer | None = None
    ) -> None:
        self.options = options
        self._ledger = Ledger.open(options.ledger, venue=market.venue, balances=options.balances)
        try:
            for symbol in options.symbols:
                market.listing(symbol)
            maker = options.fee if options.maker_fee is None else options.maker_fee
            commission = Commission(maker, options.fee, self._bnb_price)
            engine = MatchingEngine(self._ledger, commission)
            self.player = player or ScenarioPlayer()
            self.faults = self.player.faults
            self.venue = self._new_venue(market, engine)
            if options.burn_bnb and not engine.account.burns_bnb:
                engine.burn_bnb(DEFAULT_ACCOUNT, True, self.venue.market_time)
                self._ledger.flush()
            for symbol, waiting in engine.state.open_by_symbol.items():
                if waiting and not isinstance(self.venue, MirrorVenue):
                    self.venue.feed(symbol)
            if options.depth is not None:
                # Read before anybody is served, since thousands of trades may be on their tapes.
                for symbol in engine.traded_symbols():
                    with suppress(UnknownSymbol):
                        self.venue.feed(symbol)
        except BaseException:
            self._ledger.close()
            raise
        self.keys = KeyRegister()
        self.limits = RateLimits(wall_time, lambda: self.venue.market_time)
        engine.first_fill = self.limits.credit_fill
        data = MarketDataHandlers(self.venue, self.limits)
        if isinstance(self.venue, MirrorVenue):
            data = MirrorDataHandlers(self.venue, self.limits)
        trading = OrderHandlers(self.venue, data, self.limits)
        trading.accounts.withdraws = self.keys.withdraws
        self._operations = operations(data, trading)
        dispatcher = Dispatcher(self._operations, self.limits, self.faults, self.venue.event_time)
        self._wsapi = WsApi(dispatcher, self.venue, self.keys)
        self._rest = RestApi(dispatcher, trading, self.keys)
        self.administration = Administration(self.venue, self.keys)
        acts = FaultActions(self.venue, self._wsapi, self.faults, self.administration, self.limits)
        self.player.attach(acts, self.venue)
        self._control = ControlApi(self.venue, acts, self.player, self.administration, dispatcher)
        self._server = LoopbackServer(self._routes(), _rules(options))
        self._saved = -1

    def _new_venue(self, market: PaperMarket, engine: MatchingEngine) -> Venue:
        options = self.options
        if isinstance(market, MirrorMarket):
            return MirrorVenue(
                market,
                engine,
                faults=self.faults,
                slippage=options.slippage,
                events=options.events,
                seed=options.event_seed,
                symbols=options.symbols,
            )
        return Venue(
            market,
            engine,
            start=_start(market, options, self._ledger.market_time),
            pace=options.pace,
            faults=self.faults,
            slippage=options.slippage,
            depth=options.depth,
            events=options.events,
            seed=options.event_seed,
        )

    async def start(self) -> ExchangeReady:
        """Listen on the loopback address.

        Raises:
            PaperExchangeError: the port is taken.
        """
        try:
            await self._server.start(self.options.port)
        except OSError as error:
            raise PaperExchangeError(
                f"Cannot listen on {HOST}:{self.options.port}: {error.strerror or error}. "
                "Give another port, or 0 for any free one."
            ) from None
        return ExchangeReady(
            str(self._server.url), self.venue.market.venue, os.getpid(), self.venue.market_time
        )

    def _routes(self) -> list[web.AbstractRouteDef]:
        streams = ("/ws", "/ws/{t:.*}", "/stream", "/stream/ws", "/stream/ws/{t:.*}")
        return [
            web.get("/ws-api/v3", self._wsapi.handle),
            *(web.get(path, self._streams) for path in streams),
            web.route("*", "/api/{version:v1|v3}/{path:.*}", self._rest.api),
            web.route("*", "/sapi/v1/{path:.*}", self._rest.sapi),
            web.get("/openapi.json", self._openapi),
            *self._control.routes(),
            web.route("*", "/{path:.*}", _unknown_path),
        ]

    async def run(self) -> None:
        """Run the market, the pings and the writes of its time until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.venue.run())
            group.create_task(self._ping())
            group.create_task(self._save())
            group.create_task(self.player.run())

    async def close(self) -> None:
        """Stop listening, close the sockets with a close frame, and then the ledger."""
        # A client that reconnects at once must not reach an exchange that never answers it.
        await self._server.stop_listening()
        while sockets := [*self.venue.streams.connections, *self._wsapi.connections]:
            async with asyncio.TaskGroup() as group:
                for connection in sockets:
                    group.create_task(connection.close(WSCloseCode.GOING_AWAY, "Server shutdown"))
            # A handshake that was under way has become a connection meanwhile.
            if set(sockets) >= {*self.venue.streams.connections, *self._wsapi.connections}:
                break
        await self._server.stop()
        self._save_time()
        self._ledger.close()

    async def _openapi(self, request: web.Request) -> web.Response:
        return web.json_response(openapi_document(self._operations))

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
                await connection.keep_alive()

    async def _save(self) -> None:
        while True:
            await asyncio.sleep(self.options.save_interval)
            try:
                self._save_time()
            except PaperExchangeError as error:
                logger.error("%s", error)

    def _bnb_price(self, asset: str) -> Decimal | None:
        return self.options.bnb_price or self.venue.bnb_price(asset)

    def _save_time(self) -> None:
        if self.venue.market_time != self._saved:
            self._ledger.save_time(self.venue.market_time)
            self._saved = self.venue.market_time


async def _unknown_path(request: web.Request) -> web.StreamResponse:
    if request.path.startswith("/paper/"):
        return web.json_response({"error": f"There is no {request.path}."}, status=404)
    return refused_response(unsupported(404))


def _rules(options: PaperOptions) -> ServerRules:
    """Return what the server accepts: programs of its own user, unless all are asked for."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = max(descriptors - DESCRIPTORS_LEFT, DESCRIPTORS_LEFT)
    return ServerRules(
        connections=ConnectionLimits(
            most=most,
            of_others=most if options.any_user else 0,
            first_request=FIRST_REQUEST,
            next_request=KEPT_ALIVE,
            interval=PING_INTERVAL,
        ),
        max_body=MAX_BODY,
        body_within=BODY_WITHIN,
        # Clients may come through a forwarded port.
        any_port=True,
        refuse=_refuse,
    )


def _refuse(request: web.Request, status: int, text: str) -> web.StreamResponse:
    if request.path.startswith("/paper/"):
        return web.json_response({"error": text}, status=status)
    return refused_response(Refusal(-1000, text, status=status))


def _start(market: PaperMarket, options: PaperOptions, stored: int) -> int:
    """Return the market time (ms) to start at; ``stored`` is that of the ledger."""
    spans = [market.span(listing.symbol) for listing in market.listings()]
    first = min(begin for begin, _ in spans)
    ends = [end for _, end in spans if end is not None]
    wanted = options.first_moment(market, now=wall_time())
    if len(ends) == len(spans) and wanted > max(ends):
        raise PaperExchangeError(
            f"The recording cannot start at {wanted} ms: it covers {first} to {max(ends)}. "
            "Choose a start inside it."
        )
    return max(wanted, first, stored)


class LedgerContents(NamedTuple):
    """The default account as a ledger holds it.

    Attributes:
        orders: its orders as JSON, by id.
        trades: its trades as JSON, by id.
        balances: what it owns, free and locked together, by asset in alphabetical order.
    """

    orders: list[str]
    trades: list[str]
    balances: dict[str, Decimal]


def read_ledger(path: Path, venue: str) -> LedgerContents:
    """Return what the ledger of an exchange that no longer runs holds.

    Raises:
        WrongVenue: it belongs to another market.
        PaperExchangeError: it is damaged, of another kind, or in use.
    """
    with closing(Ledger.open(path, venue=venue, balances={})) as ledger:
        account = ledger.load().account(DEFAULT_ACCOUNT)
        orders = sorted(account.orders.values(), key=lambda order: order.order_id)
        trades = [trade for of_symbol in account.trades.values() for trade in of_symbol]
        trades.sort(key=lambda trade: trade.trade_id)
        return LedgerContents(
            [order.dump().decode() for order in orders],
            [trade.dump().decode() for trade in trades],
            {
                asset: balance.free + balance.locked
                for asset, balance in sorted(account.balances.items())
            },
        )
