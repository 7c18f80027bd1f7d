"""The record of a sweep: a file of finished combinations, from which a sweep is resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from botlib.backtesting.costs import Costs
from botlib.backtesting.metrics import Floats
from botlib.backtesting.source import source_of
from botlib.backtesting.sweeps.evaluator import METRICS, CombinationResults, SweepSettings
from botlib.backtesting.sweeps.space import Combination
from botlib.backtesting.terms import ALL
from botlib.core.errors import SweepError
from botlib.core.files import file_name, open_private, private_directory
from botlib.core.text import formats

if TYPE_CHECKING:
    from botlib.strategy import Strategy

_KEY: Final = 16


class SweepRecord:
    """An append-only file of one sweep's results.

    Its name contains a hash of everything the numbers depend on: candles, the strategy's source,
    settings and periods. A sweep over other values of the same parameters shares the file. A last
    row that was cut off, by a crash or a full disk, is dropped.

    Args:
        identity: hash that `identity` returns.
        periods: values of equity kept per combination.
    """

    def __init__(
        self, directory: Path, name: str, identity: str, names: Sequence[str], periods: int
    ) -> None:
        private_directory(directory)
        # The name of a class may be any text.
        self.path = directory / f"{file_name(name)}-{identity[:16]}.sweep"
        self._names = tuple(names)
        self._row = np.dtype(
            [("key", f"V{_KEY}"), ("figures", "<f8", len(METRICS)), ("equity", "<f8", (periods,))]
        )
        self._done: dict[bytes, tuple[Floats, Floats]] = {}
        self._file = self._open()

    def __len__(self) -> int:
        return len(self._done)

    def find(self, combination: Combination) -> tuple[Floats, Floats] | None:
        """Return figures and equity of a combination, None if it is not finished."""
        return self._done.get(self._key(combination))

    def add(self, combinations: Sequence[Combination], outcome: CombinationResults) -> None:
        """Append the combinations that succeeded; those that failed are tried again next time.

        Raises:
            SweepError: the file cannot be written, for example because the disk is full.
        """
        rows = [row for row, error in enumerate(outcome.errors) if error is None]
        block = np.zeros(len(rows), dtype=self._row)
        fresh: dict[bytes, tuple[Floats, Floats]] = {}
        for place, row in enumerate(rows):
            key = self._key(combinations[row])
            figures, equity = outcome.figures[row], outcome.equity[row]
            block[place] = (key, figures, equity)
            fresh[key] = (figures, equity)
        left = memoryview(block.tobytes())
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise SweepError(
                f"Cannot write results to {self.path}: {error.strerror}. The "
                f"{formats.count(len(self))} "
                "combinations before are kept. Free some space and run the same sweep again."
            ) from error
        self._done |= fresh

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> IO[bytes]:
        try:
            file = open_private(self.path, "a+b", buffering=0)
            size = file.seek(0, os.SEEK_END)
            whole = size - size % self._row.itemsize
            if whole != size:
                file.truncate(whole)
            file.seek(0)
            rows = np.frombuffer(file.read(), dtype=self._row)
        except OSError as error:
            raise SweepError(
                f"Cannot use {self.path} for results: {error.strerror}. "
                "Give directory= a place that can be written."
            ) from error
        for row in rows:
            self._done[row["key"].tobytes()] = (row["figures"], row["equity"])
        return file

    def _key(self, combination: Combination) -> bytes:
        # Sorted, so that the order in which parameters are given does not matter.
        text = repr(sorted(zip(self._names, combination, strict=True)))
        return hashlib.blake2b(text.encode(), digest_size=_KEY).digest()


def identity(
    strategy: type[Strategy],
    candles: str,
    settings: SweepSettings,
    ends: Sequence[int],
    engine: str,
) -> str:
    """Return a hash of everything the numbers of a combination depend on."""
    from importlib.metadata import version

    facts: dict[str, Any] = {
        "strategy": source_of(strategy),
        "candles": candles,
        "settings": _settings_text(settings),
        "ends": [int(end) for end in ends],
        "metrics": METRICS,
        "engine": f"{engine} {version('vectorbt')} {version('botlib')}",
    }
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def _settings_text(settings: SweepSettings) -> str:
    terms, costs = settings.terms, settings.terms.costs
    text, fit = repr(terms), f", fit={settings.fit!r}" if settings.fit else ""
    if costs == Costs.none(fee=costs.taker).changed(slippage=costs.fixed) and terms.limits is None:
        # The text is that of version 0.1.0, whose records are resumed.
        order_cost = None if terms.order_cost == ALL else terms.order_cost
        text = (
            f"Terms(fee={costs.taker!r}, slippage={costs.fixed!r}, cash={terms.cash!r}, "
            f"order_cost={order_cost!r}, market={terms.market!r})"
        )
    return f"Settings(terms={text}, start={settings.start!r}, engine={settings.engine!r}{fit})"
