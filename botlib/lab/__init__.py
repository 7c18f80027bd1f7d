"""Research on stored candles: no key, no running bot, and no network except for a download.

The name of a venue or of a paper market enters; candles, frames, backtests, sweeps, checks, charts,
reports and Parquet datasets leave. `Lab` is used in cells and `AsyncLab` on the runtime; a bot has
the same objects over its own market.
"""

from botlib.lab.async_lab import AsyncLab, LabMarket
from botlib.lab.lab import Lab
from botlib.lab.listed_market import ListedMarket
from botlib.lab.opening import research

__all__ = ["AsyncLab", "Lab", "LabMarket", "ListedMarket", "research"]
