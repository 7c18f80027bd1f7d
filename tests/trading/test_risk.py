"""Risk limits: what an entry may cost, and what is never refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botlib.core.errors import RiskRejected
from botlib.core.model import OrderIntent, OrderRole, OrderStatus, OrderType, Position, Side
from botlib.trading.orders import EventKind, OrderEvent, TrackedOrder, transition
from botlib.trading.risk import Exposure, RiskLimits, RiskValidator, exposure_of

D = Decimal


def validator(**changes: object) -> RiskValidator:
    limits: dict[str, object] = {
        "max_order_cost": D(1000),
        "max_exposure": D(2000),
        "max_open_orders": 2,
        "max_orders_per_minute": 3,
        "max_daily_loss": D(100),
        **changes,
    }
    return RiskValidator(RiskLimits(**limits))  # type: ignore[arg-type]


def intent(side: Side = Side.BUY, amount: str = "1", symbol: str = "BTC/USDT") -> OrderIntent:
    return OrderIntent(
        client_order_id="x",
        strategy="s",
        symbol=symbol,
        side=side,
        type=OrderType.MARKET,
        amount=D(amount),
        role=OrderRole.ENTRY if side is Side.BUY else OrderRole.EXIT,
    )


def at_risk(
    total: str = "0", symbol: str = "0", open_orders: int = 0, price: str | None = None
) -> Exposure:
    return Exposure(
        total=D(total),
        by_symbol={"BTC/USDT": D(symbol)},
        open_orders=open_orders,
        price=None if price is None else D(price),
    )


def check(
    risk: RiskValidator,
    order: OrderIntent,
    price: str = "500",
    facts: Exposure = Exposure(),  # noqa: B008  # frozen
    now: int = 0,
) -> None:
    risk.check(order, price=D(price), at_risk=facts, now=now)


def test_an_order_within_every_limit_passes() -> None:
    check(validator(), intent())
    check(validator(), intent(amount="2"), facts=at_risk(total="1000", open_orders=1))


@pytest.mark.parametrize(
    ("limits", "order", "facts", "refusal"),
    [
        ({}, intent(amount="3"), at_risk(), ("max_order_cost", "1500.00", "1000")),
        ({}, intent(), at_risk(total="1501"), ("max_exposure", "2001.00", "2000")),
        ({}, intent(), at_risk(open_orders=2), ("max_open_orders", "3", "2")),
        ({}, intent(amount="0"), at_risk(), ("amount", "0", "a positive number")),
        ({}, intent(amount="-1"), at_risk(), ("amount", "-1", "a positive number")),
        ({}, intent(amount="NaN"), at_risk(), ("amount", "NaN", "a positive number")),
        ({}, intent(amount="Infinity"), at_risk(), ("amount", "Infinity", "a positive number")),
        (
            {"max_position": D(700)},
            intent(),
            at_risk(symbol="201"),
            ("max_position", "701.00", "700"),
        ),
        (
            {"symbols": ("BTC/USDT", "SOL/USDT")},
            intent(symbol="ETH/USDT"),
            at_risk(),
            ("symbols", "ETH/USDT", "BTC/USDT, SOL/USDT"),
        ),
        ({"price_band": D("0.1")}, intent(), at_risk(price="450"), ("price_band", "0.1111", "0.1")),
        ({"price_band": D("0.1")}, intent(), at_risk(price="560"), ("price_band", "0.1071", "0.1")),
    ],
)
def test_a_limit_that_is_broken_is_named_with_the_value_and_the_limit(
    limits: dict[str, object],
    order: OrderIntent,
    facts: Exposure,
    refusal: tuple[str, str, str],
) -> None:
    risk = validator(**limits)
    with pytest.raises(RiskRejected) as caught:
        check(risk, order, facts=facts)
    assert (caught.value.rule, caught.value.value, caught.value.limit) == refusal
    assert all(words in str(caught.value) for words in refusal)
    assert risk.rejected == 1


@pytest.mark.parametrize(
    ("limits", "facts"),
    [
        ({"max_position": D(700)}, at_risk(symbol="200")),
        ({"max_position": D(700)}, at_risk(total="1400")),  # held of other symbols
        ({"symbols": ("BTC/USDT",)}, at_risk()),
        ({"price_band": D("0.1")}, at_risk(price="500")),
        ({"price_band": D("0.1")}, at_risk(price="550")),
        ({"price_band": D("0.1")}, at_risk(price=None)),
    ],
)
def test_an_entry_that_just_reaches_a_limit_passes(
    limits: dict[str, object], facts: Exposure
) -> None:
    check(validator(**limits), intent(), facts=facts)


@pytest.mark.parametrize("price", ["NaN", "Infinity"])
def test_an_entry_of_no_known_cost_is_refused(price: str) -> None:
    with pytest.raises(RiskRejected) as caught:
        check(validator(), intent(), price=price)
    assert caught.value.rule == "price"


def test_orders_per_minute_are_counted_in_a_sliding_window() -> None:
    risk = validator()
    for second in (0, 1, 2):
        check(risk, intent(), now=second * 1000)
    with pytest.raises(RiskRejected, match="max_orders_per_minute") as caught:
        check(risk, intent(), now=3000)
    assert (caught.value.value, caught.value.limit) == ("4", "3")
    check(risk, intent(), now=60_000)


def test_an_entry_that_was_refused_counts_as_no_order_of_the_minute() -> None:
    risk = validator()
    for _ in range(5):
        with pytest.raises(RiskRejected, match="max_order_cost"):
            check(risk, intent(amount="3"))
    check(risk, intent())


@given(
    amount=st.decimals("0.00000001", "1000000", allow_nan=False),
    total=st.decimals("0", "1e9"),
    open_orders=st.integers(0, 1000),
    sales=st.integers(1, 20),
)
def test_an_exit_is_never_refused_by_a_limit(
    amount: Decimal, total: Decimal, open_orders: int, sales: int
) -> None:
    risk = validator(
        max_position=D(1), max_drawdown=D("0.01"), symbols=("ETH/USDT",), price_band=D("0.001")
    )
    facts = at_risk(total=str(total), symbol=str(total), open_orders=open_orders, price="1")
    for _ in range(sales):
        check(risk, intent(side=Side.SELL, amount=str(amount)), facts=facts)
    assert risk.rejected == 0


def test_exits_take_nothing_from_the_orders_of_a_minute() -> None:
    risk = validator(max_orders_per_minute=1)
    for _ in range(5):
        check(risk, intent(side=Side.SELL))
    check(risk, intent())


def held(symbol: str, amount: int, entry_price: int) -> Position:
    return Position(
        symbol=symbol, amount=D(amount), entry_price=D(entry_price), opened=1, realised=D(0)
    )


def nothing(order: TrackedOrder) -> Decimal:
    return D(0)


def test_an_unknown_entry_counts_as_filled() -> None:
    entry = TrackedOrder(intent=intent(amount="2"), created=0, sent=True)
    unknown = transition(entry, OrderEvent(kind=EventKind.LOST))
    prices = {"BTC/USDT": D(500), "ETH/USDT": D(20)}
    positions = [held("BTC/USDT", 1, 100), held("ETH/USDT", 10, 100)]
    facts = exposure_of(positions, [unknown], nothing, prices.get, "BTC/USDT")
    assert facts.total == 1 * 500 + 10 * 20 + 2 * 500
    assert facts.by_symbol == {"BTC/USDT": 1_500, "ETH/USDT": 200}
    assert facts.open_orders == 1
    assert facts.price == 500


def test_a_position_without_a_price_is_valued_at_what_was_paid() -> None:
    facts = exposure_of([held("BTC/USDT", 2, 400)], [], nothing, lambda symbol: None, "ETH/USDT")
    assert (facts.total, facts.price) == (800, None)


def test_what_is_filled_and_not_booked_yet_is_at_risk() -> None:
    entry = TrackedOrder(intent=intent(amount="2"), created=0, sent=True)
    report = OrderEvent(
        kind=EventKind.REPORTED, status=OrderStatus.FILLED, filled=D(2), venue_order_id="v1"
    )
    filled = transition(entry, report)
    facts = exposure_of([], [filled], lambda order: D(2), lambda symbol: D(500), "BTC/USDT")
    assert facts.total == 1_000


def test_sales_and_ended_orders_put_nothing_at_risk() -> None:
    sale = TrackedOrder(intent=intent(side=Side.SELL), created=0, sent=True)
    refused = transition(
        TrackedOrder(intent=intent(), created=0, sent=True), OrderEvent(kind=EventKind.REFUSED)
    )
    facts = exposure_of([], [sale, refused], nothing, lambda symbol: D(500), "BTC/USDT")
    assert (facts.total, facts.open_orders) == (0, 0)


def test_the_daily_loss_is_a_limit() -> None:
    risk = validator()
    assert risk.check_loss(D("-99.99")) is None
    assert "max_daily_loss 100" in str(risk.check_loss(D("-100")))


def test_the_fall_from_the_highest_equity_is_a_limit() -> None:
    risk = validator(max_drawdown=D("0.2"))
    assert risk.check_drawdown(D("800.01"), D(1000)) is None
    assert risk.check_drawdown(D(800), D(1000)) is None
    assert "beyond max_drawdown 0.2" in str(risk.check_drawdown(D("799.99"), D(1000)))
    assert risk.check_drawdown(D(0), D(0)) is None
    assert validator().check_drawdown(D(1), D(1000)) is None
