"""A Jupyter kernel, started as a front end would start it, and the cells run in it."""

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

from botlib.core.errors import EngineError
from botlib.runtime.kernelspec import CurrentInterpreter

CELL_TIMEOUT: Final = 120.0
LOOK: Final = 1.0
"""Seconds between two looks whether a kernel that does not answer is still there."""

POLL: Final = 0.05
_TOLD: Final = 2_000


class NotebookKernel:
    """One kernel in a process and a session of its own; it ends when this process does.

    Its connection, history and log are files in a directory, and nothing of the person's profile
    is read or written. It listens on sockets in that directory, which no other user can reach and
    for which no port has to be found.

    Args:
        directory: is there, and private.
        name: of its files.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._log = directory / f"{name}.log"
        self._environment = {
            **os.environ,
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
        """Start the process; cells wait until it is ready for them."""
        with self._log.open("ab") as log:
            await self._manager.start_kernel(env=self._environment, stdout=log, stderr=log)
        self._client = self._manager.client(context=self._manager.context)
        self._client.start_channels(iopub=False, stdin=False, hb=False, control=False)

    async def run(self, cell: str, result: str = "None") -> Any:
        """Run a cell to its end.

        Args:
            cell: its source.
            result: an expression for what is returned then, made of plain literals.

        Raises:
            EngineError: it raised, took too long, or the kernel died over it.
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
        """Kill the process without warning, as a lack of memory would."""
        os.kill(self.pid, signal.SIGKILL)
        while await self._manager.is_alive():  # noqa: ASYNC110
            await asyncio.sleep(POLL)

    @property
    def pid(self) -> int:
        """The id of its process.

        Raises:
            EngineError: it was never started.
        """
        pid: int | None = getattr(self._manager.provisioner, "pid", None)
        if pid is None:
            raise EngineError("The kernel of the drill was not started. Start it first.")
        return pid

    async def close(self) -> None:
        """End the process at once, also one that stands or never answered, and let go of it."""
        if self._client is not None:
            self._client.stop_channels()
        await self._manager.shutdown_kernel(now=True)

    async def _reply(self, client: AsyncKernelClient, request: str) -> dict[str, Any]:
        while True:
            try:
                reply = await client.get_shell_msg(timeout=LOOK)
            except Empty:
                if not await self._manager.is_alive():
                    raise self._error("died") from None
                continue
            if reply["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = reply["content"]
                return content

    def _error(self, what: str) -> EngineError:
        told = self._log.read_text(errors="replace")[-_TOLD:].strip()
        return EngineError(f"The bot of the drill did not start: its kernel {what}. {told}")
