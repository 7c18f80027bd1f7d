"""What the market shows of a feed: klines, tickers and the order book, as Binance writes them.

There is no real book behind a candle. One is drawn around the current price, one tick apart, with
amounts derived from the price and the time, so that two readers see the same.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from botlib.exchange.paper.feed import Bar, Feed
from botlib.timeframe import timeframe_ms

Json = dict[str, object]
Level = tuple[str, str]

BOOK_LEVELS: Final = 20
"""Levels a side that a depth stream shows."""


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


def book(feed: Feed, slippage: Decimal, levels: int) -> tuple[list[Level], list[Level]]:
    """Return bids and asks, the best first, ``levels`` a side at most."""
    price, tick = feed.last_price, feed.listing.tick
    ask, bid = top_of_book(feed, slippage)
    unit = max(feed.listing.step, (Decimal(1_000) / price).quantize(feed.listing.step))
    seed = feed.time // 1_000
    bids, asks = [], []
    for number in range(levels):
        amount = eight(unit * (1 + (seed + number * 7) % 13))
        if (lower := bid - tick * number) > 0:
            bids.append((eight(lower), amount))
        asks.append((eight(ask + tick * number), amount))
    return bids, asks


def top_of_book(feed: Feed, slippage: Decimal) -> tuple[Decimal, Decimal]:
    """Return the best ask and the best bid: one tick from the price, or further with slippage."""
    price, tick = feed.last_price, feed.listing.tick
    away = max(tick, (price * slippage) // tick * tick)
    return price + away, max(tick, price - away)


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
    if not feed.price:
        nothing = eight(0)
        return {
            "symbol": feed.id,
            "bidPrice": nothing,
            "bidQty": nothing,
            "askPrice": nothing,
            "askQty": nothing,
        }
    bids, asks = book(feed, slippage, 1)
    return {
        "symbol": feed.id,
        "bidPrice": bids[0][0],
        "bidQty": bids[0][1],
        "askPrice": asks[0][0],
        "askQty": asks[0][1],
    }


def book_ticker_frame(feed: Feed, slippage: Decimal) -> Json:
    """Return the payload of ``@bookTicker``."""
    best = book_ticker(feed, slippage)
    return {
        "u": feed.time,
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
    """The changes of one book between its updates, as ``@depth`` sends them.

    An update is numbered by its time, so that a snapshot taken by REST at the same moment carries
    the number of the update that led to it.
    """

    def __init__(self) -> None:
        self._time = -1
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})

    def frame(self, feed: Feed, slippage: Decimal) -> Json:
        """Return the payload that leads from the last book to the present one."""
        bids, asks = book(feed, slippage, BOOK_LEVELS)
        now = (dict(bids), dict(asks))
        first = self._time + 1 if self._time >= 0 else feed.time
        payload: Json = {
            "e": "depthUpdate",
            "E": feed.time,
            "s": feed.id,
            "U": first,
            "u": feed.time,
            "b": _changes(self._sides[0], now[0]),
            "a": _changes(self._sides[1], now[1]),
        }
        self._time, self._sides = feed.time, now
        return payload


def _changes(before: dict[str, str], now: dict[str, str]) -> list[list[str]]:
    changed = [[price, amount] for price, amount in now.items() if before.get(price) != amount]
    return changed + [[price, "0.00000000"] for price in before if price not in now]
