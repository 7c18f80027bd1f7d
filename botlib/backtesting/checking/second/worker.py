"""A second look at a strategy in a process of its own:
``python -m botlib.backtesting.checking.second.worker DIRECTORY``.

Nothing that this process remembers has seen later candles: histories are asked in the order of
their length. Then a strategy is made anew from its parameters, and the data that it reaches beyond
its candles is changed, to see whether its signals change.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from botlib.backtesting.checking.altered import altered_data
from botlib.backtesting.checking.reach import LONG, Reach, ReachedData
from botlib.backtesting.checking.second.answer_files import write_apart
from botlib.backtesting.checking.second.job import (
    ANSWER_FILE,
    JOB_FILE,
    PATH_FILE,
    Probe,
    SecondAnswer,
    SecondJob,
)
from botlib.backtesting.checking.second.openings import Openings
from botlib.backtesting.checking.subject import Deadline, Subject, kept
from botlib.backtesting.checking.truncation import observe, truncate_end
from botlib.core.errors import ConfigError

if TYPE_CHECKING:
    from botlib.backtesting.checking.truncation import Columns
    from botlib.strategy import Strategy

_NICENESS = 5

_PROBE_CUTS = 24
"""Candles after which data with times is changed, to see whether earlier signals change."""


def main(directory: Path) -> None:
    """Answer the job in a directory, and write the answer there."""
    sys.path[:] = pickle.loads((directory / PATH_FILE).read_bytes())
    try:
        job = pickle.loads((directory / JOB_FILE).read_bytes())
        answer = answered(job)
    except Exception as error:
        answer = SecondAnswer(error=f"{type(error).__name__}: {error}")
    write_apart(directory / ANSWER_FILE, answer)


def answered(job: SecondJob) -> SecondAnswer:
    """Return what is found in this process within the seconds of a job."""
    deadline = Deadline(job.seconds)
    strategy: Strategy = pickle.loads(job.strategy)
    answer, subject = SecondAnswer(), Subject(strategy)
    with Openings() as openings:
        for length in job.lengths:
            if deadline.over:
                return answer
            # A strategy that fails on a short history is reported by the first process.
            with contextlib.suppress(Exception):
                answer.cuts[length] = subject.observe(truncate_end(job.frames, length))
        answer.whole = subject.observe(job.frames)
    answer.opened = openings.names
    made = _remade(strategy, answer)
    if made is not None:
        try:
            answer.remade = observe(made, job.frames)
        except Exception as error:
            answer.remade_error = f"{type(error).__name__}: {error}"
    _probe_all(strategy, job, answer, deadline)
    return answer


def _remade(strategy: Strategy, answer: SecondAnswer | None = None) -> Strategy | None:
    """Return a strategy made anew from the parameters of another one, None if it cannot be."""
    if answer is not None:
        answer.different = tuple(
            name for name in vars(strategy) if name not in {*strategy.parameters, "timeframes"}
        )
    try:
        if strategy.learns:
            raise ConfigError("it has learned from candles")
        made = type(strategy)(timeframes=tuple(strategy.timeframes), **strategy.parameters)
    except Exception as error:
        if answer is not None:
            answer.remade_error = f"{type(error).__name__}: {error}"
        return None
    if answer is not None:
        answer.constructed = True
        given, fresh = kept(strategy), kept(made)
        answer.different = tuple(name for name, value in given.items() if fresh.get(name) != value)
    return made


def _probe_all(
    strategy: Strategy, job: SecondJob, answer: SecondAnswer, deadline: Deadline
) -> None:
    found = Reach.of(strategy).data
    answer.reached = len(found)
    for data in found:
        if deadline.over:
            return
        probe = _probed(strategy, job, data, deadline)
        answer.probed += 1
        if probe is not None:
            answer.probes.append(probe)


def _probed(
    strategy: Strategy, job: SecondJob, data: ReachedData, deadline: Deadline
) -> Probe | None:
    """Return what changes when a piece of data is changed, None if nothing does."""
    random = np.random.default_rng(job.seed)
    subject = Subject(strategy)

    def ask() -> Columns:
        return subject.observe(job.frames)

    def ask_remade() -> Columns:
        made = _remade(strategy)
        return {} if made is None else observe(made, job.frames)

    for question in (ask,) if data.own else (ask, ask_remade):
        probe = _change(job, data, question, random, deadline)
        if probe is not None:
            probe.rebuilt = question is ask_remade
            return probe
    return None


def _change(
    job: SecondJob,
    data: ReachedData,
    question: Callable[[], Columns],
    random: np.random.Generator,
    deadline: Deadline,
) -> Probe | None:
    before = _asked(question)
    row = _difference(before, _with(data, altered_data(data.value, random), question))
    if row is None or before is None:
        return None
    found = Probe(
        name=data.name,
        words=data.words,
        column=row[0],
        row=row[1],
        known=None,
        long=_is_long(data, len(job.frames.index)),
    )
    times = data.times
    if times is None:
        return found
    opens = job.frames.frame.index
    # What is stamped with the open of the newest candle, or earlier, may be known at its close.
    for known in random.permutation(np.array(job.rows, dtype=np.int64))[:_PROBE_CUTS]:
        if deadline.over:
            break
        later = altered_data(data.value, random, after=opens[known])
        changed = _difference(before, _with(data, later, question), rows=int(known) + 1)
        if changed is not None:
            found.column, found.row, found.known = *changed, int(known) + 1
            break
    return found


def _with(data: ReachedData, value: object, question: Callable[[], Columns]) -> Columns | None:
    try:
        data.put(value)
        return _asked(question)
    except (TypeError, ValueError, AttributeError, KeyError, IndexError):
        return None  # It cannot be replaced.
    finally:
        with contextlib.suppress(Exception):
            data.put(data.value)


def _asked(question: Callable[[], Columns]) -> Columns | None:
    try:
        return question()
    except Exception:
        return None


def _difference(
    before: Columns | None, after: Columns | None, *, rows: int | None = None
) -> tuple[str, int] | None:
    """Return the first signal that differs and where, None if none does or one is missing."""
    if before is None or after is None:
        return None
    for name, column in after.items():
        if name not in before or not column.acted_on:
            continue
        different = np.flatnonzero(column.differs(before[name])[:rows])
        if len(different):
            return name, int(different[0])
    return None


def _is_long(data: ReachedData, rows: int) -> bool:
    """Return whether a piece of data is as long as a history, or has times."""
    return data.times is not None or len(data.value) >= max(LONG, rows // 2)


def _listen() -> None:
    """End with the process that asked, whose end of standard input closes then."""
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(0)


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_NICENESS)
    threading.Thread(target=_listen, daemon=True).start()
    main(Path(sys.argv[1]))
