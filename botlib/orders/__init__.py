"""Orders: from a signal to fills that are booked once, and the stops that protect what is held."""

from botlib.orders.executor import (
    ABSENCE_FENCE,
    STOP_PREFIX,
    OrderExecutor,
    intent_id,
    round_down,
)
from botlib.orders.protection import Protector, StopRules

__all__ = [
    "ABSENCE_FENCE",
    "STOP_PREFIX",
    "OrderExecutor",
    "Protector",
    "StopRules",
    "intent_id",
    "round_down",
]
