"""The candle stream: closed candles, in order, once each, stored before anybody hears of them."""

from botlib.stream.candles import CandleStream, StreamStatus
from botlib.stream.shard import ConnectionStatus
from botlib.stream.subscription import SubscriptionStatus

__all__ = ["CandleStream", "ConnectionStatus", "StreamStatus", "SubscriptionStatus"]
