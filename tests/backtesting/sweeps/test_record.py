"""Records of sweeps: what identifies them must not change from version to version."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from botlib.backtesting.costs import Costs
from botlib.backtesting.sweeps.evaluator import SweepSettings
from botlib.backtesting.sweeps.record import _settings_text
from botlib.backtesting.terms import ALL, Terms
from botlib.core.errors import SweepError
from tests.support.sweeps import Cross, sweep


def test_settings_are_written_into_the_identity_as_version_0_1_0_wrote_them() -> None:
    terms = Terms(costs=Costs.none(fee=0.001), order_cost=ALL)
    assert _settings_text(SweepSettings(terms=terms, start=3, engine="rust")) == (
        "Settings(terms=Terms(fee=0.001, slippage=0.0, cash=10000.0, order_cost=None, "
        "market=None), start=3, engine='rust')"
    )


def test_sweeps_with_other_candles_or_terms_have_records_of_their_own(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"directory": tmp_path, "workers": 0, "progress": False, "fast": [5]}
    sweep(Cross, frame, **given)
    sweep(Cross, frame, fee=0.002, **given)
    sweep(Cross, frame.iloc[:-1], **given)
    assert len(list(tmp_path.iterdir())) == 3
    sweep(Cross, frame, slow=[12, 30], **given)
    assert len(list(tmp_path.iterdir())) == 3  # other combinations share the file


def test_a_row_cut_off_by_a_crash_is_computed_again(frame: pd.DataFrame, tmp_path: Path) -> None:
    given: dict[str, Any] = {"directory": tmp_path, "workers": 0, "progress": False}
    first = sweep(Cross, frame, fast=[3, 4, 5], **given)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    again = sweep(Cross, frame, fast=[3, 4, 5], **given)
    pd.testing.assert_frame_equal(first.frame, again.frame, check_exact=True)


def test_a_full_disk_is_reported_and_finished_work_is_kept(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, resource.RLIM_INFINITY))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(SweepError, match="Cannot write results"):
            sweep(Cross, frame, fast=range(2, 9), directory=tmp_path, workers=0, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, before)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size > 3_000
