"""Real kernels and processes for tests, and the cells run in them."""

from __future__ import annotations

import queue
import subprocess
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60.0
"""Seconds after which a cell or a process counts as hanging."""

KernelFactory = Callable[[], "Kernel"]
ProgramFactory = Callable[[str], "subprocess.Popen[str]"]


@dataclass
class Cell:
    """The result of an executed cell."""

    id: str
    status: str = ""
    error: str = ""
    text: str = ""
    """Output that belongs to this cell."""
    other: str = ""
    """Output that arrived during this cell but belongs to another one."""
    results: list[str] = field(default_factory=list)
    """Values of the cell as HTML, or as text if they have none."""


class Kernel:
    """A running kernel and its client."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def start(self, code: str, cell: str | None = None) -> str:
        """Send a cell and return its id at once.

        Args:
            cell: the name by which the front end knows the cell.
        """
        if cell is None:
            return self.client.execute(textwrap.dedent(code))
        content = {"code": textwrap.dedent(code), "silent": False, "store_history": True}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell})
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def value(self, code: str) -> str:
        """Run a cell, which must not fail, and return its value as HTML or text."""
        cell = self.run(code)
        assert cell.status == "ok", cell.error
        return cell.results[-1]

    def run(self, code: str, cell: str | None = None) -> Cell:
        """Run a cell to its end."""
        return self.finish(self.start(code, cell))

    def ok(self, code: str, name: str | None = None) -> str:
        """Run a cell, which must not fail, and return its printed text.

        Args:
            name: that by which the front end knows the cell.
        """
        cell = self.run(code, name)
        assert cell.status == "ok", cell.error
        return cell.text

    def finish(self, id: str) -> Cell:
        """Wait for the end of a cell that was sent, and return its result."""
        cell = Cell(id)
        deadline = time.monotonic() + LIMIT
        idle = False
        while not (idle and cell.status):
            assert time.monotonic() < deadline, "the cell does not end"
            if not cell.status:
                try:
                    reply = self.client.get_shell_msg(timeout=0.05)
                except queue.Empty:
                    pass
                else:
                    if reply["parent_header"].get("msg_id") == id:
                        cell.status = reply["content"]["status"]
                        cell.error = "\n".join(reply["content"].get("traceback", ()))
            try:
                message = self.client.get_iopub_msg(timeout=0.05)
            except queue.Empty:
                continue
            idle |= self._take(cell, message)
        return cell

    def wait_for(self, id: str, text: str) -> None:
        """Wait until the running cell ``id`` has printed ``text``."""
        deadline = time.monotonic() + LIMIT
        seen = ""
        while text not in seen:
            assert time.monotonic() < deadline, f"{text!r} does not come, only {seen!r}"
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            if message["msg_type"] == "stream" and message["parent_header"].get("msg_id") == id:
                seen += message["content"]["text"]

    @staticmethod
    def _take(cell: Cell, message: dict[str, Any]) -> bool:
        mine = message["parent_header"].get("msg_id") == cell.id
        if message["msg_type"] == "stream":
            text = message["content"]["text"]
            if mine:
                cell.text += text
            else:
                cell.other += text
        elif message["msg_type"] == "execute_result" and mine:
            data = message["content"]["data"]
            cell.results.append(data.get("text/html") or data["text/plain"])
        return mine and message["content"].get("execution_state") == "idle"
