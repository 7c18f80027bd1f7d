"""User data streams: the events of the accounts, for every WS-API connection that subscribed.

Binance does not promise whether the answer to an order comes before or after its events. So a
random choice, repeatable by its seed, is made for every change of a request: its events are sent
before the answer, or shortly after it. Events always keep their order, and those of one price of
the market are sent before those of the next.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
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
_EVENTS: Final = 200
"""Events that are sent in one go, before other tasks may run."""

Notice = tuple[str, dict[str, object]]
"""The name of an account, and an event for it."""


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
        self._late: list[Notice] = []
        self._backlog: deque[Notice] = deque()
        self._sending: asyncio.Task[None] | None = None
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

    def send_with_answer(self, notices: Iterable[Notice], change: int) -> None:
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

    def _publish(self, notices: Iterable[Notice]) -> None:
        self._backlog.extend(notices)
        if self._sending is None:
            self._send_some()
            if self._backlog:
                self._sending = asyncio.get_running_loop().create_task(self._send_rest())

    async def _send_rest(self) -> None:
        while self._backlog:
            await asyncio.sleep(0)
            self._send_some()
        self._sending = None

    async def delivered(self) -> None:
        """Wait until the published events are sent, except those scheduled for later."""
        if self._sending is not None:
            await asyncio.shield(self._sending)

    def _send_some(self) -> None:
        """Send the oldest events that wait, `_EVENTS` of them at most."""
        touched: dict[Connection, None] = {}
        for _ in range(min(_EVENTS, len(self._backlog))):
            account, event = self._backlog.popleft()
            text: bytes | None = None
            for connection, active in self.connections.items():
                for number, name in active.items():
                    if name != account:
                        continue
                    if connection.microseconds:
                        raw = orjson.dumps(event_in_microseconds(event))
                    else:
                        raw = text = text or orjson.dumps(event)
                    self._put(connection, number, event, raw)
                    touched[connection] = None
        for connection in touched:
            connection.push()

    def _send(self, connection: Connection, number: int, event: dict[str, object]) -> None:
        sent = event_in_microseconds(event) if connection.microseconds else event
        self._put(connection, number, event, orjson.dumps(sent))
        connection.push()

    def _put(
        self, connection: Connection, number: int, event: dict[str, object], raw: bytes
    ) -> None:
        payload = b'{"subscriptionId":%d,"event":%b}' % (number, raw)
        self.sent += 1
        if self._faults.frames or connection in self._damage:
            place, symbol = f"user@{event.get('e')}", str(event.get("s") or "")
            for frame in self._damaged(connection).apply(place, payload, symbol):
                connection.put(framed(frame))
        else:
            connection.put(framed(payload))

    def _damaged(self, connection: Connection) -> FrameFaults:
        found = self._damage.get(connection)
        if found is None:

            def later(place: str, payload: bytes) -> None:
                connection.put(framed(payload))
                connection.push()

            found = self._damage[connection] = FrameFaults(self._faults, later)
        return found
