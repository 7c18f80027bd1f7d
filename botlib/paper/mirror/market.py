"""The mirrored market: what the venue lists, by what rules, and its closed candles."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from botlib.core.errors import PaperExchangeError, UnknownSymbol, did_you_mean
from botlib.core.timeframe import MINUTE
from botlib.paper.market.market import Bars, SymbolListing, multiples
from botlib.paper.mirror.history import KlineHistory
from botlib.paper.mirror.requests import UNREADABLE, PublicRequests, UpstreamLost
from botlib.paper.mirror.source import MirrorSource
from botlib.paper.protocol.refusals import Refusal
from botlib.venues.obstacles import foreign_answer

logger = logging.getLogger(__name__)

_NONE: Final = Decimal(0)
_MANY: Final = 10**9
"""A bound that nothing reaches, where the venue has none."""

Entry = Mapping[str, Any]
"""The entry of a symbol in the venue's exchangeInfo."""


class MirrorMarket:
    """The market of a real venue at the present; it is empty until `open`.

    Args:
        source: the venue.

    Attributes:
        requests: requests to the venue.
        entries: what it lists, by id.
        now: its market time as far as it is known, ms.
    """

    def __init__(self, source: MirrorSource) -> None:
        self.source = source
        self.requests = PublicRequests(source)
        self.entries: dict[str, Entry] = {}
        self.now = 0
        self._history: KlineHistory | None = None
        self._listings: dict[str, SymbolListing] = {}
        self._ids: dict[str, str] = {}

    async def open(self, symbols: Sequence[str] = ()) -> None:
        """Read what the venue lists, and its clock.

        Args:
            symbols: symbols that must be listed.

        Raises:
            PaperExchangeError: the venue does not answer, or the cache cannot be used.
            UnknownSymbol: one of the symbols is not listed.
        """
        try:
            await self.requests.read_clock()
            await self.read_listings()
            for symbol in symbols:
                self.listing(symbol)
            first = self.listing(next(iter(symbols), next(iter(self._listings), "")))
            trades = await self.requests.json("aggTrades", symbol=first.id, limit=1)
        except Refusal as refused:
            raise PaperExchangeError(
                f"{self.source.venue} cannot be mirrored: it refuses public data with {refused}"
            ) from None
        try:
            self.now = max((int(one["T"]) for one in trades), default=0)
        except UNREADABLE:
            raise UpstreamLost(foreign_answer(str(trades))) from None
        # Nothing is stored before the venue has answered.
        self._history = KlineHistory(self.source.cache)

    async def close(self) -> None:
        """Close the connections and the cache."""
        await self.requests.close()
        if self._history is not None:
            self._history.close()
            self._history = None

    async def read_listings(self, symbols: Sequence[str] = ()) -> None:
        """Read what the venue lists, and by what rules.

        Args:
            symbols: ids of the listed symbols to read again; without any, all are read.

        Raises:
            Refusal: the venue refuses it.
            UpstreamLost: there was no answer.
        """
        asked: dict[str, str] = {}
        if self.entries:
            # Nine tenths of the answer, and they do not change.
            asked["showPermissionSets"] = "false"
        if symbols:
            asked["symbols"] = orjson.dumps(list(symbols)).decode()
        answer = await self.requests.json("exchangeInfo", **asked)
        rows = answer.get("symbols") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise UpstreamLost(foreign_answer(str(answer)))
        entries, listings = await asyncio.to_thread(_read, rows, self.entries)
        if symbols:
            entries, listings = {**self.entries, **entries}, {**self._listings, **listings}
        self._listings = listings
        self._ids = {listing.symbol: number for number, listing in listings.items()}
        self.entries = entries

    @property
    def history(self) -> KlineHistory:
        """The closed candles that are known.

        Raises:
            RuntimeError: the market is not open.
        """
        if self._history is None:
            raise RuntimeError("the mirror is not open")
        return self._history

    # -- the market of a paper exchange

    @property
    def venue(self) -> str:
        """Identity: ``paper:mirror:binance``."""
        return self.source.stamp

    @property
    def base(self) -> str:
        """``1m``."""
        return "1m"

    def listings(self) -> list[SymbolListing]:
        """Return what is listed."""
        return list(self._listings.values())

    def listing(self, symbol_or_id: str) -> SymbolListing:
        """Return one listing, by its unified symbol or its id.

        Raises:
            UnknownSymbol: the venue does not list it.
        """
        found = self._listings.get(self._ids.get(symbol_or_id, symbol_or_id))
        if found is None:
            raise UnknownSymbol(
                f"{symbol_or_id!r} is not listed at {self.source.venue}."
                f"{did_you_mean(symbol_or_id, self._ids)}"
            )
        return found

    def find(self, symbol_id: str) -> SymbolListing | None:
        """Return one listing by its id, None if the venue does not list it."""
        return self._listings.get(symbol_id)

    def timeframes(self) -> list[str]:
        """Return all timeframes, the finest first."""
        return multiples(self.base)

    def span(self, symbol: str) -> tuple[int, int | None]:
        """Return 0 and None: the venue knows where the candles begin, and there is no last one."""
        self.listing(symbol)
        return 0, None

    def bars(self, symbol: str, timeframe: str, start: int, end: int) -> Bars:
        """Return the closed candles that are known; others have to be fetched first."""
        return self.history.bars(self.listing(symbol).id, timeframe, start, end)

    def next_open(self, symbol: str, after: int) -> int | None:
        """Return the first minute at or after ``after``."""
        self.listing(symbol)
        return -(-int(after) // MINUTE) * MINUTE


def _read(
    rows: Iterable[Entry], before: Mapping[str, Entry]
) -> tuple[dict[str, Entry], dict[str, SymbolListing]]:
    """Return entries and listings by id; permission sets are those of an entry before."""
    entries: dict[str, Entry] = {}
    listings: dict[str, SymbolListing] = {}
    for entry in rows:
        try:
            listing = _listing(entry)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # One odd entry among thousands must not hide the others.
            logger.warning("An entry of exchangeInfo is left out: %r in %.80r", error, entry)
            continue
        if not entry.get("permissionSets"):
            known = before.get(listing.id, {})
            entry = {**entry, "permissionSets": known.get("permissionSets", [["SPOT"]])}
        entries[listing.id], listings[listing.id] = entry, listing
    return entries, listings


def _listing(entry: Entry) -> SymbolListing:
    base, quote = str(entry["baseAsset"]), str(entry["quoteAsset"])
    rules = _rules({str(one["filterType"]): one for one in entry["filters"]}, entry)
    return SymbolListing(
        symbol=f"{base}/{quote}",
        id=str(entry["symbol"]),
        base=base,
        quote=quote,
        tick=_positive(rules["tick"]),
        step=_positive(rules["step"]),
        min_amount=Decimal(str(rules["min_amount"])),
        min_cost=Decimal(str(rules["min_cost"])),
        rules=rules,
    )


def _positive(value: object) -> Decimal:
    number = Decimal(str(value))
    return number if number > 0 else Decimal("0.00000001")


def _rules(filters: Mapping[str, Entry], entry: Entry) -> dict[str, object]:
    """Return the rules of a symbol by the names of `Rules`; a bound of 0 is none."""
    price, lot = filters.get("PRICE_FILTER", {}), filters.get("LOT_SIZE", {})
    market, cost = filters.get("MARKET_LOT_SIZE", {}), filters.get("NOTIONAL", {})
    cost = cost or filters.get("MIN_NOTIONAL", {})
    sides, both = filters.get("PERCENT_PRICE_BY_SIDE", {}), filters.get("PERCENT_PRICE", {})
    trailing = filters.get("TRAILING_DELTA", {})
    ups = [sides.get("bidMultiplierUp"), sides.get("askMultiplierUp"), both.get("multiplierUp")]
    downs = [
        *(sides.get("bidMultiplierDown"), sides.get("askMultiplierDown")),
        both.get("multiplierDown"),
    ]
    return {
        "tick": price.get("tickSize", "0"),
        "min_price": price.get("minPrice", "0"),
        "max_price": price.get("maxPrice", "0"),
        "step": lot.get("stepSize", "0"),
        "min_amount": lot.get("minQty", "0"),
        "max_amount": lot.get("maxQty", "0"),
        "market_step": market.get("stepSize", "0"),
        "market_min_amount": market.get("minQty", "0"),
        "market_max_amount": market.get("maxQty", "0"),
        "min_cost": cost.get("minNotional", "0"),
        "max_cost": cost.get("maxNotional", "0"),
        "min_cost_of_market": bool(cost.get("applyMinToMarket", cost.get("applyToMarket", True))),
        "max_cost_of_market": bool(cost.get("applyMaxToMarket", False)),
        "up": min((Decimal(one) for one in ups if one), default=Decimal(_MANY)),
        "down": max((Decimal(one) for one in downs if one), default=_NONE),
        "average_minutes": int((sides or both).get("avgPriceMins", 5)),
        "max_orders": int(filters.get("MAX_NUM_ORDERS", {}).get("maxNumOrders", _MANY)),
        "max_algo_orders": int(
            filters.get("MAX_NUM_ALGO_ORDERS", {}).get("maxNumAlgoOrders", _MANY)
        ),
        "max_order_lists": int(
            filters.get("MAX_NUM_ORDER_LISTS", {}).get("maxNumOrderLists", _MANY)
        ),
        "max_amends": int(filters.get("MAX_NUM_ORDER_AMENDS", {}).get("maxNumOrderAmends", _MANY)),
        "max_position": filters.get("MAX_POSITION", {}).get("maxPosition", "0"),
        "iceberg_parts": int(filters.get("ICEBERG_PARTS", {}).get("limit", 0)),
        "min_trailing": int(trailing.get("minTrailingAboveDelta", 0)),
        "max_trailing": int(trailing.get("maxTrailingAboveDelta", _MANY)),
        "amends_allowed": bool(entry.get("amendAllowed", False)),
        "pegs_allowed": bool(entry.get("pegInstructionsAllowed", False)),
        "paying_lists_allowed": bool(entry.get("opoAllowed", False)),
    }
