"""Messages between a chart and a page that applies them as the protocol prescribes."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from botlib.core.model import Candle, CandleSource
from botlib.core.text.formats import number
from botlib.widgets.chart import CandleHistory, Chart, ChartInfo, ChartRows, add_indicators
from botlib.widgets.chart.figure import PACE
from tests.support.chart_page import MINUTE, START, Page, market, view

OVERLAYS = ("ema(20)", "bbands(20, 2)")
PANES = ("rsi(14)", "macd")
FRAME = market(3_000)


class Stored:
    """A source of older candles from a frame, which answers at once."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.asked: list[tuple[int, int]] = []

    def older(self, before: int, count: int, done: Any) -> None:
        self.asked.append((before, count))
        end = (before - START) // MINUTE
        done(CandleHistory(frame=self.frame[max(0, end - count) : end], whole=end - count < 0))


def made(rows: int = 600, *, start: int = 0, window: int = 200, **settings_: Any) -> Chart:
    candles = ChartRows("1m")
    candles.load(FRAME[start : start + rows], whole=start == 0)
    facts = ChartInfo(
        symbol="BTC/USDT", timeframe="1m", venue="paper:synthetic:seed=1", kind="paper"
    )
    return add_indicators(Chart(facts, candles, window=window, **settings_), OVERLAYS, PANES)


def candle(place: int, *, closed: bool = True, factor: float = 1.0) -> Candle:
    first, high, low, close, volume = (float(v) for v in FRAME.to_numpy()[place])
    return Candle(
        symbol="BTC/USDT",
        timeframe="1m",
        timestamp=START + place * MINUTE,
        open=first,
        high=high * factor,
        low=low,
        close=close * factor,
        volume=volume,
        closed=closed,
        source=CandleSource.STREAM,
    )


def show(chart: Chart, news: Candle) -> None:
    """Show a candle in a message of its own."""
    chart.take(news)
    chart.flush()


def expected(end: int, window: int) -> Any:
    whole = made(end, window=window)
    return whole._scene.rows.cells(max(0, end - window))


def test_the_first_window_is_sent_when_the_comm_opens(live: Any) -> None:
    chart = made()
    chart._ipython_display_()
    page = view(chart)
    kinds = [(one["id"], one["kind"], one["pane"]) for one in page.spec["series"]]
    assert kinds[:3] == [("candles", "candles", 0), ("volume", "volume", 1), ("ema(20)", "line", 0)]
    assert [pane for _, _, pane in kinds] == [0, 1, 0, 0, 0, 0, 2, 3, 3, 3]
    assert len(page.spec["panes"]) == 4
    assert page.spec["step"] == 60 and page.spec["kind"] == "paper"
    np.testing.assert_array_equal(page.table(), expected(600, 200))
    assert page.more
    assert len(chart.model.comm.log) == 1
    (_, _, bundle), (_, _, picture) = live
    assert [kind for kind, _, _ in live] == ["display", "display"]
    assert set(bundle) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert set(picture) == {"text/plain", "text/html"}


def test_updates_are_numbered_small_and_hold_null_for_missing_values(live: Any) -> None:
    chart = made(10, window=200)
    chart._ipython_display_()
    page = view(chart).ready()
    for place in range(10, 40):
        show(chart, candle(place, closed=False, factor=1.001))
        show(chart, candle(place))
    page.pump()
    updates = [data for _, data, _ in chart.model.comm.log if data.get("method") == "custom"]
    assert [one["content"]["seq"] for one in updates] == list(range(1, 61))
    assert all(len(json.dumps(one, allow_nan=False)) <= 1_000 for one in updates)
    assert None in updates[0]["content"]["rows"][-1]
    assert abs(updates[-1]["content"]["taken"] - time.time() * 1_000) < 60_000
    np.testing.assert_allclose(page.table(), expected(40, 200), atol=2e-4)
    assert page.gaps == 0


def test_updates_in_fast_succession_are_sent_together(live: Any) -> None:
    chart = made()
    chart._ipython_display_()
    page = view(chart).ready()
    began = time.monotonic()
    for step in range(200):
        chart.update(candle(600, closed=False, factor=1 + step / 1e5))
    chart.update(candle(600))
    deadline = time.monotonic() + 30
    while page.pump().table()[-1, 4] != candle(600).close:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert page.types.count("update") <= 2 + (time.monotonic() - began) / PACE
    assert page.gaps == 0


def test_a_later_view_receives_the_newest_window_and_others_keep_theirs(live: Any) -> None:
    chart = made()
    chart._ipython_display_()
    first = view(chart, name="first").ready()
    show(chart, candle(600))
    second = view(chart, name="second")
    assert second.seq == 1
    second.types.clear()
    second.say(type="ready", seq=0, spec=second.spec["version"])
    first.types.clear()
    first.pump()
    assert second.pump().types == ["history"]
    np.testing.assert_array_equal(second.table()[-1], first.table()[-1])
    assert len(first.rows) == 201 and len(second.rows) == 200
    # A reloaded page requests the state of the model.
    state = chart.model.get_state()
    assert state["window_info"]["seq"] == 1
    assert len(state["window"]) == 200 * 14 * 8


def test_a_lost_message_is_recovered(live: Any) -> None:
    chart = made()
    chart._ipython_display_()
    page = view(chart, lose={2, 3}).ready()
    for place in range(600, 610):
        show(chart, candle(place))
    page.pump()
    assert page.gaps == 1
    assert page.seq == chart.seq == 10
    np.testing.assert_allclose(page.table(), expected(610, 200), atol=2e-4)


@pytest.mark.usefixtures("live")
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(lost={3}, steps=["c", "c", "a", "c"]).via("the new series are lost")
@example(lost={2}, steps=["f", "c", "c"]).via("a candle is lost")
@example(lost={1, 3}, steps=["c", "c", "c", "c"]).via("the answer to a gap is lost")
@given(
    lost=st.sets(st.integers(1, 40)),
    steps=st.lists(st.sampled_from("cfa"), min_size=5, max_size=40),
)
def test_a_page_recovers_from_any_lost_messages(lost: set[int], steps: list[str]) -> None:
    """Closed and forming candles and new series at random, over a comm that drops messages."""
    chart = made(500, window=100)
    chart._ipython_display_()
    page = view(chart, lose=lost).ready()
    place = 500
    for step in steps:
        if step == "f":
            show(chart, candle(place, closed=False, factor=1.01))
        elif step == "c":
            show(chart, candle(place))
            place += 1
        elif "sma(10)" in chart.indicators:
            chart.remove("sma(10)")
        else:
            chart.add("sma(10)")
        page.pump()
    page.lose = frozenset()
    show(chart, candle(place))
    page.pump()
    drawn = chart._scene.rows.cells(chart._scene.start)
    assert page.spec["version"] == chart._scene.version
    np.testing.assert_array_equal(page.table()[-len(drawn) :], drawn)


def test_adding_and_removing_series_sends_them_with_their_values(live: Any) -> None:
    chart = made()
    chart._ipython_display_()
    page = view(chart).ready()
    chart.add("stoch")
    page.pump()
    assert [one["pane"] for one in page.spec["series"]][-2:] == [4, 4]
    assert page.spec["series"][-1]["levels"] == [] != page.spec["series"][-2]["levels"]
    assert page.table().shape[1] == 16
    chart.remove("rsi( 14 )")
    chart.remove("ema(20)")
    page.pump()
    assert [one["pane"] for one in page.spec["series"]] == [0, 1, 0, 0, 0, 2, 2, 2, 3, 3]
    assert page.table().shape[1] == 14
    show(chart, candle(600))
    assert page.pump().gaps == 0


def test_scrolling_back_is_answered_from_memory(live: Any) -> None:
    chart = made(600)
    chart._ipython_display_()
    page = view(chart).ready()
    while page.more:
        page.say(type="older", before=min(page.rows), want=150)
        page.pump()
    np.testing.assert_array_equal(page.table(), expected(600, 600))
    page.say(type="older", before=min(page.rows), want=150)
    assert len(page.pump().rows) == 600


def test_scrolling_back_uses_the_source_and_values_stay_right(live: Any) -> None:
    source = Stored(FRAME)
    chart = made(1_000, start=1_500, window=400, source=source)
    assert len(chart) == 1_000 - chart._scene.rows.hidden
    chart._ipython_display_()
    page = view(chart).ready()
    for _ in range(20):
        if not page.more:
            break
        page.say(type="older", before=min(page.rows), want=500)
        page.pump()
    assert not page.more and len(source.asked) >= 3
    np.testing.assert_allclose(page.table(), expected(2_500, 2_500), atol=2e-4)


def test_an_indicator_that_needs_more_history_receives_it(live: Any) -> None:
    source = Stored(FRAME)
    chart = made(600, start=2_000, window=100, source=source)
    chart._ipython_display_()
    page = view(chart).ready()
    chart.add("ema(200)")
    page.pump()
    assert source.asked
    whole = made(2_600, window=100)
    whole.add("ema(200)")
    np.testing.assert_allclose(page.table(), whole._scene.rows.cells(2_500), atol=2e-4)


def test_nothing_is_sent_after_the_last_view_closed(live: Any) -> None:
    chart = made()
    chart._ipython_display_()
    page = view(chart).ready()
    page.say(type="gone")
    before = len(chart.model.comm.log)
    for place in range(600, 620):
        show(chart, candle(place))
    assert len(chart.model.comm.log) == before
    back = view(chart, name="again")
    back.say(type="ready", seq=back.seq, spec=back.spec["version"])
    np.testing.assert_allclose(back.pump().table(), expected(620, 200), atol=2e-4)


def test_the_last_state_is_kept_by_the_notebook_and_shown_by_a_new_view(live: Any) -> None:
    chart = made()
    chart._ipython_display_()
    page = view(chart).ready()
    for place in range(600, 604):
        show(chart, candle(place))
    chart.finish("the bot has stopped")
    assert page.pump().types[-1] == "leave" and page.notice == "the bot has stopped"
    # While a cell blocks the new view cannot send a request: it reads the model.
    sent = [
        (data["state"], buffers)
        for _, data, buffers in chart.model.comm.log
        if data.get("method") == "update"
    ]
    (window,) = [bytes(buffers[0]) for state, buffers in sent if buffers]
    (info,) = [state["window_info"] for state, _ in sent if "window_info" in state]
    assert info == {"rows": 200, "seq": 4, "more": True, "spec": chart._scene.version}
    table = np.frombuffer(window, "<f8").reshape(14, 200).T
    np.testing.assert_allclose(table, expected(604, 200), atol=2e-4)
    (_, shown, _), (_, beside, _), *updates = live
    last = {place: bundle for kind, place, bundle in updates if kind == "update"}
    mime = "application/vnd.jupyter.widget-view+json"
    assert set(last) == {shown, beside} and last[shown][mime]["model_id"] == chart.model.model_id
    encoded = last[beside]["text/html"].split("base64,")[1].split('"')[0]
    picture = base64.b64decode(encoded).decode()
    assert f"C {number(table[-1, 4])}" in picture and "the bot has stopped" in picture


def test_a_page_that_cannot_answer_yet_receives_the_window_periodically(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blocking cell delays the messages of the page, not those to it."""
    now = time.monotonic()
    monkeypatch.setattr("botlib.widgets.chart.link.time.monotonic", lambda: now)
    chart = made()
    chart._ipython_display_()
    page = view(chart)
    for place in range(600, 640):
        show(chart, candle(place))
        now += 0.25
    page.pump()
    assert page.types.count("history") == 3
    assert page.types.count("update") == 37
    assert page.gaps == 0


def test_messages_of_several_threads_have_ascending_numbers(live: Any) -> None:
    chart = made(1_000)
    chart._ipython_display_()
    page = view(chart).ready()

    def feed(offset: int) -> None:
        for place in range(1_000 + offset, 1_100, 4):
            show(chart, candle(place, closed=place % 3 > 0))
            if place % 25 == 0:
                chart.mark(lines=())
                chart.add("sma(7)")

    threads = [threading.Thread(target=feed, args=(offset,)) for offset in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    customs = [data["content"] for _, data, _ in chart.model.comm.log if "content" in data]
    numbers = [one["seq"] for one in customs if "seq" in one and "view" not in one]
    assert numbers == list(range(1, len(numbers) + 1))
    assert page.pump().gaps == 0
    page.say(type="resync", have=0, got=1)
    drawn = chart._scene.rows.cells(chart._scene.start)
    np.testing.assert_array_equal(page.pump().table(), drawn[np.isfinite(drawn[:, 1])])


def test_an_update_is_fast(live: Any) -> None:
    chart = made(2_000, window=2_000)
    chart._ipython_display_()
    view(chart).ready()
    show(chart, candle(2_000, closed=False))
    best = []
    for _ in range(5):
        began = time.process_time()
        for step in range(100):
            show(chart, candle(2_000, closed=False, factor=1 + step / 1e5))
        best.append((time.process_time() - began) / 100)
    # An idle machine needs less than 0.5 ms; the bound notices only a change by a factor.
    assert min(best) < 5e-3


def test_a_message_that_cannot_be_sent_does_not_stop_the_feed(
    live: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chart = made()
    chart._ipython_display_()

    def broken(*_: Any) -> None:
        raise OSError("the socket is closed")

    monkeypatch.setattr(chart.model, "send", broken)
    show(chart, candle(600))
    assert "could not be sent" in caplog.text


def test_a_malformed_message_of_the_page_is_logged(
    live: Any, caplog: pytest.LogCaptureFixture
) -> None:
    chart = made()
    chart._ipython_display_()
    page = view(chart)
    page.say(type="older", before="never", want=5)
    page.say(type="nonsense")
    assert "could not answer older" in caplog.text


def test_two_views_of_one_chart_each_receive_their_answers(live: Any) -> None:
    chart = made(600)
    chart._ipython_display_()
    chart._ipython_display_()
    pages = [view(chart, name=name).ready() for name in ("one", "two")]
    pages[0].say(type="older", before=min(pages[0].rows), want=100)
    show(chart, candle(600))
    for page in pages:
        page.pump()
    assert pages[0].seq == pages[1].seq == 1
    assert [kind for kind, _, _ in live] == ["display"] * 4  # two views, two pictures
    pages[0].say(type="gone")
    show(chart, candle(601))
    assert pages[1].pump().seq == 2


def test_a_correction_is_a_new_history(live: Any) -> None:
    chart = made(600)
    chart._ipython_display_()
    page: Page = view(chart).ready()
    show(chart, candle(590, factor=1.01))
    assert page.pump().types == ["history"]
    assert page.table()[-10, 4] == pytest.approx(FRAME.to_numpy()[590, 3] * 1.01)
