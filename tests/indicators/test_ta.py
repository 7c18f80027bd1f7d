"""Indicators as functions."""

from __future__ import annotations

import pandas as pd
import pytest

from botlib.core.errors import InvalidInput
from botlib.indicators import compute, names, ta
from tests.support.samples import market_frame


def test_every_indicator_is_a_function() -> None:
    frame = market_frame(900)
    pd.testing.assert_series_equal(ta.ema(frame, 20), compute("ema(20)", frame))
    pd.testing.assert_frame_equal(
        ta.supertrend(frame, 7, multiplier=3), compute("supertrend(7, 3)", frame)
    )
    assert dir(ta) == sorted(names())
    assert "bbands(length=5, std=2, source=close)" in (ta.bbands.__doc__ or "")
    with pytest.raises(AttributeError, match="Did you mean 'ema'"):
        ta.emma  # noqa: B018
    with pytest.raises(InvalidInput, match="no parameter 'lenght'"):
        ta.ema(frame, lenght=3)
