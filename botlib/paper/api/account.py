"""The read operations of an account: balances, commissions, trades and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from botlib.core.timeframe import DAY
from botlib.paper.accounts.account import PaperAccount
from botlib.paper.accounts.archive import RecordRange
from botlib.paper.accounts.commission import BNB, DISCOUNT
from botlib.paper.api.exchange_info import filter_rows
from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.api.rate_limits import RateLimits
from botlib.paper.api.responses import prevented_match_row, trade_row
from botlib.paper.market.quotes import Json, eight_decimals
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import refusal
from botlib.paper.venue import Venue

T = TypeVar("T")


class AccountHandlers:
    """Handlers of the read operations of an account."""

    def __init__(self, venue: Venue, data: MarketDataHandlers, limits: RateLimits) -> None:
        self._venue = venue
        self._data = data
        self._limits = limits
        self.withdraws: Callable[[str], bool] = lambda account: False
        """Returns whether a key of an account may withdraw."""

    def account_of(self, params: Params) -> PaperAccount:
        """Return the account of a request, at the time that the request reads."""
        engine = self._venue.engine
        now = engine.state.account(params.account)
        return now if params.then is None else engine.history.account(now, params.then)

    async def account(self, params: Params) -> object:
        """``/account``."""
        found = self.account_of(params)
        omit = params.flag("omitZeroBalances", False)
        rates = self._venue.engine.commission
        assets = set(found.balances)
        if not omit:
            # An account has a balance of every asset that is listed, although it never held any.
            listings = self._venue.listings()
            assets.update(asset for one in listings for asset in (one.base, one.quote))
        balances = [(asset, found.balance(asset)) for asset in sorted(assets)]
        return {
            "makerCommission": int(rates.maker * 10_000),
            "takerCommission": int(rates.taker * 10_000),
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": self.rates(),
            "canTrade": True,
            "canWithdraw": self.withdraws(found.name),
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": found.updated,
            "accountType": "SPOT",
            "balances": [
                {
                    "asset": asset,
                    "free": eight_decimals(balance.free),
                    "locked": eight_decimals(balance.locked),
                }
                for asset, balance in balances
                if not omit or balance.free or balance.locked
            ],
            "permissions": ["SPOT"],
            **self._trade_group(found),
            "uid": 1 + list(self._venue.engine.state.accounts).index(found.name),
        }

    def _trade_group(self, account: PaperAccount) -> Json:
        group = self._venue.engine.state.groups.get(account.name)
        return {} if group is None else {"tradeGroupId": group}

    async def commission(self, params: Params) -> object:
        """``/account/commission``."""
        feed = self._data.feed(params)
        return {"symbol": feed.id, **self.commissions(params)}

    def commissions(self, params: Params) -> Json:
        """Return the commissions of an account by their kinds."""
        zero = eight_decimals(0)
        none = {"maker": zero, "taker": zero, "buyer": zero, "seller": zero}
        burns = self.account_of(params).burns_bnb
        return {
            "standardCommission": self.rates(),
            "specialCommission": none,
            "taxCommission": none,
            "discount": {
                "enabledForAccount": burns,
                "enabledForSymbol": burns,
                "discountAsset": BNB,
                "discount": eight_decimals(1 - DISCOUNT if burns else Decimal(0)),
            },
        }

    def rates(self) -> Json:
        """Return the commission rates of makers and takers, as fractions."""
        rates, none = self._venue.engine.commission, eight_decimals(Decimal(0))
        return {
            "maker": eight_decimals(rates.maker),
            "taker": eight_decimals(rates.taker),
            "buyer": none,
            "seller": none,
        }

    async def order_limits(self, params: Params) -> object:
        """``/rateLimit/order``."""
        return self._limits.order_counts(params.account)

    async def trade_fees(self, params: Params) -> object:
        """``/sapi/v1/asset/tradeFee``."""
        feeds = [self._data.feed(params).listing] if "symbol" in params else self._venue.listings()
        rates = self._venue.engine.commission
        return [
            {
                "symbol": listing.id,
                "makerCommission": str(rates.maker),
                "takerCommission": str(rates.taker),
            }
            for listing in feeds
        ]

    async def my_trades(self, params: Params) -> object:
        """``GET /myTrades``."""
        symbol, limit = self._data.feed(params).id, params.limit(500, 1_000)
        number, first = params.integer("orderId"), params.integer("fromId")
        timed = "startTime" in params or "endTime" in params
        if first is not None and timed:
            raise refusal(-1128)
        trades = self.account_of(params).trades
        return [
            trade_row(one)
            for one in trades.select(symbol, record_range(params, first, limit), number)
        ]

    async def allocations(self, params: Params) -> object:
        """``GET /myAllocations``: always empty, because orders are not routed to other books."""
        self._data.feed(params)
        first, number = params.integer("fromAllocationId"), params.integer("orderId")
        timed = "startTime" in params or "endTime" in params
        if timed and (first is not None or number is not None):
            raise refusal(-1128)
        params.limit(500, 1_000)
        return window([], params, lambda row: 0)

    async def filters(self, params: Params) -> object:
        """``GET /myFilters``: those of the symbol, because accounts have none."""
        feed = self._data.feed(params)
        symbol = filter_rows(feed.rules)
        return {"exchangeFilters": [], "symbolFilters": symbol, "assetFilters": []}

    async def prevented_matches(self, params: Params) -> object:
        """``GET /myPreventedMatches``: by match id, or by order id from a match id on."""
        symbol, limit = self._data.feed(params).id, params.limit(500, 1_000)
        match, order = params.integer("preventedMatchId"), params.integer("orderId")
        first = params.integer("fromPreventedMatchId")
        if (match is None) == (order is None) or (first is not None and order is None):
            raise refusal(-1128)
        stored = self._venue.engine.state.prevented
        if match is not None:
            known = {match: stored.get(match)}
        else:
            sides = [{"taker_id": order}, {"maker_id": order}]
            both = [stored.select("time", side, RecordRange(first, limit=limit)) for side in sides]
            known = {one.match_id: one for rows in both for one in rows}
        found = [
            one
            for _, one in sorted(known.items())
            if one is not None and params.account in one.accounts and one.symbol == symbol
            if params.then is None or one.time <= params.then
        ]
        return [prevented_match_row(one) for one in found[:limit]]


def record_range(params: Params, first: int | None, limit: int) -> RecordRange:
    """Return the range of records that a request asks for.

    The times are ``startTime`` and ``endTime`` of the request, ms, at most a day apart. The range
    has the oldest records if the request names a first id or a start, and the newest otherwise.

    Args:
        params: parameters of the request.
        first: lowest id, None for any.
        limit: maximum number of records.

    Raises:
        Refusal: the times are more than a day apart.
    """
    start, end = params.moment("startTime"), params.moment("endTime")
    if start is not None and end is not None and not start <= end <= start + DAY:
        raise refusal(-1127, 24)
    return RecordRange(first, start, end, limit, oldest=first is not None or start is not None)


def window(rows: Sequence[T], params: Params, time: Callable[[T], int]) -> Sequence[T]:
    """Return the rows between ``startTime`` and ``endTime`` of a request (ms, both included).

    Args:
        rows: rows to choose from.
        params: parameters of the request.
        time: returns the time of a row, ms.

    Raises:
        Refusal: the times are more than a day apart.
    """
    _, start, end, _, _ = record_range(params, None, len(rows))
    if start is None and end is None:
        return rows
    return [
        row
        for row in rows
        if (start is None or time(row) >= start) and (end is None or time(row) <= end)
    ]
