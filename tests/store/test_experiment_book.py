"""The experiment book: one private file that several processes write, and what it counts."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from botlib.core.errors import NotAStore, StoreError
from botlib.store.experiment_book import Experiment, ExperimentBook

DAY = 86_400_000


def run(**changes: Any) -> Experiment:
    values: dict[str, Any] = {
        "recorded": 1,
        "kind": "sweep",
        "strategy": "Cross",
        "code": "c1",
        "data": "d1",
        "symbol": "BTC/USDT",
        "timeframe": "1h",
        "first": 0,
        "last": 10 * DAY,
        "candles": 240,
        "cash": 1_000.0,
        "parameters": {"fast": 3, "stop_loss": None},
        "terms": {"fee": 0.001},
        "figures": {"sharpe": 1.5, "calmar": float("nan")},
        "times": np.array([0, DAY]),
        "equity": np.array([1_000.0, 1_010.0]),
    }
    return Experiment(**(values | changes))


def keys(*numbers: int) -> dict[bytes, float]:
    return {number.to_bytes(16): float(number) for number in numbers}


ASKED: dict[str, Any] = {
    "strategy": "Cross", "code": "c1", "data": "d1", "symbol": "BTC/USDT", "first": 0,
    "last": 10 * DAY, "without": (),
}  # fmt: skip

WRITER = """
import sys
from botlib.store.experiment_book import ExperimentBook
from tests.store.test_experiment_book import run
book = ExperimentBook(sys.argv[1], "binance")
sys.stdin.readline()
for number in range(20):
    book.add(run(strategy=sys.argv[2], code=sys.argv[2]), {f"{sys.argv[2]}-{number}".encode(): 1.0})
"""


def test_several_processes_write_one_private_file_from_its_first_moment(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), f"S{number}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
    book = ExperimentBook(tmp_path, "binance")
    runs = book.runs()
    assert sorted(one.strategy for one in runs) == sorted(["S0", "S1", "S2"] * 20)
    assert [one.id for one in runs] == list(range(60, 0, -1))
    assert book.path == tmp_path / "experiments" / "book.db"
    assert book.path.stat().st_mode & 0o777 == 0o600
    assert book.path.parent.stat().st_mode & 0o777 == 0o700
    assert book.earlier(**ASKED | {"strategy": "S1", "code": "x"}).count == 20


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    book = ExperimentBook(tmp_path, "binance")
    assert book.runs() == [] and not book.path.exists()
    assert book.add(run(), keys(1)) == 1
    (back,) = book.runs()
    assert (back.venue, back.parameters, back.terms) == ("binance", run().parameters, run().terms)
    assert back.figures == {"sharpe": 1.5}
    assert back.times.tolist() == [0, DAY] and back.equity.tolist() == [1_000.0, 1_010.0]


def test_every_trial_counts_once_on_each_stretch_that_overlaps(tmp_path: Path) -> None:
    book = ExperimentBook(tmp_path, "binance")
    assert book.earlier(**ASKED).count == 0
    book.add(run(trials=4, independent=2.0), keys(1, 2, 3, 4))
    book.add(run(trials=4, independent=2.0), keys(1, 2, 3, 4))  # the cell was run again
    found = book.earlier(**ASKED)
    assert (found.count, found.independent) == (4, 2.0)
    assert sorted(found.sharpes) == [1.0, 2.0, 3.0, 4.0]
    assert book.earlier(**ASKED | {"without": keys(1, 2)}).count == 2

    later = {"data": "d2", "first": 5 * DAY, "last": 15 * DAY}
    book.add(run(trials=2, **later), keys(4, 5))
    assert book.earlier(**ASKED).count == 5, "5 is new on an overlapping stretch"
    book.add(run(trials=1, code="c2"), keys(1))
    assert book.earlier(**ASKED).count == 6, "the class was edited: another try"
    book.add(run(trials=1, strategy="Other", code="o"), keys(7))
    book.add(run(trials=1, symbol="ETH/USDT", data="d3"), keys(8))
    book.add(run(trials=1, first=11 * DAY, last=12 * DAY, data="d4"), keys(9))
    ExperimentBook(tmp_path, "paper:synthetic:seed=42").add(run(trials=1, data="d5"), keys(10))
    assert book.earlier(**ASKED).count == 6


def test_what_is_no_book_of_this_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    book = ExperimentBook(tmp_path)
    book.path.parent.mkdir()
    book.path.write_bytes(b"not a database" * 100)
    with pytest.raises(NotAStore, match="damaged"):
        book.add(run(), keys(1))
    assert book.path.read_bytes() == b"not a database" * 100

    book.path.unlink()
    other = sqlite3.connect(book.path)
    other.execute("CREATE TABLE mine (a)")
    other.commit()
    other.close()
    with pytest.raises(NotAStore, match="made by something else"):
        book.runs()

    book.path.unlink()
    book.add(run(), keys(1))
    newer = sqlite3.connect(book.path)
    newer.execute("UPDATE meta SET value = '2' WHERE key = 'schema'")
    newer.commit()
    newer.close()
    with pytest.raises(StoreError, match="newer botlib"):
        book.add(run(), keys(2))
