"""The finished combinations of a sweep: from disk, and from whatever computes them."""

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
"""A chunk of combinations and what came of them."""

_FIRST_LOOK: Final = 4
"""If so many combinations are done and every one of them failed, the sweep is given up."""


class WorkerPool(Protocol):
    """Whatever evaluates chunks of combinations."""

    def run(self, tiles: Sequence[list[Combination]]) -> Iterator[EvaluatedChunk]:
        """Yield chunks with what came of them, as they are done."""


class PoolFactory(Protocol):
    """Opens a pool when there is something to compute."""

    def __call__(self) -> AbstractContextManager[WorkerPool]: ...


class SweepCollector:
    """What is known so far: from disk, and from the workers."""

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
        """Take what is on disk and let a pool compute the rest."""
        missing = self.known(combinations)
        if missing:
            with open_pool() as pool:
                self.compute(pool, self.space.tiles(missing, side))

    def known(self, combinations: Iterable[Combination]) -> list[Combination]:
        """Take what is on disk; return what is not."""
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
        """Let a pool compute combinations and keep what comes of them."""
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
            if not self.figures and len(self.errors) >= _FIRST_LOOK:
                self._check_refusals()

    def _check_refusals(self) -> None:
        """Give up where every combination so far failed, unless the strategy refused it itself."""
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
        """Return what was collected.

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
        """Take the progress bar away."""
        if self.bar is not None:
            self.bar.close()

    def _advance(self, count: int) -> None:
        if self.bar is not None:
            self.bar.update(count)


def _bar(total: int) -> Any:
    from tqdm import tqdm

    # Plain text, as elsewhere: it also renders in executed notebooks.
    return tqdm(total=total, unit="combination", unit_scale=False, leave=False, file=sys.stdout)
