"""The badge of each kind of market: a text and a colour of its own, in cards and on pages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from botlib.config import Settings
from botlib.core.text.cards import BADGE_COLOURS, html_badge
from botlib.venues.kinds import KINDS, PAPER_KINDS, market_kind
from botlib.widgets.bundle import asset
from botlib.widgets.chart import Chart, ChartInfo, ChartRows

BASE = Path(__file__).parents[2] / "js" / "src" / "base.css"
FILLED = sorted(KINDS.keys() - {"paper"})
WHITE = (255, 255, 255)


def page_colours() -> dict[str, str]:
    """Return the background of each kind's badge by the style sheet of the pages."""
    rules = re.findall(r"\.bl-kind\.bl-(\w+) \{([^}]*)\}", BASE.read_text())
    return {
        kind: found[1]
        for kind, rule in rules
        if (found := re.search(r"background: ([^;]+);", rule)) is not None
    }


def luminance(rgb: tuple[int, ...]) -> float:
    """Return the relative luminance by the Web Content Accessibility Guidelines 2.1."""
    parts = [one / 255 for one in rgb]
    linear = [one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rgb_of(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def test_each_kind_has_a_text_and_a_colour_of_its_own() -> None:
    badges = {kind: html_badge(kind.upper()) for kind in KINDS}
    texts = {BeautifulSoup(badge, "html.parser").text for badge in badges.values()}
    assert len(texts) == len(KINDS)
    styles = {str(BeautifulSoup(badge, "html.parser").span["style"]) for badge in badges.values()}
    assert len(styles) == len(KINDS)
    assert {kind.lower() for kind in BADGE_COLOURS} == set(FILLED)
    assert len({words for _, words in KINDS.values()}) == len(KINDS)


def test_pages_and_cards_have_the_same_colours() -> None:
    colours = page_colours()
    assert sorted(colours) == FILLED
    assert colours.pop("live") == "var(--bl-live)"
    assert colours == {
        kind.lower(): colour for kind, colour in BADGE_COLOURS.items() if kind != "LIVE"
    }
    # In what is shipped too.
    for name in ("chart.css", "dashboard.css"):
        for kind, colour in colours.items():
            assert re.search(rf"\.bl-kind\.bl-{kind}\{{[^}}]*{colour}", asset(name).read_text())


@pytest.mark.parametrize("kind", [one for one in FILLED if one != "live"])
def test_a_badge_is_readable(kind: str) -> None:
    back = luminance(rgb_of(BADGE_COLOURS[kind.upper()]))
    assert 1.05 / (back + 0.05) >= 4.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_chart_shows_the_kind_of_its_market(kind: str) -> None:
    rows = ChartRows("1m")
    index = pd.date_range("2026-01-05", periods=3, freq="1min", tz="UTC")
    columns = ["open", "high", "low", "close", "volume"]
    rows.load(pd.DataFrame(np.full((3, 5), 100.0), index, columns), whole=True)
    chart = Chart(ChartInfo(symbol="BTC/USDT", venue="anywhere", kind=kind), rows)
    spec = chart._scene.spec()
    assert (spec["kind"], spec["words"]) == (kind, KINDS[kind].words)
    assert f"{kind.upper()} · {KINDS[kind].words}" in chart.svg()


@pytest.mark.parametrize(
    ("venue", "kind"),
    [
        ("paper:synthetic:seed=42", "paper"),
        ("paper:recording:BTCUSDT:0a1b2c3d", "replay"),
        ("paper:mirror:binance", "mirror"),
        ("paper:mirror:binance@8123/second", "mirror"),
        ("binance", "live"),
        ("", "live"),
    ],
)
def test_the_kind_of_a_market_is_that_of_its_name(venue: str, kind: str) -> None:
    assert market_kind(venue, "live") == kind


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "paper"),
        ({"paper": {"market": "mirror"}}, "mirror"),
        ({"paper": {"market": "replay", "replay": {"symbols": ["BTC/USDT"]}}}, "replay"),
        ({"mode": "watch"}, "watch"),
        ({"mode": "live", "strategies": []}, "live"),
        ({"mode": "live", "strategies": [], "exchange": {"environment": "testnet"}}, "testnet"),
        ({"mode": "live", "strategies": [], "exchange": {"environment": "demo"}}, "demo"),
    ],
)
def test_the_kind_of_settings(changes: dict[str, object], kind: str) -> None:
    assert Settings.from_dict(changes).kind == kind
    assert set(PAPER_KINDS.values()) < set(KINDS)
