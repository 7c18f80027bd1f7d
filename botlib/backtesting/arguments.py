"""The arguments that research calls share: what each may be, for messages that name it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final, ParamSpec, TypeGuard, TypeVar

from botlib.backtesting.costs import Costs, RangeSlippage, VolumeSlippage
from botlib.core.arguments import (
    FUNCTION,
    MOMENT,
    NUMBER,
    PATH,
    SEQUENCE_OF_TIMEFRAMES,
    SPAN,
    SWITCH,
    SYMBOL,
    TIMEFRAME,
    WHOLE,
    Kind,
    checked_arguments,
    is_listing,
    is_real,
    is_text,
    is_whole,
)
from botlib.core.market import Market
from botlib.store.experiment_book import EarlierTrials, ExperimentBook
from botlib.trading.risk import RiskLimits

P = ParamSpec("P")
T = TypeVar("T")


def _listed(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, str | list | tuple)


_NAME: Final = Kind(is_text, "a name as text")
_INDICATORS: Final = Kind(
    lambda value: is_text(value) or (_listed(value) and all(map(_listed, value))),
    "indicators such as ['ema(20)']",
)
_FRACTION: Final = Kind(is_real, "a fraction such as 0.001")
_AMOUNT: Final = Kind(is_real, "a positive number of quote units")

ARGUMENTS: Final = {
    "symbol": SYMBOL,
    "timeframe": TIMEFRAME,
    "timeframes": SEQUENCE_OF_TIMEFRAMES,
    "since": MOMENT,
    "until": MOMENT,
    "limit": WHOLE,
    "warmup": Kind(
        lambda value: is_whole(value) or isinstance(value, Mapping),
        "a number of candles, or one for each timeframe such as {'1h': 200}",
    ),
    "costs": Kind(lambda value: isinstance(value, Costs), "costs such as bl.Costs(taker=0.00075)"),
    "limits": Kind(
        lambda value: isinstance(value, RiskLimits), "limits such as bl.RiskLimits(...)"
    ),
    "fee": _FRACTION,
    "slippage": Kind(
        lambda value: is_real(value) or isinstance(value, RangeSlippage | VolumeSlippage),
        "a fraction such as 0.0002, bl.RangeSlippage() or bl.VolumeSlippage()",
    ),
    "cash": _AMOUNT,
    "order_cost": Kind(
        lambda value: is_real(value) or (is_text(value) and value == "all"),
        f"{_AMOUNT.words}, or 'all' for all cash",
    ),
    "market": Kind(
        lambda value: isinstance(value, Market),
        "a Market such as lab.market('BTC/USDT').market",
    ),
    "book": Kind(
        lambda value: isinstance(value, ExperimentBook | str | os.PathLike),
        "the data directory that has the experiment book",
    ),
    "where": FUNCTION,
    "samples": WHOLE,
    "seed": WHOLE,
    "workers": WHOLE,
    "memory": Kind(
        lambda value: is_text(value) or is_whole(value), "bytes, or a text such as '500MB'"
    ),
    "client": Kind(
        lambda value: is_text(value) or hasattr(value, "submit"),
        "a Dask Client, or the address of a scheduler such as 'tcp://127.0.0.1:8786'",
    ),
    "directory": PATH,
    "progress": SWITCH,
    "train": SPAN,
    "test": SPAN,
    "anchored": SWITCH,
    "groups": WHOLE,
    "tests": WHOLE,
    "purge": SPAN,
    "embargo": SPAN,
    "cuts": WHOLE,
    "seconds": NUMBER,
    "second_process": SWITCH,
    "confidence": _FRACTION,
    "block": WHOLE,
    "blocks": WHOLE,
    "trials": NUMBER,
    "best": WHOLE,
    "earlier": Kind(
        lambda value: isinstance(value, EarlierTrials), "the earlier trials of an experiment book"
    ),
    "round_trips": WHOLE,
    "least_round_trips": WHOLE,
    "n": WHOLE,
    "reach": WHOLE,
    "periods": WHOLE,
    "top": WHOLE,
    "x": _NAME,
    "y": _NAME,
    "kind": _NAME,
    "path": PATH,
    "target": PATH,
    "url": Kind(is_text, "an address such as 'http://127.0.0.1:8080'"),
    "paths": Kind(is_listing, "a path, or several"),
    "symbols": Kind(is_listing, "symbols such as ['BTC/USDT']"),
    "overwrite": SWITCH,
    "overlays": _INDICATORS,
    "panes": _INDICATORS,
    "height": WHOLE,
    "candles": WHOLE,
    "title": _NAME,
}
"""Argument → what it may be. None is accepted beside it if it is the default."""


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Return a research call that refuses arguments of a wrong name or type by `ARGUMENTS`."""
    return checked_arguments(ARGUMENTS)(function)
