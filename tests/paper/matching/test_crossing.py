"""A book with a depth: levels, partial fills, queues, other accounts and self-trades."""

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
from tests.support.finished import finished

D = Decimal
MINUTE = 60_000
DEPTH = Depth(spread=D("0.02"), levels=3, size=D(1_000), seed=1)


class BookMarket:
    """A matching engine, a book and the market time."""

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
        return finished(self.engine.place(self.feed, request, self.time, account))

    def move(self, time: int) -> None:
        self.time = time
        self.feed.seek(time)
        finished(self.engine.match(self.feed, time))
        assert audit(self.engine.state) == ""

    def state(self, placed: PlacedOrder) -> tuple[str, Decimal]:
        order = self.engine.state.account(placed.order.account).orders[placed.order.order_id]
        return order.status, order.executed

    def front(self, side: str, away: int = 1) -> Decimal:
        """Return a price inside the spread, where the book is empty."""
        book = self.feed.book
        best = (book.asks(1) if side == "SELL" else book.bids(1))[0][0]
        return best + D(away) / 100 * (-1 if side == "SELL" else 1)


@pytest.fixture
def book_market(candles: Callable[..., ReplayMarket], start_time: int) -> BookMarket:
    """A book at 100, then one minute at 99.5 with 5 traded, then at 98."""
    market = candles(
        BTCUSDT={
            0: (100, 100, 100, 100, 4),
            1: (99.5, 99.5, 99.5, 99.5, 8),
            2: (98, 98, 98, 98, 8),
        }
    )
    return BookMarket(market, start_time, DEPTH)


def test_the_book_has_the_configured_depth_for_all_accounts(book_market: BookMarket) -> None:
    book = book_market.feed.book
    bids, asks = book.bids(5_000), book.asks(5_000)
    assert (len(bids), len(asks)) == (3, 3)
    assert (bids[0][0], asks[0][0]) == (D(98), D(100))
    assert [price for price, _ in asks] == sorted(price for price, _ in asks)
    assert all(D(4) < amount < D(16) for _, amount in bids + asks)
    other = Feed(book_market.feed.market, book_market.feed.listing, 4, depth=DEPTH)
    other.seek(book_market.time)
    assert (other.book.bids(9), other.book.asks(9)) == (bids, asks)
    seed = Depth(spread=D("0.02"), levels=3, size=D(1_000), seed=2)
    another = Feed(book_market.feed.market, book_market.feed.listing, 4, depth=seed)
    another.seek(book_market.time)
    assert another.book.asks(9) != asks


def test_a_market_order_takes_one_level_after_the_other(book_market: BookMarket) -> None:
    asks = book_market.feed.book.asks(3)
    wanted = asks[0][1] + 1
    done = book_market.place("BUY", "MARKET", wanted)
    assert [(one.price, one.amount) for one in done.trades] == [asks[0], (asks[1][0], D(1))]
    assert book_market.feed.book.asks(3)[0] == (asks[1][0], asks[1][1] - 1)
    # Taken levels return with the next price.
    book_market.move(book_market.time + 15_000)
    assert len(book_market.feed.book.asks(3)) == 3


def test_the_amount_beyond_the_book_expires(book_market: BookMarket) -> None:
    whole = sum(amount for _, amount in book_market.feed.book.bids(3))
    done = book_market.place("SELL", "MARKET", 99)
    assert (done.order.status, done.order.executed) == ("EXPIRED", whole)
    assert not book_market.engine.account.balance("BTC").locked


def test_an_order_by_quote_amount_spends_no_more_than_that(book_market: BookMarket) -> None:
    first = book_market.feed.book.asks(1)[0]
    cost = first[0] * first[1] + 150
    done = book_market.place("BUY", "MARKET", cost=cost)
    spent = book_market.engine.state.account("main").balance("USDT")
    assert done.order.status == "FILLED"
    assert cost - D("0.01") < done.order.cost <= cost
    assert spent.free == 20_000 - done.order.cost


@pytest.mark.parametrize(
    ("force", "status", "traded"),
    [("GTC", "PARTIALLY_FILLED", True), ("IOC", "EXPIRED", True), ("FOK", "EXPIRED", False)],
)
def test_a_limit_order_larger_than_the_levels_it_crosses(
    book_market: BookMarket, force: str, status: str, traded: bool
) -> None:
    price, there = book_market.feed.book.asks(1)[0]
    done = book_market.place("BUY", "LIMIT", there + 5, price, force=force)
    assert (done.order.status, done.order.executed) == (status, there if traded else 0)
    book = book_market.feed.book
    assert (book.bids(1)[0][0] == price) == (status == "PARTIALLY_FILLED")


def test_orders_at_one_price_fill_in_the_order_of_arrival(book_market: BookMarket) -> None:
    first = book_market.place("BUY", "LIMIT", 3, "99.5")
    second = book_market.place("BUY", "LIMIT", 2, "99.5", "other")
    assert book_market.feed.book.bids(1) == [(D("99.5"), D(5))]
    # A minute at 99.5 trades 8 in four steps: 3 for the first, then 2 for the second.
    seen = []
    for step in range(4):
        book_market.move(
            book_market.time
            - book_market.time % MINUTE
            + (MINUTE if not step else 0)
            + step * 15_000
        )
        seen.append((book_market.state(first), book_market.state(second)))
    partly = [one for one, _ in seen if one[0] == "PARTIALLY_FILLED"]
    assert partly, seen
    assert all(two[1] == 0 or one[0] == "FILLED" for one, two in seen), (
        "the second was served before the first"
    )
    assert seen[-1] == (("FILLED", D(3)), ("FILLED", D(2)))
    makers = book_market.engine.state.account("other").trades["BTCUSDT"]
    assert all(one.maker and one.price == D("99.5") for one in makers)


def test_the_amount_ahead_of_an_order_trades_with_takers_first(book_market: BookMarket) -> None:
    price, ahead = book_market.feed.book.bids(1)[0]
    order = book_market.place("BUY", "LIMIT", 1, price)
    assert order.order.ahead == ahead
    # A market sell of another account trades with the amount ahead.
    book_market.place("SELL", "MARKET", ahead - 1, None, "other")
    assert book_market.state(order) == ("NEW", D(0))
    book_market.place("SELL", "MARKET", D("1.4"), None, "other")
    assert book_market.state(order) == ("PARTIALLY_FILLED", D("0.4"))
    assert book_market.engine.state.account("main").trades["BTCUSDT"][-1].maker


def test_the_traded_volume_fills_the_amount_ahead_of_an_order_first(
    book_market: BookMarket,
) -> None:
    order = book_market.place("BUY", "LIMIT", 1, "99.5")
    state = book_market.engine.state
    # As if an amount of 3 had been ahead of the order.
    state.put_order(replace(order.order, ahead=D(3)))
    minute = book_market.time + MINUTE
    book_market.move(minute)
    traded = D(repr(book_market.feed.traded))
    assert traded < 3
    assert state.open_orders("BTCUSDT")[0].ahead == 3 - traded
    assert book_market.state(order) == ("NEW", D(0))
    book_market.move(minute + 30_000)
    book_market.move(minute + 45_000)
    assert book_market.state(order)[1] > 0


def test_self_trade_prevention_expires_the_whole_pair(book_market: BookMarket) -> None:
    best, there = book_market.feed.book.asks(1)[0]
    price = best + D("0.2")
    limit = OrderRequest(
        side="SELL",
        type="LIMIT_MAKER",
        time_in_force="GTC",
        price=price,
        amount=D(1),
        quote_amount=None,
        client_order_id=None,
    )
    stop = replace(limit, type="STOP_LOSS", price=None, stop_price=D(97))
    request = OrderListRequest(working=None, others=[limit, stop])
    found, _, _ = finished(
        book_market.engine.place_list(book_market.feed, request, book_market.time)
    )
    book_market.place("BUY", "LIMIT", there + 1, price)
    states = [book_market.engine.account.orders[one].status for one in found.order_ids]
    assert states == ["EXPIRED_IN_MATCH", "EXPIRED"]
    assert book_market.engine.state.lists[found.list_id].done
    assert book_market.engine.account.balance("BTC").locked == 0


def test_a_passing_price_fills_orders_up_to_the_traded_volume(book_market: BookMarket) -> None:
    large = book_market.place("BUY", "LIMIT", 6, "99.5")
    behind = book_market.place("BUY", "LIMIT", 50, "99.4", "other")
    # At 98 both are passed: the better price fills first, up to the traded volume, and the market
    # trades nothing at 98 itself.
    traded, filled, start = D(0), [], book_market.time + 2 * MINUTE
    for step in range(4):
        book_market.move(start + step * 15_000)
        traded += D(repr(book_market.feed.traded))
        filled.append((book_market.state(large)[1], book_market.state(behind)[1]))
        assert sum(filled[-1]) == traded
        assert not filled[-1][1] or filled[-1][0] == 6
        assert all(one.price != 98 for one in book_market.feed.tape.present())
        # The market shows no level that would trade with the resting order.
        assert (
            book_market.feed.book.asks(1)[0][0]
            > book_market.feed.book.bids(1)[0][0]
            == (D("99.4") if filled[-1][0] == 6 else D("99.5"))
        )
    assert len({one for one, _ in filled}) > 1
    assert filled[-1] == (D(6), D(2))
    maker = book_market.engine.state.account("other").trades["BTCUSDT"][-1]
    assert (maker.price, maker.maker) == (D("99.4"), True)


def test_a_passing_price_leaves_nothing_ahead_of_an_order(book_market: BookMarket) -> None:
    """The market reaches a worse price only after all that was better has gone."""
    order = book_market.place("BUY", "LIMIT", 50, 99)
    state = book_market.engine.state
    state.put_order(replace(order.order, ahead=D(3)))
    start = book_market.time + 2 * MINUTE
    book_market.move(start)
    assert book_market.state(order)[1] == D(repr(book_market.feed.traded))
    for step in range(1, 4):
        book_market.move(start + step * 15_000)
    assert book_market.state(order) == ("PARTIALLY_FILLED", D(8))


def test_accounts_trade_with_each_other_at_the_makers_price(book_market: BookMarket) -> None:
    price = book_market.front("SELL")
    maker = book_market.place("SELL", "LIMIT", 2, price, "other")
    taker = book_market.place("BUY", "MARKET", "1.5")
    assert [(one.price, one.amount, one.maker) for one in taker.trades] == [
        (price, D("1.5"), False)
    ]
    assert book_market.state(maker) == ("PARTIALLY_FILLED", D("1.5"))
    [sold] = book_market.engine.state.account("other").trades["BTCUSDT"]
    assert (sold.trade_id, sold.maker) == (taker.trades[0].trade_id, True)
    assert {account for account, _ in taker.user_events} == {"main", "other"}
    assert not book_market.engine.state.clearing["BTC"].market
    assert audit(book_market.engine.state) == ""


def test_an_iceberg_loses_its_place_after_every_part(book_market: BookMarket) -> None:
    price = book_market.front("SELL")
    iceberg = book_market.place("SELL", "LIMIT", 3, price, "other", iceberg=D(1))
    plain = book_market.place("SELL", "LIMIT", 1, price, "other")
    assert book_market.feed.book.asks(1) == [(price, D(2))]
    book_market.place("BUY", "MARKET", "2")
    assert book_market.state(iceberg) == ("PARTIALLY_FILLED", D(1))
    assert book_market.state(plain) == ("FILLED", D(1))
    book_market.place("BUY", "MARKET", "2")
    assert book_market.state(iceberg) == ("FILLED", D(3))


def test_the_next_part_of_an_iceberg_queues_behind_other_orders(book_market: BookMarket) -> None:
    price = book_market.front("SELL")
    iceberg = book_market.place("SELL", "LIMIT", 3, price, "other", iceberg=D(1))
    plain = book_market.place("SELL", "LIMIT", 2, price, "other")
    book_market.place("BUY", "MARKET", 1)
    assert (book_market.state(iceberg)[1], book_market.state(plain)[1]) == (D(1), D(0))
    assert book_market.feed.book.asks(1) == [(price, D(3))]
    book_market.place("BUY", "MARKET", "1.5")
    assert (book_market.state(iceberg)[1], book_market.state(plain)[1]) == (D(1), D("1.5"))
    book_market.place("BUY", "MARKET", 1)
    assert (book_market.state(iceberg)[1], book_market.state(plain)[1]) == (D("1.5"), D(2))
    # A partly filled part shows its rest and keeps its place.
    assert book_market.feed.book.asks(1) == [(price, D("0.5"))]
    late = book_market.place("SELL", "LIMIT", 1, price, "other")
    book_market.place("BUY", "MARKET", "0.5")
    assert (book_market.state(iceberg)[1], book_market.state(late)[1]) == (D(2), D(0))


def test_two_icebergs_alternate_part_by_part(book_market: BookMarket) -> None:
    price = book_market.front("SELL")
    first = book_market.place("SELL", "LIMIT", 3, price, "other", iceberg=D(1))
    second = book_market.place("SELL", "LIMIT", 3, price, "other", iceberg=D(1))
    book_market.place("BUY", "MARKET", 4)
    assert (book_market.state(first)[1], book_market.state(second)[1]) == (D(2), D(2))


def test_the_traded_volume_fills_the_next_part_of_an_iceberg_last(book_market: BookMarket) -> None:
    iceberg = book_market.place("BUY", "LIMIT", 3, "99.5", "other", iceberg=D(1))
    plain = book_market.place("BUY", "LIMIT", 3, "99.5")
    start, seen = book_market.time + MINUTE, []
    for step in range(4):
        book_market.move(start + step * 15_000)
        seen.append((book_market.state(iceberg)[1], book_market.state(plain)[1]))
    # A volume of 8: one part of the iceberg, the whole other order, then part after part.
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
def test_the_takers_mode_decides_how_a_self_trade_is_prevented(
    book_market: BookMarket, mode: str, taker: Any, maker: Any, traded: bool
) -> None:
    resting = book_market.place("SELL", "LIMIT", 2, book_market.front("SELL"))
    force = "IOC" if mode == "DECREMENT" else "GTC"
    limit = book_market.front("SELL", -5)
    done = book_market.place("BUY", "LIMIT", 3, limit, self_trade=mode, force=force)
    if mode == "DECREMENT":
        # 2 of 3 were prevented; the third trades with the market and completes the order.
        assert (done.order.prevented, done.order.remaining) == (D(2), D(0))
        assert (done.order.executed, done.order.status) == (D(1), "FILLED")
    else:
        assert (done.order.status, done.order.executed) == taker
    assert book_market.state(resting) == maker
    own = [one for one in book_market.engine.account.trades.get("BTCUSDT", []) if one.maker]
    assert bool(own) == traded
    assert len(done.prevented) == (mode != "NONE")
    held = {asset: balance.locked for asset, balance in book_market.engine.account.balances.items()}
    assert held == {"USDT": 0, "BTC": 2 if mode == "EXPIRE_TAKER" else 0}
    assert audit(book_market.engine.state) == ""


def test_a_limit_maker_that_would_match_another_account_is_refused(book_market: BookMarket) -> None:
    price = book_market.front("SELL")
    book_market.place("SELL", "LIMIT", 2, price, "other")
    with pytest.raises(Exception, match="immediately match and take"):
        book_market.place("BUY", "LIMIT_MAKER", 1, price)


def test_level_changes_lead_from_one_book_to_the_next(book_market: BookMarket) -> None:
    book = book_market.feed.book
    first = book.changes(0)
    bids, asks = dict(first.bids), dict(first.asks)
    last = first.last
    for act in (
        lambda: book_market.place("BUY", "LIMIT", 3, "99.5"),
        lambda: book_market.place("BUY", "MARKET", 2),
        lambda: book_market.move(book_market.time + MINUTE),
        lambda: book_market.move(book_market.time + MINUTE),
    ):
        act()
        change = book.changes(last)
        assert change.first == last + 1 and change.last > last
        last = change.last
        for side, rows in ((bids, change.bids), (asks, change.asks)):
            side.update(rows)
        assert {p: a for p, a in bids.items() if a} == dict(book.bids(5_000))
        assert {p: a for p, a in asks.items() if a} == dict(book.asks(5_000))


async def test_the_tape_adds_up_to_the_candles(book_market: BookMarket) -> None:
    book_market.feed.seek(book_market.time + 3 * MINUTE - 1)
    trades = await book_market.feed.tape.trades(0, 2**60, 1_000, newest=True)
    ids = [trade.id for trade in trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    for bar in book_market.feed.bars_between(book_market.time, 2**60):
        own = [one for one in trades if bar.timestamp <= one.timestamp < bar.timestamp + MINUTE]
        assert sum(D(repr(one.amount)) for one in own) == D(repr(bar.volume))
        assert (own[0].price, own[-1].price) == (bar.open, bar.close)
        assert {bar.high, bar.low} <= {one.price for one in own}
    joined = await book_market.feed.tape.aggregates(0, 2**60, 1_000, newest=True)
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
    assert ticker["bidPrice"] == "98.00000000"


@pytest.mark.parametrize(("side", "gained"), [("BUY", 1), ("SELL", -1)])
def test_transfer_mode_exchanges_the_amount_inside_a_group(
    book_market: BookMarket, side: str, gained: int
) -> None:
    def owned(account: str) -> tuple[Decimal, Decimal]:
        found = book_market.engine.state.account(account).balances
        return tuple(found[asset].free + found[asset].locked for asset in ("BTC", "USDT"))  # type: ignore[return-value]

    for account in ("main", "other"):
        book_market.engine.join(account, 7, book_market.time)
    other = "SELL" if side == "BUY" else "BUY"
    price = book_market.front(other)
    resting = book_market.place(other, "LIMIT", 2, price, "other", self_trade="TRANSFER")
    before = {account: owned(account) for account in ("main", "other")}
    done = book_market.place(side, "LIMIT", 2, price, self_trade="TRANSFER")
    assert done.order.status == book_market.state(resting)[0] == "EXPIRED_IN_MATCH"
    assert (done.trades, done.order.executed) == ([], 0)
    [match] = done.prevented
    assert (match.mode, match.group, match.amount) == ("TRANSFER", 7, D(2))
    for account, sign in (("main", gained), ("other", -gained)):
        btc, usdt = before[account]
        assert owned(account) == (btc + 2 * sign, usdt - 2 * price * sign)  # no commission
    told = [event for _, event in done.user_events if event.get("x") == "TRADE_PREVENTION"]
    assert {(one["u"], one["pl"], one["A"]) for one in told} == {(7, "2.00000000", "2.00000000")}
    assert audit(book_market.engine.state) == ""


@pytest.mark.parametrize(
    ("group", "maker_mode", "mode"),
    [(7, "NONE", "DECREMENT"), (7, "TRANSFER", "TRANSFER"), (-1, "TRANSFER", None)],
)
def test_a_transfer_needs_the_mode_on_both_orders_and_one_group(
    book_market: BookMarket, group: int, maker_mode: str, mode: str | None
) -> None:
    book_market.engine.join("main", 7, book_market.time)
    book_market.engine.join("other", group, book_market.time)
    price = book_market.front("SELL")
    book_market.place("SELL", "LIMIT", 2, price, "other", self_trade=maker_mode)
    done = book_market.place("BUY", "LIMIT", 2, price, self_trade="TRANSFER")
    assert [match.mode for match in done.prevented] == ([mode] if mode else [])
    assert bool(done.trades) == (mode is None)


def test_a_quote_amount_includes_prevented_amounts(book_market: BookMarket) -> None:
    price = book_market.front("SELL")
    book_market.place("SELL", "LIMIT", 2, price)
    done = book_market.place("BUY", "MARKET", cost=4 * price, self_trade="DECREMENT")
    assert (done.order.prevented, done.order.status) == (D(2), "FILLED")
    assert 0 < done.order.executed <= 2
    assert done.order.amount == done.order.executed + 2
    assert audit(book_market.engine.state) == ""


def test_trade_groups_survive_a_restart(book_market: BookMarket) -> None:
    book_market.engine.join("main", 7, book_market.time)
    book_market.engine.join("other", 7, book_market.time)
    book_market.engine.join("other", -1, book_market.time)
    assert book_market.ledger.load().groups == {"main": 7}
    assert book_market.engine.state.group_members("main") == {"main"}
