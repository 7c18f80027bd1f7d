"""The invariants I1 to I9: rules that hold for every bot, whatever faults it has met.

The database of a bot and the ledger of its paper exchange enter; an `InvariantReport` with the
violations leaves. The ledger is the reference: it records every order, trade, balance and candle,
whatever the faults did to the messages about them. `InvariantChecker` compares a bot with it.

=====  =========================================================================================
I1     At most one order at the venue per decision, and each is in the journal before it is sent.
I2     The fills booked are the venue's trades, by symbol and trade id, once each.
I3     A position is the sum of its fills and equals the venue's balance.
I4     Stored candles are contiguous and equal the venue's; holes are recorded, never filled in.
I5     At most one signal per closed candle, and none on an open one.
I6     A position has a stop at the venue within 10 seconds, or entries are halted.
I7     The risk limits hold in the venue's ledger.
I8     No file that the bot wrote contains a secret.
I9     It recovers within 60 seconds of the last fault, within bounds of requests and tasks.
=====  =========================================================================================
"""

from botlib.invariants.bot_record import BotRecord
from botlib.invariants.checker import InvariantChecker
from botlib.invariants.report import InvariantReport, Violation
from botlib.invariants.secrets import find_secrets
from botlib.invariants.venue_record import VenueRecord

__all__ = [
    "BotRecord",
    "InvariantChecker",
    "InvariantReport",
    "VenueRecord",
    "Violation",
    "find_secrets",
]
