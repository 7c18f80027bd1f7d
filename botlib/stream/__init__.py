"""What the venue streams: closed candles, in order, once each, stored before anybody hears of them,
and order books that are the venue's or are not given out.
"""

from botlib.stream.book import BookStatus
from botlib.stream.books import BookStream
from botlib.stream.candles import CandleStream, StreamStatus
from botlib.stream.orderbook import OrderBook
from botlib.stream.shard import ConnectionStatus
from botlib.stream.subscription import SubscriptionStatus

__all__ = [
    "BookStatus", "BookStream", "CandleStream", "ConnectionStatus", "OrderBook", "StreamStatus",
    "SubscriptionStatus",
]  # fmt: skip
