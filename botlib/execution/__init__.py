"""The order path: signals become orders, orders become fills, and stops protect positions.

Signals of the engine and reports of the venue enter; journaled orders, fills that are booked once
and events on the bus leave. Sizes and stop levels are those of `botlib.trading`.
"""

from botlib.execution.executor import OrderExecutor, intent_id
from botlib.execution.order_record import STOP_PREFIX
from botlib.execution.protection import Protector

__all__ = ["STOP_PREFIX", "OrderExecutor", "Protector", "intent_id"]
