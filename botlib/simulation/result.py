"""What a simulation came to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from botlib.core.tables import text_table
from botlib.views.summary import RunSummary


@dataclass(frozen=True, kw_only=True)
class SimulationResult:
    """What a simulation came to.

    Two simulations with the same digest went the same way: every event of the bus at the same
    moment, the same orders and trades at the exchange, the same balances in the end.
    """

    seed: int
    digest: str
    """SHA-256 of the event log."""
    events: int
    """Lines of the event log."""
    log: Path | None
    """The event log, where one was asked for."""
    balances: dict[str, Decimal]
    """What the account holds in the end, free and locked together."""
    summary: RunSummary
    simulated: float
    """Seconds of market time, the start included."""
    seconds: float
    """Seconds it took."""

    @property
    def speed(self) -> float:
        """How many times faster than the market it went."""
        return self.simulated / self.seconds

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Return headers and rows of what stands below the summary."""
        held = [f"{amount.normalize():f} {asset}" for asset, amount in self.balances.items()]
        return ["simulation", "value"], [
            ["seed", self.seed],
            ["event log", f"{self.events} lines, sha256 {self.digest}"],
            ["balances", ", ".join(held)],
            ["took", f"{self.seconds:.1f} s, {self.speed:,.0f} times real time"],
        ]

    def __str__(self) -> str:
        return f"{self.summary}\n{text_table(*self.table())}"
