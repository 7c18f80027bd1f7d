"""Tables of a bot's orders, fills, positions and streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.text.masking import masked, masked_values

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.text.cards import Tone


def attribute_table(
    title: str,
    rows: Sequence[object],
    columns: Sequence[str],
    times: Sequence[str],
    remarks: Iterable[tuple[str, Tone]] = (),
) -> pd.DataFrame:
    """Return attributes of objects as a frame; decimals become float64.

    Args:
        title: shown above the frame.
        columns: names of the attributes.
        times: those of them that are times in ms.
        remarks: lines that its card shows above the table.
    """
    import pandas as pd

    from botlib.bot.listing import listing

    def cell(value: object) -> object:
        return float(value) if isinstance(value, Decimal) else value

    frame = pd.DataFrame(
        {name: _masked([cell(getattr(row, name)) for row in rows]) for name in columns},
        columns=list(columns),
    )
    for name in times:
        frame[name] = pd.to_datetime(frame[name], unit="ms")
    return listing(frame, title, remarks)


def _masked(column: list[object]) -> list[object]:
    """Return the cells of a column with secrets masked; most columns hold none, and are long."""
    texts = "\n".join(value for value in column if isinstance(value, str))
    return column if masked(texts) == texts else [masked_values(value) for value in column]
