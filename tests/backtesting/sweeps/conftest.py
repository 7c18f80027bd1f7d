"""Fixtures of the tests of sweeps."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.support.sweeps import candles


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return candles()
