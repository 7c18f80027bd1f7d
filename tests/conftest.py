"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data"

# A busy machine takes its time; how long an example takes is no part of any test. The examples
# are the same each time, so that a change is judged by what it does; BOTLIB_SEARCH=1 tries more.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if os.environ.get("BOTLIB_SEARCH") else "same")


def pytest_configure() -> None:
    """Let interrupts be felt: a shell starts what it runs in the background deaf to them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def recorded() -> Callable[[str], Path]:
    """Return the path of a recorded data file by its name, or skip the test where it is absent."""

    def find(name: str) -> Path:
        path = RECORDED / name
        if not path.exists():
            pytest.skip(f"recorded market data is absent: {name}")
        return path

    return find
