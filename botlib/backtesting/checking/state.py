"""`StateCheck`: what a strategy keeps between two questions, and sets while it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from botlib.backtesting.checking.reach import Reach
from botlib.backtesting.checking.report import Finding
from botlib.backtesting.checking.subject import kept
from botlib.backtesting.checking.truncation import has_signal, observe, python_value, truncate_end
from botlib.strategy import STOPS

if TYPE_CHECKING:
    from botlib.backtesting.checking.lookahead import LookAheadCheck
    from botlib.backtesting.checking.subject import Subject
    from botlib.frames import Frames
    from botlib.strategy import Strategy

_SIZES: Final = ("size", "order_cost")


@dataclass(slots=True)
class StateCheck:
    """The check of what stays on a strategy, its class and around its code.

    Args:
        frames: the whole history, which the strategy is asked about between the two states.
    """

    subject: Subject
    frames: Frames
    set_on_self: list[str] = field(default_factory=list)
    """Attributes that ``signals()`` set, by name."""
    set_elsewhere: list[str] = field(default_factory=list)
    """Globals, closures and class attributes that changed while it was asked, by name."""
    used: Strategy | None = None
    """The copy that was asked about the whole history."""
    _before: dict[str, object] = field(default_factory=dict)

    def begin(self) -> None:
        """Note the state before the first question."""
        self._before = Reach.of(self.subject.strategy).fingerprints()

    def asked(self) -> None:
        """Note the state after the question about the whole history."""
        self.used = self.subject.last
        given = kept(self.subject.strategy)
        left = self.subject.after
        self.set_on_self = sorted(
            name for name in left.keys() | given.keys() if left.get(name) != given.get(name)
        )
        now = Reach.of(self.subject.strategy).fingerprints()
        self.set_elsewhere = [
            name
            for name, value in now.items()
            if name in self._before and self._before[name] != value
        ]

    @property
    def names(self) -> str:
        """What was set, in words, "" if nothing was."""
        return ", ".join([*(f"self.{name}" for name in self.set_on_self), *self.set_elsewhere])

    def findings(self, ahead: LookAheadCheck) -> list[Finding]:
        """Return stops and sizes that change with history, and state that changes signals."""
        found = [
            Finding(
                kind="looks ahead",
                column=name,
                bar=bar,
                known=bar,
                then=then,
                whole=whole,
                text=f"looks ahead: signals() sets self.{name}, to {then} when {bar} was the "
                f"newest candle and to {whole} over the whole history, and a backtest uses the "
                "last value for every candle. Make it a parameter that signals() leaves alone.",
            )
            for name, (bar, then, whole) in ahead.kept.items()
            if name in (*STOPS, *_SIZES)
        ]
        changed = self._answers_otherwise(ahead)
        if changed is not None:
            found.append(changed)
        return found

    def remarks(self, found: list[Finding]) -> list[str]:
        """Return a warning about what was set, if no finding names it."""
        told = " ".join(finding.text for finding in found)
        names = [name for name in self.names.split(", ") if name and name not in told]
        if not names:
            return []
        if found:
            return [f"signals() sets {', '.join(names)}, which may be why."]
        return [
            f"signals() sets {', '.join(names)}. Nothing was seen to depend on it; live it is kept "
            "from candle to candle, and lost at a restart."
        ]

    def _answers_otherwise(self, ahead: LookAheadCheck) -> Finding | None:
        """Return a finding if the copy that has seen everything answers another than a new one."""
        if self.used is None or not self.set_on_self:
            return None
        rows = np.flatnonzero(has_signal(ahead.whole))
        rows = rows[rows >= ahead.least - 1]
        for row in rows[np.linspace(0, len(rows) - 1, 8).astype(int)] if len(rows) else ():
            cut = truncate_end(self.frames, int(row) + 1)
            try:
                new, old = self.subject.observe(cut), observe(self.used, cut)
            except Exception:
                continue
            for name, column in old.items():
                if not column.acted_on or name not in new:
                    continue
                places = np.flatnonzero(column.differs(new[name]))
                if len(places):
                    place = int(places[0])
                    bar, known = column.index[place], column.index[-1]
                    then = python_value(new[name].values[place])
                    whole = python_value(column.values[place])
                    return Finding(
                        kind="keeps state",
                        column=name,
                        bar=bar,
                        known=known,
                        then=then,
                        whole=whole,
                        text=f"keeps state: asked about the candles up to {known}, it is {whole} "
                        f"at {bar} after the whole history has been seen, and {then} before. "
                        f"signals() sets {self.names}: what is fitted or remembered there knows "
                        "later candles.",
                    )
        return None
