"""Connections inside one event loop: two protocols exchange bytes, as over loopback sockets.

Bytes arrive in order at the loop's next iteration, without any delay. A reader that pauses fills
the buffers between the two, and then its writer is paused as well. A close still delivers the bytes
written before it; an abort drops them, and the other side sees a reset.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
from aiohttp.client_exceptions import ClientConnectorError

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

IN_FLIGHT: Final = 256 * 1024
"""Bytes on the way from a writer to a reader before the writer's own buffer fills."""

HIGH: Final = 64 * 1024
LOW: Final = 16 * 1024
"""Bytes in a writer's own buffer at which it is paused, and resumed."""

_FIRST_PORT: Final = 40_000

Factory = Callable[[], asyncio.BaseProtocol]


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        own: tuple[str, int],
        other: tuple[str, int],
    ) -> None:
        super().__init__({"sockname": own, "peername": other})
        self.peer: MemoryTransport | None = None
        self._loop = loop
        self._protocol: Any = protocol
        self._inbox: list[bytes] = []
        self._size = 0
        self._ended = False
        """Whether the other side has finished writing."""
        self._delivering = self._paused = self._held = False
        self._closing = self._lost = False

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; after a close or a reset they are dropped."""
        peer = self.peer
        if self._closing or not data or peer is None:
            return
        if peer._lost:
            self._fail(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
            return
        peer._inbox.append(bytes(data))
        peer._size += len(data)
        if peer._size > IN_FLIGHT and not self._held and self.get_write_buffer_size() > HIGH:
            self._held = True
            self._protocol.pause_writing()
        peer._schedule()

    def writelines(self, list_of_data: Any) -> None:
        """Send several pieces of bytes as one."""
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that wait in the writer's own buffer."""
        return max(0, self.peer._size - IN_FLIGHT) if self.peer is not None else 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the buffer sizes at which the writer is resumed and paused."""
        return LOW, HIGH

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Ignore the request: the limits are fixed."""

    def can_write_eof(self) -> bool:
        """Return True: an end of file can be sent while reading goes on."""
        return True

    def write_eof(self) -> None:
        """Send the end of file to the other side."""
        if self.peer is not None and not self.peer._lost:
            self.peer._ended = True
            self.peer._schedule()

    # Reading

    def pause_reading(self) -> None:
        """Stop the delivery of arriving bytes; they wait."""
        self._paused = True

    def resume_reading(self) -> None:
        """Deliver the bytes that have arrived, and continue."""
        self._paused = False
        self._schedule()

    def is_reading(self) -> bool:
        """Return whether bytes are delivered as they arrive."""
        return not self._paused and not self._closing

    def _schedule(self) -> None:
        if not (self._delivering or self._paused or self._closing):
            self._delivering = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        if self._paused or self._closing:
            return
        if self._inbox:
            inbox, self._inbox, self._size = self._inbox, [], 0
            self._protocol.data_received(inbox[0] if len(inbox) == 1 else b"".join(inbox))
            self._make_room()
        if self._ended and not self._inbox and not self._closing and not self._paused:
            self._ended = False
            if not self._protocol.eof_received():
                self.close()

    def _make_room(self) -> None:
        writer = self.peer
        if writer is not None and writer._held and writer.get_write_buffer_size() <= LOW:
            writer._held = False
            writer._protocol.resume_writing()

    # Closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that receives the bytes."""
        return cast(asyncio.BaseProtocol, self._protocol)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Set the protocol that receives the bytes from now on."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Return whether the connection is closed or closing."""
        return self._closing

    def close(self) -> None:
        """Close the connection; bytes written before still arrive."""
        if not self._closing:
            self.write_eof()
            self._end(None)

    def abort(self) -> None:
        """Cut the connection: bytes on the way are lost, and the other side sees a reset."""
        peer = self.peer
        self._end(None)
        if peer is not None:
            peer._fail(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def _fail(self, error: Exception) -> None:
        self._inbox.clear()
        self._size = 0
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        self._lost = True
        self._inbox.clear()
        self._size = 0
        self._protocol.connection_lost(error)


class _ListeningSocket:
    """The stand-in for a listening socket, which has an address only."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def getsockname(self) -> tuple[str, int]:
        return self._address


class MemoryServer(asyncio.AbstractServer):
    """A server in the network of one loop."""

    def __init__(self, network: Network, factory: Factory, address: tuple[str, int]) -> None:
        self.factory = factory
        self.address = address
        self.sockets: tuple[_ListeningSocket, ...] = (_ListeningSocket(address),)
        self._network = network

    def close(self) -> None:
        """Stop accepting connections."""
        self.sockets = ()
        if self._network.servers.get(self.address[1]) is self:
            del self._network.servers[self.address[1]]

    async def wait_closed(self) -> None:
        """Return at once: closing takes no time."""

    def is_serving(self) -> bool:
        """Return whether connections are accepted."""
        return bool(self.sockets)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the server."""
        return self._network.loop

    async def start_serving(self) -> None:
        """Return at once: the server accepts connections from the start."""

    async def serve_forever(self) -> None:
        """Wait until cancelled."""
        await self._network.loop.create_future()


class Network:
    """The servers of one loop and the connections to them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.servers: dict[int, MemoryServer] = {}
        """By port: the loop has a single address, whatever host name is used."""
        self._ports = _FIRST_PORT

    def listen(self, factory: Factory, host: str, port: int) -> MemoryServer:
        """Start a server on a port; 0 chooses the next free one.

        Raises:
            OSError: the port is in use (``EADDRINUSE``).
        """
        if port in self.servers:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        server = MemoryServer(self, factory, (host, port or self._next_port()))
        self.servers[server.address[1]] = server
        return server

    def connect(
        self, factory: Factory, host: str, port: int
    ) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        """Open a connection to a port; return the near end and its protocol.

        Raises:
            ConnectionRefusedError: no server listens on the port.
        """
        server = self.servers.get(port)
        if server is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        here, there = (host, self._next_port()), server.address
        far = MemoryTransport(self.loop, server.factory(), there, here)
        protocol = factory()
        near = MemoryTransport(self.loop, protocol, here, there)
        near.peer, far.peer = far, near
        far.get_protocol().connection_made(far)
        protocol.connection_made(near)
        return near, protocol

    def _next_port(self) -> int:
        self._ports += 1
        return self._ports


class MemoryConnector(aiohttp.BaseConnector):
    """An aiohttp connector that connects inside the running loop only."""

    def __init__(self) -> None:
        # aiohttp measures the age of idle connections with the computer's clock, not the loop's.
        super().__init__(keepalive_timeout=None)

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: object, timeout: object
    ) -> ResponseHandler:
        try:
            _, protocol = await self._loop.create_connection(
                self._factory, req.url.host or "", req.url.port or 80
            )
        except OSError as error:
            raise ClientConnectorError(req.connection_key, error) from error
        return protocol
