"""User data streams: the events of the accounts, to every WS-API socket that subscribed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from botlib.exchange.paper.connection import Connection, framed
from botlib.exchange.paper.faults import Faults
from botlib.exchange.paper.faults.frames import FrameFaults
from botlib.exchange.paper.params import DEFAULT_ACCOUNT
from botlib.exchange.paper.refusals import refusal

MAX_SUBSCRIPTIONS: Final = 1_000
"""Subscriptions a socket may make in its life."""


class UserStreams:
    """The sockets that listen to accounts, each under subscription numbers of its own.

    Args:
        faults: what to damage on the way.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._damage: dict[Connection, FrameFaults] = {}
        self.connections: dict[Connection, dict[int, str]] = {}
        """The subscriptions of each socket: number → account."""
        self.sent = 0
        self._numbers: dict[Connection, int] = {}

    def subscribe(self, connection: Connection, account: str) -> int:
        """Let a socket listen to an account; return the number of its subscription.

        Raises:
            Refusal: it does already, or made too many.
        """
        active = self.connections.get(connection, {})
        number = self._numbers.get(connection, 0)
        if account in active.values() or number >= MAX_SUBSCRIPTIONS:
            raise refusal(-2035)
        self._numbers[connection] = number + 1
        self.connections.setdefault(connection, {})[number] = account
        return number

    async def unsubscribe(self, connection: Connection, wanted: int | None, time: int) -> None:
        """End one subscription of a socket, or all; each is told that it ends.

        Args:
            wanted: the number of the subscription, None for all.
            time: of the event, ms.

        Raises:
            Refusal: there is none of this number.
        """
        active = self.connections.get(connection, {})
        if wanted is not None and wanted not in active:
            raise refusal(-2036)
        for number in [wanted] if wanted is not None else list(active):
            del active[number]
            await self._send(connection, number, {"e": "eventStreamTerminated", "E": time})
        if not active:
            self.connections.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """Note that a socket is gone."""
        self.connections.pop(connection, None)
        self._numbers.pop(connection, None)
        self._damage.pop(connection, None)

    async def publish(
        self, events: Iterable[dict[str, object]], account: str = DEFAULT_ACCOUNT
    ) -> None:
        """Send the events of an account, in order, to all who listen to it."""
        for event in events:
            for connection, active in tuple(self.connections.items()):
                for number, name in tuple(active.items()):
                    if name == account:
                        await self._send(connection, number, event)

    async def _send(self, connection: Connection, number: int, event: dict[str, object]) -> None:
        payload = orjson.dumps({"subscriptionId": number, "event": event})
        self.sent += 1
        if self._faults.frames or connection in self._damage:
            place, symbol = f"user@{event.get('e')}", str(event.get("s") or "")
            for frame in self._damaged(connection).passed(place, payload, symbol):
                connection.put(framed(frame))
        else:
            connection.put(framed(payload))
        await connection.flush(patient=False)

    def _damaged(self, connection: Connection) -> FrameFaults:
        found = self._damage.get(connection)
        if found is None:

            def later(place: str, payload: bytes) -> None:
                connection.put(framed(payload))
                connection.push()

            found = self._damage[connection] = FrameFaults(self._faults, later)
        return found
