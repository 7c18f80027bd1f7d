"""The order path: what strategies and people want, brought about at the venue.

Wants, reports of the venue and timers enter; orders leave through one door, `OrderSender`, after
they were judged and journaled. What becomes of them is told on the bus. One `Desk` per symbol
compares what is wanted with what is known, and takes one safe step after another.
"""

from botlib.execution.desk import Desk
from botlib.execution.halts import HaltLatch
from botlib.execution.order_path import OrderPath
from botlib.execution.reconciliation import Reconciliation

__all__ = ["Desk", "HaltLatch", "OrderPath", "Reconciliation"]
