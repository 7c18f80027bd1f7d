"""An operation of the API: its handler, its weight and its requirements."""

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
    """An operation of the API.

    Attributes:
        handler: returns the answer to a request.
        weight: returns the request weight.
        signed: whether the request must be signed.
        orders: whether it sends, changes or cancels orders; such a request has no weight if it
            succeeds, unless it is ``charged``.
        charged: whether it has its weight even if it succeeds.
    """

    handler: Handler
    weight: Weight
    signed: bool = False
    orders: bool = False
    charged: bool = False


def fixed(weight: int) -> Weight:
    """Return a weight that is the same for all requests."""
    return lambda params: weight


def by_symbol(one: int, every: int) -> Weight:
    """Return a weight that depends on whether a symbol is given."""
    return lambda params: one if "symbol" in params else every
