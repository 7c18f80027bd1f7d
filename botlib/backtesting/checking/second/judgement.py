"""What a second process found, judged: memory, what a constructor computes, other data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from botlib.backtesting.checking.lookahead import LookAheadCheck
from botlib.backtesting.checking.report import Finding
from botlib.backtesting.checking.truncation import python_value
from botlib.core.text import formats

if TYPE_CHECKING:
    from botlib.backtesting.checking.second.job import Probe, SecondAnswer
    from botlib.backtesting.checking.state import StateCheck
    from botlib.backtesting.checking.truncation import Columns


@dataclass(slots=True)
class MemoryCheck:
    """The judgement of what a second process answered.

    Args:
        ahead: the look-ahead check of the first process.
        state: what was set while the strategy was asked there.
        lengths: the histories that the second process was asked about.
    """

    ahead: LookAheadCheck
    state: StateCheck
    lengths: tuple[int, ...]
    found: list[Finding] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def judge(self, answer: SecondAnswer) -> None:
        """Judge an answer: its findings, and what was looked at and what was not."""
        if answer.error:
            self.missed.append(f"a second process, which remembers nothing: {answer.error}")
            return
        done, asked = len(answer.cuts), len(self.lengths)
        self.looked.append(
            f"a second process, which had seen no later candle: {done} of {asked} histories"
        )
        self._memory(answer.cuts)
        if answer.whole is None:
            self.missed.append("a second instance, and the data that is reached: the time was up")
            return
        self._second_instance(answer, answer.whole)
        for probe in answer.probes:
            self._data(probe, answer)
        if answer.opened:
            self.warnings.append(
                f"signals() opens {', '.join(answer.opened)}. Whether that knows later candles was "
                "not looked at."
            )
        if answer.reached:
            self.looked.append(
                f"data beyond the candles, changed: {answer.probed} of {answer.reached} pieces"
            )

    def _memory(self, cuts: dict[int, Columns]) -> None:
        """Compare histories that were asked about before any later candle was seen."""
        ahead = self.ahead
        fresh = LookAheadCheck(ahead.subject, ahead.frames, ahead.whole)
        for length, columns in cuts.items():
            fresh.note({n: one for n, one in columns.items() if one.acted_on}, length)
        names = self.state.names
        for finding in fresh.findings():
            if finding.column in ahead.leaks:
                continue
            where = f" It sets {names}." if names else ""
            text = (
                f"keeps state: in a process that had seen no candle after {finding.known}, it was "
                f"{finding.then} at {finding.bar}, and is {finding.whole} here, where later ones "
                f"were seen: something remembers them.{where}"
            )
            self.found.append(replace(finding, kind="keeps state", text=text))

    def _second_instance(self, answer: SecondAnswer, whole: Columns) -> None:
        """Compare a strategy made anew from its parameters."""
        on_self = ", ".join(f"self.{name}" for name in answer.different)
        if not answer.constructed:
            holds = f"; what {on_self} holds may know later candles" if on_self else ""
            self.missed.append(
                "a second instance: it cannot be made from its parameters alone "
                f"({answer.remade_error}){holds}"
            )
            return
        self.looked.append("a second instance, made from the same parameters")
        frames = self.ahead.frames
        if answer.remade is None:
            needs = f" It lacks {on_self}." if on_self else ""
            self.found.append(
                Finding(
                    kind="not repeatable",
                    column="",
                    bar=None,
                    known=frames.index[-1],
                    then=answer.remade_error,
                    whole=None,
                    text="a second instance with the same parameters fails "
                    f"({answer.remade_error}).{needs} A restart makes one like it.",
                )
            )
            return
        for name, column in answer.remade.items():
            if not column.acted_on or name not in whole:
                continue
            rows = np.flatnonzero(column.differs(whole[name]))
            if not len(rows):
                continue
            row = int(rows[0])
            kept = f" They differ in {on_self}." if on_self else ""
            self.found.append(
                Finding(
                    kind="not repeatable",
                    column=name,
                    bar=frames.index[row],
                    known=frames.index[-1],
                    then=python_value(whole[name].values[row]),
                    whole=python_value(column.values[row]),
                    text="is not repeatable: a second instance with the same parameters gives "
                    f"other signals at {formats.count(len(rows))} candles, first at "
                    f"{frames.index[row]}.{kept} "
                    "What it was fitted on cannot be seen, and a restart loses it.",
                )
            )

    def _data(self, probe: Probe, answer: SecondAnswer) -> None:
        """Judge a piece of data whose change changed the signals."""
        frames = self.ahead.frames
        root = probe.name.removeprefix("self.").partition(".")[0].partition("[")[0]
        on_self = probe.name.startswith("self.")
        if on_self and self.ahead.subject.strategy.learns:
            return  # It keeps what it has learned there.
        own = on_self and root in answer.different
        if not (probe.known is not None or probe.long or own):
            return
        how = "the strategy is made anew with other values in it" if probe.rebuilt else "those do"
        if probe.known is not None:
            known = frames.index[probe.known - 1]
            text = (
                f"looks ahead through {probe.words}: at {frames.index[probe.row]} it changes when "
                f"the values there after {known} do."
            )
        else:
            known = frames.index[-1]
            text = (
                f"reads other data: {probe.words}, which is not part of the candles it is handed, "
                f"and changes when {how}. Whether they knew later candles cannot be seen, and live "
                "it gets nothing newer."
            )
        self.found.append(
            Finding(
                kind="reads other data" if probe.known is None else "looks ahead",
                column=probe.column,
                bar=frames.index[probe.row],
                known=known,
                then=None,
                whole=python_value(self.ahead.whole[probe.column].values[probe.row]),
                text=text,
            )
        )
