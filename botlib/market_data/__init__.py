"""Market data: candle streams, the repair of their gaps, downloads of history, order books.

What enters are the frames and answers of an `botlib.venues.base.Exchange`; what leaves are closed
candles, in order and once each, stored before they are published on the bus, and order books that
equal the venue's. Missing candles are judged in one place, `botlib.market_data.gaps`.
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
