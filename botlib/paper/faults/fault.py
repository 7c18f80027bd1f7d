"""`Fault`: one fault that waits for its occasions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Fault:
    """A fault that waits for its occasions.

    Attributes:
        left: how many occasions it still strikes, `math.inf` for all.
        match: only streams or paths that contain this text are struck; events of accounts stand
            as ``user@`` and their type.
        symbol: only what concerns this symbol, by its id; "" for all.
        skip: occasions it lets pass first.
        probability: with which it strikes an occasion.
        until: the loop's time at which it ends, seconds.
        status: HTTP status it answers with.
        retry_after: seconds it asks a client to wait; None says nothing.
        reply: how an order goes unanswered: ``drop`` (the connection is cut), ``hang`` or
            ``timeout``.
        seconds: of delay, or by which an answer lags behind.
        text: what a frame is replaced by, "" for its first half.
        values: fields of a frame that are changed, by dotted names such as ``k.c``.
    """

    left: float = 1
    match: str = ""
    symbol: str = ""
    skip: int = 0
    probability: float = 1.0
    until: float = math.inf
    status: int = 503
    retry_after: int | None = None
    reply: str = "drop"
    seconds: float = 1.0
    text: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    def concerns(self, place: str, symbol: str) -> bool:
        """Tell whether an occasion is one of this fault's."""
        return self.match in place and self.symbol in ("", symbol)
