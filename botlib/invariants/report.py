"""The report of an invariant check and its violations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from botlib.core.text.cards import Tone, Toned, card
from botlib.core.text.tables import html_table, text_table

NAMES: Final = {
    "I1": "one order per decision",
    "I2": "fills are the venue's trades",
    "I3": "position, fills and balance agree",
    "I4": "candles are whole and the venue's",
    "I5": "one signal per closed candle",
    "I6": "every position has its stop",
    "I7": "risk caps hold",
    "I8": "no secret in any file",
    "I9": "converges, within bounds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """An invariant that does not hold, with the evidence of the bot and of the venue."""

    invariant: str
    """``I1`` to ``I9``."""
    what: str
    """The order, trade, position, candle or limit."""
    bot: str
    """The state by the bot's records."""
    venue: str
    """The state by the venue's records."""

    def __str__(self) -> str:
        return f"{self.invariant} {self.what}: the bot says {self.bot}, the venue {self.venue}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvariantReport:
    """The result of a check: the invariants checked and the violations found."""

    checked: tuple[str, ...]
    """The invariants that could be checked."""
    violations: tuple[Violation, ...] = ()
    looked_at: str = ""
    """The numbers of orders, trades and candles checked, as text."""

    @property
    def ok(self) -> bool:
        """Whether every checked invariant holds."""
        return not self.violations

    def of(self, invariant: str) -> list[Violation]:
        """Return the violations of one invariant."""
        return [one for one in self.violations if one.invariant == invariant]

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return headers and rows: one per invariant, and one for each further violation."""
        rows: list[list[object]] = []
        for name in self.checked:
            found = self.of(name)
            verdict = Toned("broken", Tone.BAD) if found else Toned("holds", Tone.GOOD)
            rows.append([name, NAMES[name], verdict, str(found[0]) if found else ""])
            rows += [["", "", "", str(one)] for one in found[1:10]]
        return ["invariant", "meaning", "verdict", "evidence"], rows

    def __str__(self) -> str:
        return text_table(*self.table())

    def _repr_html_(self) -> str:
        tone = Tone.GOOD if self.ok else Tone.BAD
        return card(
            "Invariants",
            html_table(*self.table(), wrapped=("evidence",)),
            notes=self.looked_at,
            tone=tone,
        )
