"""The parts of an engine: read by name, and only after the stage that builds them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import FrozenInstanceError

import pytest

from botlib.core.errors import EngineError
from botlib.engine import Orchestrator

MakeEngine = Callable[..., Awaitable[Orchestrator]]


async def test_a_part_read_before_the_start_is_an_error(make_engine: MakeEngine) -> None:
    engine = await make_engine(start=False)
    with pytest.raises(EngineError, match="not connected yet"):
        _ = engine.orders
    with pytest.raises(EngineError, match="opened no database yet"):
        _ = engine.storage
    assert (engine.database, engine.run_start) == ("", None)


async def test_parts_are_frozen_and_outlast_the_stop(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    orders = engine.orders
    assert orders is engine.parts.orders
    with pytest.raises(FrozenInstanceError):
        engine.parts.orders = orders  # type: ignore[misc]
    await engine.stop()
    assert engine.orders is orders
    assert engine.run_start is not None and engine.run_start.equity == 10_000


def test_the_library_of_the_venue_is_imported_with_the_engine_and_not_on_its_loop() -> None:
    code = "import sys, botlib.engine.build; print('ccxt' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
