"""The user at the other end of a loopback connection, as the kernel knows it.

Linux answers by its socket diagnosis interface (``sock_diag(7)``), for one connection and in
constant time. Elsewhere the user is not known.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Any, Final

GONE: Final = -1
"""In place of a user: the other end is closed already, so it can not be told who it was."""

_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_ANY_STATE: Final = 0xFFFFFFFF
_REQUEST: Final = struct.Struct("=IHHII BBBBI HH16s16sI8s")
_UID_AT: Final = 16 + 4 + 48 + 12
"""Offset of uid and inode in an answer: after both headers, the addresses and three counters."""


def user_of(connection: Any) -> int | None:
    """Return the user id of the process at the other end of a connection.

    Args:
        connection: a socket of this process whose other end is on this computer.

    Returns:
        The user id, `GONE`, or None if the system does not tell.
    """
    if sys.platform != "linux" or getattr(connection, "family", None) != socket.AF_INET:
        return None
    try:
        here, there = connection.getsockname(), connection.getpeername()
    except OSError:
        return GONE
    try:
        return _asked(there, here)
    except OSError as error:
        return GONE if error.errno == errno.ENOENT else None


def _asked(own: tuple[str, int], other: tuple[str, int]) -> int:
    """Return the owner of the socket whose own address and other address these are.

    Raises:
        OSError: there is none (``ENOENT``), or the kernel does not answer.
    """
    addresses = [socket.inet_aton(address).ljust(16, b"\0") for address, _ in (own, other)]
    ports = [socket.htons(port) for _, port in (own, other)]
    request = _REQUEST.pack(
        *(_REQUEST.size, _BY_FAMILY, 1, 0, 0),
        *(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY_STATE),
        *(*ports, *addresses, 0, b"\xff" * 8),
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(request)
        answer = kernel.recv(4_096)
    kind = struct.unpack_from("=H", answer, 4)[0]
    if kind != _BY_FAMILY:
        code = -struct.unpack_from("=i", answer, 16)[0]
        raise OSError(code, os.strerror(code))
    user, inode = struct.unpack_from("=II", answer, _UID_AT)
    # A socket that no process holds any more has no inode, and is shown as root's.
    return int(user) if inode else GONE
