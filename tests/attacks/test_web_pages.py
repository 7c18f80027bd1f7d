"""A hostile page in a real browser on the same computer reaches neither exchange nor bot."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Error, Page, async_playwright

from botlib.control.requests import TOKEN_HEADER
from botlib.control.server import ControlServer
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperProcess
from tests.support.frontend import chromium
from tests.support.strangers import hostile_site

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

REBOUND = "rebound.example"
"""A name of the attacker's, which the browser takes for this computer (as a DNS answer would)."""

ATTACK = """
async ([url, key, secret]) => {
  const done = {};
  const digits = (byte) => byte.toString(16).padStart(2, "0");
  const hex = (bytes) => [...new Uint8Array(bytes)].map(digits).join("");
  const coded = new TextEncoder();
  const signer = await crypto.subtle.importKey(
    "raw", coded.encode(secret), {name: "HMAC", hash: "SHA-256"}, false, ["sign"]);
  const sign = async (text) => hex(await crypto.subtle.sign("HMAC", signer, coded.encode(text)));
  const order = {
    apiKey: key, quantity: "0.01", side: "BUY", symbol: "BTCUSDT",
    timestamp: Date.now(), type: "MARKET",
  };
  const text = Object.keys(order).sort().map((name) => `${name}=${order[name]}`).join("&");
  const asked = JSON.stringify(
    {id: 1, method: "order.place", params: {...order, signature: await sign(text)}});
  const socket = (path, said) => new Promise((resolve) => {
    const opened = new WebSocket(url.replace("http", "ws") + path);
    opened.onopen = () => said ? opened.send(said) : resolve("opened");
    opened.onmessage = (event) => resolve(event.data);
    opened.onerror = () => resolve("refused");
    setTimeout(() => resolve("nothing"), 20000);
  });
  done.order = await socket("/ws-api/v3", asked);
  done.stream = await socket("/ws/btcusdt@kline_1m", "");
  done.streams = await socket("/stream?streams=btcusdt@kline_1m", "");
  const fetched = async (path, options) => {
    try {
      return await (await fetch(url + path, options)).text();
    } catch (error) { return "refused"; }
  };
  done.read = await fetched("/api/v3/exchangeInfo", {});
  done.health = await fetched("/health", {});
  const plain = {method: "POST", mode: "no-cors"};
  done.pause = await fetched("/paper/v1/pause", {...plain, body: "{}"});
  done.deposit = await fetched(
    "/paper/v1/deposit", {...plain, body: '{"asset": "DOGE", "amount": "1000000"}'});
  const query = text.replace(`apiKey=${key}&`, "");
  const signed = `${query}&signature=${await sign(query)}`;
  done.rest = await fetched(
    `/api/v3/order?${signed}`, {method: "POST", headers: {"X-MBX-APIKEY": key}});
  done.kill = await fetched("/api/v1/kill", {...plain, body: "{}"});
  return done;
}
"""


@asynccontextmanager
async def opened(executable: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=[
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    executable = chromium()
    if executable is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    async with opened(executable) as browser:
        yield await browser.new_page()


@pytest.fixture
async def exchange() -> AsyncIterator[PaperProcess]:
    options = ["--seed", "7", "--symbols", "BTC/USDT", "--start", "now"]
    async with await PaperProcess.start(options) as process:
        yield process


async def untouched(exchange: PaperProcess) -> None:
    """Check that nothing was ordered, given, stopped or opened."""
    async with exchange.control() as control:
        state, ledger = await control.state(), await control.ledger()
    assert ledger["orders"] == []
    assert state["paused"] is False and "DOGE" not in state["balances"]
    assert state["counters"]["stream_sockets"] == state["counters"]["user_sockets"] == 0


async def test_a_page_of_another_site_cannot_use_the_paper_account(
    page: Page, exchange: PaperProcess
) -> None:
    """It knows the public keys, signs in the browser and opens sockets, which have no CORS."""
    async with hostile_site("<p>Win a prize</p>") as site:
        await page.goto(site)
        done = await page.evaluate(ATTACK, [exchange.url, PAPER_API_KEY, PAPER_API_SECRET])
    for name in ("order", "stream", "streams", "read", "rest"):
        assert done[name] == "refused", done
    await untouched(exchange)


async def test_a_page_whose_name_is_rebound_to_this_computer_reads_nothing(
    page: Page, exchange: PaperProcess
) -> None:
    """To the browser the page and the exchange are one site then."""
    port = exchange.url.rpartition(":")[2]
    await page.goto(f"http://{REBOUND}:{port}/api/v3/ping")
    assert "Unknown Host" in await page.inner_text("body")
    there = f"http://{REBOUND}:{port}"
    # A page of a name that is not this computer has no crypto.subtle: an order of no signature.
    attack = ATTACK.replace("await crypto.subtle.importKey(", "((...given) => null)(").replace(
        "hex(await crypto.subtle.sign(", "((...given) => 'unsigned')(("
    )
    done = await page.evaluate(attack, [there, PAPER_API_KEY, PAPER_API_SECRET])
    for name in ("order", "stream", "streams"):
        assert done[name] == "refused", done
    for name in ("read", "pause", "deposit", "rest"):
        assert "Unknown Host" in done[name], done
    await untouched(exchange)


async def test_an_image_or_a_link_of_another_site_is_not_answered(
    page: Page, exchange: PaperProcess
) -> None:
    """Browsers send no Origin with these, but say that they come from elsewhere."""

    async def answered() -> int:
        async with exchange.control() as control:
            return int((await control.state())["counters"]["requests"])

    before, ping = await answered(), f"{exchange.url}/api/v3/ping"
    async with hostile_site(f'<img src="{ping}?1"><script src="{ping}?2"></script>') as site:
        await page.goto(site)
    assert await answered() == before
    # A person who types the address is answered.
    assert (await page.goto(ping)).status == 200
    assert await answered() == before + 1


async def test_a_page_reads_no_health_and_throws_no_switch(page: Page, tmp_path: Path) -> None:
    kills: list[str] = []

    async def kill(reason: str, close: bool) -> dict[str, Any]:
        kills.append(reason)
        return {"killed": True}

    server = ControlServer(
        health=lambda: {"healthy": True, "reasons": []},
        tasks=lambda: {"tasks": []},
        kill=kill,
        token_file=lambda: tmp_path / "bot.token",
        port=0,
    )
    await server.start()
    try:
        token = (tmp_path / "bot.token").read_text().strip()
        async with hostile_site("<p>Win a prize</p>") as site:
            await page.goto(site)
            done = await page.evaluate(ATTACK, [server.url, PAPER_API_KEY, PAPER_API_SECRET])
            assert done["health"] == "refused", done
            # Not even with the token, which such a page cannot know.
            script = """async ([url, header, token]) => {
                const sent = {method: "POST", headers: {[header]: token}, body: "{}"};
                try { return (await fetch(url + "/api/v1/kill", sent)).status } catch { return 0 }
            }"""
            assert await page.evaluate(script, [server.url, TOKEN_HEADER, token]) == 0
        port = server.port
        await page.goto(f"http://{REBOUND}:{port}/health")
        assert "healthy" not in json.loads(await page.inner_text("body"))
        with pytest.raises(Error):
            await page.evaluate("async () => (await fetch('http://127.0.0.1:1/')).text()")
    finally:
        await server.stop()
    assert kills == []
