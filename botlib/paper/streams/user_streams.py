"""User data streams: the events of the accounts, to every WS-API socket that subscribed.

Nothing promises whether the answer to an order or the events that tell of it come first. So a coin
is tossed for every change that a request makes, the same each time for the same seed: the events
leave before the answer, or shortly after it. Among themselves they keep their order always, and
those of one price of the market leave before those of the next.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Final

import orjson

from botlib.paper.faults import Faults
from botlib.paper.faults.frames import FrameFaults
from botlib.paper.options import EventOrder
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.refusals import refusal
from botlib.paper.protocol.timeunit import event_in_microseconds
from botlib.paper.streams.connection import Connection, framed

MAX_SUBSCRIPTIONS: Final = 1_000
"""Subscriptions a socket may make in its life."""
_LATE: Final = 0.003
"""Seconds by which events leave later than the answer."""


class UserStreams:
    """The sockets that listen to accounts, each under subscription numbers of its own.

    Args:
        faults: what to damage on the way.
        order: of the events of a request and its answer.
        seed: of the coin.
        wait: whether late events wait a moment; else they leave as soon as the answer is out.
    """

    def __init__(
        self, faults: Faults, *, order: EventOrder = "first", seed: int = 0, wait: bool = True
    ) -> None:
        self._faults = faults
        self._order = order
        self._seed = seed
        self._wait = _LATE if wait else 0.0
        self._late: list[tuple[str, dict[str, object]]] = []
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
        if account in active.values():
            raise refusal(-2035)
        if number >= MAX_SUBSCRIPTIONS:
            raise refusal(-2042)
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
            self._send(connection, number, {"e": "eventStreamTerminated", "E": time})
        if not active:
            self.connections.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """Note that a socket is gone."""
        self.connections.pop(connection, None)
        self._numbers.pop(connection, None)
        self._damage.pop(connection, None)

    def publish(self, events: Iterable[dict[str, object]], account: str = DEFAULT_ACCOUNT) -> None:
        """Send the events of an account, in order, to all who listen to it."""
        self.send_late()
        self._publish((account, event) for event in events)

    def send_with_answer(
        self, notices: Iterable[tuple[str, dict[str, object]]], change: int
    ) -> None:
        """Send the events of a request that is about to be answered, before the answer or after it.

        Args:
            notices: accounts and their events, in order.
            change: a number of the change, for the coin.
        """
        self.send_late()
        if not self._after(change):
            self._publish(notices)
            return
        self._late = list(notices)
        asyncio.get_running_loop().call_later(self._wait, self.send_late)

    def send_late(self) -> None:
        """Send the events that wait for an answer to leave before them."""
        if self._late:
            late, self._late = self._late, []
            self._publish(late)

    def _after(self, change: int) -> bool:
        if self._order != "either":
            return self._order == "last"
        return bool(hashlib.sha256(f"{self._seed}:{change}".encode()).digest()[0] & 1)

    def _publish(self, notices: Iterable[tuple[str, dict[str, object]]]) -> None:
        for account, event in notices:
            for connection, active in tuple(self.connections.items()):
                for number, name in tuple(active.items()):
                    if name == account:
                        self._send(connection, number, event)

    def _send(self, connection: Connection, number: int, event: dict[str, object]) -> None:
        told = event_in_microseconds(event) if connection.microseconds else event
        payload = orjson.dumps({"subscriptionId": number, "event": told})
        self.sent += 1
        if self._faults.frames or connection in self._damage:
            place, symbol = f"user@{event.get('e')}", str(event.get("s") or "")
            for frame in self._damaged(connection).apply(place, payload, symbol):
                connection.put(framed(frame))
        else:
            connection.put(framed(payload))
        connection.push()

    def _damaged(self, connection: Connection) -> FrameFaults:
        found = self._damage.get(connection)
        if found is None:

            def later(place: str, payload: bytes) -> None:
                connection.put(framed(payload))
                connection.push()

            found = self._damage[connection] = FrameFaults(self._faults, later)
        return found
