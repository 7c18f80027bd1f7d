"""A Jupyter kernel, started as a front end starts it, that runs cells."""

from __future__ import annotations

import ast
import asyncio
import os
import signal
from pathlib import Path
from queue import Empty
from typing import Any, Final

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from botlib.config.secrets import environment_without_keys
from botlib.core.errors import EngineError
from botlib.core.files import open_private
from botlib.runtime.kernelspec import CurrentInterpreter

CELL_TIMEOUT: Final = 120.0
ALIVE_POLL: Final = 1.0
"""Seconds between two checks whether a kernel that does not answer is still alive."""

POLL: Final = 0.05
_LOG_TAIL: Final = 2_000
"""Characters of the kernel's log that an error quotes."""


class NotebookKernel:
    """One kernel in a process and a session of its own; it ends when this process does.

    Its connection, history and log are files in a directory; the user's Jupyter profile is neither
    read nor written. It listens on sockets in that directory, which no other user can reach and
    which need no free port.

    Args:
        directory: an existing private directory.
        name: of its files, and in error messages.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._name = name
        self._log = directory / f"{name}.log"
        self._environment = {
            **environment_without_keys(),
            "IPYTHONDIR": str(directory / "ipython"),
            "BOTLIB_HOME": str(directory),
        }
        self._manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=CurrentInterpreter(),
            transport="ipc",
            connection_file=str(directory / f"{name}.json"),
        )
        self._client: AsyncKernelClient | None = None

    async def start(self) -> None:
        """Start the process; cells wait until the kernel is ready."""
        with open_private(self._log, "ab") as log:
            await self._manager.start_kernel(env=self._environment, stdout=log, stderr=log)
        self._client = self._manager.client(context=self._manager.context)
        self._client.start_channels(iopub=False, stdin=False, hb=False, control=False)

    async def run(self, cell: str, result: str = "None") -> Any:
        """Run a cell to its end.

        Args:
            cell: its source.
            result: an expression to evaluate after the cell; its value consists of literals.

        Returns:
            The value of ``result``.

        Raises:
            EngineError: the cell raised or took too long, or the kernel died.
        """
        assert self._client is not None
        request = self._client.execute(cell, user_expressions={"result": result}, allow_stdin=False)
        try:
            async with asyncio.timeout(CELL_TIMEOUT):
                content = await self._reply(self._client, request)
        except TimeoutError:
            raise self._error(f"did not end a cell within {CELL_TIMEOUT:g} s") from None
        answer = content.get("user_expressions", {}).get("result", content)
        if answer["status"] != "ok":
            raise self._error(f"raised {answer['ename']}: {answer['evalue']}")
        return ast.literal_eval(answer["data"]["text/plain"])

    async def kill(self) -> None:
        """Kill the process without warning, as the system does when memory runs out."""
        os.kill(self.pid, signal.SIGKILL)
        while await self._manager.is_alive():  # noqa: ASYNC110
            await asyncio.sleep(POLL)

    @property
    def pid(self) -> int:
        """The id of the process.

        Raises:
            EngineError: the kernel was never started.
        """
        pid: int | None = getattr(self._manager.provisioner, "pid", None)
        if pid is None:
            raise EngineError(f"The kernel {self._name!r} was not started. Call start() first.")
        return pid

    async def close(self) -> None:
        """End the process at once, even one that is stopped or never answered, and disconnect."""
        if self._client is not None:
            self._client.stop_channels()
        await self._manager.shutdown_kernel(now=True)

    async def _reply(self, client: AsyncKernelClient, request: str) -> dict[str, Any]:
        while True:
            try:
                reply = await client.get_shell_msg(timeout=ALIVE_POLL)
            except Empty:
                if not await self._manager.is_alive():
                    raise self._error("died") from None
                continue
            if reply["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = reply["content"]
                return content

    def _error(self, what: str) -> EngineError:
        log = self._log.read_text(errors="replace")[-_LOG_TAIL:].strip()
        return EngineError(f"The kernel {self._name!r} {what}. {log}".rstrip())
