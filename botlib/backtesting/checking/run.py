"""The check of a strategy: it must give live the signals that it gives over history.

History is cut at many candles and the strategy called again. The values of a candle must not change
when later candles arrive (the strategy would look ahead or repaint), and after the warm-up they
must not depend on where history began. Prices are altered, which the signals have to follow, and
the strategy is asked in a second process, which remembers nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from botlib.backtesting.arguments import checked
from botlib.backtesting.checking.lookahead import LookAheadCheck
from botlib.backtesting.checking.prices import PriceCheck
from botlib.backtesting.checking.reach import Reach
from botlib.backtesting.checking.report import CheckReport, Finding, Settling
from botlib.backtesting.checking.second.job import SecondJob
from botlib.backtesting.checking.second.judgement import MemoryCheck
from botlib.backtesting.checking.second.process import Parcel, SecondLook
from botlib.backtesting.checking.state import StateCheck
from botlib.backtesting.checking.strips import WIDTH, compare_strips
from botlib.backtesting.checking.subject import Deadline, Subject
from botlib.backtesting.checking.truncation import (
    Columns,
    has_signal,
    python_value,
    sample_rows,
    truncate_end,
)
from botlib.backtesting.checking.warmup import WarmupCheck
from botlib.backtesting.checking.windows import WindowCuts
from botlib.backtesting.inputs import frames_for
from botlib.core.errors import InvalidInput
from botlib.core.text import formats
from botlib.frames import COLUMNS
from botlib.strategy import strategy_object

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.checking.reach import ReachedData
    from botlib.backtesting.checking.strips import StripsMade
    from botlib.backtesting.checking.windows import CutsMade
    from botlib.frames import Frames
    from botlib.strategy import Strategy

_WHOLE_CUTS: Final = 50
"""Cuts of the whole history, after which indicators and attributes are compared as well."""

_STARTS: Final = 25
"""Histories that begin later."""

_SECOND_CUTS: Final = 24
"""Histories that the second process is asked about."""


@checked
def check(
    strategy: Strategy,
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    cuts: int = 8_000,
    seconds: float = 30.0,
    seed: int = 0,
    second_process: bool = True,
) -> CheckReport:
    """Ask a strategy about cut and altered histories and report every value that differs.

    - History is cut at every signal and then at other candles, as many as ``cuts``: the newest
      candles are handed over as a running bot does. At some of them the whole history up to there
      is, and indicators and what stays on the strategy are compared as well. Higher timeframes are
      cut by their close.
    - Prices are altered under the same index: after some signals, then everywhere, then the dates.
      Signals that do not follow come from somewhere else.
    - A second process, which has seen no later candle, is asked from the shortest history on. There
      the strategy is made anew from its parameters, and the frames and arrays that it reaches
      beyond its candles are changed.
    - A strategy that learns and has not yet learns from the first half of the candles.
    - History begins later, to measure after how many candles the signals no longer depend on where
      it began, and the result is compared with the ``warmup`` of the strategy.

    What was looked at and what was not is part of the report.

    Args:
        data: frames, one candle frame, or candle frames by timeframe.
        cuts: how many candles are cut at, at most; if there are more, they are drawn by chance,
            signals first.
        seconds: how long the check may take; what it does not get to is reported.
        seed: seed of all random choices.
        second_process: whether to ask in a second process, which takes some seconds to start.

    Raises:
        InvalidInput: the candles cannot be used, or ``cuts`` or ``seconds`` is not positive.
        ConfigError: the signals over the whole history do not fit its frame.
    """
    strategy = strategy_object(strategy, "check")
    for name, value in (("cuts", cuts), ("seconds", seconds)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise InvalidInput(f"{name} must be a number above 0 (at least 1 cut), not {value!r}.")
    if cuts < 1:
        raise InvalidInput(f"cuts must be at least 1, not {cuts!r}.")
    frames = frames_for(strategy, data)
    if strategy.learns and strategy.training is None:
        strategy = strategy.fitted(truncate_end(frames, len(frames.index) // 2))
    course = _Course(Subject(strategy), frames, int(cuts), Deadline(seconds), seed)
    return course.run(second_process=second_process)


@dataclass(slots=True)
class _Course:
    """One check, from the first question to the report."""

    subject: Subject
    frames: Frames
    cuts: int
    deadline: Deadline
    seed: int
    findings: list[Finding] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    settling: tuple[Settling, ...] = ()
    made: int = 0

    def run(self, *, second_process: bool) -> CheckReport:
        """Ask everything and return what came of it."""
        subject, frames = self.subject, self.frames
        random = np.random.default_rng(self.seed)
        # Before the first question, so that nothing that is remembered here is sent along.
        parcel = Parcel(subject.strategy) if second_process else None
        state = StateCheck(subject, frames)
        state.begin()
        whole = subject.observe(frames)
        state.asked()
        reached = Reach.of(subject.strategy).data
        ahead = LookAheadCheck(subject, frames, whole, dict(subject.after))
        self.findings += _repeated(whole, subject.observe(frames))
        if self.findings:
            self.missed.append("everything else: it means nothing before this is put right")
            self.notes.append(
                "The warm-up was not measured: it means nothing before this is put right."
            )
            return self._report(whole)
        job = None if parcel is None or parcel.failed else self._job(parcel.content, whole, random)
        why = "second_process=False was passed" if parcel is None else parcel.failed
        with SecondLook(job, why) as second:
            self._look_ahead(ahead, state, random)
            prices = PriceCheck(subject, frames, whole, reached)
            prices.run(random, self.deadline)
            # A cut shows more of the same leak.
            self._take(one for one in prices.found if one.column not in ahead.leaks)
            self._warm_up(whole, random)
            memory = MemoryCheck(ahead, state, () if job is None else job.lengths)
            memory.judge(second.answer(self.deadline))
            self._take(memory.found)
        self.warnings += memory.warnings
        for part in (prices, memory):
            self.looked += part.looked
            self.missed += part.missed
        self.notes += prices.notes
        self._beware(reached, state)
        return self._report(whole)

    def _take(self, found: Iterable[Finding]) -> None:
        self.findings += found

    def _job(self, content: bytes, whole: Columns, random: np.random.Generator) -> SecondJob:
        """Return the questions to a second process: histories that end with a signal."""
        least, rows = max(self.subject.warmup, 1), len(self.frames.frame)
        signals = np.flatnonzero(has_signal(whole)) + 1
        signals = signals[(signals >= least) & (signals < rows)]
        lengths = sample_rows(signals, _SECOND_CUTS, random)
        lengths |= sample_rows(np.arange(least, rows), _SECOND_CUTS, random)
        return SecondJob(
            strategy=content,
            frames=self.frames,
            lengths=tuple(sorted(lengths)),
            rows=tuple(int(row) for row in signals - 1),
            seconds=self.deadline.left,
            seed=self.seed,
        )

    def _look_ahead(
        self, ahead: LookAheadCheck, state: StateCheck, random: np.random.Generator
    ) -> None:
        ahead.compare_everywhere(min(self.cuts, _WHOLE_CUTS), random, self.deadline.part(0.3))
        cuts = WindowCuts(ahead)
        strips = compare_strips(ahead, cuts, random, self.deadline.part(0.4))
        made = cuts.compare(self.cuts, random, self.deadline.part(0.6))
        self.looked.append(f"cuts at {made.words}")
        if strips.candles:
            self.looked.append(f"other prices in the {WIDTH} candles right after {strips.words}")
        if cuts.enough:
            self.missed.append("more cuts: what was found is enough")
        else:
            self._not_cut(made, strips)
        self.findings += ahead.findings()
        self.findings += state.findings(ahead)
        self.made += ahead.made

    def _not_cut(self, made: CutsMade, strips: StripsMade) -> None:
        """Store which candles were not cut at, and why."""
        reason = "the time was up" if made.late else f"cuts={formats.count(self.cuts)}"
        drawn = f"{reason}; those above were drawn by chance, seed {self.seed}"
        if not made.every_signal:
            left = made.all_signals - made.signals
            self.missed.append(f"cuts at the other {formats.count(left)} signals ({drawn})")
        if made.others < made.all_others:
            left = made.all_others - made.others
            self.missed.append(
                f"cuts at the other {formats.count(left)} candles without a signal ({drawn})"
            )
        if not strips.complete:
            left = strips.all_candles - strips.candles
            self.missed.append(
                f"other prices right after {formats.count(left)} candles: {strips.why}"
            )

    def _warm_up(self, whole: Columns, random: np.random.Generator) -> None:
        if self.findings:
            self.notes.append(
                "The warm-up was not measured: it means nothing before this is put right."
            )
            return
        warm_up = WarmupCheck(self.subject, self.frames, whole)
        if not warm_up.possible:
            few = f"{formats.count(len(self.frames.frame))} candles are too few for it."
            self.notes.append(f"The warm-up was not measured: {few}")
            self.missed.append(f"the warm-up: {few}")
            return
        starts = min(max(self.cuts // 2, 1), _STARTS)
        warm_up.compare_starts(starts, random, self.deadline.part(0.8))
        self.looked.append(f"{warm_up.made} histories that begin later, for the warm-up")
        self.settling = warm_up.settling()
        self.notes += warm_up.remarks()
        self.findings += warm_up.findings()
        self.made += warm_up.made

    def _beware(self, reached: Sequence[ReachedData], state: StateCheck) -> None:
        """Warn of data and state that no finding names, and of what was not looked at."""
        told = " ".join(finding.text for finding in self.findings)
        training = self.subject.strategy.training
        if training is not None and training.last >= self.frames.index[0]:
            self.warnings.append(
                f"It has learned from {training}: its signals up to {training.last} know all of "
                "them, and are no measure of what it earns."
            )
        if self.subject.strategy.learns:
            self.missed.append("what fit() learns from: only the candles it is handed are known")
        named = [one.words for one in reached if one.words not in told]
        if named:
            self.warnings.append(
                f"It can reach {', '.join(named)}. Whether that knows later candles was not "
                "looked at; live it gets nothing newer."
            )
        self.warnings += state.remarks(self.findings)
        if self.subject.uncopied:
            self.missed.append(
                f"what stays on it between two questions: it cannot be copied "
                f"({self.subject.uncopied})"
            )
        more = sorted({*self.frames.frame.columns} - {*COLUMNS}, key=str)
        if more:
            self.missed.append(
                f"the columns {', '.join(map(str, more))} of the candles: whether they know later "
                "ones; a running bot hands over none of them"
            )

    def _report(self, whole: Columns) -> CheckReport:
        signals = has_signal(whole)
        if not signals.any():
            self.notes.append(
                "There was no signal at all: load more candles, or look at the strategy."
            )
        return CheckReport(
            strategy=repr(self.subject.strategy),
            findings=tuple(self.findings),
            settling=self.settling,
            warmup=self.subject.warmup,
            cuts=self.made,
            rows=len(self.frames.frame),
            signals=int(signals.sum()),
            looked_at=tuple(self.looked),
            not_looked_at=tuple(self.missed),
            warnings=tuple(self.warnings),
            notes=tuple(self.notes),
        )


def _repeated(first: Columns, second: Columns) -> list[Finding]:
    findings = []
    for name, column in second.items():
        if name not in first:
            continue
        rows = np.flatnonzero(column.differs(first[name]))
        if len(rows):
            row = int(rows[0])
            findings.append(
                Finding(
                    kind="not repeatable",
                    column=name,
                    bar=column.index[row],
                    known=column.index[-1],
                    then=python_value(first[name].values[row]),
                    whole=python_value(column.values[row]),
                    text=f"is not repeatable: asked twice over the same candles, it differs at "
                    f"{formats.count(len(rows))} of them, first at {column.index[row]}. Look for "
                    "random numbers, the time of day, or something kept on the strategy.",
                )
            )
    return findings
