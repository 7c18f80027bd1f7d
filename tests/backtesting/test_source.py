"""The source of a strategy: the same for the same class, in whatever cell it is made."""

from __future__ import annotations

from botlib.backtesting.source import code_hash
from botlib.strategy import Strategy

CELL = """
from botlib.strategy import Strategy

class OfACell(Strategy):
    timeframes = ("1h",)
    length: int = 3

    @property
    def warmup(self):
        return self.length

    def signals(self, data):
        known = data.frame["close"].map(lambda price: price > self.length)
        return known if self.length in {"a", "b", "c"} else ~known
"""


def cell(text: str = CELL) -> type[Strategy]:
    names: dict[str, object] = {"__name__": "__main__"}
    exec(text, names)
    found = names["OfACell"]
    assert isinstance(found, type)
    return found


def test_a_class_of_a_cell_that_is_run_again_has_the_same_hash() -> None:
    first, again = cell(), cell()
    first()  # Its class then knows its parameters.
    assert code_hash(first) == code_hash(again)


def test_a_changed_line_changes_the_hash() -> None:
    changed = cell(CELL.replace("price > self.length", "price >= self.length"))
    assert code_hash(changed) != code_hash(cell())
