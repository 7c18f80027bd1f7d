"""The settings that replay recorded candles: those of a file, or a stretch of stored ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botlib.config import Settings
from botlib.core.errors import ConfigError
from botlib.core.timeframe import timeframe_ms


def recorded_changes(path: Path, settings: Settings) -> dict[str, Any]:
    """Return the settings that replay one candle file.

    Raises:
        ConfigError: no configured timeframe can be made from the candles.
    """
    from botlib.store.files import read_recording

    recording = read_recording(path)
    paper = {"market": "recording", "recording": [path], "replay": None, "start": None}
    return _changes(settings, [recording.symbol], recording.timeframe, path.name, paper)


def replay_changes(replay: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the settings that replay a stretch of stored candles.

    Raises:
        ConfigError: the stretch cannot be read, or no configured timeframe can be made from it.
        InvalidInput: a symbol is not stored, or candles are missing.
    """
    from botlib.engine.paper.service import configured_paper
    from botlib.store.stretch import read_stretch

    paper: dict[str, Any] = {
        "market": "replay",
        "recording": [],
        "replay": dict(replay),
        "start": None,
    }
    stretch = configured_paper(settings.override({"paper": paper})).stretch
    assert stretch is not None
    candles = read_stretch(stretch)
    # What is replayed does not change with the candles that are stored later.
    paper["replay"] = {
        "symbols": list(stretch.symbols),
        "since": candles.since,
        "until": candles.until,
        "timeframe": candles.timeframe,
        "venue": stretch.venue,
    }
    return _changes(settings, stretch.symbols, candles.timeframe, "The stretch", paper)


def _changes(
    settings: Settings, symbols: Sequence[str], base: str, what: str, paper: dict[str, Any]
) -> dict[str, Any]:
    """Return changes of the market, and of the symbols, timeframes and strategies it has."""
    fitting = [tf for tf in settings.timeframes if timeframe_ms(tf) % timeframe_ms(base) == 0]
    if not fitting:
        raise ConfigError(
            f"{what} has candles of {base}, from which none of the timeframes "
            f"{', '.join(settings.timeframes)} can be made. Pass timeframes=['{base}']."
        )
    changes: dict[str, Any] = {"symbols": list(symbols), "timeframes": fitting, "paper": paper}
    if "strategies" in settings.model_fields_set:
        changes["strategies"] = [
            entry.model_dump()
            for entry in settings.strategies
            if entry.symbol in symbols and entry.timeframe in (None, *fitting)
        ]
    return changes
