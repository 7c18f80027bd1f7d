"""Symbols in their unified form."""

from __future__ import annotations

import pytest

from botlib.core.errors import UnknownSymbol
from botlib.core.symbol import split_symbol, symbol_id


def test_a_unified_symbol_is_split_at_its_slash() -> None:
    assert split_symbol("BTC/USDT") == ("BTC", "USDT")
    assert symbol_id("BTC/USDT") == "BTCUSDT"


@pytest.mark.parametrize("function", [split_symbol, symbol_id])
def test_a_symbol_without_a_slash_is_refused(function: object) -> None:
    with pytest.raises(UnknownSymbol, match=r"'BTCUSDT' is no unified symbol\. Accepted: 'BTC/US"):
        function("BTCUSDT")  # type: ignore[operator]
