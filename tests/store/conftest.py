"""Fixtures of the tests of the storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from botlib.store import CandleStorage, Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "store.db", "paper:synthetic:seed=1") as database:
        yield database


@pytest.fixture
def storage(database: Database) -> CandleStorage:
    return CandleStorage(database)
