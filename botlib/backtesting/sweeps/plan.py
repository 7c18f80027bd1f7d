"""The plan of a sweep: its search method, and the memory and workers it may use."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from botlib.backtesting.sweeps.evaluator import METRICS
from botlib.backtesting.sweeps.space import Combination, ParameterSpace, Where
from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.received import refused

METHODS: Final = ("grid", "random", "optuna")
ENGINES: Final = ("rust", "numba")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """The search options of a sweep, described at `botlib.backtesting.sweep`.

    Raises:
        InvalidInput: an option is not accepted.
    """

    metric: str = "sharpe"
    where: Where | None = None
    method: str = "grid"
    samples: int | None = None
    seed: int = 0
    workers: int | None = None
    memory: str | int = "1GB"
    client: Any = None
    engine: str | None = None

    def __post_init__(self) -> None:
        _check_choice("metric", self.metric, METRICS)
        _check_choice("method", self.method, METHODS)
        if self.engine is not None:
            _check_choice("engine", self.engine, ENGINES)
        if self.samples is not None and self.samples < 1:
            raise InvalidInput(f"samples must be at least 1, not {self.samples!r}.")
        if not isinstance(self.seed, int):
            raise InvalidInput(f"seed must be a whole number, not {self.seed!r}.")
        if self.workers is not None and self.workers < 0:
            raise InvalidInput(f"workers must be 0 or more, not {self.workers!r}.")
        memory_bytes(self.memory)

    @property
    def budget(self) -> int:
        """Bytes of memory for all workers together."""
        return memory_bytes(self.memory)

    def combinations(self, space: ParameterSpace) -> list[Combination] | None:
        """Return the combinations to try; None if a search chooses them as it goes.

        Raises:
            InvalidInput: there are none or too many, or ``samples`` is missing.
        """
        if self.method == "grid":
            if self.samples is not None:
                raise InvalidInput(
                    "samples= goes with method='random' or 'optuna'; a grid tries all."
                )
            return space.grid(budget=self.budget)
        if self.samples is None:
            raise InvalidInput(
                f"method={self.method!r} needs samples=, how many combinations to try."
            )
        return space.sample(self.samples, self.seed) if self.method == "random" else None

    def processes(self, combinations: int) -> int:
        """Return the number of workers for so many combinations, by default one per core."""
        wanted = self.workers
        if wanted is None:
            wanted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
            wanted = wanted or os.cpu_count() or 1
        return min(wanted, max(combinations, 1))


def memory_bytes(memory: str | int) -> int:
    """Return a number of bytes: 500_000_000, "500MB" and "0.5 GB" are the same.

    Raises:
        InvalidInput: ``memory`` cannot be read, or is less than 64 MB.
    """
    found = re.fullmatch(r"\s*([\d.]+)\s*([kMGT]?)i?B?\s*", str(memory).replace("_", ""), re.I)
    try:
        assert found is not None
        size = int(float(found[1]) * 1_000 ** " KMGT".index(found[2].upper() or " "))
    except (AssertionError, ValueError):
        raise InvalidInput(
            f"Cannot read memory={memory!r}. Accepted: bytes, or text such as '500MB' or '2GB'."
        ) from None
    if size < 64_000_000:
        raise InvalidInput(f"memory={memory!r} is too little for a sweep: give at least '64MB'.")
    return size


def _check_choice(name: str, value: object, accepted: Sequence[str]) -> None:
    if not isinstance(value, str):
        raise refused(name, value, f"one of {', '.join(accepted)}")
    if value not in accepted:
        raise InvalidInput(
            f"{name} {value!r} is not known. Accepted: {', '.join(accepted)}."
            f"{did_you_mean(value, accepted)}"
        )
