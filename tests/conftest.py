"""What all tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data"

# A busy machine takes its time; how long an example takes is no part of any test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


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
