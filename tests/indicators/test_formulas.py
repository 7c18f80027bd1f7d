"""The indicators that botlib computes itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from botlib.indicators import compute, indicator, names, pandas_ta
from botlib.indicators.formulas import OWN
from tests.support.samples import market_frame


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return market_frame(900)


@pytest.mark.parametrize("name", sorted(OWN))
@pytest.mark.parametrize("default", [True, False])
def test_own_values_are_those_of_the_library(frame: pd.DataFrame, name: str, default: bool) -> None:
    other = {"length": 23, "fast": 5, "slow": 11, "signal": 4, "std": 1.5, "ddof": 1, "k": 9}
    record = OWN[name]
    given_ = {} if default else {p.name: other.get(p.name, 7) for p in record.parameters}
    ours = compute(indicator(name, **given_), frame)
    inputs = [frame["close" if one == "source" else one] for one in record.inputs]
    theirs = getattr(pandas_ta.module(), name)(*inputs, **given_)
    if name == "macd":
        theirs = theirs.iloc[:, [0, 2, 1]]
    pd.testing.assert_index_equal(ours.index, frame.index)
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), rtol=1e-9, atol=1e-9)
    assert np.isfinite(ours.to_numpy()).any()


def test_every_own_indicator_has_formula_stream_warm_up_and_place_on_a_chart() -> None:
    for name, record in OWN.items():
        assert record.name == name
        assert None not in (record.formula, record.stream, record.warmup, record.drawing.price)
    assert set(OWN) < set(names())
    assert len(names()) > 150


def test_bands_of_a_flat_market_equal_its_price(frame: pd.DataFrame) -> None:
    flat = frame.iloc[330:359]
    assert flat["close"].nunique() == 1
    bands = compute("bbands(20, 2)", frame).loc[flat.index]
    price = flat["close"].iloc[0]
    assert (bands[["lower", "middle", "upper"]] == price).all().all()
    assert (compute("stdev(20)", frame).loc[flat.index] == 0).all()


def test_deviation_of_a_quiet_window_is_free_of_an_earlier_spike() -> None:
    close = np.full(300, 1.0)
    close[50] = 1e9
    close[100:] += np.arange(200) % 2 * 1e-4
    frame = pd.DataFrame({"close": close})
    np.testing.assert_allclose(compute("stdev(20)", frame).iloc[-100:], 5e-5, rtol=1e-9)


def test_own_indicators_do_not_load_the_library() -> None:
    code = (
        "import sys, pandas as pd\n"
        "from botlib.indicators import compute, warmup\n"
        "compute('ema(2)', pd.DataFrame({'close': [1.0, 2.0, 3.0]})), warmup('rsi(14)')\n"
        "assert not {'pandas_ta_classic', 'numba'} & set(sys.modules), 'loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
