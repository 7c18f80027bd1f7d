"""Files of the cache: the closed candles of one bucket, column by column, and what they stand for.

A file is a header of five 64-bit integers and the columns timestamp (ms), open, high, low, close
and volume, 8 bytes a value. It is written beside its place and moved there, and never changed
after that. Its checksum covers every byte of it and the key it was stored under, so that a file
which is cut, damaged or in the wrong place is told from a good one each time it is read.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

COLUMNS: Final = 6
DRAFT: Final = ".new"
"""What the name of an unfinished file ends with."""

_MAGIC: Final = int.from_bytes(b"BOTCOL01", "little")
_HEADER: Final = struct.Struct("<qqqq")
_CHECKSUM: Final = struct.Struct("<q")
_SIZE: Final = _HEADER.size + _CHECKSUM.size

Columns = npt.NDArray[np.int64]
"""Six rows, one column per candle: the open time in ms, then the bits of five float64."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The candles of one bucket as of one change of the database."""

    session: int
    version: int
    columns: Columns


class Damaged(Exception):
    """A file of the cache is not what was written."""


def read(path: Path, key: str) -> Segment | None:
    """Read a segment; None where there is none.

    Args:
        key: what it was saved under.

    Raises:
        Damaged: it is cut, changed, of another key or of another version of botlib.
    """
    try:
        # Not waiting, should somebody have put a pipe there.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(str(error)) from error
    try:
        return _read(descriptor, key)
    except OSError as error:
        raise Damaged(str(error)) from error
    finally:
        os.close(descriptor)


def save(path: Path, key: str, segment: Segment) -> None:
    """Put a segment in its place, whole or not at all.

    Raises:
        OSError: it could not be written. What was there is still there.
    """
    content = _bytes(segment.columns)
    head = _HEADER.pack(_MAGIC, segment.session, segment.version, segment.columns.shape[1])
    draft = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}{DRAFT}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(head + _CHECKSUM.pack(_checksum(head, key, content)))
            file.write(content)
        # Not forced to disk: what a power cut leaves of it is told by the checksum.
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _read(descriptor: int, key: str) -> Segment:
    start = os.read(descriptor, _SIZE)
    if len(start) < _SIZE:
        raise Damaged("it is cut short")
    head = start[: _HEADER.size]
    magic, session, version, rows = _HEADER.unpack(head)
    # Asked before any memory is taken: a damaged count may be enormous.
    size = os.fstat(descriptor).st_size - _SIZE
    if magic != _MAGIC or size != rows * COLUMNS * 8:
        raise Damaged("its header does not fit it")
    columns = np.empty((COLUMNS, rows), dtype=np.int64)
    content = _bytes(columns)
    if os.readv(descriptor, [content]) != size:
        raise Damaged("it is cut short")
    if _CHECKSUM.pack(_checksum(head, key, content)) != start[_HEADER.size :]:
        raise Damaged("its checksum does not fit it")
    return Segment(session, version, columns)


def _bytes(columns: Columns) -> memoryview:
    """Return the bytes of the columns themselves, or of a copy where they are not in one piece."""
    return np.ascontiguousarray(columns).reshape(-1).view(np.uint8).data


def _checksum(head: bytes, key: str, content: memoryview) -> int:
    return zlib.crc32(content, zlib.crc32(key.encode(), zlib.crc32(head)))
