"""The candles of a sweep as plain arrays, which are written to files or sent to workers once."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from botlib.core.files import open_private, write_private
from botlib.frames import Frames, open_times
from botlib.indicators import Indicator, parse

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, npt.NDArray[Any]]
Arrays = dict[str, Columns]
"""Timeframe → column → values; ``timestamp`` holds the open times, int ms UTC."""

TIMESTAMP: Final = "timestamp"
_INDEX: Final = "candles.json"


def to_arrays(frames: Frames) -> Arrays:
    """Return the numeric columns of frames, without a copy if none is needed."""
    return {timeframe: _columns(frames[timeframe]) for timeframe in frames}


def fingerprint(arrays: Arrays) -> str:
    """Return a hash of everything in the arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for timeframe, columns in arrays.items():
        for name, values in columns.items():
            digest.update(f"{timeframe} {name} {values.dtype} {len(values)}\n".encode())
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def size_of(arrays: Arrays) -> int:
    """Return the size of the arrays in bytes."""
    return sum(values.nbytes for columns in arrays.values() for values in columns.values())


def write_arrays(arrays: Arrays, directory: Path) -> None:
    """Write one ``.npy`` file per column."""
    names = {timeframe: list(columns) for timeframe, columns in arrays.items()}
    for place, columns in enumerate(arrays.values()):
        for number, values in enumerate(columns.values()):
            with open_private(directory / f"{place}-{number}.npy", "wb") as file:
                np.save(file, values)
    write_private(directory / _INDEX, json.dumps(names))


def read_arrays(directory: Path) -> Arrays:
    """Map the files of `write_arrays` into memory that all processes share, and return them."""
    names = json.loads((directory / _INDEX).read_text())
    return {
        timeframe: {
            column: np.asarray(np.load(directory / f"{place}-{number}.npy", mmap_mode="r"))
            for number, column in enumerate(columns)
        }
        for place, (timeframe, columns) in enumerate(names.items())
    }


class BoundedFrames(Frames):
    """Frames that keep the most recently used indicators, up to a number of bytes.

    Args:
        keep: bytes of indicators to keep.
    """

    def __init__(self, symbol: str, arrays: Arrays, *, keep: int) -> None:
        super().__init__(symbol, {name: _frame(columns) for name, columns in arrays.items()})
        self._keep = keep
        self._used: OrderedDict[tuple[str, Indicator], int] = OrderedDict()
        self._bytes = 0

    def indicator(
        self, spec: str | Indicator, timeframe: str | None = None
    ) -> pd.Series | pd.DataFrame:
        """Return an indicator, computed if it is not kept."""
        key = (timeframe or self.timeframes[0], parse(spec))
        values = super().indicator(key[1], timeframe)
        if key in self._used:
            self._used.move_to_end(key)
            return values
        self._used[key] = size = len(values) * 8 * max(1, values.size // max(1, len(values)))
        self._bytes += size
        while self._bytes > self._keep and len(self._used) > 1:
            oldest, freed = self._used.popitem(last=False)
            self._indicators.pop(oldest, None)
            self._bytes -= freed
        return values


def _columns(frame: pd.DataFrame) -> Columns:
    columns: Columns = {TIMESTAMP: open_times(frame.index)}
    for name in frame.columns:
        values = frame[name].to_numpy()
        if values.dtype.kind in "fiub":
            columns[str(name)] = values
    return columns


def _frame(columns: Columns) -> pd.DataFrame:
    import pandas as pd

    index = pd.DatetimeIndex(columns[TIMESTAMP].astype("datetime64[ms]"), name=TIMESTAMP)
    values = {name: column for name, column in columns.items() if name != TIMESTAMP}
    return pd.DataFrame(values, index=index, copy=False)
