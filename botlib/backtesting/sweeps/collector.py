"""The collector of a sweep: finished combinations from the record and from a pool."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from botlib.backtesting.sweeps.evaluator import CombinationResults
from botlib.backtesting.sweeps.record import SweepRecord
from botlib.backtesting.sweeps.result import SweepResult
from botlib.backtesting.sweeps.space import Combination, ParameterSpace
from botlib.core.errors import SweepError

EvaluatedChunk = tuple[list[Combination], CombinationResults]
"""A chunk of combinations and their results."""

_MOST_FAILURES: Final = 4
"""Combinations after which the sweep ends if every one of them failed."""


class WorkerPool(Protocol):
    """A pool of workers that evaluates chunks of combinations."""

    def run(self, tiles: Sequence[list[Combination]]) -> Iterator[EvaluatedChunk]:
        """Yield chunks with their results, as they are done."""


class PoolFactory(Protocol):
    """A function that opens a pool; it is called only if there is something to compute."""

    def __call__(self) -> AbstractContextManager[WorkerPool]: ...


class SweepCollector:
    """The results of a sweep so far, from its record and from its workers.

    Args:
        wanted: combinations the sweep asks for.
        progress: whether to show a progress bar.
    """

    def __init__(self, space: ParameterSpace, wanted: int, progress: bool) -> None:
        self.space = space
        self.wanted = wanted
        self.record: SweepRecord | None = None
        self.interrupted = False
        self.figures: dict[Combination, npt.NDArray[np.float64]] = {}
        self.equity: dict[Combination, npt.NDArray[np.float64]] = {}
        self.errors: dict[Combination, str] = {}
        self.bar = _bar(wanted) if progress else None

    def all(self, combinations: Iterable[Combination], open_pool: PoolFactory, side: int) -> None:
        """Collect combinations from the record, and have a pool compute the rest.

        Args:
            side: values per parameter in a tile, see `ParameterSpace.tiles`.
        """
        missing = self.known(combinations)
        if missing:
            with open_pool() as pool:
                self.compute(pool, self.space.tiles(missing, side))

    def known(self, combinations: Iterable[Combination]) -> list[Combination]:
        """Collect the combinations that are in the record; return those that are not."""
        missing = []
        for combination in combinations:
            found = self.record.find(combination) if self.record is not None else None
            if found is None:
                missing.append(combination)
                continue
            self.figures[combination], self.equity[combination] = found
            self._advance(1)
        return missing

    def compute(self, pool: WorkerPool, tiles: Sequence[list[Combination]]) -> None:
        """Have a pool compute combinations, and collect and record their results."""
        for combinations, outcome in pool.run(tiles):
            if self.record is not None:
                self.record.add(combinations, outcome)
            for row, combination in enumerate(combinations):
                error = outcome.errors[row]
                if error is None:
                    self.figures[combination] = outcome.figures[row]
                    self.equity[combination] = outcome.equity[row]
                else:
                    self.errors[combination] = error
            self._advance(len(combinations))
            if not self.figures and len(self.errors) >= _MOST_FAILURES:
                self._check_refusals()

    def _check_refusals(self) -> None:
        """Raise if every combination so far failed, unless the strategy itself refused them all."""
        for combination, error in self.errors.items():
            if not error.startswith("ConfigError"):
                raise SweepError(self._failure(combination, error))

    def _failure(self, combination: Combination, error: str) -> str:
        return (
            f"All {len(self.errors)} combinations tried so far failed; with "
            f"{self.space.named(combination)}: {error} "
            "Run backtest() with these parameters to see where."
        )

    def result(self, **facts: Any) -> SweepResult:
        """Return the result of the sweep.

        Raises:
            SweepError: every combination failed.
        """
        if self.errors and not self.figures and not self.interrupted:
            raise SweepError(self._failure(*next(iter(self.errors.items()))))
        return SweepResult(
            names=self.space.names,
            axes=self.space.axes,
            figures=self.figures,
            equity=self.equity,
            errors=self.errors,
            wanted=self.wanted,
            interrupted=self.interrupted,
            **facts,
        )

    def close(self) -> None:
        """Remove the progress bar."""
        if self.bar is not None:
            self.bar.close()

    def _advance(self, count: int) -> None:
        if self.bar is not None:
            self.bar.update(count)


def _bar(total: int) -> Any:
    from tqdm import tqdm

    # A plain-text bar also shows in executed notebooks.
    return tqdm(total=total, unit="combination", unit_scale=False, leave=False, file=sys.stdout)
