"""Symbols in both of their forms, as people and files write them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.errors import UnknownSymbol
from botlib.core.symbol import split_symbol, symbol_id
from botlib.venues.symbols import unified_symbol


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTC/USDT", "BTC/USDT"),
        ("BTCUSDT", "BTC/USDT"),
        (" btc/usdt ", "BTC/USDT"),
        ("ethbtc", "ETH/BTC"),
        ("TUSDT", "T/USDT"),
        ("BTCTUSD", "BTC/TUSD"),
        ("TUSDUSDT", "TUSD/USDT"),
        ("BTCFDUSD", "BTC/FDUSD"),
        ("ADAEUR", "ADA/EUR"),
        ("BTCAEUR", "BTC/AEUR"),
        ("AEURUSDT", "AEUR/USDT"),
        ("1000SATSUSDT", "1000SATS/USDT"),
        ("FOO/BAR", "FOO/BAR"),
    ],
)
def test_both_forms_are_read(text: str, symbol: str) -> None:
    assert unified_symbol(text) == symbol
    assert symbol_id(symbol) == symbol.replace("/", "")
    assert split_symbol(symbol) == tuple(symbol.split("/"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "USDT", "BTC-USDT", "BTC/", "/USDT", "BTC/USDT/ETH", "BTC/USDT:USDT", "FOOBAR"),
        *("BTC USDT", "A" * 21 + "/USDT", None, 7),
    ],
)
def test_a_text_that_is_no_symbol_is_refused(text: object) -> None:
    with pytest.raises(UnknownSymbol, match=r"as a symbol\. Accepted: 'BTC/USDT' or 'BTCUSDT'"):
        unified_symbol(text)  # type: ignore[arg-type]


ASSETS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=20)


@given(ASSETS, ASSETS)
def test_a_symbol_with_a_slash_is_never_split_otherwise(base: str, quote: str) -> None:
    symbol = f"{base}/{quote}"
    assert unified_symbol(symbol) == unified_symbol(symbol.lower()) == symbol
    assert symbol_id(symbol) == base + quote


@pytest.mark.recorded
@pytest.mark.parametrize(
    "name", ["exchangeInfo_binance_20211012.json.gz", "exchangeInfo_binance_spot_20250807_gct.json"]
)
def test_every_listed_symbol_is_split_as_binance_splits_it(
    name: str, recorded: Callable[[str], Path]
) -> None:
    data = recorded(f"fixtures/rest/{name}").read_bytes()
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    listed = json.loads(data)
    symbols = listed.get("data", listed)["symbols"]
    assert symbols
    wrong = [
        item["symbol"]
        for item in symbols
        if unified_symbol(item["symbol"]) != f"{item['baseAsset']}/{item['quoteAsset']}"
    ]
    assert wrong == []
