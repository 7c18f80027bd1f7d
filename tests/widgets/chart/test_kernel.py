"""A chart in a real kernel: live while a cell blocks, and as an updated picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from tests.support.trends import TREND_BTC

CONNECT = (
    "import botlib as bl, os, time\n"
    "bot = bl.connect(symbols=['BTC/USDT'], history=60, health={'port': 0},"
    f" strategies={TREND_BTC}, paper={{'lockstep': True, 'start': '2026-01-05'}})\n"
)
CHART = "chart = bot.chart('BTC/USDT', '1m', overlays=['ema(20)'], panes=['rsi(14)'])\nchart\n"


class Kernel:
    """A kernel with the messages of its cells."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, source: str) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(source, output_hook=messages.append, timeout=90)
        assert reply["content"]["status"] == "ok", reply["content"]
        return messages


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one["content"] for one in messages if one["msg_type"] == kind]


@pytest.mark.kernel
def test_page_and_picture_are_updated_while_a_cell_blocks(
    tmp_path: Path,
) -> None:
    env = {**os.environ, "BOTLIB_HOME": str(tmp_path), "BOTLIB_WIDGETS": "live"}
    manager, client = start_new_kernel(env=env)
    try:
        kernel = Kernel(client)
        kernel.run(CONNECT)
        shown = kernel.run(CHART)
        _check_opened(shown)
        # The same chart in a headless notebook.
        picture = kernel.run("os.environ['BOTLIB_WIDGETS'] = 'static'\nchart")
        (place,) = of(picture, "display_data")
        assert set(place["data"]) == {"text/plain", "text/html"}

        blocked = kernel.run("bot.wait('2h', progress=False)\ntime.sleep(0.3)")
        customs = [
            one["data"]["content"]
            for one in of(blocked, "comm_msg")
            if one["data"]["method"] == "custom"
        ]
        numbers = [one["seq"] for one in customs]
        assert numbers and numbers == list(range(numbers[0], numbers[0] + len(numbers)))

        stopped = kernel.run("bot.stop()")
        updates = of(stopped, "update_display_data")
        last = {one["transient"]["display_id"]: one for one in updates}
        # Both the picture beside the view and the one in the headless notebook hold it.
        pictures = {name for name, one in last.items() if "text/html" in one["data"]}
        assert place["transient"]["display_id"] in pictures and len(pictures) == 2
        for name in pictures:
            data = last[name]["data"]
            assert "the bot has stopped: this is its last state" in data["text/plain"]
            assert len(data["text/html"]) < 150_000
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def _check_opened(messages: list[dict[str, Any]]) -> None:
    """Check that the first window came with the comm, then the view, then the picture."""
    (opened,) = [one for one in messages if one["msg_type"] == "comm_open" and one["buffers"]]
    view, picture = of(messages, "display_data")
    info = opened["content"]["data"]["state"]["window_info"]
    assert len(opened["buffers"][0]) == info["rows"] * 8 * 8 > 0
    mime = "application/vnd.jupyter.widget-view+json"
    assert view["data"][mime]["model_id"] == opened["content"]["comm_id"]
    assert "<img alt=" in picture["data"]["text/html"]
