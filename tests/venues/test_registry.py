"""The registry of venues and their records."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import botlib
from botlib.core.errors import InvalidInput
from botlib.venues.binance.venue import BinanceExchange
from botlib.venues.registry import DEFAULT_VENUE, VENUES, build_exchange, capabilities

PACKAGE = Path(botlib.__file__).parent


def test_an_exchange_is_built_by_the_name_of_its_venue() -> None:
    exchange = build_exchange(DEFAULT_VENUE)
    assert isinstance(exchange, BinanceExchange)
    assert exchange.venue == DEFAULT_VENUE
    assert exchange.capabilities is capabilities()


def test_a_paper_market_is_reached_as_the_venue_whose_protocol_it_speaks() -> None:
    stamp = "paper:synthetic:seed=42"
    exchange = build_exchange(stamp, rest_url="http://127.0.0.1:9", keys=("key", "secret"))
    assert exchange.venue == stamp
    assert exchange.capabilities is capabilities(stamp) is capabilities(DEFAULT_VENUE)


def test_an_unknown_venue_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InvalidInput, match=r"'binanse'\. Accepted: binance.* Did you mean 'bina"):
        build_exchange("binanse")


@pytest.mark.parametrize("name", list(VENUES))
def test_a_record_is_frozen_and_sane(name: str) -> None:
    record = capabilities(name)
    assert record.name == name
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.name = "other"  # type: ignore[misc]
    lengths = [len(quote) for quote in record.quote_assets]
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(record.quote_assets)) == len(record.quote_assets)
    # A venue takes a timestamp that is ahead by a second.
    assert record.absence_fence > record.order_recv_window + 1_000


def test_no_text_above_the_venues_names_one() -> None:
    # What a person reads takes the name from the record of the venue.
    named = [
        f"{path.name}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ("venues", "paper")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "Binance" in line
    ]
    assert named == []


def test_records_are_read_without_the_library_behind_the_exchange() -> None:
    code = (
        "import sys, botlib.venues.registry, botlib.venues.symbols; "
        "print([name for name in ('ccxt', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
