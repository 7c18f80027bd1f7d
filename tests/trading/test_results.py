"""Results of a book by day and by round trip: fill by fill, and from the list of its fills."""

from __future__ import annotations

from decimal import Decimal

from botlib.core.model import Fill, Side
from botlib.core.timeframe import DAY, HOUR
from botlib.trading.positions import PositionManager
from botlib.trading.round_trips import trips_of

START = 1_735_689_600_000  # 2025-01-01 00:00 UTC


def fill(number: int, side: Side, amount: str, price: str, at: int, fee: str = "0") -> Fill:
    return Fill(
        symbol="BTC/USDT",
        trade_id=number,
        venue_order_id=str(number),
        client_order_id=f"o{number}",
        side=side,
        price=Decimal(price),
        amount=Decimal(amount),
        fee=Decimal(fee),
        fee_asset="USDT",
        timestamp=START + at,
        maker=False,
    )


FILLS = [
    fill(1, Side.BUY, "1", "100", HOUR),
    fill(2, Side.BUY, "1", "110", 2 * HOUR),
    fill(3, Side.SELL, "2", "120", 3 * HOUR, fee="1"),
    fill(4, Side.BUY, "1", "100", DAY + HOUR),
    fill(5, Side.SELL, "0.4", "90", DAY + 2 * HOUR),
    fill(6, Side.SELL, "0.599", "80", DAY + 3 * HOUR),
    fill(7, Side.BUY, "1", "100", DAY + 4 * HOUR),
]


def test_a_book_knows_its_result_by_day_and_its_finished_round_trips() -> None:
    positions = PositionManager()
    counted = []
    for one in FILLS:
        positions.apply(one, "mine")
        result = positions.result("mine", "BTC/USDT")
        counted.append((result.trips, result.wins))
    # A trip ends when what is left of it is dust, here 0.001 of 1.
    assert counted == [(0, 0), (0, 0), (1, 1), (1, 1), (1, 1), (2, 1), (2, 1)]
    first, second = Decimal(29), Decimal("-4") + Decimal("0.599") * -20
    assert positions.days() == {START: {"mine": first}, START + DAY: {"mine": second}}
    assert result.day(START + HOUR) == first and result.day(START + 2 * DAY) == 0
    assert result.realised == positions.realised() == first + second
    positions.load(FILLS, lambda one: "mine")
    assert positions.result("mine", "BTC/USDT") == result
    assert positions.result("other", "BTC/USDT").trips == 0


def test_the_round_trips_of_a_book_are_read_from_its_fills() -> None:
    won, lost, open_ = trips_of(FILLS)
    assert (won.opened, won.closed) == (START + HOUR, START + 3 * HOUR)
    assert (won.amount, won.entry_price, won.exit_price) == (2, 105, 120)
    assert (won.profit, won.fees) == (29, 1)
    assert lost.closed == START + DAY + 3 * HOUR and lost.profit == Decimal("-15.98")
    assert (open_.closed, open_.exit_price, open_.profit) == (None, None, 0)
