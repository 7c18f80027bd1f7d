"""The badge of each kind of market as a browser draws it, on chart and dashboard, light and dark.

The pages are served to the browser without a server: no request leaves it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from botlib.core.text.cards import BADGE_COLOURS
from botlib.venues.kinds import KINDS
from botlib.widgets.bundle import STATIC
from botlib.widgets.chart import Chart, ChartInfo, ChartRows
from botlib.widgets.dashboard import Dashboard
from tests.support.chart_page import market
from tests.support.dashboard_state import state
from tests.support.frontend import IN_BROWSER, PATIENCE

pytestmark = IN_BROWSER

ORIGIN = "http://127.0.0.1:9"
VENUES = {
    "paper": "paper:synthetic:seed=42",
    "replay": "paper:recording:BTCUSDT-1m:0a1b2c3d",
    "mirror": "paper:mirror:binance/second",
    "watch": "binance",
    "testnet": "binance-testnet",
    "demo": "binance-demo",
    "live": "binance",
}
PAGE = """<!doctype html><meta charset="utf-8">
<link rel="stylesheet" href="/chart.css"><link rel="stylesheet" href="/dashboard.css">
<style>body { margin: 12px; font: 13px sans-serif } section { margin-bottom: 14px }
body[data-jp-theme-light="false"] { background: #0d1117; color: #d7dce6 }</style>
<body data-jp-theme-light="%s"></body>
<script type="module">
import chart from "/chart.js";
import dashboard from "/dashboard.js";
const given = %s;
const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
for (const { kind, card, ...parts } of given) {
  const section = document.body.appendChild(document.createElement("section"));
  section.id = kind;
  section.insertAdjacentHTML("beforeend", card);
  for (const [name, page] of [["dashboard", dashboard], ["chart", chart]]) {
    const values = { ...parts[name] };
    if (values.window) values.window = bytes(values.window);
    const model = {
      get: (key) => values[key], set: (key, value) => { values[key] = value; },
      on() {}, off() {}, send() {}, save_changes() {},
    };
    const el = section.appendChild(document.createElement("div"));
    el.className = name;
    page.initialize?.({ model });
    page.render({ model, el });
  }
}
document.body.dataset.drawn = "1";
</script>"""


def parts_of(kind: str) -> dict[str, Any]:
    """Return what a page draws of a market: the card, the dashboard and the chart."""
    venue = VENUES[kind]
    made = state(
        head__mode=kind,
        head__venue=venue,
        head__note=KINDS[kind].note,
        head__words=KINDS[kind].words,
    )
    rows = ChartRows("1m")
    rows.load(market(120), whole=True)
    chart = Chart(ChartInfo(symbol="BTC/USDT", timeframe="1m", venue=venue, kind=kind), rows)
    window = chart._link.newest()
    return {
        "kind": kind,
        "card": Dashboard(made, lambda *_: None)._repr_html_(),
        "dashboard": {"height": 220, "theme": "auto", "snapshot": {"seq": 0, "state": made}},
        "chart": {
            "height": 220,
            "theme": "auto",
            "spec": chart._scene.spec(),
            "marks": {},
            "window": base64.b64encode(window["window"]).decode(),
            "window_info": window["window_info"],
        },
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["light", "dark"])
async def page(
    browser: Browser, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Page]:
    """Return a page with all kinds, in light and in dark."""
    theme = str(request.param)
    content = PAGE % (json.dumps(theme == "light"), json.dumps([parts_of(kind) for kind in KINDS]))

    async def serve(route: Route) -> None:
        name = route.request.url.removeprefix(f"{ORIGIN}/")
        if name in ("chart.js", "chart.css", "dashboard.js", "dashboard.css"):
            await route.fulfill(path=STATIC / name)
        elif name == "":
            await route.fulfill(body=content, content_type="text/html")
        else:
            await route.abort()

    context = await browser.new_context(viewport={"width": 1300, "height": 900})
    found = await context.new_page()
    await found.route("**/*", serve)
    await found.goto(f"{ORIGIN}/")
    await found.wait_for_function(
        "() => document.body.dataset.drawn && document.querySelectorAll('[data-ready=\"1\"]')"
        ".length === 14",
        timeout=PATIENCE * 1_000,
    )
    shots = tmp_path_factory.mktemp(f"kinds-{theme}")
    for kind in KINDS:
        await found.locator(f"#{kind}").screenshot(path=shots / f"{kind}.png")
    yield found
    await context.close()


async def looks(page: Page, selector: str) -> dict[str, tuple[str, str, str]]:
    """Return text, background and colour of the badges of all kinds."""
    script = "(one) => [one.textContent, ...['backgroundColor', 'color'].map("
    script += "(name) => getComputedStyle(one)[name])]"
    return {
        kind: tuple(await page.locator(f"#{kind} {selector}").evaluate(script)) for kind in KINDS
    }


@pytest.mark.parametrize("view", [".dashboard", ".chart"])
async def test_each_badge_has_its_own_text_and_colour(page: Page, view: str) -> None:
    badges = await looks(page, f"{view} .bl-kind")
    assert {kind: text for kind, (text, _, _) in badges.items()} == {
        kind: kind.upper() for kind in KINDS
    }
    painted = {kind: look[1:] for kind, look in badges.items()}
    assert len(set(painted.values())) == len(KINDS), painted
    for kind, (background, colour) in painted.items():
        wanted = BADGE_COLOURS.get(kind.upper())
        if kind == "live":
            assert background in ("rgb(200, 16, 46)", "rgb(255, 51, 71)")
        elif wanted is not None:
            parts = [int(wanted[place : place + 2], 16) for place in (1, 3, 5)]
            assert background == f"rgb({', '.join(map(str, parts))})"
        assert (colour == "rgb(255, 255, 255)") == (kind != "paper")


async def test_what_the_name_leaves_open_stands_beside_it(page: Page) -> None:
    for kind, (note, words) in KINDS.items():
        badge = page.locator(f"#{kind} .dashboard .bl-note")
        assert await badge.is_visible() == bool(note)
        assert (await badge.text_content() or "") == note
        legend = page.locator(f"#{kind} .chart .bl-bar .bl-badge")
        assert await legend.text_content() == words
        assert words in (await page.locator(f"#{kind} > .botlib").text_content() or "")


async def test_only_a_bot_that_can_order_shows_an_account_and_a_kill_switch(page: Page) -> None:
    for kind in KINDS:
        for part in (".bl-account", ".bl-kill"):
            found = page.locator(f"#{kind} .dashboard {part}")
            assert await found.is_visible() == (kind != "watch"), (kind, part)


async def test_badges_are_whole_and_beside_each_other(page: Page) -> None:
    for kind in KINDS:
        for view in (".dashboard .bl-head", ".chart .bl-bar"):
            boxes = [
                await page.locator(f"#{kind} {view} {one}").first.bounding_box()
                for one in (".bl-kind", ".bl-badge")
            ]
            first, second = boxes
            assert first is not None and first["width"] > 30 and first["height"] >= 14
            if second is not None:
                assert second["x"] >= first["x"] + first["width"], (kind, view)
