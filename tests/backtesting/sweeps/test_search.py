"""The guided search of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tests.support.sweeps import Cross, fast_below_slow, sweep


def test_a_guided_search_is_repeatable_and_resumes(frame: pd.DataFrame, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "fast": range(2, 200),
        "slow": range(5, 400),
        "where": fast_below_slow,
        "method": "optuna",
        "seed": 5,
        "workers": 0,
        "progress": False,
    }
    whole = sweep(Cross, frame, samples=48, **given)
    assert len(whole) == 48
    part = sweep(Cross, frame, samples=32, directory=tmp_path, **given)
    resumed = sweep(Cross, frame, samples=48, directory=tmp_path, **given)
    assert set(zip(part.frame["fast"], part.frame["slow"], strict=True)) <= set(
        zip(resumed.frame["fast"], resumed.frame["slow"], strict=True)
    )
    pd.testing.assert_frame_equal(whole.frame, resumed.frame, check_exact=True)
