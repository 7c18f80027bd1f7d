"""The actions of all faults, by the name that requests and scenarios use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson
from aiohttp import WSCloseCode

from botlib.core.errors import PaperExchangeError
from botlib.core.timeframe import parse_duration
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.api.wsapi import WsApi
from botlib.paper.faults.kinds import FRAMES, REQUESTS, check_details
from botlib.paper.faults.registry import Faults
from botlib.paper.operator.administration import Administration
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.streams.connection import LIFETIME, Connection
from botlib.paper.venue import Venue

MALFORMED: Final = '{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":'
SHUTDOWN_NOTICE: Final = 10.0
"""Seconds between the announcement of a shutdown and the closing of the sockets."""

_Details = Mapping[str, Any]
_Action = Callable[[_Details], Awaitable[dict[str, object]]]


class FaultActions:
    """The fault actions of one exchange."""

    def __init__(
        self,
        venue: Venue,
        wsapi: WsApi,
        faults: Faults,
        administration: Administration,
        limits: RateLimits,
    ) -> None:
        self._venue = venue
        self._limits = limits
        self._wsapi = wsapi
        self._faults = faults
        self._administration = administration
        self._actions: dict[str, _Action] = {
            "reset": self._reset,
            "close": self._close,
            "stall": self._stall,
            "blackhole": self._blackhole,
            "malformed": self._malformed,
            "shutdown": self._shutdown,
            "expire": self._expire,
            "clock": self._clock,
            "restart": self._restart,
            "pause": self._pause,
            "halt": self._halt,
            "rules": self._rules,
            "limits": self._change_limits,
            "delist": self._delist,
            "deposit": self._deposit,
            "withdraw": self._withdraw,
            "clear": self._clear,
        }

    async def perform(self, kind: str, details: _Details) -> dict[str, object]:
        """Perform a fault now, or order it for coming frames or requests.

        Args:
            kind: name of the fault.
            details: its parameters.

        Returns:
            ``struck``, the number of affected sockets, or ``ordered``, the number of occasions.

        Raises:
            PaperExchangeError: it cannot be performed; nothing has happened.
        """
        check_details(kind, details)
        if kind in FRAMES or kind in REQUESTS:
            return {"ordered": self._faults.order(kind, details)}
        return await self._actions[kind](details)

    # -- sockets

    def _sockets(self, details: _Details) -> list[Connection]:
        streams: list[Connection] = list(self._venue.streams.connections)
        users: list[Connection] = list(self._wsapi.connections)
        target = details.get("target", "all")
        return {"streams": streams, "user": users, "all": streams + users}[target]

    def _sockets_struck(self, kind: str, sockets: list[Connection]) -> dict[str, object]:
        self._faults.count(kind, len(sockets))
        return {"struck": len(sockets)}

    async def _reset(self, details: _Details) -> dict[str, object]:
        sockets = self._sockets(details)
        for connection in sockets:
            connection.abort()
        return self._sockets_struck("reset", sockets)

    async def _close(self, details: _Details) -> dict[str, object]:
        sockets = self._sockets(details)
        code = details.get("code", WSCloseCode.GOING_AWAY)
        async with asyncio.TaskGroup() as group:
            for connection in sockets:
                group.create_task(connection.close(code, "An ordered fault"))
        return self._sockets_struck("close", sockets)

    async def _stall(self, details: _Details) -> dict[str, object]:
        sockets = self._sockets(details)
        for connection in sockets:
            connection.stalled = True
        self._after(details, lambda: _recover(sockets))
        return self._sockets_struck("stall", sockets)

    async def _blackhole(self, details: _Details) -> dict[str, object]:
        sockets = self._sockets(details)
        for connection in sockets:
            connection.silent = True
        self._after(details, lambda: _recover(sockets))
        return self._sockets_struck("blackhole", sockets)

    async def _malformed(self, details: _Details) -> dict[str, object]:
        sockets = self._sockets(details)
        text = details.get("text", MALFORMED)
        for connection in sockets:
            await connection.send(text.encode(), patient=False)
        return self._sockets_struck("malformed", sockets)

    async def _shutdown(self, details: _Details) -> dict[str, object]:
        sockets = self._sockets(details)
        for connection in sockets:
            await connection.send(orjson.dumps(connection.shutdown_notice()), patient=False)

        def close_sockets() -> None:
            for connection in sockets:
                connection.request_close(WSCloseCode.GOING_AWAY, "Server shutdown")

        _later(parse_duration(details.get("notice", SHUTDOWN_NOTICE)), close_sockets)
        return self._sockets_struck("shutdown", sockets)

    async def _expire(self, details: _Details) -> dict[str, object]:
        sockets = self._sockets(details)
        async with asyncio.TaskGroup() as group:
            for connection in sockets:
                connection.opened -= LIFETIME
                group.create_task(connection.keep_alive())
        return self._sockets_struck("expire", sockets)

    # -- the venue

    async def _clock(self, details: _Details) -> dict[str, object]:
        skew = details["skew"]
        self._faults.skew += skew

        def restore_clock() -> None:
            self._faults.skew -= skew

        self._after(details, restore_clock)
        return self._struck_once("clock")

    async def _restart(self, details: _Details) -> dict[str, object]:
        if self._faults.restart is None:
            raise PaperExchangeError("This exchange cannot be restarted: it has no supervisor.")
        self._struck_once("restart")
        self._faults.restart(parse_duration(details.get("away", 1.0)))
        return {"struck": 1}

    async def _pause(self, details: _Details) -> dict[str, object]:
        self._venue.pause()
        self._after(details, self._venue.resume)
        return self._struck_once("pause")

    async def _halt(self, details: _Details) -> dict[str, object]:
        symbol = details["symbol"]
        self._administration.set_status(symbol, details.get("status", "BREAK"))
        self._after(details, lambda: self._administration.set_status(symbol, "TRADING"))
        return self._struck_once("halt")

    async def _rules(self, details: _Details) -> dict[str, object]:
        self._administration.change_rules(details["symbol"], details["changes"])
        return self._struck_once("rules")

    async def _change_limits(self, details: _Details) -> dict[str, object]:
        self._limits.change(**details)
        return self._struck_once("limits")

    async def _delist(self, details: _Details) -> dict[str, object]:
        await self._administration.delist(details["symbol"])
        return self._struck_once("delist")

    async def _deposit(self, details: _Details) -> dict[str, object]:
        await self._administration.deposit(*_parse_movement(details))
        return self._struck_once("deposit")

    async def _withdraw(self, details: _Details) -> dict[str, object]:
        await self._administration.withdraw(*_parse_movement(details))
        return self._struck_once("withdraw")

    async def _clear(self, details: _Details) -> dict[str, object]:
        self._faults.clear()
        self._faults.skew = 0
        return {"struck": 0}

    def _struck_once(self, kind: str) -> dict[str, object]:
        self._faults.count(kind)
        return {"struck": 1}

    @staticmethod
    def _after(details: _Details, action: Callable[[], object]) -> None:
        if "for" in details:
            _later(parse_duration(details["for"]), action)


def _recover(sockets: list[Connection]) -> None:
    for connection in sockets:
        connection.recover()


def _later(seconds: float, action: Callable[[], object]) -> None:
    asyncio.get_running_loop().call_later(seconds, action)


def _parse_movement(details: _Details) -> tuple[str, str, Decimal]:
    account = details.get("account", DEFAULT_ACCOUNT)
    return account, details["asset"], Decimal(str(details["amount"]))
