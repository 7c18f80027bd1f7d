"""A state machine of random actions on the matching engine, with its invariants."""

from __future__ import annotations

import inspect
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.orders import CONDITIONAL, LIMITED, PaperOrder, Peg
from botlib.paper.accounts.state import audit
from botlib.paper.market.depth import Depth
from botlib.paper.market.feed import Feed
from botlib.paper.market.rules import SELF_TRADE_MODES
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.matching.requests import OrderListRequest, OrderRequest
from botlib.paper.protocol.refusals import Refusal
from tests.support.finished import finished

T0 = 1_767_571_200_000
MARKET = SyntheticMarket(11)
FEE = Decimal("0.001")
ACCOUNTS = st.sampled_from(["main", "second"])
SIDES = st.sampled_from(["BUY", "SELL"])
OFFSETS = st.integers(-9, 9)
AMOUNTS = st.integers(20, 9_000).map(lambda units: Decimal(units).scaleb(-5))
TYPES = st.sampled_from(["MARKET", "LIMIT", "LIMIT", "LIMIT_MAKER", *sorted(CONDITIONAL)])


class TradingMachine(RuleBasedStateMachine):
    """Random orders of two accounts in one book."""

    depth: Depth | None = Depth(size=Decimal(3_000), levels=8, seed=3)

    def __init__(self) -> None:
        super().__init__()
        self.market = MARKET
        balances = {"USDT": Decimal(20_000), "BTC": Decimal("0.1")}
        self.ledger = Ledger.open(None, venue=self.market.venue, balances=balances)
        self.engine = MatchingEngine(self.ledger, Commission(FEE, FEE, lambda asset: Decimal(600)))
        listing = self.market.listing("BTC/USDT")
        self.feed = Feed(self.market, listing, 4, depth=self.depth)
        self.feed.book.displayed_orders = lambda: self.engine.displayed_orders("BTCUSDT")
        self.time = T0
        self.feed.seek(T0)

    @initialize()
    def second_account(self) -> None:
        for asset, amount in {"USDT": 20_000, "BTC": 1, "BNB": 1}.items():
            self.engine.deposit("second", asset, Decimal(amount), self.time)
        self.engine.burn_bnb("second", True, self.time)

    # -- actions

    def price(self, offset: int) -> Decimal:
        return (self.feed.last_price * (1 + Decimal(offset) / 10_000)).quantize(Decimal("0.01"))

    def request(self, side: str, kind: str, offset: int, amount: Decimal, **more: Any) -> Any:
        values: dict[str, Any] = {
            "side": side,
            "type": kind,
            "time_in_force": "GTC",
            "price": self.price(offset) if kind in LIMITED else None,
            "amount": amount,
            "quote_amount": None,
            "client_order_id": None,
            "stop_price": self.price(offset) if kind in CONDITIONAL else None,
        }
        return OrderRequest(**{**values, **more})

    def attempt(self, action: Any, *args: Any, **more: Any) -> None:
        try:
            outcome = action(*args, **more)
            if inspect.iscoroutine(outcome):
                finished(outcome)
        except (Refusal, PaperExchangeError):
            # Refused: the invariants check that nothing has changed.
            pass

    @rule(
        account=ACCOUNTS,
        side=SIDES,
        kind=TYPES,
        offset=OFFSETS,
        amount=AMOUNTS,
        force=st.sampled_from(["GTC", "GTC", "IOC", "FOK"]),
        mode=st.sampled_from(SELF_TRADE_MODES),
        iceberg=st.booleans(),
        trailing=st.sampled_from([0, 0, 10, 12]),
        peg=st.sampled_from(
            [None, None, Peg(type="PRIMARY_PEG"), Peg(type="MARKET_PEG", offset=1)]
        ),
    )
    def order(
        self,
        account: str,
        side: str,
        kind: str,
        offset: int,
        amount: Decimal,
        force: str,
        mode: str,
        iceberg: bool,
        trailing: int,
        peg: Peg | None,
    ) -> None:
        part = (amount / 3).quantize(Decimal("0.00001"))
        limited = kind in LIMITED and kind != "LIMIT_MAKER"
        request = self.request(
            side,
            kind,
            offset,
            amount,
            time_in_force=force if limited else "GTC",
            self_trade=mode,
            iceberg=part if iceberg and limited and force == "GTC" else None,
            trailing_delta=trailing if kind in CONDITIONAL else 0,
        )
        if peg is not None and kind in LIMITED:
            request = replace(request, price=None, peg=peg)
        self.attempt(self.engine.place, self.feed, request, self.time, account)

    @rule(
        account=ACCOUNTS,
        side=SIDES,
        cost=st.integers(5, 9_000),
        mode=st.sampled_from(SELF_TRADE_MODES),
    )
    def quote_amount_order(self, account: str, side: str, cost: int, mode: str) -> None:
        request = self.request(
            side,
            "MARKET",
            0,
            None,  # type: ignore[arg-type]
            quote_amount=Decimal(cost),
            self_trade=mode,
        )
        self.attempt(self.engine.place, self.feed, request, self.time, account)

    @rule(
        account=ACCOUNTS,
        side=SIDES,
        amount=AMOUNTS,
        gap=st.integers(1, 4),
        offset=st.none() | OFFSETS,
        pair=st.booleans(),
        pegged=st.booleans(),
        pays=st.booleans(),
    )
    def order_list(
        self,
        account: str,
        side: str,
        amount: Decimal,
        gap: int,
        offset: int | None,
        pair: bool,
        pegged: bool,
        pays: bool,
    ) -> None:
        limit = self.request(side, "LIMIT_MAKER", gap if side == "SELL" else -gap, amount)
        if pegged:
            limit = replace(limit, price=None, peg=Peg(type="PRIMARY_PEG"))
        stop = self.request(side, "STOP_LOSS", -gap if side == "SELL" else gap, amount)
        both = [limit, stop] if side == "SELL" else [stop, limit]
        working = None
        if offset is not None:
            other = "BUY" if side == "SELL" else "SELL"
            working = self.request(other, "LIMIT", offset, amount)
        elif not pair:
            return
        others = both if pair else [stop]
        pays = pays and working is not None and side == "SELL"
        if pays:
            others = [replace(one, amount=None, paid=True) for one in others]
        self.attempt(
            self.engine.place_list,
            self.feed,
            OrderListRequest(working=working, others=others, pays=pays),
            self.time,
            account,
        )

    def open_order(self, account: str, number: int) -> PaperOrder | None:
        waiting = self.engine.state.account(account).open_orders()
        return waiting[number % len(waiting)] if waiting else None

    @rule(account=ACCOUNTS, number=st.integers(0, 50))
    def cancel(self, account: str, number: int) -> None:
        order = self.open_order(account, number)
        if order is not None:
            self.attempt(self.engine.cancel, self.feed, order, None, self.time)

    @rule(account=ACCOUNTS, number=st.integers(0, 50), part=st.integers(1, 9))
    def amend(self, account: str, number: int, part: int) -> None:
        order = self.open_order(account, number)
        if order is not None:
            smaller = (order.amount * part / 10).quantize(Decimal("0.00001"))
            self.attempt(self.engine.amend, self.feed, order, smaller, None, self.time)

    @rule(account=ACCOUNTS, group=st.sampled_from([-1, 1, 1, 1]))
    def join(self, account: str, group: int) -> None:
        self.engine.join(account, group, self.time)

    @rule(steps=st.integers(1, 60))
    def move(self, steps: int) -> None:
        for _ in range(steps):
            self.time += 15_000
            self.feed.seek(self.time)
            finished(self.engine.match(self.feed, self.time))

    @rule(account=ACCOUNTS, asset=st.sampled_from(["USDT", "BTC"]), amount=st.integers(-3_000, 900))
    def transfer(self, account: str, asset: str, amount: int) -> None:
        moved = Decimal(amount) / (1 if asset == "USDT" else 1_000)
        self.attempt(self.engine.deposit, account, asset, moved, self.time)

    # -- invariants

    @invariant()
    def balances_add_up(self) -> None:
        state = self.engine.state
        assert audit(state) == ""
        for asset, balances in (("BTC", "free"), ("USDT", "locked")):
            for account in state.accounts.values():
                assert getattr(account.balance(asset), balances) >= 0

    @invariant()
    def orders_equal_the_sum_of_their_trades(self) -> None:
        for account in self.engine.state.accounts.values():
            executed: dict[int, Decimal] = {}
            for trade in account.trades.get("BTCUSDT", ()):
                executed[trade.order_id] = executed.get(trade.order_id, Decimal(0)) + trade.amount
            for order in account.orders.values():
                assert order.executed == executed.get(order.order_id, 0)
                assert order.remaining >= 0
                assert order.open or not order.locked
                done = order.executed + order.prevented
                assert order.status != "FILLED" or done == order.amount
                if order.price:
                    worse = order.cost - order.price * order.executed
                    assert worse <= 0 if order.buys else worse > Decimal("-0.000001")

    @invariant()
    def one_order_of_a_pair_trades(self) -> None:
        for found in self.engine.state.lists.values():
            orders = [
                self.engine.state.account(found.account).orders[one] for one in found.order_ids
            ]
            pair = orders if found.contingency == "OCO" else orders[1:]
            assert sum(order.executed > 0 for order in pair) <= 1
            assert found.done == all(not order.open for order in orders)

    @invariant()
    def orders_of_the_accounts_do_not_cross(self) -> None:
        displayed = list(self.engine.displayed_orders("BTCUSDT"))
        bids = [one.price for one in displayed if one.buys]
        asks = [one.price for one in displayed if not one.buys]
        if self.depth is not None and bids and asks:
            assert max(bids) < min(asks)

    def teardown(self) -> None:
        stored = self.ledger.load()
        assert stored.groups == self.engine.state.groups
        for name, account in self.engine.state.accounts.items():
            assert stored.account(name).balances == account.balances
            assert stored.account(name).orders == account.orders
        self.ledger.close()
