"""The columns of a candle frame as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from botlib.indicators.record import Array

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = ("open", "high", "low", "close", "volume")
"""The columns of a candle frame."""


class CandleColumns(Mapping[str, Array]):
    """The columns of a frame, each extracted once, when it is first used."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.index = frame.index
        self._frame: pd.DataFrame | None = frame
        self._values: Array | None = None
        self._arrays: dict[str, Array] = {}

    @classmethod
    def of(cls, index: pd.Index, values: Array) -> Self:
        """Return the columns of a candle frame that is built when it is first used.

        Args:
            values: one row for each of the index, with the columns of `COLUMNS`.
        """
        columns = cls.__new__(cls)
        columns.index, columns._frame, columns._values = index, None, values
        columns._arrays = dict(zip(COLUMNS, values.T, strict=True))
        return columns

    @property
    def frame(self) -> pd.DataFrame:
        """The frame, built on first use."""
        if self._frame is None:
            import pandas as pd

            self._frame = pd.DataFrame(self._values, index=self.index, columns=_names().view())
        return self._frame

    def __getitem__(self, name: str) -> Array:
        array = self._arrays.get(name)
        if array is None:
            array = self._arrays[name] = self.frame[name].to_numpy(np.float64)
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._arrays or name in self.frame

    def __iter__(self) -> Iterator[str]:
        return (name for name in COLUMNS if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _names() -> pd.Index:
    """Return the column index of every candle frame; one is built for every candle."""
    import pandas as pd

    return pd.Index(COLUMNS)
