"""The settings, hooks and fixtures of all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from botlib.core.text import masking
from botlib.venues.obstacles import OFFLINE

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "data"

# No example has a deadline, as a machine may be busy. The examples are the same each time, so that
# a test fails because of a change only; BOTLIB_SEARCH=1 searches for new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("search" if os.environ.get("BOTLIB_SEARCH") else "same")


# Whatever a test does, it and its processes ask nobody beyond this computer.
os.environ[OFFLINE] = "1"


def pytest_configure() -> None:
    """Restore the handler of SIGINT, which a shell disables for background processes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def masked_alone() -> Iterator[None]:
    """Forget the secrets of a test, so that texts of later tests are as they are alone."""
    before = set(masking._process._hidden)
    yield
    if made := set(masking._process._hidden) - before:
        masking.forget(*made)


@pytest.fixture
def recorded() -> Callable[[str], Path]:
    """Return the path of a recorded data file by its name, or skip the test if it is absent."""

    def find(name: str) -> Path:
        path = RECORDED / name
        if not path.exists():
            pytest.skip(f"recorded market data is absent: {name}")
        return path

    return find
