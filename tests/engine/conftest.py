"""An engine on a real paper exchange, in a temporary directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from botlib.config import Settings
from botlib.engine import Orchestrator
from tests.support.trends import trends

MakeEngine = Callable[..., Awaitable[Orchestrator]]


@pytest.fixture
async def make_engine(tmp_path: Path) -> AsyncIterator[MakeEngine]:
    """Return a function that starts an engine with changed settings; all are stopped."""
    engines: list[Orchestrator] = []

    async def make(
        start: bool = True, tell: Callable[[str], None] = lambda text: None, **changes: Any
    ) -> Orchestrator:
        symbols = changes.get("symbols", ["BTC/USDT"])
        changes.setdefault("strategies", trends(symbols, changes.get("timeframes", ["1m"])[0]))
        settings = Settings().override(
            {
                "data_directory": tmp_path / "data",
                "symbols": ["BTC/USDT"],
                "history": 60,
                "health": {"port": 0},
                "paper": {"lockstep": True, "start": "2026-01-05"},
            }
        )
        engine = Orchestrator(settings.override(changes), tell=tell)
        engines.append(engine)
        if start:
            await engine.start()
        return engine

    yield make
    for engine in engines:
        await engine.stop()
