"""Orders and trades that left memory: queries are answered as if all were in memory."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from botlib.core.errors import PaperExchangeError
from botlib.paper.accounts import archive, record_cache
from botlib.paper.accounts.account import PaperAccount
from botlib.paper.accounts.archive import RecordRange
from botlib.paper.accounts.commission import Commission
from botlib.paper.accounts.ledger import Ledger
from botlib.paper.accounts.orders import PaperOrder, PaperTrade
from botlib.paper.accounts.record_cache import RecordCache
from botlib.paper.market.feed import Feed
from botlib.paper.matching.engine import MatchingEngine
from botlib.paper.matching.requests import OrderListRequest
from tests.support.finished import finished
from tests.support.full_disk import FullDisk
from tests.support.samples import request
from tests.support.trading_machine import ACCOUNTS, FEE, MARKET, T0, TradingMachine

FEW = 2
"""Finished orders and other records in memory during these tests."""
SYMBOL = "BTCUSDT"
TIMES = st.none() | st.integers(0, 300).map(lambda steps: T0 + steps * 15_000)
SPANS = st.builds(
    RecordRange,
    first=st.none() | st.integers(0, 40),
    start=TIMES,
    end=TIMES,
    limit=st.integers(1, 9),
    oldest=st.booleans(),
)


class AllRecords:
    """All orders and trades there ever were, in plain lists."""

    def __init__(self) -> None:
        self.orders: dict[int, list[tuple[int, PaperOrder]]] = {}
        """The states of every order by id, each with the market time of its start."""
        self.trades: list[PaperTrade] = []
        self.records: dict[str, dict[int, Any]] = {"lists": {}, "prevented": {}}
        """The records of every cache by number."""

    def copy(self) -> AllRecords:
        found = AllRecords()
        found.orders = {number: list(states) for number, states in self.orders.items()}
        found.trades = list(self.trades)
        found.records = {name: dict(records) for name, records in self.records.items()}
        return found

    def orders_of(self, account: str, then: int | None = None) -> dict[int, PaperOrder]:
        found = {}
        for number in sorted(self.orders):
            states = [one for time, one in self.orders[number] if then is None or time <= then]
            if states and states[-1].account == account:
                found[number] = states[-1]
        return found

    def trades_of(self, account: str, then: int | None = None) -> list[PaperTrade]:
        mine = [one for one in self.trades if one.account == account]
        found = [one for one in mine if then is None or one.time <= then]
        return sorted(found, key=lambda one: (one.trade_id, one.order_id))


def select(rows: list[Any], span: RecordRange, number: str, time: str) -> list[Any]:
    if span.first is not None:
        rows = [row for row in rows if getattr(row, number) >= span.first]
    if span.start is not None:
        rows = [row for row in rows if getattr(row, time) >= span.start]
    if span.end is not None:
        rows = [row for row in rows if getattr(row, time) <= span.end]
    assert span.limit is not None
    return rows[: span.limit] if span.oldest else rows[-span.limit :]


class RecordedMachine(TradingMachine):
    """Random actions, with a list of all records beside the engine."""

    def __init__(self) -> None:
        super().__init__()
        self.all_records = AllRecords()
        self.record_changes()

    def record_changes(self) -> None:
        state = self.engine.state
        put_order, put_trade = state.put_order, state.put_trade

        def order(one: PaperOrder) -> None:
            self.all_records.orders.setdefault(one.order_id, []).append((self.time, one))
            put_order(one)

        def trade(one: PaperTrade) -> None:
            self.all_records.trades.append(one)
            put_trade(one)

        for name, committed in (("lists", state.lists), ("prevented", state.prevented)):
            self.record_cache_changes(self.all_records.records[name], committed)
        state.put_order = order  # type: ignore[assignment, method-assign]
        state.put_trade = trade  # type: ignore[assignment, method-assign]

    @staticmethod
    def record_cache_changes(records: dict[int, Any], cache: RecordCache[Any]) -> None:
        put = cache.put

        def record(number: int, one: Any) -> None:
            records[number] = one
            put(number, one)

        cache.put = record  # type: ignore[method-assign]

    def compare(self, account: PaperAccount, then: int | None = None) -> None:
        orders = self.all_records.orders_of(account.name, then)
        assert list(account.orders) == list(orders)
        assert dict(account.orders) == orders
        assert len(account.orders) == len(orders)
        assert account.open_orders() == [one for one in orders.values() if one.open]
        assert account.open_orders(SYMBOL) == account.open_orders()
        for number in range(max(self.all_records.orders, default=0) + 2):
            assert account.orders.get(number) == orders.get(number)
        names = {
            one.client_order_id for states in self.all_records.orders.values() for _, one in states
        }
        for name in names:
            found = [one for one in orders.values() if one.client_order_id == name]
            assert account.by_client_id(SYMBOL, name) == (found[-1] if found else None)
            assert account.by_client_id("ETHUSDT", name) is None
        trades = self.all_records.trades_of(account.name, then)
        assert account.trades.get(SYMBOL, []) == trades
        assert list(account.trades) == ([SYMBOL] if trades else [])
        for one in trades:
            of_order = [trade for trade in trades if trade.order_id == one.order_id]
            assert account.trades.select(SYMBOL, RecordRange(), one.order_id) == of_order
        newest = max(self.all_records.orders, default=0)
        for after, others in ((0, ()), (newest // 2, (1, 2, newest + 1)), (newest, ())):
            chosen = [number for number in orders if number > after or number in others]
            assert account.orders.after(after, others) == [orders[number] for number in chosen]
            of_them = [one for one in trades if one.order_id in chosen]
            assert account.trades.of_orders_after(after, others) == of_them

    def check_range(
        self, account: PaperAccount, span: RecordRange, then: int | None = None
    ) -> None:
        orders = list(self.all_records.orders_of(account.name, then).values())
        expected = select(orders, span, "order_id", "created")
        assert account.orders.select(SYMBOL, span) == expected
        assert account.orders.select(None, span) == expected
        assert account.orders.select("ETHUSDT", span) == []
        trades = self.all_records.trades_of(account.name, then)
        later = span._replace(first=trades[len(trades) // 2].trade_id if trades else None)
        for asked in (span, later):
            expected = select(trades, asked, "trade_id", "time")
            assert account.trades.select(SYMBOL, asked) == expected

    @invariant()
    def orders_equal_the_records(self) -> None:
        for account in self.engine.state.accounts.values():
            self.compare(account)
            assert account.trades.count == len(self.all_records.trades_of(account.name))
            names = Counter(
                one.client_order_id for one in self.all_records.orders_of(account.name).values()
            )
            repeated = {name: count for name, count in names.items() if count > 1}
            assert account.orders.repeated_client_ids() == repeated

    @invariant()
    def lists_equal_the_records(self) -> None:
        state, records = self.engine.state, self.all_records.records
        assert list(state.lists.values()) == [one for _, one in sorted(records["lists"].items())]
        assert list(state.prevented.values()) == list(records["prevented"].values())
        for name, committed in (("lists", state.lists), ("prevented", state.prevented)):
            for number in range(max(records[name], default=0) + 2):
                assert committed.get(number) == records[name].get(number)
        for account in state.accounts:
            mine = [one for one in state.lists.values() if one.account == account]
            assert state.open_lists(account) == [one for one in mine if not one.done]

    @rule(account=ACCOUNTS, span=SPANS)
    def query(self, account: str, span: RecordRange) -> None:
        self.check_range(self.engine.state.account(account), span)


class SnapshotMachine(RecordedMachine):
    """Random actions with queries of earlier states."""

    def __init__(self) -> None:
        super().__init__()
        self.first_fills: list[str] = []
        self.engine.first_fill = lambda account, maker: self.first_fills.append(account)

    @invariant()
    def every_first_fill_is_reported_once(self) -> None:
        for name in self.engine.state.accounts:
            traded = {one.order_id for one in self.all_records.trades_of(name)}
            assert self.first_fills.count(name) == len(traded)

    @rule(account=ACCOUNTS, span=SPANS, ago=st.integers(0, 150))
    def query_earlier_state(self, account: str, span: RecordRange, ago: int) -> None:
        then = self.time - ago * 15_000
        now = self.engine.state.account(account)
        found = self.engine.history.account(now, then)
        self.compare(found, then)
        self.check_range(found, span, then)
        orders = self.all_records.orders_of(account, then)
        assert found.updated == max((one.updated for one in orders.values()), default=0)


class FullDiskMachine(RecordedMachine):
    """Random actions with restarts, on a disk that is sometimes full."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger.close()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "l.db"
        self.start()
        self.committed = AllRecords()

    def start(self) -> None:
        balances = {"USDT": Decimal(20_000), "BTC": Decimal("0.1")}
        self.ledger = Ledger.open(self.path, venue=MARKET.venue, balances=balances)
        self.engine = MatchingEngine(self.ledger, Commission(FEE, FEE, lambda asset: Decimal(600)))
        self.record_changes()

    @rule()
    def flush(self) -> None:
        self.ledger.flush()
        self.committed = self.all_records.copy()
        self.check_memory()

    def check_memory(self) -> None:
        for account in self.engine.state.accounts.values():
            assert len(account.orders._finished) <= FEW
            assert len(account.orders._cached) <= FEW + len(account.open_orders())
        state = self.engine.state
        assert all(len(one._finished) <= FEW for one in (state.lists, state.prevented))

    @rule()
    def restart(self) -> None:
        self.flush()
        self.ledger.close()
        self.start()
        self.check_memory()

    @rule()
    def full_disk(self) -> None:
        real = self.ledger._connection
        self.ledger._connection = FullDisk(real)  # type: ignore[assignment]
        written = self.ledger._writing
        try:
            self.ledger.flush()
            assert not written
        except PaperExchangeError:
            self.all_records = self.committed.copy()
            self.record_changes()
        finally:
            self.ledger._connection = real

    def teardown(self) -> None:
        super().teardown()
        self.directory.cleanup()


def opened(path: Path, **balances: Decimal) -> tuple[Ledger, MatchingEngine, Feed]:
    ledger = Ledger.open(path, venue=MARKET.venue, balances=balances)
    feed = Feed(MARKET, MARKET.listing("BTC/USDT"), 4)
    feed.seek(T0)
    return ledger, MatchingEngine(ledger, Commission(FEE, FEE)), feed


def test_orders_leave_memory_only_after_they_are_on_disk(tmp_path: Path, few: None) -> None:
    path = tmp_path / "l.db"
    ledger, engine, feed = opened(path, USDT=Decimal(20_000))
    orders = [finished(engine.place(feed, request(), T0)).order for _ in range(5)]
    assert list(engine.account.orders._cached) == [1, 2, 3, 4, 5]
    ledger.flush()
    assert list(engine.account.orders._cached) == [4, 5]
    assert list(engine.account.orders.values()) == orders
    ledger.close()
    again = Ledger.open(path, venue=MARKET.venue, balances={})
    account = again.load().account("main")
    assert list(account.orders._cached) == [4, 5]
    assert list(account.orders.values()) == orders
    assert account.trades.count == 5
    again.close()


def test_order_lists_leave_memory_when_they_are_done(tmp_path: Path, few: None) -> None:
    path = tmp_path / "l.db"
    ledger, engine, feed = opened(path, BTC=Decimal(1))
    price = Decimal(str(round(feed.last_price)))
    limit = request(side="SELL", type="LIMIT_MAKER", price=price * 2)
    others = [limit, replace(limit, type="STOP_LOSS", price=None, stop_price=price / 2)]
    for _ in range(5):
        finished(engine.place_list(feed, OrderListRequest(working=None, others=others), T0))
    first, *rest = engine.state.open_lists("main")
    for one in rest:
        finished(engine.cancel(feed, engine.account.orders[one.order_ids[0]], None, T0))
    assert len(engine.state.lists._finished) == 4
    ledger.flush()
    assert [one.list_id for one in engine.state.lists._finished.values()] == [4, 5]
    ledger.close()
    again = Ledger.open(path, venue=MARKET.venue, balances={})
    state = again.load()
    assert [one.list_id for one in state.lists._finished.values()] == [4, 5]
    assert state.open_lists("main") == [first]
    assert [one.list_id for one in state.lists.values()] == [1, 2, 3, 4, 5]
    assert all(state.lists[one.list_id].done for one in rest)
    assert state.lists.get(6) is None
    again.close()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(archive, "MAX_FINISHED_ORDERS", FEW)
    monkeypatch.setattr(record_cache, "MAX_FINISHED", FEW)
    yield


@pytest.mark.parametrize("machine", [SnapshotMachine, FullDiskMachine])
def test_queries_of_evicted_records_equal_those_in_memory(
    machine: type[RecordedMachine], few: None
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_ledgers_of_an_earlier_version_get_the_missing_indexes(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    names = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
    Ledger.open(path, venue=MARKET.venue, balances={}).close()
    connection = sqlite3.connect(path)
    made = connection.execute(names).fetchall()
    assert ("orders_by_client",) in made and ("trades_by_time",) in made
    for (name,) in made:
        connection.execute(f"DROP INDEX {name}")
    connection.commit()
    connection.close()
    again = Ledger.open(path, venue=MARKET.venue, balances={})
    again.load()
    assert again._connection.execute(names).fetchall() == made
    again.close()
