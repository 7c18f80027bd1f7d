"""The paper exchange: a synthetic or replayed market behind Binance's own protocol.

What enters are `PaperOptions`, candle files, and the requests of clients over HTTP and WebSocket;
what leaves are Binance's answers, streams and user events, and a ledger file per market. All other
packages use the names below and no module inside; each name is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botlib.paper.accounts.keys import PAPER_API_KEY, PAPER_API_SECRET
    from botlib.paper.control import PaperControl
    from botlib.paper.exchange import PaperExchange, read_ledger
    from botlib.paper.market.market import PaperMarket
    from botlib.paper.market.market_clock import MarketPace
    from botlib.paper.options import PaperOptions
    from botlib.paper.process import PaperProcess
    from botlib.paper.protocol.mirror_state import MirrorState
    from botlib.paper.protocol.params import DEFAULT_ACCOUNT
    from botlib.paper.server import serve

_HOME: Final = {
    "DEFAULT_ACCOUNT": "protocol.params",
    "PAPER_API_KEY": "accounts.keys",
    "PAPER_API_SECRET": "accounts.keys",
    "MarketPace": "market.market_clock",
    "MirrorState": "protocol.mirror_state",
    "PaperControl": "control",
    "PaperExchange": "exchange",
    "PaperMarket": "market.market",
    "PaperOptions": "options",
    "PaperProcess": "process",
    "read_ledger": "exchange",
    "serve": "server",
}

__all__ = [
    "DEFAULT_ACCOUNT",
    "PAPER_API_KEY",
    "PAPER_API_SECRET",
    "MarketPace",
    "MirrorState",
    "PaperControl",
    "PaperExchange",
    "PaperMarket",
    "PaperOptions",
    "PaperProcess",
    "read_ledger",
    "serve",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'botlib.paper' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(f"botlib.paper.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
