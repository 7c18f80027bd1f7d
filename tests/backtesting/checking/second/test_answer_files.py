"""An object between two processes whose arrays are mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting.checking.second.answer_files import read_apart, write_apart


def test_arrays_come_back_and_can_be_changed_after_the_files_are_gone(tmp_path: Path) -> None:
    given = {"flags": np.array([True, False, True]), "sizes": np.arange(5.0), "error": "none"}
    write_apart(tmp_path / "answer.pickle", given)
    found = read_apart(tmp_path / "answer.pickle")
    for path in tmp_path.iterdir():
        path.unlink()
    assert isinstance(found, dict) and found["error"] == "none"
    assert found["flags"].tolist() == [True, False, True]
    found["sizes"][0] = 7.0
    assert found["sizes"].tolist() == [7.0, 1.0, 2.0, 3.0, 4.0]


def test_an_array_is_no_part_of_what_is_read_while_the_gil_is_held(tmp_path: Path) -> None:
    index = pd.date_range("2024-01-01", periods=100_000, freq="min", unit="ms")
    write_apart(tmp_path / "answer.pickle", [np.zeros(100_000), index])
    assert (tmp_path / "answer.pickle").stat().st_size < 2_000
    found = read_apart(tmp_path / "answer.pickle")
    assert isinstance(found, list) and found[1].equals(index) and found[1].dtype == index.dtype


def test_an_object_without_arrays_needs_none(tmp_path: Path) -> None:
    write_apart(tmp_path / "answer.pickle", "nothing")
    assert read_apart(tmp_path / "answer.pickle") == "nothing"
    (tmp_path / "answer.pickle").write_bytes(b"")
    with pytest.raises(EOFError):
        read_apart(tmp_path / "answer.pickle")
