"""What a request leads to: its handler, its weight and what it asks of the caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from botlib.paper.protocol.params import Params

Handler = Callable[[Params], Awaitable[object]]
Weight = Callable[[Params], int]
Key = tuple[str, str]
"""HTTP method and path below ``/api/v3/``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a request leads to.

    ``orders`` marks one that sends, changes or cancels orders: it weighs nothing when it succeeds,
    unless it is ``charged``.
    """

    handler: Handler
    weight: Weight
    signed: bool = False
    orders: bool = False
    charged: bool = False


def fixed(weight: int) -> Weight:
    """Return a weight that does not depend on the request."""
    return lambda params: weight


def by_symbol(one: int, every: int) -> Weight:
    """Return a weight for one symbol, and one for all of them."""
    return lambda params: one if "symbol" in params else every
