"""Trades of the market are at the touch: never inside the spread, never past a better order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal

import pytest

from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.accounts.state import audit
from botlib.paper.market import quotes
from botlib.paper.market.depth import Depth
from botlib.paper.market.feed import Feed
from botlib.paper.market.intervals import interval
from botlib.paper.market.synthetic import ORIGIN, SyntheticMarket
from botlib.paper.market.trades.steps import PublicTrade
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.matching.requests import OrderRequest
from botlib.paper.protocol.refusals import Refusal
from tests.support.finished import finished

D = Decimal
MINUTE = 60_000
STEPS = 30
START = ORIGIN + 400 * 86_400_000
ACCOUNTS = ("main", "maker", "taker")


class Trading:
    """Accounts that quote and take at random in a synthetic market with a depth."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        market = SyntheticMarket(seed)
        ledger = Ledger.open(None, venue=market.venue, balances={})
        self.engine = MatchingEngine(ledger, Commission(D("0.001"), D("0.001")))
        for account in ACCOUNTS:
            self.engine.deposit(account, "BTC", D(10**6), START)
            self.engine.deposit(account, "USDT", D(10**9), START)
        depth = Depth(spread=D("0.0004"), levels=20, size=D(20_000), seed=seed)
        self.feed = Feed(market, market.listing("BTC/USDT"), STEPS, depth=depth)
        self.feed.book.displayed_orders = lambda: self.engine.displayed_orders("BTCUSDT")
        self.time = START
        self.feed.seek(START)

    def step(self) -> None:
        self.time += MINUTE // STEPS
        self.feed.seek(self.time)
        finished(self.engine.match(self.feed, self.time))

    def act(self) -> None:
        """Place an order near the price: a quote, an iceberg, a stop, or a market order."""
        rng, rules = self.rng, self.feed.rules
        side, kind = rng.choice(["BUY", "SELL"]), rng.choice(["LIMIT"] * 4 + ["MARKET", "STOP"])
        away = D(rng.randint(-6, 12)) / 10_000 * (-1 if side == "BUY" else 1)
        price = self.feed.last_price * (1 + away) // rules.tick * rules.tick
        amount = D(rng.choice([1, 5, 40, 4_000])) / 1_000
        stop = kind == "STOP"
        iceberg = amount / 5 if kind == "LIMIT" and rng.random() < 0.2 else None
        request = OrderRequest(
            side=side,
            type="STOP_LOSS" if stop else kind,
            time_in_force="GTC",
            price=price if kind == "LIMIT" else None,
            amount=amount,
            quote_amount=None,
            client_order_id=None,
            stop_price=price if stop else None,
            iceberg=iceberg,
        )
        try:
            account = rng.choice(ACCOUNTS)
            finished(self.engine.place(self.feed, request, self.time + 1, account))
        except Refusal:
            pass

    def working(self) -> Iterator[PaperOrder]:
        return (one for one in self.engine.state.open_orders("BTCUSDT") if one.working)


def check_touch(trading: Trading, prints: list[PublicTrade]) -> None:
    feed = trading.feed
    bids, asks, depth = feed.book.bids(1), feed.book.asks(1), feed.book.depth
    # Stops may have taken all of a side.
    assert depth is not None and (not bids or not asks or bids[0][0] < asks[0][0])
    for one in prints:
        price = D(repr(one.price))
        for order in trading.working():
            if order.buys:
                assert order.price <= price, "it traded past a better bid"
            else:
                assert order.price >= price, "it traded past a better ask"
        # It is at the best price of others; stops that it triggered may have taken that since.
        bid, ask = depth.best(feed.listing, feed.last_price, falling=feed.falling)
        assert price == (bid if one.seller_taker else ask)


@pytest.mark.parametrize("seed", range(4))
async def test_the_market_trades_at_the_touch_and_past_no_better_order(seed: int) -> None:
    trading = Trading(seed)
    feed = trading.feed
    replaced, passed = 0, 0
    for _ in range(20 * STEPS):
        trading.step()
        present = feed.tape.present()
        own = feed.tape.at(trading.time).first
        prints = present[len(own) :]
        assert present[: len(own)] == own
        check_touch(trading, prints)
        replaced += bool(own)
        passed += not prints
        for _ in range(trading.rng.randint(0, 3)):
            trading.act()
    assert replaced > 20 and passed > 5, "too little happened"
    assert audit(trading.engine.state) == ""
    # The tape is complete, in order, and is what the candles show.
    tape = await feed.tape.trades(START, 2**60, 10**6, newest=False)
    ids = [one.id for one in tape]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert all(feed.tape.time_of(one.id) <= one.timestamp for one in tape)
    joined = await feed.tape.aggregates(START, 2**60, 10**6, newest=False)
    numbers = [one.id for one in joined]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert all(feed.tape.time_of_aggregate(one.id) <= one.timestamp for one in joined)
    for name in ("1m", "5m", "15m"):
        kind = interval(name)
        assert kind is not None
        length = kind.length
        for opened in range(START, START + 15 * MINUTE, length):
            bar = feed.whole(name, opened)
            assert bar is not None
            shown = quotes.traded_bar(feed, bar, opened + length - 1)
            there = [one for one in tape if opened <= one.timestamp < opened + length]
            prices = [one.price for one in there]
            assert shown.bar[1:5] == (prices[0], max(prices), min(prices), prices[-1])
            assert shown.bar.volume == pytest.approx(sum(one.amount for one in there))
            bought = sum(one.amount for one in there if not one.seller_taker)
            assert shown.bought == pytest.approx(bought)
            assert quotes._trade_ids(feed, bar, opened + length - 1)[2] == len(there)
