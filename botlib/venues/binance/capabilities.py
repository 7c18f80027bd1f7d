"""The records of Binance's spot markets: what each offers, and its documented limits."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from botlib.core.model import OrderType
from botlib.core.timeframe import DAY, MINUTE, SECOND
from botlib.venues.budget import Counted, RequestLimit
from botlib.venues.capabilities import VenueCapabilities

QUOTE_ASSETS: Final = tuple(
    """
    FDUSD USDT USDC TUSD BUSD USDP USDS USD1 IDRT BIDR BVND BKRW GYEN DOGE AEUR EURI VAI DAI
    PAX BTC ETH BNB XRP TRX DOT SOL EUR GBP AUD TRY BRL RUB UAH NGN ZAR PLN RON ARS JPY MXN
    CZK COP IDR USD
    """.split()
)
"""Quote assets that Binance has listed, the longest first."""

BINANCE: Final = VenueCapabilities(
    name="binance",
    title="Binance",
    database="tradingbot.db",
    key_variable="BINANCE_API_KEY",
    secret_variable="BINANCE_API_SECRET",
    quote_assets=QUOTE_ASSETS,
    # AEUR was listed against these alone, EUR against many assets that end in A.
    quoted_bases=MappingProxyType({"AEUR": frozenset({"BTC", "ETH", "EUR"})}),
    order_types=frozenset(OrderType),
    shorts=False,
    streams_per_connection=1_024,
    # Binance cuts every connection at 24 hours.
    connection_age=23 * 3600.0,
    # An address is banned after 300 connections in five minutes.
    dial_burst=40,
    dial_rate=0.8,
    candles_per_page=1_000,
    trades_per_page=1_000,
    book_levels=1_000,
    request_limits=(
        RequestLimit(counted=Counted.WEIGHT, most=6_000, period=MINUTE),
        RequestLimit(counted=Counted.ORDERS, most=100, period=10 * SECOND),
        RequestLimit(counted=Counted.ORDERS, most=200_000, period=DAY),
    ),
    # Up to 60 s are allowed, but an order that a crash cut off is waited for all that time, and a
    # position may be without its stop meanwhile.
    order_recv_window=5_000,
    # Maker and taker of the lowest tier, without paying in BNB.
    standard_fee=Decimal("0.001"),
    # Takers of either side within a second of each other traded BTC/USDT 0.6 bp apart (1,000 trades
    # of January 2020) and ETH/BTC 0.2 bp, one tick (March 2023): rounded up to 1 bp. In the second
    # after a trade the price moved by 0.5 bp on average, and 1,000 USDT are within the best level
    # of a large market: rounded up to 1 bp as well. Four small markets of October 2021 had a spread
    # of 11 to 29 bp, and an order of 1,000 USDT paid up to 11 bp beyond it, 3 on average.
    spread=Decimal("0.0001"),
    slippage=Decimal("0.0001"),
    # The schedule of fees (binance.com/en/fee/schedule) as quoted in 2025 and 2026. From VIP 3 on
    # the quotations disagree: `fetch_trading_fee` says what an account pays.
    fee_tiers=MappingProxyType(
        {
            "regular": (Decimal("0.001"), Decimal("0.001")),
            "VIP 1": (Decimal("0.0009"), Decimal("0.001")),
            "VIP 2": (Decimal("0.0008"), Decimal("0.001")),
        }
    ),
    fee_asset="BNB",
    fee_discount=Decimal("0.25"),
    public_rest="https://data-api.binance.vision",
    public_streams="wss://data-stream.binance.vision",
)

BINANCE_TESTNET: Final = replace(
    BINANCE,
    name="binance-testnet",
    title="the Binance testnet",
    database="binance-testnet.db",
    key_variable="BINANCE_TESTNET_API_KEY",
    secret_variable="BINANCE_TESTNET_API_SECRET",
    environment="testnet",
    play_money=True,
    public_rest="",
    public_streams="",
)
"""Play money on a market of its own, whose prices are those of its few users."""

BINANCE_DEMO: Final = replace(
    BINANCE,
    name="binance-demo",
    title="Binance demo trading",
    database="binance-demo.db",
    key_variable="BINANCE_DEMO_API_KEY",
    secret_variable="BINANCE_DEMO_API_SECRET",
    environment="demo",
    play_money=True,
    public_rest="",
    public_streams="",
)
"""Play money at the prices of the real market."""
