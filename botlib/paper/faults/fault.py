"""A fault that waits for its occasions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Fault:
    """A fault that waits for its occasions.

    Attributes:
        left: number of occasions that it still strikes, `math.inf` for all.
        match: text that the stream or path must contain; events of accounts have ``user@`` and
            their type.
        symbol: id of the symbol that it strikes, "" for all.
        skip: number of occasions that it does not strike first.
        probability: probability with which it strikes an occasion.
        until: end of the fault in the loop's time, seconds.
        status: HTTP status of the answer.
        retry_after: seconds of the Retry-After header, None for no header.
        reply: how an order stays unanswered: ``drop`` (the connection is aborted), ``hang`` or
            ``timeout``.
        seconds: delay, or time by which an answer lags behind.
        text: replacement of a frame, "" for its first half.
        values: fields of a frame that are replaced, by dotted names such as ``k.c``.
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
        """Return whether the fault may strike an occasion."""
        return self.match in place and self.symbol in ("", symbol)
