"""The candles of a chart with indicator values, which do not depend on how candles arrive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.frames.frame import candle_frame
from botlib.indicators import compute
from botlib.widgets.chart.rows import ChartRows
from botlib.widgets.chart.studies import Study
from tests.support.chart_page import MINUTE, START, market

SPECS = ("ema(20)", "bbands(20, 2)", "rsi(14)", "macd", "stoch", "obv")
COUNT = 1 + 5 + 1 + 3 + 1 + 3 + 2 + 1


def made(specs: Any = SPECS) -> ChartRows:
    rows = ChartRows("1m")
    rows.studies = [Study(s, group=0, place=i, timeframe="1m") for i, s in enumerate(specs)]
    return rows


def batch(frame: Any, specs: Any = SPECS) -> Any:
    rows = made(specs)
    rows.load(frame, whole=True)
    return rows.cells()


def near(found: Any, expected: Any) -> None:
    # Settled to 1e-9 of prices around 60,000.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4, equal_nan=True)


def feed(rows: ChartRows, frame: Any) -> None:
    for moment, values in zip(frame.index.astype("int64"), frame.to_numpy(), strict=True):
        rows.close(int(moment), values)


def test_values_are_those_over_the_whole_frame() -> None:
    frame = market(300)
    cells = batch(frame)
    assert cells.shape == (300, COUNT)
    assert cells[0, 0] == START / 1_000
    np.testing.assert_array_equal(cells[:, 1:6], frame.to_numpy())
    np.testing.assert_allclose(cells[:, 6], compute("ema(20)", frame))
    bands = compute("bbands(20, 2)", frame)[["lower", "middle", "upper"]]
    np.testing.assert_allclose(cells[:, 7:10], bands)


def test_candles_that_close_one_by_one_give_the_same_values() -> None:
    frame = market(900)
    rows = made()
    rows.load(frame[:600], whole=True)
    feed(rows, frame[600:])
    near(rows.cells(), batch(frame))


def test_the_forming_candle_is_drawn_and_changes_no_state() -> None:
    frame = market(700)
    rows = made()
    rows.load(frame[:-1], whole=True)
    last = START + 699 * MINUTE
    wild = frame.to_numpy()[-1] * 1.1
    assert rows.form(last, wild)
    assert not np.allclose(rows.cells()[-1], batch(frame)[-1])
    assert rows.form(last, frame.to_numpy()[-1])
    near(rows.cells(), batch(frame))
    assert len(rows) == 700
    assert not rows.form(last - MINUTE, wild), "an older state came late"
    assert rows.close(last, frame.to_numpy()[-1])
    assert not rows.form(last, wild), "it is closed"
    near(rows.cells(), batch(frame))


def test_older_candles_correct_the_hidden_values() -> None:
    longer = market(3_001)
    frame = longer[:3_000]
    rows = made()
    rows.load(frame[1_500:], whole=False)
    assert rows.hidden == rows.warmup > 400
    near(rows.cells()[:, :-1], batch(frame)[1_500 + rows.hidden :, :-1])
    rows.prepend(frame[700:1_500], whole=False)
    near(rows.cells()[:, :-1], batch(frame)[700 + rows.hidden :, :-1])
    rows.prepend(frame[:700], whole=True)
    assert rows.hidden == 0
    near(rows.cells()[:, :-1], batch(frame)[:, :-1])
    # An accumulating indicator keeps its level; its changes are right.
    near(np.diff(rows.cells()[:, -1]), np.diff(batch(frame)[:, -1]))
    feed(rows, longer[3_000:])
    near(np.diff(rows.cells()[:, -1]), np.diff(batch(longer)[:, -1]))


def test_an_accumulating_indicator_hides_no_candle() -> None:
    frame = market(100)
    rows = made(("obv",))
    rows.load(frame[50:], whole=False)
    assert rows.hidden == 0 and rows.missing_before(40) == 0
    rows.prepend(frame[:50], whole=True)
    near(np.diff(rows.cells()[:, -1]), np.diff(batch(frame, ("obv",))[:, -1]))


def test_corrections_and_late_candles_are_added_at_their_place() -> None:
    frame = market(500)
    rows = made()
    rows.load(frame.drop(frame.index[300:310]), whole=True)
    assert rows.missing(0) == [(START + 300 * MINUTE, START + 309 * MINUTE)]
    spaced = rows.cells()
    assert len(spaced) == 500 and np.isnan(spaced[300:310, 1:]).all()
    assert rows.close(START + 305 * MINUTE, frame.to_numpy()[305])
    feed(rows, frame[300:310])
    changed = frame.to_numpy()[450] * 1.01
    assert rows.close(START + 450 * MINUTE, changed)
    assert not rows.close(START + 450 * MINUTE, changed), "known"
    frame.iloc[450] = changed
    near(rows.cells(), batch(frame))
    assert rows.missing(0) == []


def test_the_rows_since_a_time_start_with_the_gap_before_them() -> None:
    frame = market(100)
    rows = made(())
    rows.load(frame[:90], whole=True)
    feed(rows, frame[93:])
    assert rows.since(START + 93 * MINUTE)[:, 0].tolist() == [
        (START + n * MINUTE) / 1_000 for n in range(90, 100)
    ]
    assert np.isnan(rows.since(START + 93 * MINUTE)[:3, 1:]).all()


def test_a_long_halt_is_not_drawn() -> None:
    frame = market(2_000)
    rows = made(())
    rows.load(frame.drop(frame.index[100:1_900]), whole=True)
    assert len(rows.cells()) == 200


def test_an_empty_chart_can_be_filled() -> None:
    rows = made()
    rows.load(candle_frame([], []), whole=True)
    assert rows.cells().shape == (0, COUNT)
    frame = market(60)
    rows.form(START, frame.to_numpy()[0])
    assert len(rows.cells()) == 1
    feed(rows, frame)
    near(rows.cells(), batch(frame))


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 59), st.booleans()), max_size=60),
    st.integers(0, 40),
    st.sampled_from([("ema(5)", "rsi(4)"), ("bbands(5, 2)",)]),
)
def test_closed_candles_are_drawn_in_whatever_order_they_arrive(
    events: list[tuple[int, bool]], loaded: int, specs: tuple[str, ...]
) -> None:
    """Closed and forming candles in random order are drawn as the frame of the closed ones."""
    frame = market(60)
    values = frame.to_numpy()
    rows = made(specs)
    rows.load(frame[:loaded], whole=True)
    taken = set(range(loaded))
    for place, closed in events:
        if closed:
            if rows.close(START + place * MINUTE, values[place]):
                taken.add(place)
        else:
            rows.form(START + place * MINUTE, values[place])
    known = frame.iloc[sorted(taken)]
    drawn = rows.cells(0, len(rows.times)) if len(rows.times) else rows.cells(0, 0)
    expected = batch(known, specs)
    drawn = drawn[np.isfinite(drawn[:, 1])]
    near(drawn, expected[np.isfinite(expected[:, 1])])


@pytest.mark.parametrize("spec", ["ema(20)", "supertrend(10, 3)"])
def test_a_forming_candle_does_not_change_the_state(spec: str) -> None:
    frame = market(330)
    rows = made((spec,))
    rows.load(frame[:300], whole=True)
    for place in range(300, 330):
        moment, values = START + place * MINUTE, frame.to_numpy()[place]
        rows.form(moment, values * 1.02)
        rows.cells(len(rows.times) - 1)
        rows.close(moment, values)
    near(rows.cells(), batch(frame, (spec,)))
