"""`MarketList`: what a venue lists, as it was read on one day, and the file format of it.

A list is stored beside a database whenever something connects; each venue also ships a small one.
Research reads lots, ticks and fees from it without a connection.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from botlib.core.clock import iso
from botlib.core.errors import InvalidInput
from botlib.core.files import read_regular
from botlib.core.market import Market

FORMAT: Final = 1

LARGEST: Final = 50_000_000
"""Most bytes of a file; a venue lists some thousand markets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketList:
    """The markets of a venue as of one moment.

    Attributes:
        venue: the stamp of the venue.
        date: when it was read, ms UTC.
        fee: fraction of the value of a fill, of an account without discounts.
        complete: False for a subset of what the venue lists.
        note: where the values come from, as a sentence without its full stop.
        markets: by unified symbol.
    """

    venue: str
    date: int
    fee: Decimal
    complete: bool
    note: str
    markets: Mapping[str, Market] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the values come from, with their date."""
        return f"{self.note}, as of {iso(self.date)[:10]}"

    def to_json(self) -> bytes:
        """Return the list in its file format."""
        return json.dumps(
            {
                "format": FORMAT,
                "venue": self.venue,
                "date": self.date,
                "fee": str(self.fee),
                "complete": self.complete,
                "note": self.note,
                "markets": {name: _to_dict(market) for name, market in self.markets.items()},
            },
            indent=1,
        ).encode()

    @classmethod
    def read(cls, path: Path) -> MarketList:
        """Read a list from a file.

        Raises:
            InvalidInput: the file is no market list.
            OSError: it cannot be read.
        """
        try:
            raw = json.loads(read_regular(path, LARGEST))
            if raw["format"] != FORMAT:
                raise ValueError(f"format {raw['format']!r} is not known")
            shared = raw.get("shared", {})
            return cls(
                venue=str(raw["venue"]),
                date=int(raw["date"]),
                fee=Decimal(raw["fee"]),
                complete=bool(raw["complete"]),
                note=str(raw["note"]),
                markets={
                    name: _from_dict(name, {**shared, **values})
                    for name, values in raw["markets"].items()
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
            raise InvalidInput(
                f"{str(path)!r} is no list of markets: {error}. Remove it: it is written again at "
                "the next connection."
            ) from error


def _to_dict(market: Market) -> dict[str, Any]:
    return {
        "tick": str(market.tick),
        "step": str(market.step),
        "min_amount": str(market.min_amount),
        "min_cost": str(market.min_cost),
        "active": market.active,
        "order_types": sorted(market.order_types),
        "sell_band": [str(end) for end in market.sell_band],
        "replaces": market.replaces,
        "lists": market.lists,
    }


def _from_dict(symbol: str, values: Mapping[str, Any]) -> Market:
    base, _, quote = symbol.partition("/")
    low, high = values.get("sell_band", ("0", "0"))
    return Market(
        symbol=symbol,
        id=base + quote,
        base=base,
        quote=quote,
        tick=Decimal(values["tick"]),
        step=Decimal(values["step"]),
        min_amount=Decimal(values.get("min_amount", values["step"])),
        min_cost=Decimal(values["min_cost"]),
        active=bool(values.get("active", True)),
        order_types=frozenset(values.get("order_types", ("LIMIT", "MARKET", "STOP_LOSS"))),
        sell_band=(Decimal(low), Decimal(high)),
        replaces=bool(values.get("replaces", False)),
        lists=bool(values.get("lists", False)),
    )
