"""The control API under ``/paper/v1/``: state, lockstep, pause, faults, scenarios and true data.

Binance has no such API. Like every path it is behind the guard of `botlib.serving`, so that neither
a web page nor another user of the computer reaches it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from aiohttp import web

from botlib.core.errors import BotlibError, PaperExchangeError
from botlib.core.text import formats
from botlib.core.timeframe import timeframe_ms
from botlib.paper.api.dispatch import Dispatcher
from botlib.paper.market.feed import rows
from botlib.paper.market.quotes import eight_decimals, traded_bar
from botlib.paper.operator.administration import Administration
from botlib.paper.operator.fault_actions import FaultActions
from botlib.paper.operator.operator_api import OperatorApi
from botlib.paper.operator.scenario import Scenario, ScenarioPlayer
from botlib.paper.venue import Venue

DEFAULT_TIMEOUT: Final = 10.0
MAX_TIMEOUT: Final = 300.0
MOST_CANDLES: Final = 100_000
"""Most candles of one request: making them of a whole market would take minutes."""

_Handler = Callable[[Mapping[str, object]], Awaitable[dict[str, object]]]
_Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlApi:
    """The control API of one exchange."""

    def __init__(
        self,
        venue: Venue,
        actions: FaultActions,
        player: ScenarioPlayer,
        administration: Administration,
        dispatcher: Dispatcher,
    ) -> None:
        self._venue = venue
        self._operator_api = OperatorApi(administration)
        self._actions = actions
        self._player = player
        self._dispatcher = dispatcher

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to an application."""
        return [
            web.get("/paper/v1/state", self._guarded(self._state)),
            web.get("/paper/v1/mirror", self._guarded(self._mirror)),
            web.post("/paper/v1/advance", self._guarded(self._advance)),
            web.post("/paper/v1/fault", self._guarded(self._fault)),
            web.post("/paper/v1/scenario", self._guarded(self._scenario)),
            web.get("/paper/v1/ledger", self._guarded(self._ledger)),
            web.post("/paper/v1/ledger", self._guarded(self._ledger)),
            web.post("/paper/v1/candles", self._guarded(self._candles)),
            web.post("/paper/v1/pause", self._guarded(self._pause)),
            web.post("/paper/v1/resume", self._guarded(self._resume)),
            *(
                web.post(f"/paper/v1/{name}", self._guarded(handler))
                for name, handler in self._operator_api.handlers().items()
            ),
        ]

    def _guarded(self, handler: _Handler) -> _Route:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return _json(await handler(await _body(request)))
            except BotlibError as error:
                return _json({"error": str(error)}, 400)

        return guarded

    async def _state(self, body: Mapping[str, object]) -> dict[str, object]:
        venue, account = self._venue, self._venue.engine.account
        return {
            "venue": venue.market.venue,
            "base": venue.market.base,
            "market_time": venue.market_time,
            "speed": venue.pace.speed if venue.pace.speed is not None else "max",
            "lockstep": venue.pace.lockstep,
            "paused": venue.paused,
            "ended": venue.ended,
            **venue.details(),
            "symbols": [listing.symbol for listing in venue.listings()],
            "balances": {
                asset: {
                    "free": eight_decimals(balance.free),
                    "locked": eight_decimals(balance.locked),
                }
                for asset, balance in sorted(account.balances.items())
            },
            "counters": {
                "frames": venue.streams.sent,
                "closing_frames": venue.streams.closing_sent,
                "user_events": venue.users.sent,
                "boundaries": venue.lockstep.boundaries,
                "orders": len(account.orders),
                "open_orders": len(account.open_orders()),
                "trades": account.trades.count,
                "stream_sockets": len(venue.streams.connections),
                "user_sockets": len(venue.users.connections),
                "requests": self._dispatcher.requests,
                "faults": dict(self._player.faults.struck),
            },
            "scenario": {
                "waiting": self._player.waiting,
                "performed": self._player.performed,
                "errors": self._player.errors,
            },
        }

    async def _mirror(self, body: Mapping[str, object]) -> dict[str, object]:
        """Return the state of a mirror alone, as clients ask for it every second."""
        return {"mirror": None, **self._venue.details()}

    async def _advance(self, body: Mapping[str, object]) -> dict[str, object]:
        streams, acknowledged = body.get("streams"), body.get("acknowledged")
        if not isinstance(streams, list) or not all(isinstance(one, str) for one in streams):
            raise PaperExchangeError(
                f"Cannot advance: streams is {streams!r}. "
                'Accepted: a list of kline streams such as ["btcusdt@kline_1m"].'
            )
        if not isinstance(acknowledged, int):
            raise PaperExchangeError(
                f"Cannot advance: acknowledged is {acknowledged!r}. "
                "Accepted: the market_time (ms) of the last answer, or of the state at first."
            )
        timeout = min(_number(body, "timeout", DEFAULT_TIMEOUT), MAX_TIMEOUT)
        progress = await self._venue.advance(streams, acknowledged, timeout)
        return {
            "market_time": progress.market_time,
            "closed": [candle._asdict() for candle in progress.closed],
            "ended": progress.ended,
        }

    async def _pause(self, body: Mapping[str, object]) -> dict[str, object]:
        self._venue.pause()
        return {"market_time": self._venue.market_time}

    async def _resume(self, body: Mapping[str, object]) -> dict[str, object]:
        self._venue.resume()
        return {"market_time": self._venue.market_time}

    async def _fault(self, body: Mapping[str, object]) -> dict[str, object]:
        details = {name: value for name, value in body.items() if name != "kind"}
        return await self._actions.perform(str(body.get("kind")), details)

    async def _scenario(self, body: Mapping[str, object]) -> dict[str, object]:
        scenario = Scenario.of(body)
        self._player.load(scenario)
        return {"steps": len(scenario.steps)}

    # -- true data of the venue, whatever faults and limits do to other answers

    async def _ledger(self, body: Mapping[str, object]) -> dict[str, object]:
        account = self._venue.engine.account
        after, others = int(_number(body, "after", 0)), _order_ids(body)
        return {
            "market_time": self._venue.market_time,
            "server_time": self._player.faults.server_time(),
            "balances": {
                asset: {"free": str(balance.free), "locked": str(balance.locked)}
                for asset, balance in sorted(account.balances.items())
            },
            "repeated": account.orders.repeated_client_ids(),
            "orders": [
                orjson.Fragment(order.dump()) for order in account.orders.after(after, others)
            ],
            "trades": [
                orjson.Fragment(trade.dump())
                for trade in account.trades.of_orders_after(after, others)
            ],
        }

    async def _candles(self, body: Mapping[str, object]) -> dict[str, object]:
        symbol, timeframe = str(body.get("symbol")), str(body.get("timeframe"))
        start, end = int(_number(body, "start", 0)), int(_number(body, "end", 0))
        length = timeframe_ms(timeframe)
        last = min(end, self._venue.market_time - length)
        if last - start > MOST_CANDLES * length:
            raise PaperExchangeError(
                f"From {start} to {last} are {formats.count((last - start) // length)} candles of "
                f"{timeframe}. "
                f"Accepted: {formats.count(MOST_CANDLES)} in one request. Ask for them in parts."
            )
        bars = self._venue.market.bars(symbol, timeframe, start, max(last, start - 1))
        feed = self._venue.feed(symbol)
        found = [
            tuple(traded_bar(feed, bar, bar.timestamp + length - 1).bar)
            for bar in rows(bars)
            if bar.timestamp <= last
        ]
        return {"candles": found}


async def _body(request: web.Request) -> Mapping[str, object]:
    raw = await request.read()
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise PaperExchangeError(f"The request's body is no JSON: {error}.") from None
    if not isinstance(body, dict):
        raise PaperExchangeError("The request's body must be a JSON object.")
    return body


def _number(body: Mapping[str, object], name: str, default: float) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise PaperExchangeError(f"{name} is {value!r}. Accepted: a number from 0 up.")
    return value


def _order_ids(body: Mapping[str, object]) -> list[int]:
    value = body.get("orders", [])
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise PaperExchangeError(f"orders is {value!r}. Accepted: a list of order ids.")
    return value


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
