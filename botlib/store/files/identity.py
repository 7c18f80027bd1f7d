"""`identify`: the symbol and timeframe of a candle file, by its columns or its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from botlib.core.errors import InvalidInput, RecordingError
from botlib.core.symbol import symbol_id
from botlib.core.timeframe import timeframe_ms
from botlib.store.files.report import MAX_BAD_SHARE
from botlib.store.files.rows import CandleRows
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pyarrow as pa

# ``BTCUSDT-1m-2024-12.zip`` of the dumps, ``BTC_USDT-1m.feather`` of freqtrade.
_NAME = re.compile(r"([A-Za-z0-9]+(?:_[A-Za-z0-9]+)?)-(\d+[a-zA-Z]+)(?=[-.]|$)")
_DERIVATIVE = re.compile(r"-(futures|mark|index|premiumIndex|funding_rate)\b")


def identify(path: Path, name: str, rows: CandleRows) -> tuple[str, str, NDArray[np.bool_]]:
    """Return symbol, timeframe, and a mask of the rows that carry them.

    Args:
        path: of the file.
        name: of the file inside it, if it is an archive.
        rows: as read.

    Raises:
        RecordingError: neither columns nor name say it, or they contradict each other.
    """
    if kind := _DERIVATIVE.search(path.name):
        raise RecordingError(
            f"{str(path)!r} holds {kind[1]} candles by its name. Candles of spot markets are "
            "accepted; those of derivatives would be mistaken for them."
        )
    match = _NAME.match(Path(name).name) or _NAME.match(path.name)
    named = {"symbol": match[1].replace("_", "/"), "timeframe": match[2]} if match else {}
    found: dict[str, str] = {}
    belongs = np.ones(len(rows.timestamp), np.bool_)
    for key in ("symbol", "timeframe"):
        if key in rows.names and len(belongs):
            found[key], same = _majority(path, key, rows.names[key])
            belongs &= same
        elif key in named:
            found[key] = named[key]
        else:
            raise RecordingError(
                f"{str(path)!r} does not say its {key}: it has no such column, and its name does "
                "not begin like 'BTCUSDT-1m-' or 'BTC_USDT-1m.'. Rename it so, or add the column."
            )
    try:
        symbol, timeframe = unified_symbol(found["symbol"]), found["timeframe"]
        timeframe_ms(timeframe)
    except InvalidInput as error:
        raise RecordingError(f"{str(path)!r} cannot be used: {error}") from error
    said = (named.get("symbol", "").upper().replace("/", ""), named.get("timeframe"))
    if match and said != (symbol_id(symbol), timeframe):
        raise RecordingError(
            f"{str(path)!r} holds {symbol_id(symbol)} {timeframe} by its columns but "
            f"{said[0]} {said[1]} by its name. Rename it."
        )
    return symbol, timeframe, belongs


def _majority(path: Path, key: str, column: pa.ChunkedArray) -> tuple[str, NDArray[np.bool_]]:
    import pyarrow.compute as pc

    texts = pc.fill_null(column, "")
    counts = sorted(
        ((item["counts"], item["values"]) for item in pc.value_counts(texts).to_pylist()),
        reverse=True,
    )
    if counts[0][0] < (1 - MAX_BAD_SHARE) * len(texts):
        raise RecordingError(
            f"{str(path)!r} mixes several values of {key}: "
            f"{', '.join(repr(value) for _, value in counts[:5])}. Give one file for each."
        )
    return counts[0][1], np.asarray(pc.equal(texts, counts[0][1]), np.bool_)
