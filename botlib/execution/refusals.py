"""`Refusals`: the wants of strategies that were not done, and how many there are in a row."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedWant:
    """The newest want of a strategy that was refused."""

    reason: str
    in_row: int
    """Refused wants since the last entry that was filled."""
    since: int
    """Market time (ms) of the first of them."""


class Refusals:
    """Why and how often entries were refused, by strategy; a filled entry ends a row."""

    def __init__(self) -> None:
        self.newest: dict[str, str] = {}
        """Why the newest want of a strategy was not done, the harmless ones included."""
        self.total: dict[str, int] = {}
        """Refused wants since the start, without the harmless ones."""
        self.filled: set[str] = set()
        """Strategies of which an entry was filled since the start."""
        self._rows: dict[str, RefusedWant] = {}

    def add(self, strategy: str, reason: str, now: int, *, harmless: bool) -> None:
        """Add a want that was not done.

        Args:
            now: market time, ms.
            harmless: whether nothing was missed, as when the position is held already.
        """
        self.newest[strategy] = reason
        if harmless:
            return
        self.total[strategy] = self.total.get(strategy, 0) + 1
        known = self._rows.get(strategy, RefusedWant(reason=reason, in_row=0, since=now))
        self._rows[strategy] = replace(known, reason=reason, in_row=known.in_row + 1)

    def entered(self, strategy: str) -> None:
        """Note that an entry of a strategy was filled."""
        self.filled.add(strategy)
        self._rows.pop(strategy, None)

    def forget(self, strategy: str) -> None:
        """Begin anew for a strategy that was replaced or stopped."""
        for known in (self.newest, self.total, self._rows):
            known.pop(strategy, None)
        self.filled.discard(strategy)

    def row(self, strategy: str) -> RefusedWant | None:
        """Return what was refused since the last entry of a strategy, None if nothing was."""
        return self._rows.get(strategy)
