"""The invariants I1 to I9: what has to be true of a bot, whatever happened to it.

The ledger of the paper exchange is the oracle: it knows every order, trade, balance and candle,
whatever faults did to what it told. `InvariantChecker` holds a bot against it.

=====  =========================================================================================
I1     At most one order at the venue per decision, and none that was not written down first.
I2     The fills booked are the venue's trades, by symbol and trade id, once each.
I3     A position is the sum of its fills, and what the venue holds for it.
I4     Stored candles are contiguous and the venue's own; holes are marked, never invented.
I5     At most one signal per closed candle, and none on an open one.
I6     A position has a stop at the venue within 10 seconds, or entries are halted.
I7     The caps on risk hold in the venue's ledger.
I8     No secret stands in any file the bot wrote.
I9     It converges within 60 seconds of the last fault, asks within bounds, and leaks no task.
=====  =========================================================================================
"""

from botlib.invariants.checker import InvariantChecker
from botlib.invariants.kit_record import KitRecord
from botlib.invariants.report import InvariantReport, Violation
from botlib.invariants.secrets import find_secrets
from botlib.invariants.venue_record import VenueRecord

__all__ = [
    "InvariantChecker",
    "InvariantReport",
    "KitRecord",
    "VenueRecord",
    "Violation",
    "find_secrets",
]
