"""The storage: candles, orders and fills in one SQLite file per venue, all that writes SQLite.

What enters are candles, orders, fills and files of candles; what leaves are the same as objects,
candle frames, reports and Parquet datasets. Nothing in here knows the network.
"""

from botlib.store.candles import CandleStorage, WriteReport
from botlib.store.database import Database
from botlib.store.holes import Hole, Run
from botlib.store.journal import OrderJournal
from botlib.store.paths import database_path

__all__ = [
    "CandleStorage",
    "Database",
    "Hole",
    "OrderJournal",
    "Run",
    "WriteReport",
    "database_path",
]
