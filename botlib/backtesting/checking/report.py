"""The report of a check: findings, and the candles after which each column settles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from botlib.core.errors import CheckFailed
from botlib.core.text.cards import Tone, card, lines, section
from botlib.core.text.formats import count
from botlib.core.text.masking import masked
from botlib.core.text.tables import html_table, text_table

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal[
    "looks ahead", "repaints", "keeps state", "ignores prices", "reads other data",
    "not repeatable", "warm-up", "fails",
]  # fmt: skip

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""What a check can find, by name."""

_FINDING_HEADERS = ("problem", "column", "candle", "known until", "then", "whole history")
_LOOKED_AT = "looked at"
_SETTLING_HEADERS = ("column", "settles after", "candles of", "warm-up claimed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference between the values of a strategy live and over history, with an example.

    Attributes:
        column: ``entry``, ``exit``, or the indicator.
        bar: open time of the first candle whose value differs.
        known: open time of the last candle known when ``then`` was computed.
        then: the value of that candle, computed from the candles known then.
        whole: its value over the whole history.
        text: the finding in a sentence.
    """

    kind: Kind
    column: str
    bar: pd.Timestamp | None
    known: pd.Timestamp | None
    then: object
    whole: object
    text: str

    def __str__(self) -> str:
        return f"{self.column} {self.text}" if self.column else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """The number of candles after which a column no longer depends on where its history began.

    ``candles`` counts candles of ``timeframe``; None if it still depended after ``searched``.
    """

    column: str
    timeframe: str
    candles: int | None
    searched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The result of a check.

    Attributes:
        warmup: candles the strategy claims to need.
        cuts: histories that were compared.
        rows: candles of the whole history, ``signals`` those with a signal.
        looked_at: what was done, each in words.
        not_looked_at: what was not done, or only in part, and why.
        warnings: data and state that the strategy can reach beyond its candles, by name.
    """

    strategy: str
    findings: tuple[Finding, ...]
    settling: tuple[Settling, ...]
    warmup: int
    cuts: int
    rows: int
    signals: int
    looked_at: tuple[str, ...] = ()
    not_looked_at: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def settled(self) -> int | None:
        """Candles after which the signals settled; None if they did not, or were not measured."""
        found = [one.candles for one in self.settling if one.column in ("entry", "exit")]
        known = [candles for candles in found if candles is not None]
        return max(known) if known and len(known) == len(found) else None

    def raise_for_problems(self) -> CheckReport:
        """Return the report.

        Raises:
            CheckFailed: something was found.
        """
        if self.findings:
            lines = "\n".join(f"- {finding}" for finding in self.findings)
            raise CheckFailed(f"{self.strategy} is not reliable yet.\n{lines}")
        return self

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        asked = (
            f"{count(self.cuts)} cuts of {count(self.rows)} candles with "
            f"{count(self.signals)} signals"
        )
        if self.ok:
            missed = len(self.not_looked_at)
            rest = f" Not looked at: {missed} thing{'s' * (missed > 1)}, below." if missed else ""
            return f"{self.strategy}: the same live as over history ({asked}).{rest}"
        found = len(self.findings)
        return f"{self.strategy}: {found} problem{'s' * (found > 1)} ({asked})."

    def __repr__(self) -> str:
        kinds = ", ".join(dict.fromkeys(finding.kind for finding in self.findings))
        return masked(f"CheckReport({self.strategy}: {kinds or 'ok'})")

    def __str__(self) -> str:
        parts = [self.verdict, *(f"- {finding}" for finding in self.findings)]
        if self.settling:
            parts += ["", text_table(_SETTLING_HEADERS, self._settling_rows())]
        for title, texts in self._sections():
            parts += ["", f"{title}:", *(f"- {text}" for text in texts)]
        return masked("\n".join([*parts, *self.notes]))

    def _repr_html_(self) -> str:
        parts = []
        if self.findings:
            rows = [
                (one.kind, one.column, one.bar, one.known, one.then, one.whole)
                for one in self.findings
            ]
            parts.append(html_table(_FINDING_HEADERS, rows))
            # Sentences wrap, cells of a table do not.
            parts.append(lines(self.findings))
        if self.settling:
            parts.append(html_table(_SETTLING_HEADERS, self._settling_rows()))
        for title, texts in self._sections():
            tone = Tone.PLAIN if title == _LOOKED_AT else Tone.WARN
            parts.append(section(title, lines((f"· {text}" for text in texts), tone)))
        parts.append(lines(self.notes))
        mark = "✓" if self.ok else "✗"
        tone = Tone.GOOD if self.ok else Tone.BAD
        if self.ok and (self.warnings or self.not_looked_at):
            tone = Tone.WARN
        return card(f"{mark} {self.verdict}", *parts, tone=tone)

    def _sections(self) -> list[tuple[str, tuple[str, ...]]]:
        given = (
            ("beware", self.warnings),
            ("not looked at", self.not_looked_at),
            (_LOOKED_AT, self.looked_at),
        )
        return [(title, texts) for title, texts in given if texts]

    def _settling_rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (
                one.column,
                f"more than {count(one.searched)}" if one.candles is None else count(one.candles),
                one.timeframe,
                count(self.warmup),
            )
            for one in self.settling
        ]
