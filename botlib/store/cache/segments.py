"""`Segment`: a file of the cache, with the closed candles of one bucket column by column.

A file is a header of six 64-bit integers and the columns timestamp (ms), open, high, low, close
and volume, 8 bytes a value. It is written atomically and never changed afterwards. Its checksum
covers every byte of it and the key under which it was saved, so a truncated, damaged or misplaced
file is detected at every read.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from zlib_ng import zlib_ng

from botlib.store.atomic_files import draft

COLUMNS: Final = 6

_MAGIC: Final = int.from_bytes(b"BOTCOL01", "little")
_HEADER: Final = struct.Struct("<qqqqq")
_CHECKSUM: Final = struct.Struct("<q")
_SIZE: Final = _HEADER.size + _CHECKSUM.size

Columns = npt.NDArray[np.int64]
"""Six rows, one column per candle: the open time in ms, then the bits of five float64."""


class DamagedSegment(Exception):
    """A file of the cache differs from what was written."""


class Segment:
    """An open file: the candles of one bucket at one change of the database.

    Its header is verified only when `read` returns.
    """

    def __init__(self, descriptor: int, key: str) -> None:
        self._descriptor = descriptor
        start = os.pread(descriptor, _SIZE, 0)
        if len(start) < _SIZE:
            raise DamagedSegment("it is cut short")
        self._head, self._checksum = start[: _HEADER.size], start[_HEADER.size :]
        self._key = key
        self.session: int
        self.version: int
        self.rows: int
        self.last: int
        magic, self.session, self.version, self.rows, self.last = _HEADER.unpack(self._head)
        # Checked before memory is allocated: a damaged count may be enormous.
        size = os.fstat(descriptor).st_size - _SIZE
        if magic != _MAGIC or size != self.rows * COLUMNS * 8:
            raise DamagedSegment("its header does not fit it")

    @classmethod
    def open(cls, path: Path, key: str) -> Self | None:
        """Open a segment, or return None if there is none.

        Args:
            path: of the file.
            key: under which it was saved.

        Raises:
            DamagedSegment: it is no segment.
        """
        try:
            # Without blocking, in case the path is a pipe.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DamagedSegment(str(error)) from error
        try:
            return cls(descriptor, key)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise DamagedSegment(str(error)) from error
            raise

    def read(self, target: Columns) -> None:
        """Read the candles into ``target``, which has one column per candle.

        Raises:
            DamagedSegment: it is truncated, changed, or was saved under another key.
        """
        rows = list(target)
        try:
            count = os.preadv(self._descriptor, rows, _SIZE)
        except OSError as error:
            raise DamagedSegment(str(error)) from error
        if count != self.rows * COLUMNS * 8:
            raise DamagedSegment("it is cut short")
        if _checksum(self._head, self._key, rows) != self._checksum:
            raise DamagedSegment("its checksum does not fit it")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def save(path: Path, key: str, session: int, version: int, columns: Columns) -> None:
    """Write a segment, completely or not at all. Its columns must not be empty.

    Raises:
        OSError: it could not be written. The old file is unchanged.
    """
    rows = list(columns)
    head = _HEADER.pack(_MAGIC, session, version, len(rows[0]), rows[0][-1])
    # Not synced to disk: after a power cut the checksum detects an incomplete file.
    with draft(path, durable=False) as file:
        file.write(head + _checksum(head, key, rows))
        for row in rows:
            file.write(row.data)


def _checksum(head: bytes, key: str, rows: list[Columns]) -> bytes:
    # The CRC-32 of zlib, ten times as fast: a year is 25 MB, summed at every read.
    total = zlib_ng.crc32(key.encode(), zlib_ng.crc32(head))
    for row in rows:
        total = zlib_ng.crc32(row.data, total)
    return _CHECKSUM.pack(total)
