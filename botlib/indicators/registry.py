"""Every indicator by name: botlib's own, and those of pandas-ta-classic."""

from __future__ import annotations

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.indicators import pandas_ta
from botlib.indicators.formulas import OWN
from botlib.indicators.record import IndicatorRecord


def find(name: str) -> IndicatorRecord:
    """Return the record of an indicator. Only names that are not botlib's own load the library.

    Raises:
        InvalidInput: there is none of that name, or it cannot be used without looking ahead.
    """
    found = OWN.get(name) or pandas_ta.record(name)
    if found is None:
        known = names()
        raise InvalidInput(
            f"There is no indicator {name!r}.{did_you_mean(name, known)} "
            f"Accepted: the {len(known)} names of botlib.indicators.names()."
        )
    return found


def names() -> tuple[str, ...]:
    """Return the names of all indicators, sorted."""
    return tuple(sorted({*OWN, *pandas_ta.names()}))
