"""A bot without strategies whose market moves only while a test waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import botlib as bl


@pytest.fixture
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    found = bl.connect(
        symbols=["BTC/USDT"],
        timeframes=["1m"],
        history=30,
        strategies=[],
        health={"port": 0},
        paper={"lockstep": True, "start": "2026-01-05"},
    )
    yield found
    found.stop()
