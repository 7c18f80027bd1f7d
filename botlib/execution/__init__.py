"""Orders: from a signal to fills that are booked once, and the stops that protect what is held."""

from botlib.execution.executor import OrderExecutor, intent_id
from botlib.execution.order_record import STOP_PREFIX
from botlib.execution.protection import Protector

__all__ = ["STOP_PREFIX", "OrderExecutor", "Protector", "intent_id"]
