"""A measure of how long a coroutine computes between two turns of other tasks."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

import orjson

LONGEST = 0.05
"""Most seconds of computation between two turns of other tasks."""


async def longest_hold(request: Coroutine[Any, Any, Any]) -> float:
    """Return the most seconds of this thread's computation between two turns of the loop.

    What other processes do counts only as far as they slow this thread down.
    """
    asked = asyncio.ensure_future(request)
    # A collection of the garbage of all tests so far is no work of the exchange.
    gc.disable()
    try:
        longest, before = 0.0, time.thread_time()
        while not asked.done():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now
    finally:
        gc.enable()
    asked.result()
    return longest


class DeafClient:
    """A WebSocket in a thread of its own, which reads what it is sent and throws it away.

    So the work of a client is none of the loop that is measured.

    Args:
        url: address of the exchange, and the path of the socket.
        message: sent after the handshake.
    """

    def __init__(self, url: str, message: object) -> None:
        self.received = 0
        self._url = urlsplit(url)
        self._text = orjson.dumps(message)
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._ended = threading.Event()

    def _read(self) -> None:
        host, port = self._url.hostname, self._url.port
        assert host is not None and port is not None
        with socket.create_connection((host, port)) as connection:
            self._socket = connection
            key = base64.b64encode(os.urandom(16)).decode()
            lines = [
                f"GET {self._url.path} HTTP/1.1",
                f"Host: {host}:{port}",
                *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
                f"Sec-WebSocket-Key: {key}",
            ]
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            connection.recv(65_536)
            connection.sendall(_masked(self._text))
            while data := connection.recv(2**20):
                self.received += len(data)

    async def __aenter__(self) -> DeafClient:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
        while self._thread.is_alive():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def until(self, size: int) -> None:
        """Wait until more than a number of bytes has come."""
        while self.received <= size:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _masked(text: bytes) -> bytes:
    """Return a text as a client's frame; its mask is zero."""
    length = len(text)
    if length < 126:
        head = bytes([0x81, 0x80 | length])
    else:
        head = bytes([0x81, 0x80 | 126]) + length.to_bytes(2, "big")
    return head + bytes(4) + text
