"""The rows of a bot's positions."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from botlib.bot.tables import attribute_table
from botlib.views.positions import is_position

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.model import Position
    from botlib.views.engine import EngineReading

_COLUMNS: Final = ("symbol", "amount", "entry_price", "opened", "realised", "dust")


def position_table(engine: EngineReading) -> pd.DataFrame:
    """Return every position that was ever held, one row each, by what the dashboard counts."""
    prices = engine.account.prices()
    rows = [_row(one, is_position(engine, one, prices)) for one in engine.positions.all()]
    return attribute_table("Positions", rows, _COLUMNS, times=("opened",))


def _row(position: Position, held: bool) -> SimpleNamespace:
    zero = Decimal(0)
    return SimpleNamespace(
        symbol=position.symbol,
        amount=position.amount if held else zero,
        entry_price=position.entry_price if held else zero,
        opened=position.opened if held else None,
        realised=position.realised,
        dust=zero if held else position.amount,
    )
