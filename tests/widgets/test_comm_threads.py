"""Messages of pages to a widget, in a real kernel with subshells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

LIMIT = 120.0

CELL = """
from botlib.widgets.dashboard.widget import DashboardWidget
heard = []
def take(widget, content, buffers):
    heard.append(content)
    widget.send({"answer to": content})
widget = DashboardWidget(lambda: {"seq": 0, "state": {}})
widget.on_msg(take)
"""


class Page:
    """The part of a front end that sends to a widget."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client
        self.model = ""

    def run(self, cell: str, result: str = "None") -> str:
        """Run a cell and return the text of an expression."""
        request = self.client.execute(cell, user_expressions={"result": result})
        content = self._reply(self.client.get_shell_msg, request)
        assert content["status"] == "ok", content
        text: str = content["user_expressions"]["result"]["data"]["text/plain"]
        return text

    def control(self, kind: str, **content: str) -> dict[str, Any]:
        """Send a request on the kernel's control channel and return the reply."""
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        return self._reply(self.client.get_control_msg, message["msg_id"])

    def send(self, content: str, subshell: str | None) -> None:
        """Send a message to the widget through a subshell, and wait until the kernel handled it."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": self.model, "data": data})
        message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        while True:
            told = self.client.get_iopub_msg(timeout=LIMIT)
            idle = told["content"].get("execution_state") == "idle"
            if idle and told["parent_header"].get("msg_id") == message["msg_id"]:
                return

    def _reply(self, receive: Any, request: str) -> dict[str, Any]:
        while True:
            reply = receive(timeout=LIMIT)
            if reply["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = reply["content"]
                return content


@pytest.mark.kernel
def test_messages_of_a_page_arrive_after_another_page_closed_its_subshell(tmp_path: Path) -> None:
    env = {**os.environ, "IPYTHONDIR": str(tmp_path), "BOTLIB_WIDGETS": "live"}
    manager, client = start_new_kernel(env=env, startup_timeout=LIMIT)
    try:
        page = Page(client)
        page.model = page.run(CELL, "widget.model_id").strip("'")
        first = page.control("create_subshell_request")["subshell_id"]
        page.send("from the first", first)
        page.control("delete_subshell_request", subshell_id=first)
        second = page.control("create_subshell_request")["subshell_id"]
        page.send("from the second", second)
        page.send("before it has one", None)
        heard = page.run("", "heard")
        assert heard == "['from the first', 'from the second', 'before it has one']"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
