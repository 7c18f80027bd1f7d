"""`VenueCapabilities`: the frozen record of what a venue offers and of its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from botlib.core.errors import UnknownSymbol
from botlib.core.model import OrderType
from botlib.venues.budget import RequestLimit

CLOCK_MARGIN: Final = 3_000
"""Margin in ms for a clock that is ahead, which a venue takes for up to a second, and for copies of
the venue that lag behind."""

_ASSET: Final = r"(?:(?![a-z_])\w){1,20}"
"""Letters of any alphabet and digits: Binance lists assets with Chinese names."""
_UNIFIED: Final = re.compile(rf"({_ASSET})/({_ASSET})")
_ID: Final = re.compile(_ASSET)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueCapabilities:
    """The capabilities and limits of a venue.

    Attributes:
        name: the name in the registry, which is also stamped into databases.
        title: the name that people know it by.
        database: file name of its database in the data directory.
        key_variable: environment variable that holds the API key.
        secret_variable: environment variable that holds the API secret.
        quote_assets: assets in which its markets are quoted, the longest first.
        quoted_bases: the only bases that are listed against a quote asset, for the quote assets
            whose name ends another one's markets: ``ADAEUR`` is ``ADA/EUR``, not ``AD/AEUR``.
        order_types: the order types that can be sent.
        shorts: whether the amount held of an asset may go below zero.
        streams_per_connection: most subscriptions on one connection.
        connection_age: seconds after which a connection is renewed, before the venue cuts it.
        dial_burst: connections that may be opened at once.
        dial_rate: connections that may be opened per second after the burst.
        candles_per_page: most candles in one answer.
        trades_per_page: most of the account's executions in one answer.
        book_levels: levels a side of an order-book snapshot.
        request_limits: the documented limits of requests, until the venue announces its own.
        order_recv_window: ms for which a request of ours stays valid; every one says so.
        standard_fee: fraction of the value of a fill, of an account without discounts.
        spread: distance between the best prices of a large market, a fraction, as recorded.
        slippage: what an order at the market pays beyond that, a fraction, as recorded.
        fee_tiers: maker and taker fee of the tiers whose fees are known, by name.
        fee_asset: asset in which fees can be paid at a discount; None without one.
        fee_discount: the fraction by which they are then lower.
        environment: which of the venue's systems it is: ``live``, ``testnet`` or ``demo``.
        play_money: whether its balances are worthless and cannot be withdrawn.
        public_rest: address of a service of public data alone, for mirrors; empty without one.
        public_streams: address of its streams.
    """

    name: str
    title: str
    database: str
    key_variable: str
    secret_variable: str
    quote_assets: tuple[str, ...]
    quoted_bases: Mapping[str, frozenset[str]]
    order_types: frozenset[OrderType]
    shorts: bool
    streams_per_connection: int
    connection_age: float
    dial_burst: int
    dial_rate: float
    candles_per_page: int
    trades_per_page: int
    book_levels: int
    request_limits: tuple[RequestLimit, ...]
    order_recv_window: int
    standard_fee: Decimal
    spread: Decimal
    slippage: Decimal
    fee_tiers: Mapping[str, tuple[Decimal, Decimal]]
    fee_asset: str | None
    fee_discount: Decimal
    environment: str = "live"
    play_money: bool = False
    public_rest: str = ""
    public_streams: str = ""

    @property
    def market_slippage(self) -> Decimal:
        """Fraction by which orders at the market fill worse: half of the spread, and slippage."""
        return self.spread / 2 + self.slippage

    @property
    def absence_fence(self) -> int:
        """Age in ms from which an order that the venue does not know can no longer arrive."""
        return self.order_recv_window + CLOCK_MARGIN

    def unified_symbol(self, text: str) -> str:
        """Return the unified form of a symbol: ``BTCUSDT`` and ``btc/usdt`` become ``BTC/USDT``.

        An id does not say where the base ends, so it is split by the quote assets of the venue.

        Raises:
            UnknownSymbol: the text is no symbol, or its quote asset is not known.
        """
        word = text.strip().upper() if isinstance(text, str) else ""
        if _UNIFIED.fullmatch(word):
            return word
        if _ID.fullmatch(word):
            for quote in self.quote_assets:
                base = word.removesuffix(quote)
                if base and base != word and base in self.quoted_bases.get(quote, (base,)):
                    return f"{base}/{quote}"
        raise UnknownSymbol(
            f"Cannot read {text!r} as a symbol. Accepted: 'BTC/USDT' or 'BTCUSDT'; "
            "write the slash where the quote asset is an unusual one."
        )
