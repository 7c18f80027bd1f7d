"""Risk limits and the halt."""

from __future__ import annotations

from decimal import Decimal

import pytest

from botlib.core.errors import RiskRejected
from botlib.core.model import OrderIntent, OrderType, Side
from botlib.trading.risk import RiskLimits, RiskValidator

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


def intent(side: Side = Side.BUY, amount: str = "1") -> OrderIntent:
    return OrderIntent(
        client_order_id="x",
        strategy="s",
        symbol="BTC/USDT",
        side=side,
        type=OrderType.MARKET,
        amount=D(amount),
    )


def check(
    risk: RiskValidator,
    order: OrderIntent,
    price: str = "500",
    exposure: str = "0",
    unsettled: int = 0,
    now: int = 0,
) -> None:
    risk.check(order, price=D(price), exposure=D(exposure), unsettled=unsettled, now=now)


def test_an_order_within_every_limit_passes() -> None:
    check(validator(), intent())


@pytest.mark.parametrize(
    ("order", "facts", "reason"),
    [
        (intent(amount="3"), {}, "max_order_cost 1000"),
        (intent(), {"exposure": "1501"}, "max_exposure 2000"),
        (intent(), {"unsettled": 2}, "max_open_orders 2"),
        (intent(amount="0"), {}, "not positive"),
    ],
)
def test_a_limit_that_is_broken_is_named(
    order: OrderIntent, facts: dict[str, object], reason: str
) -> None:
    risk = validator()
    with pytest.raises(RiskRejected, match=reason):
        check(risk, order, **facts)  # type: ignore[arg-type]
    assert risk.rejected == 1


def test_orders_per_minute_are_counted_in_a_sliding_window() -> None:
    risk = validator()
    for second in (0, 1, 2):
        check(risk, intent(), now=second * 1000)
    with pytest.raises(RiskRejected, match="max_orders_per_minute"):
        check(risk, intent(), now=3000)
    check(risk, intent(), now=60_000)


def test_a_halt_stops_entries_and_lets_exits_pass() -> None:
    risk = validator()
    assert risk.halt("test")
    assert not risk.halt("again")
    with pytest.raises(RiskRejected, match="halted: test"):
        check(risk, intent())
    check(risk, intent(side=Side.SELL), exposure="99999", unsettled=9)
    risk.resume()
    check(risk, intent())


def test_the_daily_loss_is_a_limit() -> None:
    risk = validator()
    assert risk.check_loss(D("-99.99")) is None
    assert "max_daily_loss 100" in str(risk.check_loss(D("-100")))
