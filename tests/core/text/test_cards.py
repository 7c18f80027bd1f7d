"""Cards: escaped, self-contained, readable on light and dark pages."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

import botlib as bl
from botlib.backtesting import BacktestResult
from botlib.bot.listing import listing
from botlib.core.text.cards import (
    BADGE_COLOURS,
    Tone,
    Toned,
    card,
    figures,
    html_badge,
    lines,
    section,
    spark,
)
from botlib.core.text.tables import html_table
from botlib.engine.health import EngineHealth
from botlib.store.coverage import DataReport
from botlib.store.files import RecordingReport
from botlib.store.files.export import ExportReport
from botlib.tasks import BackgroundTaskManager, TaskConfig

EVIL = "<script>alert('x')</script>"


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("tone", [tone for tone in Tone if tone is not Tone.PLAIN])
@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_every_signal_colour_has_contrast_on_light_and_dark_pages(tone: Tone, ground: str) -> None:
    light, dark = sorted((luminance(tone.value), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 3.8


def test_all_texts_are_escaped() -> None:
    html = card(
        EVIL,
        figures([(EVIL, EVIL), (EVIL, Toned(EVIL, Tone.GOOD))]),
        lines([EVIL], Tone.BAD),
        section(EVIL, html_table([EVIL], [[EVIL]])),
        notes=EVIL,
        badge=EVIL,
        tone=Tone.BAD,
    )
    assert "<script" not in html
    assert BeautifulSoup(html, "html.parser").text.count(EVIL) == 11


def test_a_card_is_self_contained_and_keeps_the_text_colour_of_the_page() -> None:
    html = card("title", figures([("a", 1)]), tone=Tone.GOOD, badge="PAPER", notes="fine")
    soup = BeautifulSoup(html, "html.parser")
    assert soup(["script", "link", "style"]) == []
    assert len(soup("div", class_="botlib")) == 1
    assert "color" not in soup.find("b").get("style", "")
    assert soup.text == "PAPER ● title finea1"


def test_the_badge_of_a_market_has_a_colour_of_its_own() -> None:
    assert f"background:{Tone.BAD.value}" in html_badge("LIVE")
    assert html_badge("LIVE armed") == html_badge("LIVE").replace(">LIVE<", ">LIVE armed<")
    assert "background" not in html_badge("PAPER") and "background" not in html_badge("mirrored")
    assert len(set(BADGE_COLOURS.values())) == len(BADGE_COLOURS)


def test_a_figure_without_a_value_is_a_dash() -> None:
    assert BeautifulSoup(figures([("a", None), ("b", 0)]), "html.parser").text == "a–b0"


def test_a_spark_line_stays_inside_its_image_and_ends_at_the_last_value() -> None:
    values = [float(value) for value in np.cumsum(np.linspace(-1, 3, 5_000))]
    data = re.search(r'base64,([^"]+)"', spark(values, level=values[0]))
    assert data is not None
    svg = b64decode(data[1]).decode()
    points = re.search(r'polyline points="([^"]+)"', svg)
    assert points is not None
    drawn = [tuple(map(float, point.split(","))) for point in points[1].split()]
    assert all(0 <= x <= 260 and 0 <= y <= 44 for x, y in drawn)
    assert drawn[-1] == (260.0, 3.0)  # the highest
    assert len(svg) < 8_000


@pytest.mark.parametrize("values", [[], [1.0], [float("nan"), 1.0]])
def test_too_few_values_give_no_spark_line(values: list[float]) -> None:
    assert spark(values) == ""


def test_a_flat_spark_line_is_drawn() -> None:
    assert "img" in spark([1.0, 1.0], level=1.0)


def test_a_listing_is_a_data_frame_with_a_card_and_a_one_line_repr() -> None:
    frame = pd.DataFrame(
        {
            "created": pd.to_datetime([1_700_000_000_000] * 30, unit="ms"),
            "side": ["buy", "sell"] * 15,
            "price": [1.5, np.nan] * 15,
            "strategy": [EVIL] * 30,
        }
    )
    orders = listing(frame, "Orders")
    assert repr(orders) == "<Orders: 30 rows · created, side, price, strategy>"
    assert str(orders) == str(frame)
    html = orders._repr_html_()
    assert "<script" not in html and "… and 10 before" in html
    soup = BeautifulSoup(html, "html.parser")
    assert [cell.text for cell in soup.tbody("tr")[0]("td")] == [
        "2023-11-14 22:13:20", "buy", "1.5", EVIL,
    ]  # fmt: skip
    assert type(orders[orders["side"] == "buy"]) is pd.DataFrame
    assert orders["price"].sum() == frame["price"].sum()
    empty = listing(frame.head(0), "Orders")
    assert "none" in empty._repr_html_() and "0 rows" in repr(empty)


def test_false_is_drawn_as_bad_only_in_columns_in_which_it_is_bad() -> None:
    streams = pd.DataFrame({"ready": [True, False], "maker": [False, True]})
    cells = BeautifulSoup(listing(streams, "Streams")._repr_html_(), "html.parser").tbody("td")
    drawn = [Tone.BAD.value in cell["style"] for cell in cells]
    assert drawn == [False, False, True, False]


async def test_the_last_errors_of_tasks_are_shown_below_their_table() -> None:
    async def failing() -> None:
        raise ValueError(EVIL)

    manager = BackgroundTaskManager()
    manager.add_task(TaskConfig(name=EVIL, func=failing, interval=3_600, auto_restart=False))
    await manager.start_all()
    async with asyncio.timeout(30):
        while not manager.status()[EVIL].last_error:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
    await manager.stop_all()
    assert "\n" not in repr(manager) and "1 task" in repr(manager)
    assert "last error" in str(manager)
    soup = BeautifulSoup(manager._repr_html_(), "html.parser")
    assert soup.script is None and "last error" not in soup.thead.text
    assert soup("div")[-1].text == f"{EVIL}: ValueError: {EVIL}"


@pytest.mark.parametrize(
    "shown",
    [
        EngineHealth(
            healthy=False, reasons=(EVIL,), mode="paper", venue=EVIL, market_time="",
            candles_closed=0, orders_sent=0, fills=0, lag=0.0,
        ),
        ExportReport(target=EVIL, written=(), unchanged=1, removed=(), candles=1, size=1),
        RecordingReport(path=EVIL, read=2, kept=1, duplicates=1),
        DataReport(rows=()),
    ],
    ids=lambda one: type(one).__name__,
)  # fmt: skip
def test_a_report_has_a_one_line_repr_and_one_card(shown: Any) -> None:
    html = shown._repr_html_()
    assert "<script" not in html
    assert len(BeautifulSoup(html, "html.parser")("div", class_="botlib")) == 1
    assert repr(shown).startswith(f"<{type(shown).__name__} ") and "\n" not in repr(shown)


def test_cards_of_backtests_and_checks_escape_the_names_of_strategies() -> None:
    evil = type(EVIL, (bl.TrendCross,), {})
    index = pd.date_range("2026-01-01", periods=400, freq="1h")
    close = 100 + np.cumsum(np.sin(np.arange(400) / 9))
    frame = pd.DataFrame(
        {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1.0},
        index=index,
    )
    result = bl.backtest(evil(timeframes=("1h",)), frame, symbol="BTC/USDT")
    assert isinstance(result, BacktestResult)
    shown = [result, bl.check(evil(timeframes=("1h",)), frame, cuts=5)]
    for one in shown:
        html = one._repr_html_()
        assert "<script" not in html
        assert len(BeautifulSoup(html, "html.parser")("div", class_="botlib")) == 1
        assert "\n" not in repr(one)
