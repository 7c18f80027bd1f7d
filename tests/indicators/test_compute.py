"""The vocabulary of indicators, and their values over whole frames."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from botlib.core.errors import InvalidInput
from botlib.indicators import compute, indicator, library, names, parse, ta
from botlib.indicators.formulas import CORE
from botlib.indicators.streams import STREAMS


def market(rows: int, seed: int = 7) -> pd.DataFrame:
    """Return made-up candles: quiet and wild stretches, gaps, equal prices, a flat hour."""
    random = np.random.default_rng(seed)
    step = 0.002 * (1.1 + np.sin(np.arange(rows) / 60))
    close = np.round(50_000 * np.exp(np.cumsum(random.normal(0, 1, rows) * step)), 1)
    close[rows // 3 : rows // 3 + 60] = close[rows // 3]
    open_ = np.concatenate([close[:1], close[:-1]]) * (1 + step * random.normal(0, 0.2, rows))
    open_[rows // 3 : rows // 3 + 60] = close[rows // 3]
    spread = np.where(open_ == close, 0.0, step)
    index = pd.date_range("2025-01-01", periods=rows, freq="min", unit="ms", name="timestamp")
    return pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) * (1 + spread * random.random(rows)),
            "low": np.minimum(open_, close) * (1 - spread * random.random(rows)),
            "close": close,
            "volume": 10 * random.random(rows),
        },
        index=index,
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return market(900)


@pytest.mark.parametrize(
    ("spec", "spelled"),
    [
        ("ema(20)", "ema(20)"),
        (" ema( length = 20 ) ", "ema(20)"),
        ("ema", "ema(10)"),
        ("bbands(20, 2)", "bbands(20, 2)"),
        ("bbands(20, std=2.0)", "bbands(20, 2)"),
        ("bbands(20, 2.5)", "bbands(20, 2.5)"),
        ("macd(12, 26, signal=5)", "macd(12, 26, 5)"),
        ("sma(10, source=high)", "sma(10, source=high)"),
        ("sma(10, source='hl2')", "sma(10, source=hl2)"),
        ("sma(10, source=close)", "sma(10)"),
        ("obv", "obv"),
        ("supertrend(7, 3)", "supertrend(7, 3)"),
        ("kc(scalar=1.5)", "kc(scalar=1.5)"),
        ("cdl_pattern(doji)", "cdl_pattern(doji)"),
    ],
)
def test_one_indicator_has_one_spelling(spec: str, spelled: str) -> None:
    found = parse(spec)
    assert str(found) == spelled
    assert parse(spelled) == found
    assert hash(parse(spelled)) == hash(found)
    assert indicator(found.name, source=found.source, **found.parameters) == found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("emma(20)", r"no indicator 'emma'\. Did you mean 'ema'\?"),
        ("ema(20, 30)", r"ema takes at most 1 values, not 2\. Accepted: ema\(length=10, source"),
        ("ema(20.5)", r"length must be a whole number, not 20\.5"),
        ("ema('fast')", r"length must be a whole number, not 'fast'"),
        ("ema(True)", r"length must be a whole number, not True"),
        ("ema(0)", r"length must be at least 1, not 0"),
        ("bbands(1)", r"length must be at least 2, not 1"),
        ("bbands(20, 1e999)", r"std must be finite, not inf"),
        ("stdev(20, 2)", r"ddof must be at most 1, not 2"),
        ("wma(-3)", r"length must be at least 1, not -3"),
        ("hma(0)", r"length must be at least 1, not 0"),
        ("ema(lenght=20)", r"no parameter 'lenght'.*Did you mean 'length'\?"),
        ("ema(20, length=30)", r"given length twice: 20 and 30"),
        ("macd(26, 12)", r"fast must be below slow, not fast=26, slow=12"),
        ("sma(10, source=hihg)", r"Cannot use 'hihg' as the source of sma.*Did you mean 'high'"),
        ("atr(14, source=high)", r"atr takes no source: it reads high, low, close"),
        ("ema(20", r"Cannot read the indicator 'ema\(20'.*Write it as a call"),
        ("ema(20) + 1", r"Cannot read"),
        ("ema(**x)", r"Cannot read"),
        ("ema(9, rsi(14))", r"Cannot read"),
        ("a.ema(20)", r"Cannot read"),
        ("", r"Cannot read"),
        ("dpo(20, centered=True)", r"dpo has no parameter 'centered'"),
        ("ema(20, offset=-5)", r"ema has no parameter 'offset'"),
        ("hma(20, offset=-5)", r"hma has no parameter 'offset'"),
        ("tos_stdevall", r"not offered: it fits one line.*knows the future"),
        ("vp(10)", r"not offered: it gives one profile of the whole frame"),
        ("beta", r"not offered: it compares two markets"),
    ],
)
def test_what_cannot_be_used_says_what_can(spec: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(spec)


def test_only_a_text_is_read() -> None:
    with pytest.raises(InvalidInput, match=r"An indicator is a text, not 20 \(int\)"):
        parse(20)  # type: ignore[arg-type]
    assert indicator("ema", np.int64(20)) == parse("ema(20)")  # as a sweep hands them out


@given(st.text(max_size=30))
@example("ema(" * 500)
@example("ema(\x00)")
@example("ema(1" + "0" * 5000 + ")")
@example("ema(" + "-" * 5000 + "1)")
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        parse(text)
    except InvalidInput:
        pass


@pytest.mark.parametrize("name", sorted(CORE))
@pytest.mark.parametrize("default", [True, False])
def test_the_kits_own_numbers_are_those_of_the_library(
    frame: pd.DataFrame, name: str, default: bool
) -> None:
    other = {"length": 23, "fast": 5, "slow": 11, "signal": 4, "std": 1.5, "ddof": 1, "k": 9}
    definition = CORE[name].definition
    given_ = {} if default else {p.name: other.get(p.name, 7) for p in definition.parameters}
    ours = compute(indicator(name, **given_), frame)
    inputs = [frame["close" if one == "source" else one] for one in definition.inputs]
    theirs = getattr(library.library(), name)(*inputs, **given_)
    if name == "macd":
        theirs = theirs.iloc[:, [0, 2, 1]]
    pd.testing.assert_index_equal(ours.index, frame.index)
    np.testing.assert_allclose(ours.to_numpy(), theirs.to_numpy(), rtol=1e-9, atol=1e-9)
    assert np.isfinite(ours.to_numpy()).any()


def test_what_is_computed_at_once_is_computed_candle_by_candle_too() -> None:
    assert CORE.keys() == STREAMS.keys()
    assert set(CORE) < set(names())
    assert len(names()) > 150


@pytest.mark.parametrize(
    ("spec", "columns"),
    [
        ("bbands(20, 2)", ["lower", "middle", "upper", "width", "percent"]),
        ("macd", ["macd", "signal", "histogram"]),
        ("donchian(10, 20)", ["lower", "middle", "upper"]),
        ("stoch", ["k", "d"]),
        ("adx(7)", ["adx", "plus", "minus"]),
        ("aroon(7)", ["down", "up", "oscillator"]),
        ("supertrend(7, 3)", ["line", "direction", "long", "short"]),
        ("qqe", ["qqe", "qqe_rsima", "qqel", "qqes", "qqeb_l", "qqeb_s", "qqed"]),
        ("kc(20, 1.5)", ["lower", "middle", "upper"]),
    ],
)
def test_columns_have_short_names_that_do_not_vary(
    frame: pd.DataFrame, spec: str, columns: list[str]
) -> None:
    found = compute(spec, frame)
    assert list(found.columns) == columns
    assert (found.dtypes == np.float64).all()
    too_few = compute(spec, frame.iloc[:3])
    assert list(too_few.columns) == columns
    assert too_few.isna().all().all()
    assert compute(spec, frame.iloc[:0]).shape == (0, len(columns))


def test_a_series_carries_its_specification(frame: pd.DataFrame) -> None:
    found = compute("rsi(length=7)", frame)
    assert (found.name, found.dtype) == ("rsi(7)", np.float64)
    assert found.isna().sum() == 7
    assert compute("hma(9)", frame).name == "hma(9)"


def test_the_source_is_a_column_or_a_mean_of_some(frame: pd.DataFrame) -> None:
    high = frame["high"].rolling(5).mean()
    pd.testing.assert_series_equal(compute("sma(5, source=high)", frame), high, check_names=False)
    middle = (frame["high"] + frame["low"]) / 2
    found = compute("hma(5, source=hl2)", frame)
    same = compute("hma(5)", frame.assign(close=middle))
    np.testing.assert_allclose(found.to_numpy(), same.to_numpy())
    with pytest.raises(InvalidInput, match=r"sma\(5, source=volume\) needs the column 'volume'"):
        compute("sma(5, source=volume)", frame.drop(columns="volume"))


def test_in_a_flat_market_the_bands_meet_at_the_price(frame: pd.DataFrame) -> None:
    flat = frame.iloc[330:359]
    assert flat["close"].nunique() == 1
    bands = compute("bbands(20, 2)", frame).loc[flat.index]
    price = flat["close"].iloc[0]
    assert (bands[["lower", "middle", "upper"]] == price).all().all()
    assert (compute("stdev(20)", frame).loc[flat.index] == 0).all()


def test_the_deviation_of_a_quiet_window_does_not_remember_a_spike() -> None:
    close = np.full(300, 1.0)
    close[50] = 1e9
    close[100:] += np.arange(200) % 2 * 1e-4
    frame = pd.DataFrame({"close": close})
    np.testing.assert_allclose(compute("stdev(20)", frame).iloc[-100:], 5e-5, rtol=1e-9)


def test_every_indicator_is_a_function(frame: pd.DataFrame) -> None:
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


def test_common_indicators_do_not_load_the_library() -> None:
    code = (
        "import sys, pandas as pd\n"
        "from botlib.indicators import compute, warmup\n"
        "compute('ema(2)', pd.DataFrame({'close': [1.0, 2.0, 3.0]})), warmup('rsi(14)')\n"
        "assert not {'pandas_ta_classic', 'numba'} & set(sys.modules), 'loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
