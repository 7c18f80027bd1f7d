"""Storage: candles, orders and fills in one SQLite file per venue.

Every part of the kit that writes SQLite is in here, and nothing here knows the network.
"""

from botlib.store.cache.candle_cache import CacheFigures
from botlib.store.candles import CandleStorage, WriteReport
from botlib.store.database import Database, database_path
from botlib.store.files.export import ExportReport, export_parquet
from botlib.store.holes import Hole, Run
from botlib.store.journal import OrderJournal

__all__ = [
    "CacheFigures",
    "CandleStorage",
    "Database",
    "ExportReport",
    "Hole",
    "OrderJournal",
    "Run",
    "WriteReport",
    "database_path",
    "export_parquet",
]
