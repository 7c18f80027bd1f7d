"""User data streams: the events of the account, to every WS-API socket that subscribed."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from botlib.exchange.paper.streams import Connection


class UserStreams:
    """The sockets that listen to the account, each under a subscription number of its own."""

    def __init__(self) -> None:
        self.connections: dict[Connection, int] = {}
        self.sent = 0

    async def publish(self, events: Iterable[dict[str, object]]) -> None:
        """Send account events, in order, to every subscriber."""
        for event in events:
            for connection, number in tuple(self.connections.items()):
                await self.send(connection, number, event)

    async def send(self, connection: Connection, number: int, event: dict[str, object]) -> None:
        """Send one event to one subscriber."""
        frame = orjson.dumps({"subscriptionId": number, "event": event})
        await connection.send(frame, patient=False)
        self.sent += 1
