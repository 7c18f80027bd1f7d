"""User data streams: the events of the accounts, for every WS-API connection that subscribed.

Binance does not promise whether the answer to an order comes before or after its events. So a
random choice, repeatable by its seed, is made for every change of a request: its events are sent
before the answer, or shortly after it. Events always keep their order, and those of one price of
the market are sent before those of the next.
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
"""Most subscriptions of a connection in its lifetime."""
_LATE: Final = 0.003
"""Seconds from an answer to its late events."""


class UserStreams:
    """The connections that are subscribed to accounts, each with its own subscription numbers.

    Args:
        faults: the faults that change frames.
        order: order of the events of a request and its answer.
        seed: seed of the choice, if both orders are allowed.
        wait: whether late events wait for `_LATE` seconds; otherwise they follow the answer at
            once.
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
        """The subscriptions of each connection: number → account."""
        self.sent = 0
        self._numbers: dict[Connection, int] = {}

    def subscribe(self, connection: Connection, account: str) -> int:
        """Subscribe a connection to an account, and return the number of the subscription.

        Raises:
            Refusal: it is subscribed already, or was too often.
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
        """End one subscription of a connection or all, and send an event for each.

        Args:
            connection: the connection.
            wanted: number of the subscription, None for all.
            time: time of the event, ms.

        Raises:
            Refusal: there is no subscription of this number.
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
        """Remove a connection that is closed."""
        self.connections.pop(connection, None)
        self._numbers.pop(connection, None)
        self._damage.pop(connection, None)

    def publish(self, events: Iterable[dict[str, object]], account: str = DEFAULT_ACCOUNT) -> None:
        """Send the events of an account, in order, to all of its subscribers."""
        self.send_late()
        self._publish((account, event) for event in events)

    def send_with_answer(
        self, notices: Iterable[tuple[str, dict[str, object]]], change: int
    ) -> None:
        """Send the events of a request before its answer, or schedule them for after it.

        Args:
            notices: accounts and their events, in order.
            change: number of the change, for the random choice.
        """
        self.send_late()
        if not self._sent_after(change):
            self._publish(notices)
            return
        self._late = list(notices)
        asyncio.get_running_loop().call_later(self._wait, self.send_late)

    def send_late(self) -> None:
        """Send the events that were scheduled for after an answer."""
        if self._late:
            late, self._late = self._late, []
            self._publish(late)

    def _sent_after(self, change: int) -> bool:
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
        sent = event_in_microseconds(event) if connection.microseconds else event
        payload = orjson.dumps({"subscriptionId": number, "event": sent})
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
