"""Charts of frames: accepted input, error messages, and the static picture."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import botlib as bl
from botlib.core.errors import ConfigError, InvalidInput, WidgetError
from botlib.core.text.formats import number
from botlib.frames.frame import candle_frame
from botlib.widgets import bundle, display
from botlib.widgets.chart import Click, Line, Marker, Shade
from botlib.widgets.chart.axes import price_decimals, time_ticks
from botlib.widgets.chart.studies import UP
from tests.support.chart_page import MINUTE, START, market, view

FRAME = market(400)
SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: bl.Chart, last: int = 200) -> ElementTree.Element:
    return ElementTree.fromstring(chart.svg(last))


def words(picture: ElementTree.Element) -> str:
    return " ".join("".join(one.itertext()) for one in picture.iter(f"{SVG}text"))


def html_of(shown: Any) -> str:
    """Return the picture of the last display."""
    html: str = shown[-1][2]["text/html"]
    return base64.b64decode(html.split("base64,")[1].rstrip('">')).decode()


WORD = r'<text x="[\d.]+" y="([\d.]+)"[^>]*>word<'
"""The words of a marker, and their height."""


def test_the_picture_of_a_frame_names_every_series() -> None:
    chart = bl.chart(
        FRAME, overlays=["ema(20)", "bbands(20, 2)"], panes=["rsi(14)", "macd"], title="A <title>"
    )
    assert repr(chart) == (
        "<Chart A <title> · 400 candles · ema(20), bbands(20, 2), rsi(14), macd(12, 26, 9)>"
    )
    text = words(drawn(chart))
    for word in ("A <title>", "UTC", "ema(20)", "upper", "rsi(14)", "70", "signal", "volume"):
        assert word in text, word
    assert chart.timeframe == "1m"
    assert len(chart.svg(400)) < 110_000


def test_the_name_of_an_indicator_with_several_columns_appears_once() -> None:
    named = words(drawn(bl.chart(market(100), overlays=["ema(20)", "bbands(20, 2)", "ema(50)"])))
    assert named.count("bbands") == 1
    price = r"[\d.\u2009]+"
    legend = rf"bbands\(20, 2\) lower {price}middle {price}upper {price}ema\(50\) {price}"
    assert re.search(legend, named)


def test_candles_are_drawn_on_linear_axes() -> None:
    """Three candles on a linear scale: the highest is drawn above, the last on the right."""
    frame = candle_frame(
        START + np.arange(3) * MINUTE,
        [[10, 11, 10, 11, 1], [11, 20, 11, 20, 1], [20, 20, 15, 15, 1]],
    )
    picture = drawn(bl.chart(frame))
    rising = next(one.get("d", "") for one in picture.iter(f"{SVG}path") if one.get("stroke") == UP)
    places = [
        tuple(map(float, part.split(" "))) for part in re.findall(r"M([\d.]+ [\d.]+)V", rising)
    ]
    (first_x, first_high), (second_x, second_high) = places
    assert first_x < second_x and first_high > second_high


def test_the_time_axis_names_the_day_if_none_starts_in_view() -> None:
    rows = np.arange(240)
    hours = START / 1_000 + 3_600 * 3 + 60.0 * rows
    ticks = time_ticks(hours, most=9)
    assert [label for _, label, _ in ticks][:2] == ["01-05 03:30", "04:00"]
    assert [strong for *_, strong in ticks] == [True] + [False] * (len(ticks) - 1)
    over_midnight = [label for _, label, _ in time_ticks(hours + 3_600 * 19, most=9)]
    assert over_midnight[:4] == ["22:30", "23:00", "23:30", "01-06"]


def test_a_single_text_is_one_indicator() -> None:
    chart = bl.chart(FRAME, overlays="sma(10)", panes="rsi(14)")
    assert chart.indicators == ("sma(10)", "rsi(14)")
    shared = bl.chart(FRAME, panes=[["ema(5, source=volume)", "sma(20, source=volume)"], "atr"])
    assert [one["pane"] for one in shared._scene.spec()["series"]] == [0, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("spec", "pane"), [("sma(10)", 0), ("rsi(14)", 2), ("supertrend(10, 3)", 0), ("cci(20)", 2)]
)
def test_the_pane_of_an_indicator_is_found_by_its_values(spec: str, pane: int) -> None:
    chart = bl.chart(FRAME)
    chart.add(spec)
    assert {one["pane"] for one in chart._scene.spec()["series"][2:]} == {pane}
    chart.add(spec, pane=pane == 0)
    assert {one["pane"] for one in chart._scene.spec()["series"][2:]} == {2 if pane == 0 else 0}
    assert len(chart.indicators) == 1


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="low"), r"no column 'low'; it has open, high, close, volume"),
        (FRAME[::-1], r"out of order: row 1 is of .*06:38.*after one of .*06:39.*sort_index"),
        (FRAME.iloc[[0, 1, 1, 2]], "out of order: row 2"),
        (FRAME.reset_index(drop=True), "has no times: its index is RangeIndex"),
        ([1, 2], "not list"),
        (FRAME.set_index(FRAME.index.where(FRAME.index != FRAME.index[5])), "NaT"),
        (FRAME.iloc[np.arange(0, 400, 7)], "420 s apart, which is none of"),
    ],
)
def test_an_invalid_frame_is_refused(frame: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        bl.chart(frame)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"overlays": ["emma(20)"]}, "Did you mean 'ema'"),
        ({"overlays": ["ema(20"]}, "Write it as a call"),
        ({"panes": [["rsi(14)", "macdd"]]}, "Did you mean 'macd'"),
        ({"timeframe": "7m"}, "Unknown timeframe '7m'"),
        ({"timeframe": "1h"}, "closer together than 1h.*'1m'"),
        ({"height": 5}, "height must be a whole number from 120 to 4000, not 5"),
        ({"window": 1.5}, "window must be"),
    ],
)
def test_invalid_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        bl.chart(FRAME, **changes)


def test_removing_an_unknown_indicator_names_those_shown() -> None:
    chart = bl.chart(FRAME, overlays=["ema(20)"])
    with pytest.raises(InvalidInput, match=r"'ema\(21\)' is not on this chart.*Did you mean"):
        chart.remove("ema(21)")
    with pytest.raises(InvalidInput, match="On it are: ema"):
        chart.remove("nothing at all")


def test_a_refused_indicator_does_not_change_the_chart() -> None:
    chart = bl.chart(FRAME[["open", "high", "low", "close"]])
    assert "volume" not in words(drawn(chart))
    before = chart._scene.spec()
    with pytest.raises(InvalidInput):
        chart.add("bbands(1)")
    assert chart._scene.spec() == before
    assert len(chart._scene.rows.cells()) == 400


def test_frames_with_other_time_columns_are_accepted() -> None:
    zoned = FRAME.tz_localize("UTC").tz_convert("Europe/Berlin")
    column = FRAME.reset_index().assign(timestamp=START + np.arange(400) * MINUTE)
    for frame in (zoned, column, FRAME.reset_index()):
        chart = bl.chart(frame, overlays=["ema(3)"])
        assert chart._scene.rows.times[0] == START
        assert len(chart) == 400


def test_rows_without_prices_are_missing_candles() -> None:
    frame = FRAME.copy()
    frame.iloc[100:105, 0] = np.nan
    frame.iloc[300, 4] = np.nan
    chart = bl.chart(frame, overlays=["ema(20)"])
    assert len(chart) == 395
    (shade,) = chart._scene.wire_marks(0)["shades"]
    assert shade == {
        "from": START / 1_000 + 6_000,
        "to": START / 1_000 + 6_240,
        "kind": "missing",
    }
    titles = [one.text for one in drawn(chart, 400).iter(f"{SVG}title")]
    assert titles == ["missing candles"]
    assert "nan" not in chart.svg(400).lower()


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_chart_of_few_candles_or_none_is_drawn(rows: int) -> None:
    chart = bl.chart(FRAME[:rows], overlays=["ema(20)"], panes=["rsi(14)"])
    assert ("no candles yet" in words(drawn(chart))) == (rows == 0)
    assert len(chart) == rows


def test_flat_candles_and_huge_and_tiny_prices_are_drawn() -> None:
    for price in (1e-8, 1.0, 1e9):
        flat = candle_frame(START + np.arange(50) * MINUTE, [[price] * 4 + [0.0]] * 50)
        text = bl.chart(flat, panes=["rsi(14)", "macd"]).svg()
        assert "nan" not in text and "inf" not in text
    assert price_decimals([1e-8, 2e-8]) == 8
    assert price_decimals([0.1, 0.25]) == 2
    assert price_decimals([100.0]) == 0
    assert price_decimals([1 / 3 * 1e5]) == 2


def test_markers_lines_and_shades_are_drawn_at_their_candles() -> None:
    last = START + 399 * MINUTE
    price = float(FRAME["close"].iloc[-1])
    chart = bl.chart(
        FRAME,
        markers=[
            Marker(timestamp=last - 50 * MINUTE + 30_000, kind="exit", text="+1 % <b>"),
            Marker(timestamp=last - 90 * MINUTE, kind="entry", text="buy"),
            Marker(timestamp=START, kind="note", text="long ago"),
        ],
        lines=[
            Line(id="p", kind="position", price=price, title="0.5 BTC"),
            Line(id="s", kind="stop", price=price * 10, title="far away"),
        ],
    )
    wire = chart._scene.wire_marks()
    assert [one["time"] for one in wire["markers"]] == [
        START / 1_000,
        last / 1_000 - 5_400,
        last / 1_000 - 3_000,
    ]
    assert wire["markers"][1]["position"] == "belowBar"
    assert {one["style"] for one in wire["lines"]} == {"solid", "dashed"}
    text = words(drawn(chart))
    assert "+1 % <b>" in text and "buy" in text and "0.5 BTC" in text
    assert "long ago" not in text and "far away" not in text
    with pytest.raises(InvalidInput, match="Did you mean 'entry'"):
        Marker(timestamp=0, kind="entri")
    with pytest.raises(InvalidInput, match="no line of the kind"):
        Line(id="x", kind="entry", price=1.0, title="")
    assert Shade(start=1_000, end=2_000, kind="repaired").wire()["from"] == 1.0


@pytest.mark.parametrize(("kind", "column", "way"), [("entry", "low", 1), ("exit", "high", -1)])
def test_the_words_of_a_marker_lie_on_no_candle_beside_it(kind: Any, column: str, way: int) -> None:
    times = START + np.arange(100) * MINUTE
    frame = candle_frame(times, [[100.0, 101.0, 99.0, 100.0, 1.0]] * 100)
    frame.iloc[50, frame.columns.get_loc(column)] = 100 - 10 * way

    def marked(row: int) -> tuple[float, float]:
        """Return the heights of the tip of a marker and of its words."""
        chart = bl.chart(frame, markers=[Marker(timestamp=int(times[row]), kind=kind, text="word")])
        found = re.search(r'd="M[\d.]+ ([\d.]+)l4\.5[^>]*>' + WORD, chart.svg(100))
        assert found is not None
        return float(found[1]), float(found[2])

    tip, _ = marked(50)
    _, words_beside = marked(49)
    assert way * (words_beside - (tip - 4 * way)) >= (9 if way > 0 else 3)
    assert way * (words_beside - marked(10)[1]) > 50, "those of other candles stay at their own"


def test_a_line_over_a_past_range_is_drawn_over_its_candles_only() -> None:
    last = START + 399 * MINUTE
    price = float(FRAME["close"].iloc[-1])
    steps = ((last - 100 * MINUTE, price * 0.999), (last - 80 * MINUTE, price * 1.001))
    stop = Line(id="s", kind="stop", price=steps[-1][1], steps=steps, end=last - 60 * MINUTE)
    open_ = Line(id="t", kind="target", price=price, steps=((last - 9 * MINUTE, price),))
    past = Line(id="u", kind="stop", price=price, steps=((START, price),), end=START + MINUTE)
    far = Line(id="v", kind="stop", price=1.0, steps=((last, 1.0),))
    chart = bl.chart(FRAME, lines=[stop, open_, past, far])
    wire = {one["id"]: one for one in chart._scene.wire_marks(last - 199 * MINUTE)["lines"]}
    assert list(wire) == ["s", "t", "v"]
    assert wire["s"]["steps"] == [[time / 1_000, level] for time, level in steps]
    assert wire["s"]["to"] == last / 1_000 - 3_600 and "to" not in wire["t"]
    paths = [one.get("d", "") for one in drawn(chart, 200).iter(f"{SVG}path")]
    number = r"([\d.]+)"
    stairs = re.compile(rf"M{number} {number}H{number}V{number}H{number}$")
    ((left, low, middle, high, right),) = [
        map(float, found.groups()) for path in paths if (found := stairs.match(path))
    ]
    pitch = (960 - 74 - 8) / 200
    assert low > high, "it rose"
    assert left == pytest.approx(4 + 99 * pitch, abs=0.1)
    assert (middle - left, right - middle) == pytest.approx((20 * pitch, 21 * pitch), abs=0.2)
    tail = re.compile(rf"M{number} {number}H{number}$")
    flat = [tuple(map(float, found.groups())) for path in paths if (found := tail.match(path))]
    held = [(begin, end) for begin, _, end in flat if begin > 0]
    begin = pytest.approx(4 + 190 * pitch, abs=0.1)
    assert held == [(begin, pytest.approx(4 + 200 * pitch, abs=0.1))], "the one far away is not"


def test_a_headless_notebook_gets_a_small_picture_and_no_widget(headless: Any) -> None:
    chart = bl.chart(market(3_000), overlays=["bbands(20, 2)"], panes=["rsi(14)", "macd"])
    chart._ipython_display_()
    ((kind, place, shown),) = headless
    assert kind == "display" and set(shown) == {"text/plain", "text/html"}
    assert shown["text/html"].startswith("<img alt=")
    assert len(shown["text/html"]) < 100_000
    ElementTree.fromstring(html_of(headless))
    assert chart.model is None
    chart.add("stoch")
    assert headless[-1][:2] == ("update", place)
    assert "stoch" in html_of(headless)


def test_headless_pictures_are_updated_rarely_and_end_with_the_last_state(
    headless: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("botlib.widgets.pictures.time.monotonic", lambda: now)
    chart = bl.chart(FRAME[:300])
    chart._ipython_display_()
    for place in range(300, 400):
        moment, values = START + place * MINUTE, FRAME.to_numpy()[place].tolist()
        names = ("open", "high", "low", "close", "volume")
        chart.update(
            bl.Candle(
                symbol="BTC/USDT",
                timeframe="1m",
                timestamp=moment,
                closed=True,
                source="stream",  # type: ignore[arg-type]
                **dict(zip(names, values, strict=True)),
            )
        )
        now += 0.1
    assert len(headless) == 2
    chart.finish("the bot has stopped")
    assert len(headless) == 3
    assert "the bot has stopped" in html_of(headless)
    assert f"C {number(FRAME['close'].iloc[-1])}" in html_of(headless)


def test_a_closed_chart_leaves_a_picture(live: Any) -> None:
    chart = bl.chart(FRAME)
    chart._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in live[0][2]
    chart.close()
    chart.close()
    kind, place, bundle = live[-1]
    assert (kind, place) == ("update", live[1][1])  # the picture beside the view
    assert set(bundle) == {"text/plain", "text/html"} and "closed" in bundle["text/plain"]
    assert chart.closed and "closed" in repr(chart)
    with pytest.raises(WidgetError, match="was closed"):
        chart.add("ema(20)")
    chart._ipython_display_()
    assert set(live[-1][2]) == {"text/plain", "text/html"}


def test_the_picture_beside_a_live_view_is_updated_once_a_minute(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("botlib.widgets.pictures.time.monotonic", lambda: now)
    chart = bl.chart(FRAME[:300])
    chart._ipython_display_()
    (_, _, view), (_, place, still) = live
    assert set(view) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert chart.model.still in still["text/html"] and "The last picture, of" in still["text/html"]
    times = FRAME.index[300:].astype("int64").tolist()
    for moment, values in zip(times, FRAME.to_numpy()[300:].tolist(), strict=True):
        chart.take(
            bl.Candle(
                symbol="BTC/USDT",
                timeframe="1m",
                timestamp=moment,
                closed=True,
                source="stream",  # type: ignore[arg-type]
                **dict(zip(("open", "high", "low", "close", "volume"), values, strict=True)),
            )
        )
        chart.flush()
        now += 0.7
    assert [one[:2] for one in live[2:]] == [("update", place)]  # of the 70 s that passed


def test_clicks_call_the_callbacks_and_errors_appear_on_the_chart(
    live: Any, caplog: pytest.LogCaptureFixture
) -> None:
    chart = bl.chart(FRAME)
    clicks: list[Click] = []

    @chart.on_click
    def broken(click: Click) -> None:
        raise ZeroDivisionError("oh")

    chart.on_click(clicks.append)
    chart._ipython_display_()
    page = view(chart).ready()
    page.say(type="click", time=START / 1_000, price=60_000.5, pane=0, series="candles")
    page.say(type="click", time=None, price=None, pane=2, series=None)
    assert clicks == [
        Click(timestamp=START, price=60_000.5, pane=0, series="candles"),
        Click(timestamp=None, price=None, pane=2, series=None),
    ]
    assert page.pump().notice == "on_click: broken failed: ZeroDivisionError: oh"
    assert "oh" in caplog.text
    with pytest.raises(InvalidInput, match="takes a function"):
        chart.on_click("me")  # type: ignore[type-var]

    async def later(click: Click) -> None: ...

    with pytest.raises(InvalidInput, match="no bot"):
        chart.on_click(later)


def test_a_screenshot_is_the_image_sent_by_the_page(live: Any, tmp_path: Path) -> None:
    chart = bl.chart(FRAME)
    svg = chart.screenshot(tmp_path / "picture.svg")
    ElementTree.fromstring(svg.read_text())
    with pytest.raises(WidgetError, match=r"No page shows this chart.*picture\.svg"):
        chart.screenshot(tmp_path / "picture.png")
    with pytest.raises(InvalidInput, match=r"Accepted: a name ending in \.png"):
        chart.screenshot("picture.jpg")
    chart._ipython_display_()
    # No page has answered yet: the request is repeated when one opens.
    path = chart.screenshot(tmp_path / "picture.png")
    page = view(chart).ready()
    assert page.types == ["shoot", "shoot"]
    page.say(type="shot", id=1, buffers=[memoryview(b"PNG")])
    page.say(type="shot", id=1, buffers=[memoryview(b"from another view")])
    assert path.read_bytes() == b"PNG"
    chart.screenshot(tmp_path / "none.png")
    page.say(type="shot", id=2, error="no canvas")
    assert page.pump().notice == "screenshot: no canvas"
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["picture.png", "picture.svg"]


def test_the_chart_shows_that_a_screenshot_comes_later(
    live: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.widgets.chart.screenshots.PATIENCE", 0.01)
    chart = bl.chart(FRAME)
    chart._ipython_display_()
    page = view(chart).ready()
    path = chart.screenshot(tmp_path / "late.png")
    for _ in range(1_000):
        if page.pump().notice:
            break
        time.sleep(0.01)
    assert page.notice == "late.png is written when the running cell has ended"
    page.say(type="shot", id=1, buffers=[memoryview(b"PNG")])
    assert path.read_bytes() == b"PNG" and page.pump().notice == ""


def test_the_display_mode_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BOTLIB_WIDGETS", "BOTLIB_HEADLESS", "JPY_SESSION_NAME", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("VSCODE_CWD", raising=False)
    assert display.mode() == "static"
    monkeypatch.setenv("JPY_SESSION_NAME", "some.ipynb")
    assert display.mode() == "live"
    monkeypatch.setenv("BOTLIB_HEADLESS", "1")
    assert display.mode() == "static"
    monkeypatch.setenv("BOTLIB_WIDGETS", "Live")
    assert display.mode() == "live"
    monkeypatch.setenv("BOTLIB_WIDGETS", "alive")
    with pytest.raises(ConfigError, match="'alive' names no mode"):
        display.mode()


def test_a_missing_bundle_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundle, "STATIC", tmp_path)
    with pytest.raises(WidgetError, match=r"chart\.js is not there.*make js"):
        bundle.asset("chart.js")


def test_the_chart_of_a_backtest_shows_its_round_trips() -> None:
    frame = market(1_500, step=60 * MINUTE)
    strategy = bl.TrendCross(timeframes=("1h",), stop_loss=0.003)
    result = bl.backtest(strategy, frame, symbol="BTC/USDT")
    chart = result.chart(overlays=["ema(20)"], panes=["rsi(14)"])
    trips = result.roundtrips
    kinds = [one.kind for one in chart.marks.markers]
    assert kinds.count("entry") == len(trips) > 3
    assert kinds.count("stop") == (trips["reason"] == "stop_loss").sum() > 0
    assert len(kinds) == len(trips) + trips["exit_time"].notna().sum()
    entry = chart.marks.markers[0]
    assert pd.Timestamp(entry.timestamp, unit="ms") == trips["entry_time"].iloc[0]
    assert "TrendCross" in words(drawn(chart)) and "%" in words(drawn(chart, 400))
    assert result.chart(title="mine", height=300).height == 300


@pytest.mark.parametrize(
    "stops",
    [
        {"stop_loss": 0.003, "take_profit": 0.006},
        {"trailing_stop": 0.004},
        {"stop_loss": 0.002, "trailing_stop": 0.004, "take_profit": 0.02},
    ],
)
def test_the_chart_of_a_backtest_shows_past_stops_and_targets(stops: dict[str, float]) -> None:
    frame = market(3_000)
    strategy = bl.TrendCross(timeframes=("1m",), **stops)  # type: ignore[arg-type]
    result = bl.backtest(strategy, frame, costs=bl.Costs.none(fee=0.001))
    lines = result.chart().marks.lines
    trips = result.roundtrips
    moments = {moment: row for row, moment in enumerate(START + np.arange(3_000) * MINUTE)}
    highs, lows, opens = (frame[name].to_numpy() for name in ("high", "low", "open"))
    kinds = {"stop", "target"} if "take_profit" in stops else {"stop"}
    held = [one for one in lines if one.kind == "stop"]
    assert {one.kind for one in lines if one.steps} == kinds
    assert len(held) == len(trips) > 20
    left_by_stops = 0
    share, trail = (stops.get(name, 1.0) for name in ("stop_loss", "trailing_stop"))

    def expected(entry: float, peaks: Any) -> Any:
        return entry * (1 - share), peaks * (1 - trail)

    for line, trip in zip(held, trips.itertuples(index=False), strict=True):
        times = [time for time, _ in line.steps]
        assert times == sorted(set(times)) and line.price == line.steps[-1][1]
        first, last = moments[times[0]], moments[line.end]
        assert trip.entry_time == frame.index[first]
        levels = np.empty(last - first + 1)
        for since, price in line.steps:
            levels[moments[since] - first :] = price
        # The high of a candle moves the stop only after its close.
        peaks = np.maximum.accumulate([trip.entry_price, *highs[first:last]])
        assert (levels == np.maximum(*expected(trip.entry_price, peaks))).all()
        hit = trip.reason in ("stop_loss", "trailing_stop")
        safe = lows[first : last + 1] > levels
        assert safe[: len(safe) - hit].all()
        if hit:
            left_by_stops += 1
            opened = opens[last] if last > first else np.inf
            assert not safe[-1] and trip.exit_price == min(levels[-1], opened)
        elif trip.reason == "exit":
            assert frame.index[last + 1] == trip.exit_time
    assert left_by_stops > 5
    targets = {one.steps[0][0]: one for one in lines if one.kind == "target"}
    for trip in trips[trips["reason"] == "take_profit"].itertuples(index=False):
        line = targets[int(pd.Timestamp(trip.entry_time).value // 10**6)]
        assert line.price == trip.exit_price
        assert moments[line.end] == frame.index.get_loc(trip.exit_time)


def test_the_chart_of_a_backtest_without_stops_shows_none() -> None:
    result = bl.backtest(bl.TrendCross(timeframes=("1m",)), market(1_000))
    assert not any(one.steps for one in result.chart().marks.lines)
