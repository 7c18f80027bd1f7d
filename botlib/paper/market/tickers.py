"""Ticker statistics: of the last 24 hours, a rolling window, or a trading day."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import numpy as np

from botlib.core.timeframe import DAY, HOUR, MINUTE
from botlib.paper.market.feed import Feed
from botlib.paper.market.quotes import Json, book_ticker, eight_decimals

WINDOWS: Final = {"1h": HOUR, "4h": 4 * HOUR, "1d": DAY}
"""The windows of the ticker streams, ms."""

FULL: Final = "FULL"
MINI: Final = "MINI"

_EVER: Final = 2**62

_SIZE: Final = re.compile(r"([1-9]\d?)([mhd])")
_UNITS: Final = {"m": (MINUTE, 59), "h": (HOUR, 23), "d": (DAY, 7)}


class TickerStatistics(NamedTuple):
    """Statistics from ``start`` (ms) to the present; volumes in base and in quote units."""

    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float


def window_length(text: str) -> int | None:
    """Return the ms of a window such as ``15m``, ``4h`` or ``7d``, None if it is not one."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    length, most = _UNITS[found[2]]
    return int(found[1]) * length if int(found[1]) <= most else None


def last_day(feed: Feed) -> TickerStatistics:
    """Return the statistics of the last 24 hours."""
    day = feed.day()
    return _with_account_trades(
        feed,
        TickerStatistics(
            day.start, day.open, day.high, day.low, feed.price, day.volume, day.quote_volume
        ),
    )


def _with_account_trades(feed: Feed, market: TickerStatistics) -> TickerStatistics:
    """Return statistics of the market together with the accounts' trades."""
    own = feed.tape.own(market.start, _EVER)
    if own is None:
        return market
    return TickerStatistics(
        market.start,
        market.open,
        max(market.high, own.high),
        min(market.low, own.low),
        feed.tape.last_price(),
        market.volume + own.amount,
        market.quote_volume + own.cost,
    )


def window(feed: Feed, length: int) -> TickerStatistics:
    """Return the statistics of a rolling window of ``length`` ms, which starts on a minute."""
    start = feed.time - length
    return since(feed, start - start % MINUTE)


def since(feed: Feed, start: int) -> TickerStatistics:
    """Return the statistics from a time (ms) to the present."""
    return _with_account_trades(feed, _since(feed, start))


def _since(feed: Feed, start: int) -> TickerStatistics:
    now = feed.base_bar()
    if now is None:
        return TickerStatistics(start, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    bars = feed.market.bars(feed.listing.symbol, feed.base, start, now.timestamp - 1)
    if not len(bars):
        cost = now.volume * now.close
        return TickerStatistics(start, now.open, now.high, now.low, now.close, now.volume, cost)
    return TickerStatistics(
        start,
        float(bars.open[0]),
        max(float(bars.high.max()), now.high),
        min(float(bars.low.min()), now.low),
        now.close,
        float(bars.volume.sum()) + now.volume,
        float(np.dot(bars.volume, bars.close)) + now.volume * now.close,
    )


# -- REST answers


def mini(feed: Feed, statistics: TickerStatistics, closes: int | None = None) -> Json:
    """Return the short form of a REST answer; ``closes`` is the end of the window, ms."""
    first, last = feed.tape.ids(statistics.start, feed.time)
    traded = statistics.volume > 0
    return {
        "symbol": feed.id,
        "openPrice": eight_decimals(statistics.open),
        "highPrice": eight_decimals(statistics.high),
        "lowPrice": eight_decimals(statistics.low),
        "lastPrice": eight_decimals(statistics.close),
        "volume": eight_decimals(statistics.volume),
        "quoteVolume": eight_decimals(statistics.quote_volume),
        "openTime": statistics.start,
        "closeTime": feed.time if closes is None else closes,
        "firstId": first if traded else -1,
        "lastId": last if traded else -1,
        "count": last - first + 1 if traded else 0,
    }


def full(feed: Feed, statistics: TickerStatistics, closes: int | None = None) -> Json:
    """Return the long form of a REST answer."""
    change, percent, average = _change(statistics)
    short = mini(feed, statistics, closes)
    return {
        "symbol": short.pop("symbol"),
        "priceChange": change,
        "priceChangePercent": percent,
        "weightedAvgPrice": average,
        **short,
    }


def day_full(feed: Feed) -> Json:
    """Return the answer of ``/ticker/24hr``: the long form with the best prices."""
    statistics = last_day(feed)
    rest = full(feed, statistics)
    best = book_ticker(feed)
    best.pop("symbol")
    return {
        **{name: rest.pop(name) for name in _FIRST},
        "prevClosePrice": eight_decimals(statistics.open),
        "lastPrice": rest.pop("lastPrice"),
        "lastQty": eight_decimals(feed.traded),
        **best,
        **rest,
    }


_FIRST: Final = ("symbol", "priceChange", "priceChangePercent", "weightedAvgPrice")


def _change(statistics: TickerStatistics) -> tuple[str, str, str]:
    change = statistics.close - statistics.open
    percent = 100 * change / statistics.open if statistics.open else 0.0
    average = statistics.quote_volume / statistics.volume if statistics.volume else statistics.close
    return eight_decimals(change), f"{percent:.3f}", eight_decimals(average)


# -- payloads of streams


def mini_frame(feed: Feed) -> Json:
    """Return the payload of ``@miniTicker``."""
    day = last_day(feed)
    return {
        "e": "24hrMiniTicker",
        "E": feed.time,
        "s": feed.id,
        "c": eight_decimals(day.close),
        "o": eight_decimals(day.open),
        "h": eight_decimals(day.high),
        "l": eight_decimals(day.low),
        "v": eight_decimals(day.volume),
        "q": eight_decimals(day.quote_volume),
    }


def day_frame(feed: Feed) -> Json:
    """Return the payload of ``@ticker``."""
    return {"e": "24hrTicker", "E": feed.time, "s": feed.id, **_short(day_full(feed), _DAY_NAMES)}


def window_frame(feed: Feed, size: str) -> Json:
    """Return the payload of ``@ticker_1h``, ``@ticker_4h`` and ``@ticker_1d``."""
    rest = full(feed, window(feed, WINDOWS[size]))
    return {"e": f"{size}Ticker", "E": feed.time, "s": feed.id, **_short(rest, _NAMES)}


def average_frame(feed: Feed) -> Json:
    """Return the payload of ``@avgPrice``."""
    return {
        "e": "avgPrice",
        "E": feed.time,
        "s": feed.id,
        "i": "5m",
        "w": eight_decimals(feed.average()),
        "T": feed.step_time,
    }


def _short(rest: Json, names: dict[str, str]) -> Json:
    return {short: rest[name] for name, short in names.items()}


_NAMES: Final = {
    "priceChange": "p",
    "priceChangePercent": "P",
    "openPrice": "o",
    "highPrice": "h",
    "lowPrice": "l",
    "lastPrice": "c",
    "weightedAvgPrice": "w",
    "volume": "v",
    "quoteVolume": "q",
    "openTime": "O",
    "closeTime": "C",
    "firstId": "F",
    "lastId": "L",
    "count": "n",
}
_DAY_NAMES: Final = {
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
