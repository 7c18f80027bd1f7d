"""What the venue streams: closed candles, in order, once each, stored before anybody hears of them,
and order books that are the venue's or are not given out.
"""

from botlib.market_data.book_stream import BookStream
from botlib.market_data.book_subscription import BookStatus
from botlib.market_data.candle_stream import CandleStream, StreamStatus
from botlib.market_data.candle_subscription import SubscriptionStatus
from botlib.market_data.connection import ConnectionStatus
from botlib.market_data.order_book import OrderBook

__all__ = [
    "BookStatus", "BookStream", "CandleStream", "ConnectionStatus", "OrderBook", "StreamStatus",
    "SubscriptionStatus",
]  # fmt: skip
