"""Faults that can be ordered through the control API: what to damage next, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from botlib.errors import PaperExchangeError, did_you_mean

COUNTED: Final = (
    "drop_closing",
    "duplicate",
    "late",
    "http_status",
    "before_accept",
    "after_accept",
)
"""Faults that strike the next so many frames, requests or orders."""

SOCKET: Final = ("reset", "close", "stall", "blackhole", "malformed")
"""Faults that strike the open sockets at once."""


@dataclass(slots=True)
class Fault:
    """A fault that waits for its occasion."""

    left: int
    match: str = ""
    """Only streams or paths that contain this text are struck."""
    status: int = 503
    retry_after: int | None = None
    reply: str = "drop"
    """How an order goes unanswered: ``drop`` (the connection is cut), ``hang``, ``timeout``."""


class Faults:
    """The faults that wait, by kind."""

    def __init__(self) -> None:
        self._waiting: dict[str, Fault] = {}
        self.struck: dict[str, int] = {}
        """How often each kind has struck."""

    def order(self, kind: str, fault: Fault) -> None:
        """Let a fault strike its next occasions; a count of 0 calls it off.

        Raises:
            PaperExchangeError: the kind is unknown.
        """
        if kind not in COUNTED:
            accepted = (*SOCKET, *COUNTED)
            raise PaperExchangeError(
                f"Unknown fault {kind!r}. Accepted: {', '.join(accepted)}."
                f"{did_you_mean(kind, accepted)}"
            )
        if fault.left > 0:
            self._waiting[kind] = fault
        else:
            self._waiting.pop(kind, None)

    def pending(self, kind: str) -> bool:
        """Tell whether a fault waits, without using it up."""
        return kind in self._waiting

    def take(self, kind: str, place: str) -> Fault | None:
        """Return the fault that strikes here, counting it, or None."""
        if not self._waiting:
            return None
        fault = self._waiting.get(kind)
        if fault is None or fault.match not in place:
            return None
        fault.left -= 1
        if fault.left <= 0:
            del self._waiting[kind]
        self.struck[kind] = self.struck.get(kind, 0) + 1
        return fault
