"""The result of a simulation."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from botlib.core.text import formats
from botlib.core.text.cards import Tone, card
from botlib.core.text.tables import html_table, text_table
from botlib.views.summary import RunSummary


@dataclass(frozen=True, kw_only=True, repr=False)
class SimulationResult:
    """The result of a simulation: the digest of its events, the balances and the summary.

    Two simulations with the same digest had the same events on the bus at the same moments, the
    same orders and trades at the exchange, and the same balances at the end.
    """

    seed: int
    digest: str
    """SHA-256 of the event log."""
    events: int
    """The number of lines of the event log."""
    log: Path | None
    """The file of the event log, or None."""
    balances: dict[str, Decimal]
    """The amounts of the account at the end by asset, free and locked together."""
    summary: RunSummary
    simulated: float
    """Seconds of market time, including the start."""
    seconds: float
    """Seconds of real time."""

    @property
    def speed(self) -> float:
        """Seconds of market time per second of real time."""
        return self.simulated / self.seconds

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return the headers and rows of the table below the summary."""
        held = [f"{formats.exact(amount)} {asset}" for asset, amount in self.balances.items()]
        return ["simulation", "value"], [
            ["seed", self.seed],
            ["event log", f"{formats.count(self.events)} lines, sha256 {self.digest}"],
            ["balances", ", ".join(held)],
            [
                "took",
                f"{formats.duration(self.seconds)}, "
                f"{formats.number(self.speed, 0)} times real time",
            ],
        ]

    def __repr__(self) -> str:
        return (
            f"<SimulationResult seed {self.seed} · {formats.count(self.events)} events · "
            f"digest {self.digest[:12]} · {self.summary!r}>"
        )

    def _repr_html_(self) -> str:
        return card(
            f"Simulation, seed {self.seed}",
            html_table(*self.table(), wrapped=("value",)),
            self.summary._repr_html_(),
            notes=f"{formats.duration(self.simulated)} of market time",
            tone=Tone.GOOD if self.summary.healthy else Tone.BAD,
        )

    def __str__(self) -> str:
        return f"{self.summary}\n{text_table(*self.table())}"
