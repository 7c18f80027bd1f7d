"""The report of a fire drill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from botlib.core.text import formats
from botlib.core.text.cards import Tone, Toned, card, lines
from botlib.core.text.masking import masked
from botlib.core.text.tables import html_table, text_table

_SENTENCES: Final = ("fault", "expected", "what happened")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRow:
    """One fault of a drill: the expected reaction, what happened, and the invariants broken."""

    fault: str
    expected: str
    happened: str
    seconds: float
    """From the fault until every invariant held again."""
    broken: tuple[str, ...]
    """Invariants that did not hold at the end, with the evidence."""

    @property
    def passed(self) -> bool:
        """Whether every invariant held again in time."""
        return not self.broken


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """The rows of a drill, in the order of the faults."""

    rows: tuple[DrillRow, ...]
    market: str

    @property
    def passed(self) -> bool:
        """Whether the bot recovered from every fault."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return the headers and rows of the table."""
        headers = ["verdict", "fault", "expected", "what happened", "recovered"]
        return headers, [
            [
                Toned("passed", Tone.GOOD) if row.passed else Toned("FAILED", Tone.BAD),
                row.fault,
                row.expected,
                row.happened,
                formats.duration(row.seconds),
            ]
            for row in self.rows
        ]

    @property
    def broken(self) -> list[str]:
        """The invariants that did not hold at the end of a fault, in sentences."""
        return [
            masked(f"{row.fault}: {'; '.join(row.broken[:3])}")[:400]
            for row in self.rows
            if row.broken
        ]

    def __str__(self) -> str:
        return "\n".join([text_table(*self.table()), *self.broken])

    def __repr__(self) -> str:
        passed = sum(row.passed for row in self.rows)
        return f"<DrillReport: {passed} of {len(self.rows)} passed>"

    def _repr_html_(self) -> str:
        passed = sum(row.passed for row in self.rows)
        return card(
            "Fire drill",
            lines(self.broken, Tone.BAD),
            html_table(*self.table(), wrapped=_SENTENCES),
            notes=f"{passed} of {len(self.rows)} passed · {self.market}",
            tone=Tone.GOOD if self.passed else Tone.BAD,
        )
