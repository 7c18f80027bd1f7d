"""What the market shows of a feed: klines, tickers and the order book, as Binance writes them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from botlib.exchange.paper.feed import Bar, Feed
from botlib.timeframe import timeframe_ms

Json = dict[str, object]
Level = tuple[str, str]


def eight(value: float | Decimal) -> str:
    """Return a number with the eight decimals Binance writes."""
    return f"{value:.8f}"


def quote_volume(bar: Bar) -> float:
    """Estimate the quote volume of a candle: its volume at the middle of its four prices."""
    return bar.volume * (bar.open + bar.high + bar.low + bar.close) / 4


def kline_frame(feed: Feed, timeframe: str, bar: Bar, *, closed: bool) -> Json:
    """Return the payload of a kline stream."""
    start = bar.timestamp
    end = start + timeframe_ms(timeframe) - 1
    first, last, count = _trade_ids(bar, end if closed else min(end, feed.time))
    cost = quote_volume(bar)
    return {
        "e": "kline",
        "E": feed.time,
        "s": feed.id,
        "k": {
            "t": start,
            "T": end,
            "s": feed.id,
            "i": timeframe,
            "f": first,
            "L": last,
            "o": eight(bar.open),
            "c": eight(bar.close),
            "h": eight(bar.high),
            "l": eight(bar.low),
            "v": eight(bar.volume),
            "n": count,
            "x": closed,
            "q": eight(cost),
            "V": eight(bar.volume / 2),
            "Q": eight(cost / 2),
            "B": "0",
        },
    }


def kline_row(timeframe: str, bar: Bar, time: int) -> list[object]:
    """Return a candle as ``/klines`` does; ``time`` is the present, in ms."""
    end = bar.timestamp + timeframe_ms(timeframe) - 1
    cost = quote_volume(bar)
    return [
        bar.timestamp,
        eight(bar.open),
        eight(bar.high),
        eight(bar.low),
        eight(bar.close),
        eight(bar.volume),
        end,
        eight(cost),
        _trade_ids(bar, min(end, time))[2],
        eight(bar.volume / 2),
        eight(cost / 2),
        "0",
    ]


def _trade_ids(bar: Bar, until: int) -> tuple[int, int, int]:
    # Public trades are numbered by their second; a candle without volume has none.
    if bar.volume <= 0:
        return -1, -1, 0
    first, last = bar.timestamp // 1_000, until // 1_000
    return first, last, last - first + 1


def depth(feed: Feed, levels: int) -> Json:
    """Return the book as ``/depth`` and the partial depth streams do."""
    book = feed.book
    return {
        "lastUpdateId": book.update_id,
        "bids": _texts(book.bids(levels)),
        "asks": _texts(book.asks(levels)),
    }


def _texts(levels: Iterable[tuple[Decimal, Decimal]]) -> list[Level]:
    return [(eight(price), eight(amount)) for price, amount in levels]


def mini_ticker(feed: Feed) -> Json:
    """Return the payload of ``@miniTicker``."""
    day = feed.day()
    return {
        "e": "24hrMiniTicker",
        "E": feed.time,
        "s": feed.id,
        "c": eight(feed.price),
        "o": eight(day.open),
        "h": eight(day.high),
        "l": eight(day.low),
        "v": eight(day.volume),
        "q": eight(day.quote_volume),
    }


def ticker(feed: Feed, slippage: Decimal) -> Json:
    """Return the payload of ``@ticker``."""
    rest = ticker_24h(feed, slippage)
    names = {
        "priceChange": "p",
        "priceChangePercent": "P",
        "weightedAvgPrice": "w",
        "prevClosePrice": "x",
        "lastPrice": "c",
        "lastQty": "Q",
        "bidPrice": "b",
        "bidQty": "B",
        "askPrice": "a",
        "askQty": "A",
        "openPrice": "o",
        "highPrice": "h",
        "lowPrice": "l",
        "volume": "v",
        "quoteVolume": "q",
        "openTime": "O",
        "closeTime": "C",
        "firstId": "F",
        "lastId": "L",
        "count": "n",
    }
    payload: Json = {"e": "24hrTicker", "E": feed.time, "s": feed.id}
    payload.update({short: rest[name] for name, short in names.items()})
    return payload


def ticker_24h(feed: Feed, slippage: Decimal) -> Json:
    """Return the answer of ``/ticker/24hr`` for one symbol."""
    day = feed.day()
    change = feed.price - day.open
    percent = 100 * change / day.open if day.open else 0.0
    average = day.quote_volume / day.volume if day.volume else feed.price
    best = book_ticker(feed, slippage)
    first, last = day.start // 1_000, feed.time // 1_000
    return {
        "symbol": feed.id,
        "priceChange": eight(change),
        "priceChangePercent": f"{percent:.3f}",
        "weightedAvgPrice": eight(average),
        "prevClosePrice": eight(day.open),
        "lastPrice": eight(feed.price),
        "lastQty": eight(feed.traded),
        "bidPrice": best["bidPrice"],
        "bidQty": best["bidQty"],
        "askPrice": best["askPrice"],
        "askQty": best["askQty"],
        "openPrice": eight(day.open),
        "highPrice": eight(day.high),
        "lowPrice": eight(day.low),
        "volume": eight(day.volume),
        "quoteVolume": eight(day.quote_volume),
        "openTime": day.start,
        "closeTime": feed.time,
        "firstId": first,
        "lastId": last,
        "count": last - first + 1,
    }


def book_ticker(feed: Feed, slippage: Decimal) -> Json:
    """Return the answer of ``/ticker/bookTicker`` for one symbol."""
    bids, asks = _texts(feed.book.bids(1)), _texts(feed.book.asks(1))
    return {
        "symbol": feed.id,
        "bidPrice": bids[0][0] if bids else eight(0),
        "bidQty": bids[0][1] if bids else eight(0),
        "askPrice": asks[0][0] if asks else eight(0),
        "askQty": asks[0][1] if asks else eight(0),
    }


def book_ticker_frame(feed: Feed, slippage: Decimal) -> Json:
    """Return the payload of ``@bookTicker``."""
    best = book_ticker(feed, slippage)
    return {
        "u": feed.book.update_id,
        "s": feed.id,
        "b": best["bidPrice"],
        "B": best["bidQty"],
        "a": best["askPrice"],
        "A": best["askQty"],
    }


def trade_frame(feed: Feed, kind: str) -> Json:
    """Return the payload of ``@trade`` or ``@aggTrade``: what traded at the current price."""
    number = feed.time // 1_000
    payload: Json = {"e": kind, "E": feed.time, "s": feed.id}
    if kind == "trade":
        payload["t"] = number
    else:
        payload["a"] = number
    payload.update(p=eight(feed.price), q=eight(feed.traded))
    if kind == "aggTrade":
        payload.update(f=number, l=number)
    payload.update(T=feed.time, m=False, M=True)
    return payload


class DepthDiff:
    """The changes of one book between its updates, as ``@depth`` sends them."""

    def __init__(self) -> None:
        self._last = 0

    def frame(self, feed: Feed) -> Json:
        """Return the payload that leads from the last update told to the present one."""
        change = feed.book.changes(self._last)
        first = change.first if self._last else change.last
        self._last = change.last
        return {
            "e": "depthUpdate",
            "E": feed.time,
            "s": feed.id,
            "U": first,
            "u": change.last,
            "b": _texts(change.bids),
            "a": _texts(change.asks),
        }
