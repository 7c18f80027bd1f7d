"""The market data of a feed as Binance writes it: klines, trades and the order book."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from botlib.paper.market.feed import Bar, Feed
from botlib.paper.market.intervals import KlineInterval
from botlib.paper.market.trades.steps import PublicTrade
from botlib.paper.market.trades.tape import AggregateTrade, aggregated
from botlib.paper.market.trades.volumes import volume_of

Json = dict[str, object]
Level = tuple[str, str]


def eight_decimals(value: float | Decimal) -> str:
    """Return a number with eight decimals, as Binance writes it."""
    return f"{value:.8f}"


class TradedBar(NamedTuple):
    """A candle with the accounts' trades, its quote volume, and what takers have bought of it."""

    bar: Bar
    cost: float
    bought: float
    bought_cost: float


def traded_bar(feed: Feed, bar: Bar, end: int) -> TradedBar:
    """Return a candle of the market together with the accounts' trades.

    Args:
        feed: feed of the symbol.
        bar: candle of the market.
        end: last time of the candle, ms.
    """
    trades = feed.tape.added_up(bar.timestamp, end)
    if trades:
        return _added_up(bar.timestamp, trades)
    cost, bought = quote_volume(bar), feed.tape.bought(bar, end)
    bought_cost = cost * bought / bar.volume if bar.volume else 0.0
    own = feed.tape.own(bar.timestamp, end)
    if own is None:
        return TradedBar(bar, cost, bought, bought_cost)
    # The first and the last trade may be one of an account.
    close = feed.tape.close_of(end, bar.close)
    whole = Bar(
        bar.timestamp,
        feed.tape.open_of(bar.timestamp, bar.open),
        max(bar.high, own.high),
        min(bar.low, own.low),
        close,
        round(bar.volume + own.amount, 8),
    )
    return TradedBar(
        whole, cost + own.cost, round(bought + own.bought, 8), bought_cost + own.bought_cost
    )


def _added_up(opened: int, trades: Sequence[PublicTrade]) -> TradedBar:
    """Return the candle of all its trades."""
    whole, prices = volume_of(trades), [one.price for one in trades]
    amount, bought = round(whole.amount, 8), round(whole.bought, 8)
    bar = Bar(opened, prices[0], whole.high, whole.low, prices[-1], amount)
    return TradedBar(bar, whole.cost, bought, whole.bought_cost)


def quote_volume(bar: Bar) -> float:
    """Return an estimate of a candle's quote volume: its volume at the mean of its four prices."""
    return bar.volume * (bar.open + bar.high + bar.low + bar.close) / 4


_KLINE: Final = (
    '{"e":"kline","E":%d,"s":"%s","k":{"t":%d,"T":%d,"s":"%s","i":"%s","f":%d,"L":%d,'
    '"o":"%.8f","c":"%.8f","h":"%.8f","l":"%.8f","v":"%.8f","n":%d,"x":%s,'
    '"q":"%.8f","V":"%.8f","Q":"%.8f","B":"0"}}'
)


def kline_frame(feed: Feed, interval: KlineInterval, bar: Bar, *, closed: bool) -> bytes:
    """Return the payload of a kline stream as JSON; the hot path, as most frames are klines."""
    end = interval.next(bar.timestamp) - 1
    bar, cost, bought, bought_cost = traded_bar(feed, bar, end)
    start, opened, high, low, close, volume = bar
    first, last, count = _trade_ids(feed, bar, end if closed else min(end, feed.time))
    values = (
        *(feed.time, feed.id, start, end, feed.id, interval.code, first, last),
        *(opened, close, high, low, volume, count, "true" if closed else "false"),
        *(cost, bought, bought_cost),
    )
    return (_KLINE % values).encode()


def kline_row(feed: Feed, interval: KlineInterval, bar: Bar) -> list[object]:
    """Return a row of the answer of ``/klines``."""
    end = interval.next(bar.timestamp) - 1
    bar, cost, bought, bought_cost = traded_bar(feed, bar, end)
    return [
        bar.timestamp,
        eight_decimals(bar.open),
        eight_decimals(bar.high),
        eight_decimals(bar.low),
        eight_decimals(bar.close),
        eight_decimals(bar.volume),
        end,
        eight_decimals(cost),
        _trade_ids(feed, bar, min(end, feed.time))[2],
        eight_decimals(bought),
        eight_decimals(bought_cost),
        "0",
    ]


def _trade_ids(feed: Feed, bar: Bar, until: int) -> tuple[int, int, int]:
    if bar.volume <= 0:
        return -1, -1, 0
    first, last = feed.tape.ids(bar.timestamp, until)
    return first, last, last - first + 1


def depth(feed: Feed, levels: int) -> Json:
    """Return the order book as ``/depth`` and the partial depth streams show it."""
    book = feed.book
    return {
        "lastUpdateId": book.update_id,
        "bids": _texts(book.bids(levels)),
        "asks": _texts(book.asks(levels)),
    }


def _texts(levels: Iterable[tuple[Decimal, Decimal]]) -> list[Level]:
    return [(eight_decimals(price), eight_decimals(amount)) for price, amount in levels]


def book_ticker(feed: Feed) -> Json:
    """Return the answer of ``/ticker/bookTicker`` for one symbol."""
    bids, asks = _texts(feed.book.bids(1)), _texts(feed.book.asks(1))
    return {
        "symbol": feed.id,
        "bidPrice": bids[0][0] if bids else eight_decimals(0),
        "bidQty": bids[0][1] if bids else eight_decimals(0),
        "askPrice": asks[0][0] if asks else eight_decimals(0),
        "askQty": asks[0][1] if asks else eight_decimals(0),
    }


def book_ticker_frame(feed: Feed) -> Json:
    """Return the payload of ``@bookTicker``."""
    best = book_ticker(feed)
    return {
        "u": feed.book.update_id,
        "s": feed.id,
        "b": best["bidPrice"],
        "B": best["bidQty"],
        "a": best["askPrice"],
        "A": best["askQty"],
    }


def trade_frames(feed: Feed, trades: Iterable[PublicTrade]) -> list[Json]:
    """Return the payloads of ``@trade``."""
    return [
        {
            "e": "trade",
            "E": max(feed.time, trade.timestamp),
            "s": feed.id,
            "t": trade.id,
            "p": eight_decimals(trade.price),
            "q": eight_decimals(trade.amount),
            "T": trade.timestamp,
            "m": trade.seller_taker,
            "M": True,
        }
        for trade in trades
    ]


def aggregate_frames(feed: Feed, trades: Iterable[PublicTrade]) -> list[Json]:
    """Return the payloads of ``@aggTrade``."""
    return [
        {
            "e": "aggTrade",
            "E": max(feed.time, trade.timestamp),
            "s": feed.id,
            **aggregate_row(trade),
        }
        for trade in aggregated(list(trades))
    ]


def trade_row(trade: PublicTrade) -> Json:
    """Return a row of the answer of ``/trades``."""
    return {
        "id": trade.id,
        "price": eight_decimals(trade.price),
        "qty": eight_decimals(trade.amount),
        "quoteQty": eight_decimals(trade.price * trade.amount),
        "time": trade.timestamp,
        "isBuyerMaker": trade.seller_taker,
        "isBestMatch": True,
    }


def aggregate_row(trade: AggregateTrade) -> Json:
    """Return a row of the answer of ``/aggTrades``."""
    return {
        "a": trade.id,
        "p": eight_decimals(trade.price),
        "q": eight_decimals(trade.amount),
        "f": trade.first,
        "l": trade.last,
        "T": trade.timestamp,
        "m": trade.seller_taker,
        "M": True,
    }


class DepthDiff:
    """The changes of one order book between its updates, as ``@depth`` sends them.

    The first change starts at the present update, so it continues any later snapshot.
    """

    def __init__(self, feed: Feed) -> None:
        self._last = feed.book.note()

    def frames(self, feed: Feed) -> list[Json]:
        """Return the payload from the last update that was sent to the present one, if any."""
        change = feed.book.changes(self._last)
        if change.last == self._last:
            return []
        self._last = change.last
        update = {
            "e": "depthUpdate",
            "E": feed.time,
            "s": feed.id,
            "U": change.first,
            "u": change.last,
            "b": _texts(change.bids),
            "a": _texts(change.asks),
        }
        return [update]
