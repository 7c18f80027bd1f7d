"""The rows of a bot's orders, and what its books and halts say above them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

from botlib.core.text.cards import Tone

if TYPE_CHECKING:
    from botlib.core.model import Order
    from botlib.views.engine import EngineReading

_PROTECTED: Final = {
    "resting": ("its stop rests at the venue", Tone.PLAIN),
    "unknown": ("its stop is being settled", Tone.WARN),
    "missing": ("its stop is MISSING", Tone.BAD),
    "none": ("", Tone.PLAIN),
}


def order_row(order: Order, engine: EngineReading) -> SimpleNamespace:
    """Return an order as a row, with the seconds for which its outcome has not been known."""
    unclear = engine.started and not order.status.final and _unknown(order, engine)
    age = (engine.system_clock.now() - order.created) / 1_000
    names = (
        "created", "market_time", "symbol", "side", "type", "amount", "status", "filled",
        "average", "strategy", "client_order_id", "venue_order_id", "message", "role",
    )  # fmt: skip
    values = {name: getattr(order, name) for name in names}
    return SimpleNamespace(**values, unknown_for=age if unclear else None)


def _unknown(order: Order, engine: EngineReading) -> bool:
    found = engine.orders.ledger.get(order.client_order_id)
    return found is not None and found.unclear


def order_remarks(engine: EngineReading) -> list[tuple[str, Tone]]:
    """Return what the books hold and want, how they are protected, and what stops entries."""
    if not engine.started:
        return []
    found = [(f"entries are stopped: {reason}", Tone.BAD) for reason in engine.halts.reasons()]
    found += [(f"entries are held back: {words}", Tone.WARN) for words in engine.orders.cautions]
    found += [(words, Tone.WARN) for words in engine.orders.troubles()]
    for book in engine.orders.book_rows():
        if not book["held"] and book["wants"] is None:
            continue
        words, tone = _PROTECTED[str(book["protection"])]
        parts = [f"{book['strategy']} holds {book['held']:f} of {book['symbol']}"]
        if book["wants"] is not None:
            parts.append(f"wants {book['wants']:f} ({book['reason']})")
        if words:
            parts.append(words + (f" at {book['stop']:f}" if book["stop"] is not None else ""))
        if book["orphaned"]:
            parts.append("its strategy is not registered")
        if book["doing"]:
            parts.append(str(book["doing"]))
        found.append((", ".join(parts), tone))
    return found
