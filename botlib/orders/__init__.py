"""Orders: from a signal to fills that are booked once, and the stops that protect what is held."""

from botlib.orders.executor import ABSENCE_FENCE, OrderExecutor, intent_id, round_down
from botlib.orders.protection import Protector, StopRules
from botlib.orders.record import STOP_PREFIX

__all__ = [
    "ABSENCE_FENCE",
    "STOP_PREFIX",
    "OrderExecutor",
    "Protector",
    "StopRules",
    "intent_id",
    "round_down",
]
