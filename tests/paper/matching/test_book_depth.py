"""A book with depth: levels, partial fills, queues, other accounts and oneself in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.state import audit
from botlib.paper.market.depth import Depth
from botlib.paper.market.feed import Feed
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.matching.engine import MatchingEngine, PlacedOrder
from botlib.paper.matching.requests import OrderListRequest, OrderRequest

D = Decimal
MINUTE = 60_000
DEPTH = Depth(spread=D("0.02"), levels=3, size=D(1_000), seed=1)


class Floor:
    """A desk, a book and their time."""

    def __init__(self, market: ReplayMarket, start: int, depth: Depth | None) -> None:
        self.ledger = Ledger.open(None, venue=market.venue, balances={"USDT": D(10_000)})
        self.engine = MatchingEngine(self.ledger, Commission(D("0.001"), D("0.001")))
        for account in ("main", "other"):
            for asset, amount in {"BTC": 100, "USDT": 10_000}.items():
                self.engine.deposit(account, asset, D(amount), start)
        self.feed = Feed(market, market.listing("BTC/USDT"), 4, depth=depth)
        self.feed.book.displayed_orders = lambda: self.engine.displayed_orders("BTCUSDT")
        self.time = start
        self.feed.seek(start)

    def place(
        self,
        side: str,
        kind: str,
        amount: Any = None,
        price: Any = None,
        account: str = "main",
        **more: Any,
    ) -> PlacedOrder:
        request = OrderRequest(
            side=side,
            type=kind,
            time_in_force=more.pop("force", "GTC"),
            price=None if price is None else D(str(price)),
            amount=None if amount is None else D(str(amount)),
            quote_amount=more.pop("cost", None),
            client_order_id=None,
            **more,
        )
        return self.engine.place(self.feed, request, self.time, account)

    def move(self, time: int) -> None:
        self.time = time
        self.feed.seek(time)
        self.engine.match(self.feed, time)
        assert audit(self.engine.state) == ""

    def state(self, placed: PlacedOrder) -> tuple[str, Decimal]:
        order = self.engine.state.account(placed.order.account).orders[placed.order.order_id]
        return order.status, order.executed

    def front(self, side: str, away: int = 1) -> Decimal:
        """Return a price just inside the spread, where nobody stands."""
        book = self.feed.book
        best = (book.asks(1) if side == "SELL" else book.bids(1))[0][0]
        return best + D(away) / 100 * (-1 if side == "SELL" else 1)


@pytest.fixture
def floor(candles: Callable[..., ReplayMarket], start_time: int) -> Floor:
    """A book at 100, then one minute at 99.5 with 5 traded, then at 98."""
    market = candles(
        BTCUSDT={
            0: (100, 100, 100, 100, 4),
            1: (99.5, 99.5, 99.5, 99.5, 8),
            2: (98, 98, 98, 98, 8),
        }
    )
    return Floor(market, start_time, DEPTH)


def test_the_book_is_as_deep_as_it_was_set_and_the_same_for_everybody(floor: Floor) -> None:
    book = floor.feed.book
    bids, asks = book.bids(5_000), book.asks(5_000)
    assert (len(bids), len(asks)) == (3, 3)
    assert (bids[0][0], asks[0][0]) == (D(99), D(101))
    assert [price for price, _ in asks] == sorted(price for price, _ in asks)
    assert all(D(4) < amount < D(16) for _, amount in bids + asks)
    other = Feed(floor.feed.market, floor.feed.listing, 4, depth=DEPTH)
    other.seek(floor.time)
    assert (other.book.bids(9), other.book.asks(9)) == (bids, asks)
    seed = Depth(spread=D("0.02"), levels=3, size=D(1_000), seed=2)
    another = Feed(floor.feed.market, floor.feed.listing, 4, depth=seed)
    another.seek(floor.time)
    assert another.book.asks(9) != asks


def test_a_market_order_walks_the_levels_and_leaves_them_empty(floor: Floor) -> None:
    asks = floor.feed.book.asks(3)
    wanted = asks[0][1] + 1
    done = floor.place("BUY", "MARKET", wanted)
    assert [(one.price, one.amount) for one in done.trades] == [asks[0], (asks[1][0], D(1))]
    assert floor.feed.book.asks(3)[0] == (asks[1][0], asks[1][1] - 1)
    # What was taken comes back with the next price.
    floor.move(floor.time + 15_000)
    assert len(floor.feed.book.asks(3)) == 3


def test_what_the_book_cannot_give_expires(floor: Floor) -> None:
    whole = sum(amount for _, amount in floor.feed.book.bids(3))
    done = floor.place("SELL", "MARKET", 99)
    assert (done.order.status, done.order.executed) == ("EXPIRED", whole)
    assert not floor.engine.account.balance("BTC").locked


def test_an_order_by_cost_spends_no_more(floor: Floor) -> None:
    first = floor.feed.book.asks(1)[0]
    cost = first[0] * first[1] + 150
    done = floor.place("BUY", "MARKET", cost=cost)
    spent = floor.engine.state.account("main").balance("USDT")
    assert done.order.status == "FILLED"
    assert cost - D("0.01") < done.order.cost <= cost
    assert spent.free == 20_000 - done.order.cost


@pytest.mark.parametrize(
    ("force", "status", "traded"),
    [("GTC", "PARTIALLY_FILLED", True), ("IOC", "EXPIRED", True), ("FOK", "EXPIRED", False)],
)
def test_a_limit_order_larger_than_its_levels(
    floor: Floor, force: str, status: str, traded: bool
) -> None:
    price, there = floor.feed.book.asks(1)[0]
    done = floor.place("BUY", "LIMIT", there + 5, price, force=force)
    assert (done.order.status, done.order.executed) == (status, there if traded else 0)
    book = floor.feed.book
    assert (book.bids(1)[0][0] == price) == (status == "PARTIALLY_FILLED")


def test_the_queue_at_a_price_is_served_in_turn(floor: Floor) -> None:
    first = floor.place("BUY", "LIMIT", 3, "99.5")
    second = floor.place("BUY", "LIMIT", 2, "99.5", "other")
    assert floor.feed.book.bids(1) == [(D("99.5"), D(5))]
    # A minute at 99.5 trades 8 in four steps: 3 for the first, then 2 for the second.
    seen = []
    for step in range(4):
        floor.move(floor.time - floor.time % MINUTE + (MINUTE if not step else 0) + step * 15_000)
        seen.append((floor.state(first), floor.state(second)))
    partly = [one for one, _ in seen if one[0] == "PARTIALLY_FILLED"]
    assert partly, seen
    assert all(two[1] == 0 or one[0] == "FILLED" for one, two in seen), (
        "the second was served before the first"
    )
    assert seen[-1] == (("FILLED", D(3)), ("FILLED", D(2)))
    makers = floor.engine.state.account("other").trades["BTCUSDT"]
    assert all(one.maker and one.price == D("99.5") for one in makers)


def test_what_stands_before_an_order_trades_first(floor: Floor) -> None:
    price, ahead = floor.feed.book.bids(1)[0]
    order = floor.place("BUY", "LIMIT", 1, price)
    assert order.order.ahead == ahead
    # A market sale of another account meets what stood there before.
    floor.place("SELL", "MARKET", ahead - 1, None, "other")
    assert floor.state(order) == ("NEW", D(0))
    floor.place("SELL", "MARKET", D("1.4"), None, "other")
    assert floor.state(order) == ("PARTIALLY_FILLED", D("0.4"))
    assert floor.engine.state.account("main").trades["BTCUSDT"][-1].maker


def test_the_market_serves_what_stands_before_an_order_first(floor: Floor) -> None:
    order = floor.place("BUY", "LIMIT", 1, "99.5")
    state = floor.engine.state
    # As if 3 had stood there when it came.
    state.put_order(replace(order.order, ahead=D(3)))
    minute = floor.time + MINUTE
    floor.move(minute)
    traded = D(repr(floor.feed.traded))
    assert traded < 3
    assert state.open_orders("BTCUSDT")[0].ahead == 3 - traded
    assert floor.state(order) == ("NEW", D(0))
    floor.move(minute + 30_000)
    floor.move(minute + 45_000)
    assert floor.state(order)[1] > 0


def test_self_trade_prevention_ends_the_whole_pair(floor: Floor) -> None:
    price = floor.front("SELL", 20)
    limit = OrderRequest(
        side="SELL",
        type="LIMIT_MAKER",
        time_in_force="GTC",
        price=price,
        amount=D(1),
        quote_amount=None,
        client_order_id=None,
    )
    stop = replace(limit, type="STOP_LOSS", price=None, stop_price=D(98))
    request = OrderListRequest(working=None, others=[limit, stop])
    found, _, _ = floor.engine.place_list(floor.feed, request, floor.time)
    floor.place("BUY", "LIMIT", "0.1", price)
    states = [floor.engine.account.orders[one].status for one in found.order_ids]
    assert states == ["EXPIRED_IN_MATCH", "EXPIRED"]
    assert floor.engine.state.lists[found.list_id].done
    assert floor.engine.account.balance("BTC").locked == 0


def test_a_price_that_passes_an_order_fills_it_as_far_as_is_traded(floor: Floor) -> None:
    large = floor.place("BUY", "LIMIT", 6, "99.5")
    behind = floor.place("BUY", "LIMIT", 50, "99.4", "other")
    # At 98, both were passed: the better price is served first, with what is traded and no more.
    traded, filled, start = D(0), [], floor.time + 2 * MINUTE
    for step in range(4):
        floor.move(start + step * 15_000)
        traded += D(repr(floor.feed.traded))
        filled.append((floor.state(large)[1], floor.state(behind)[1]))
        assert sum(filled[-1]) == traded
        assert not filled[-1][1] or filled[-1][0] == 6
        # Nobody offers what would have traded with the order that stands there.
        assert (
            floor.feed.book.asks(1)[0][0]
            > floor.feed.book.bids(1)[0][0]
            == (D("99.4") if filled[-1][0] == 6 else D("99.5"))
        )
    assert len({one for one, _ in filled}) > 1
    assert filled[-1] == (D(6), D(2))
    maker = floor.engine.state.account("other").trades["BTCUSDT"][-1]
    assert (maker.price, maker.maker) == (D("99.4"), True)


def test_a_price_that_passes_an_order_serves_the_queue_before_it(floor: Floor) -> None:
    order = floor.place("BUY", "LIMIT", 50, 99)
    ahead = order.order.ahead
    assert 4 < ahead < 8
    start = floor.time + 2 * MINUTE
    floor.move(start)
    assert floor.engine.account.orders[order.order.order_id].ahead == ahead - D(
        repr(floor.feed.traded)
    )
    for step in range(1, 4):
        floor.move(start + step * 15_000)
    assert floor.state(order) == ("PARTIALLY_FILLED", 8 - ahead)


def test_accounts_trade_with_each_other_at_the_makers_price(floor: Floor) -> None:
    price = floor.front("SELL")
    maker = floor.place("SELL", "LIMIT", 2, price, "other")
    taker = floor.place("BUY", "MARKET", "1.5")
    assert [(one.price, one.amount, one.maker) for one in taker.trades] == [
        (price, D("1.5"), False)
    ]
    assert floor.state(maker) == ("PARTIALLY_FILLED", D("1.5"))
    [sold] = floor.engine.state.account("other").trades["BTCUSDT"]
    assert (sold.trade_id, sold.maker) == (taker.trades[0].trade_id, True)
    assert {account for account, _ in taker.user_events} == {"main", "other"}
    assert not floor.engine.state.clearing["BTC"].market
    assert audit(floor.engine.state) == ""


def test_an_iceberg_gives_way_after_every_part(floor: Floor) -> None:
    price = floor.front("SELL")
    iceberg = floor.place("SELL", "LIMIT", 3, price, "other", iceberg=D(1))
    plain = floor.place("SELL", "LIMIT", 1, price, "other")
    assert floor.feed.book.asks(1) == [(price, D(2))]
    floor.place("BUY", "MARKET", "2")
    assert floor.state(iceberg) == ("PARTIALLY_FILLED", D(1))
    assert floor.state(plain) == ("FILLED", D(1))
    floor.place("BUY", "MARKET", "2")
    assert floor.state(iceberg) == ("FILLED", D(3))


def test_the_next_part_of_an_iceberg_queues_up_behind_the_others(floor: Floor) -> None:
    price = floor.front("SELL")
    iceberg = floor.place("SELL", "LIMIT", 3, price, "other", iceberg=D(1))
    plain = floor.place("SELL", "LIMIT", 2, price, "other")
    floor.place("BUY", "MARKET", 1)
    assert (floor.state(iceberg)[1], floor.state(plain)[1]) == (D(1), D(0))
    assert floor.feed.book.asks(1) == [(price, D(3))]
    floor.place("BUY", "MARKET", "1.5")
    assert (floor.state(iceberg)[1], floor.state(plain)[1]) == (D(1), D("1.5"))
    floor.place("BUY", "MARKET", 1)
    assert (floor.state(iceberg)[1], floor.state(plain)[1]) == (D("1.5"), D(2))
    # A part that is begun shows what is left of it, and keeps its place.
    assert floor.feed.book.asks(1) == [(price, D("0.5"))]
    late = floor.place("SELL", "LIMIT", 1, price, "other")
    floor.place("BUY", "MARKET", "0.5")
    assert (floor.state(iceberg)[1], floor.state(late)[1]) == (D(2), D(0))


def test_two_icebergs_take_turns_part_by_part(floor: Floor) -> None:
    price = floor.front("SELL")
    first = floor.place("SELL", "LIMIT", 3, price, "other", iceberg=D(1))
    second = floor.place("SELL", "LIMIT", 3, price, "other", iceberg=D(1))
    floor.place("BUY", "MARKET", 4)
    assert (floor.state(first)[1], floor.state(second)[1]) == (D(2), D(2))


def test_the_market_too_finds_the_next_part_of_an_iceberg_behind_the_others(floor: Floor) -> None:
    iceberg = floor.place("BUY", "LIMIT", 3, "99.5", "other", iceberg=D(1))
    plain = floor.place("BUY", "LIMIT", 3, "99.5")
    start, seen = floor.time + MINUTE, []
    for step in range(4):
        floor.move(start + step * 15_000)
        seen.append((floor.state(iceberg)[1], floor.state(plain)[1]))
    # 8 are traded: a part of the iceberg, then all of the other order, then part after part.
    assert seen[0][0] == 1 and seen[0][1] > 0
    assert all(one == 1 or two == 3 for one, two in seen)
    assert seen[-1] == (D(3), D(3))


@pytest.mark.parametrize(
    ("mode", "taker", "maker", "traded"),
    [
        ("NONE", ("FILLED", 3), ("FILLED", 2), True),
        ("EXPIRE_TAKER", ("EXPIRED_IN_MATCH", 0), ("NEW", 0), False),
        ("EXPIRE_MAKER", ("FILLED", 3), ("EXPIRED_IN_MATCH", 0), False),
        ("EXPIRE_BOTH", ("EXPIRED_IN_MATCH", 0), ("EXPIRED_IN_MATCH", 0), False),
        ("DECREMENT", ("EXPIRED", 1), ("EXPIRED_IN_MATCH", 0), False),
    ],
)
def test_a_trade_with_oneself_is_prevented_as_the_taker_wants(
    floor: Floor, mode: str, taker: Any, maker: Any, traded: bool
) -> None:
    resting = floor.place("SELL", "LIMIT", 2, floor.front("SELL"))
    force = "IOC" if mode == "DECREMENT" else "GTC"
    limit = floor.front("SELL", -5)
    done = floor.place("BUY", "LIMIT", 3, limit, self_trade=mode, force=force)
    if mode == "DECREMENT":
        # 2 of 3 were prevented; the third trades with the market and completes the order.
        assert (done.order.prevented, done.order.remaining) == (D(2), D(0))
        assert (done.order.executed, done.order.status) == (D(1), "FILLED")
    else:
        assert (done.order.status, done.order.executed) == taker
    assert floor.state(resting) == maker
    own = [one for one in floor.engine.account.trades.get("BTCUSDT", []) if one.maker]
    assert bool(own) == traded
    assert len(done.prevented) == (mode != "NONE")
    held = {asset: balance.locked for asset, balance in floor.engine.account.balances.items()}
    assert held == {"USDT": 0, "BTC": 2 if mode == "EXPIRE_TAKER" else 0}
    assert audit(floor.engine.state) == ""


def test_a_maker_order_refuses_to_meet_another_account(floor: Floor) -> None:
    price = floor.front("SELL")
    floor.place("SELL", "LIMIT", 2, price, "other")
    with pytest.raises(Exception, match="immediately match and take"):
        floor.place("BUY", "LIMIT_MAKER", 1, price)


def test_changes_lead_from_one_book_to_the_next(floor: Floor) -> None:
    book = floor.feed.book
    first = book.changes(0)
    bids, asks = dict(first.bids), dict(first.asks)
    last = first.last
    for act in (
        lambda: floor.place("BUY", "LIMIT", 3, "99.5"),
        lambda: floor.place("BUY", "MARKET", 2),
        lambda: floor.move(floor.time + MINUTE),
        lambda: floor.move(floor.time + MINUTE),
    ):
        act()
        change = book.changes(last)
        assert change.first == last + 1 and change.last > last
        last = change.last
        for side, rows in ((bids, change.bids), (asks, change.asks)):
            side.update(rows)
        assert {p: a for p, a in bids.items() if a} == dict(book.bids(5_000))
        assert {p: a for p, a in asks.items() if a} == dict(book.asks(5_000))


def test_the_tape_adds_up_to_the_candles(floor: Floor) -> None:
    floor.feed.seek(floor.time + 3 * MINUTE - 1)
    trades = floor.feed.tape.trades(0, 2**60, 1_000, newest=True)
    ids = [trade.id for trade in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    for bar in floor.feed.bars_between(floor.time, 2**60):
        own = [one for one in trades if bar.timestamp <= one.timestamp < bar.timestamp + MINUTE]
        assert sum(D(repr(one.amount)) for one in own) == D(repr(bar.volume))
        assert (own[0].price, own[-1].price) == (bar.open, bar.close)
        assert {bar.high, bar.low} <= {one.price for one in own}
    joined = floor.feed.tape.aggregates(0, 2**60, 1_000, newest=True)
    assert [one.last + 1 for one in joined[:-1]] == [one.first for one in joined[1:]]
    assert sum(one.amount for one in joined) == pytest.approx(sum(one.amount for one in trades))


async def test_a_served_book_with_depth_and_latency(
    serve: Any, candles: Callable[..., ReplayMarket]
) -> None:
    market = candles(BTCUSDT={0: (100, 100, 100, 100, 4), 1: (100, 100, 100, 100, 4)})
    depth = Depth(spread=D("0.02"), levels=3, size=D(1_000), latency=1)
    served = await serve(market, pace=MarketPace(None, lockstep=True), depth=depth)
    book = await served.get("depth", symbol="BTCUSDT")
    bought = await served.order("BUY", "MARKET", quantity="20")
    assert [fill["price"] for fill in bought["fills"]] == [
        price for price, _ in book["asks"][: len(bought["fills"])]
    ]
    assert len(bought["fills"]) > 1
    ticker = await served.get("ticker/bookTicker", symbol="BTCUSDT")
    assert ticker["bidPrice"] == "99.00000000"


@pytest.mark.parametrize(("side", "gained"), [("BUY", 1), ("SELL", -1)])
def test_in_a_group_a_prevented_trade_may_change_hands_nevertheless(
    floor: Floor, side: str, gained: int
) -> None:
    def owned(account: str) -> tuple[Decimal, Decimal]:
        found = floor.engine.state.account(account).balances
        return tuple(found[asset].free + found[asset].locked for asset in ("BTC", "USDT"))  # type: ignore[return-value]

    for account in ("main", "other"):
        floor.engine.join(account, 7, floor.time)
    other = "SELL" if side == "BUY" else "BUY"
    price = floor.front(other)
    resting = floor.place(other, "LIMIT", 2, price, "other", self_trade="TRANSFER")
    before = {account: owned(account) for account in ("main", "other")}
    done = floor.place(side, "LIMIT", 2, price, self_trade="TRANSFER")
    assert done.order.status == floor.state(resting)[0] == "EXPIRED_IN_MATCH"
    assert (done.trades, done.order.executed) == ([], 0)
    [match] = done.prevented
    assert (match.mode, match.group, match.amount) == ("TRANSFER", 7, D(2))
    for account, sign in (("main", gained), ("other", -gained)):
        btc, usdt = before[account]
        assert owned(account) == (btc + 2 * sign, usdt - 2 * price * sign)  # no commission
    told = [event for _, event in done.user_events if event.get("x") == "TRADE_PREVENTION"]
    assert {(one["u"], one["pl"], one["A"]) for one in told} == {(7, "2.00000000", "2.00000000")}
    assert audit(floor.engine.state) == ""


@pytest.mark.parametrize(
    ("group", "maker_mode", "mode"),
    [(7, "NONE", "DECREMENT"), (7, "TRANSFER", "TRANSFER"), (-1, "TRANSFER", None)],
)
def test_a_transfer_needs_both_sides_and_one_group(
    floor: Floor, group: int, maker_mode: str, mode: str | None
) -> None:
    floor.engine.join("main", 7, floor.time)
    floor.engine.join("other", group, floor.time)
    price = floor.front("SELL")
    floor.place("SELL", "LIMIT", 2, price, "other", self_trade=maker_mode)
    done = floor.place("BUY", "LIMIT", 2, price, self_trade="TRANSFER")
    assert [match.mode for match in done.prevented] == ([mode] if mode else [])
    assert bool(done.trades) == (mode is None)


def test_by_cost_what_is_prevented_counts_as_well(floor: Floor) -> None:
    price = floor.front("SELL")
    floor.place("SELL", "LIMIT", 2, price)
    done = floor.place("BUY", "MARKET", cost=4 * price, self_trade="DECREMENT")
    assert (done.order.prevented, done.order.status) == (D(2), "FILLED")
    assert 0 < done.order.executed <= 2
    assert done.order.amount == done.order.executed + 2
    assert audit(floor.engine.state) == ""


def test_groups_outlast_a_restart(floor: Floor) -> None:
    floor.engine.join("main", 7, floor.time)
    floor.engine.join("other", 7, floor.time)
    floor.engine.join("other", -1, floor.time)
    assert floor.ledger.load().groups == {"main": 7}
    assert floor.engine.state.group_members("main") == {"main"}
