"""The memory of a sweep."""

from __future__ import annotations

import pytest

from botlib.backtesting.sweeps.plan import memory_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), ("0.5 GB", 5 * 10**8), (70_000_000, 7 * 10**7), ("200MiB", 2 * 10**8)],
)
def test_memory_is_read(text: str | int, size: int) -> None:
    assert memory_bytes(text) == size
