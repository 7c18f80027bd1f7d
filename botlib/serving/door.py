"""`Door`: the connections of a server, how many there may be and how long each may be silent.

A server that keeps every connection can be starved by whoever opens many and says nothing: each
holds a file descriptor, and the process then has none left for what it has to reach itself.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from botlib.serving.peers import user_of

ROOT: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many connections a server keeps, and for how long.

    Attributes:
        most: connections at once.
        of_others: those of them that other users of the computer may have; 0 refuses them.
        first_request: seconds within which a complete head has to arrive on a new connection.
        next_request: seconds within which the next head has to arrive.
        unread: seconds after which a client that reads nothing of its answer is cut off.
        interval: seconds between two looks at the connections, while there are any.
    """

    most: int
    of_others: int
    first_request: float = 10.0
    next_request: float = 20.0
    unread: float = 30.0
    interval: float = 5.0


@dataclass(slots=True, eq=False)
class AdmittedConnection:
    """One open connection.

    Attributes:
        user: user id of its other end, None if it is not known.
        since: loop time at which it was opened.
        requests: heads that have arrived.
        busy: requests that are being answered.
        upgraded: whether it has become a WebSocket, which has deadlines of its own.
    """

    transport: asyncio.Transport
    user: int | None
    since: float
    requests: int = 0
    busy: int = 0
    upgraded: bool = False
    unread: int = 0
    unread_since: float = 0.0


class Door:
    """Admits connections to a server and closes those that are silent.

    If all places are taken, the connection that has been idle longest makes room; if none is idle,
    the new one is refused.

    Args:
        limits: how many connections are kept, and for how long.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._own = {os.geteuid(), ROOT}
        self._open: dict[web.RequestHandler, AdmittedConnection] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.turned_away: Counter[str] = Counter()
        """Connections that were not admitted or were closed, by the reason."""

    @property
    def connections(self) -> int:
        """Number of open connections."""
        self._forget_closed()
        return len(self._open)

    def entrance(self, server: Callable[[], web.RequestHandler]) -> asyncio.Protocol:
        """Return the protocol of a new connection, which decides whether it is admitted.

        Args:
            server: makes the protocol of an admitted connection.
        """
        return _Entrance(self, server)

    def find(self, handler: web.RequestHandler) -> AdmittedConnection | None:
        """Return the connection that a request came on."""
        return self._open.get(handler)

    def admit(self, transport: asyncio.Transport) -> AdmittedConnection | None:
        """Return the record of a new connection, None if it is refused."""
        user = user_of(transport.get_extra_info("socket"))
        limits, other = self._limits, user is not None and user not in self._own
        if other and not limits.of_others:
            self.turned_away["of another user"] += 1
            return None
        if len(self._open) >= limits.most or other:
            self._forget_closed()
        if other and sum(map(self._of_another, self._open.values())) >= limits.of_others:
            full = not self._made_room(self._of_another)
        elif len(self._open) >= limits.most:
            full = not (self._made_room(self._of_another) or self._made_room(lambda one: True))
        else:
            full = False
        if full:
            self.turned_away["too many"] += 1
            return None
        return AdmittedConnection(transport, user, asyncio.get_running_loop().time())

    def enter(self, handler: web.RequestHandler, connection: AdmittedConnection) -> None:
        """Store an admitted connection under its protocol."""
        self._open[handler] = connection
        if self._timer is None:
            self._watch()

    def close(self) -> None:
        """Stop looking at the connections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _of_another(self, connection: AdmittedConnection) -> bool:
        return connection.user is not None and connection.user not in self._own

    def _made_room(self, wanted: Callable[[AdmittedConnection], bool]) -> bool:
        """Close the connection that has been idle longest; return whether there was one."""
        for handler, connection in self._open.items():
            if not connection.busy and not connection.upgraded and wanted(connection):
                self._shut(handler, connection, "made room")
                del self._open[handler]
                return True
        return False

    def _shut(self, handler: web.RequestHandler, connection: AdmittedConnection, why: str) -> None:
        self.turned_away[why] += 1
        handler.force_close()
        connection.transport.abort()

    def _forget_closed(self) -> None:
        gone = [one for one, found in self._open.items() if found.transport.is_closing()]
        for handler in gone:
            del self._open[handler]

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._limits.interval, self._look)

    def _look(self) -> None:
        """Close silent connections and those whose client does not read."""
        self._timer = None
        self._forget_closed()
        now = asyncio.get_running_loop().time()
        for handler, connection in self._open.items():
            if not connection.requests and now - connection.since >= self._limits.first_request:
                self._shut(handler, connection, "silent")
            elif not connection.upgraded and self._does_not_read(connection, now):
                self._shut(handler, connection, "does not read")
        if self._open:
            self._watch()

    def _does_not_read(self, connection: AdmittedConnection, now: float) -> bool:
        waiting = connection.transport.get_write_buffer_size()
        if not waiting or waiting < connection.unread or not connection.unread:
            connection.unread, connection.unread_since = waiting, now
            return False
        connection.unread = waiting
        return now - connection.unread_since >= self._limits.unread


class _Entrance(asyncio.Protocol):
    """The protocol of a connection until it is admitted."""

    def __init__(self, door: Door, server: Callable[[], web.RequestHandler]) -> None:
        self._door = door
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        admitted = self._door.admit(transport)
        if admitted is None:
            transport.abort()
            return
        handler = self._server()
        self._door.enter(handler, admitted)
        transport.set_protocol(handler)
        handler.connection_made(transport)
