"""The guided search of a sweep, by optuna, for spaces too large to try out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from botlib.backtesting.sweeps.evaluator import METRICS
from botlib.backtesting.sweeps.space import Combination, ParameterSpace
from botlib.core.errors import InvalidInput

if TYPE_CHECKING:
    from optuna.trial import Trial

    from botlib.backtesting.sweeps.collector import PoolFactory, SweepCollector

BATCH: Final = 16
"""Combinations proposed at a time, before the results of any of them are known.

It does not depend on the number of workers, so that a seed takes the same path on every machine.
"""
_MISSES: Final = 200
"""Proposals in a row that may be refused or known already before the search ends."""


def search(
    space: ParameterSpace,
    collected: SweepCollector,
    open_pool: PoolFactory,
    *,
    metric: str,
    samples: int,
    seed: int,
) -> None:
    """Compute the combinations that a tree-structured Parzen estimator proposes.

    Recorded combinations are reported to the estimator instead of computed again, so that a resumed
    search takes the path that it would have taken without the interruption.

    Raises:
        InvalidInput: ``where`` refuses nearly everything.
    """
    import optuna

    logger_level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=32)
        )
        rank = METRICS.index(metric)
        with open_pool() as pool:
            done = 0
            while done < samples:
                batch = _propose(study, space, min(BATCH, samples - done), collected)
                if not batch:
                    return
                missing = collected.known([combination for _, combination in batch])
                collected.compute(pool, [[combination] for combination in missing])
                for trial, combination in batch:
                    figures = collected.figures.get(combination)
                    value = math.nan if figures is None else float(figures[rank])
                    if math.isfinite(value):
                        study.tell(trial, value)
                    else:
                        study.tell(trial, state=optuna.trial.TrialState.FAIL)
                done += len(batch)
    finally:
        optuna.logging.set_verbosity(logger_level)


def _propose(
    study: object, space: ParameterSpace, count: int, collected: SweepCollector
) -> list[tuple[Trial, Combination]]:
    """Return up to ``count`` different combinations that were not tried yet, with their trials."""
    import optuna

    assert isinstance(study, optuna.Study)
    batch: list[tuple[Trial, Combination]] = []
    proposed: set[Combination] = set()
    misses = 0
    while len(batch) < count and misses < _MISSES:
        trial = study.ask()
        combination = tuple(
            _value(trial, name, axis) for name, axis in zip(space.names, space.axes, strict=True)
        )
        tried = combination in collected.figures or combination in collected.errors
        if tried or combination in proposed or not space.wants(combination):
            misses += 1
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        misses = 0
        proposed.add(combination)
        batch.append((trial, combination))
    if not batch and not collected.figures and not collected.errors:
        raise InvalidInput(
            f"where= refused {_MISSES} proposals in a row. Narrow the ranges to what it accepts."
        )
    return batch


def _value(trial: Trial, name: str, axis: tuple[object, ...]) -> object:
    """Return a proposed value: by position if the values are numbers, else as a category."""
    ordered = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in axis)
    if ordered:
        ranked = sorted(axis, key=lambda value: float(value))  # type: ignore[arg-type]
        return ranked[trial.suggest_int(name, 0, len(ranked) - 1)]
    return axis[trial.suggest_categorical(name, list(range(len(axis))))]
