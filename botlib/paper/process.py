"""A paper exchange in a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

from botlib.config.secrets import environment_without_keys
from botlib.core.errors import PaperExchangeError
from botlib.core.files import open_private, private_directory
from botlib.paper.control import PaperControl
from botlib.paper.options import PaperOptions

START_TIMEOUT: Final = 60.0
STOP_TIMEOUT: Final = 10.0
_LOG_LINES: Final = 15
_REFUSED: Final = "Error: "
"""What the command prints before the sentence with which it refuses."""


class PaperProcess:
    """A paper exchange in a process of its own, which ends with this process."""

    def __init__(
        self, process: subprocess.Popen[bytes], ready: dict[str, Any], log: Path, owned: bool
    ) -> None:
        self._process = process
        self._log_owned = owned
        self.url: str = ready["url"]
        self.venue: str = ready["venue"]
        self.pid: int = ready["pid"]
        self.market_time: int = ready["market_time"]
        """Market time at the start, ms."""
        self.log = log

    @classmethod
    async def start(
        cls,
        options: PaperOptions | Sequence[str] = (),
        *,
        log: Path | None = None,
        timeout: float = START_TIMEOUT,
    ) -> PaperProcess:
        """Start ``botlib paper`` and wait until it answers.

        Args:
            options: the record, or words of the command such as ``["--seed", "7", "--lockstep"]``.
            log: file for the log of the process; None for a temporary one.
            timeout: seconds to wait for it.

        Raises:
            PaperExchangeError: it did not start; the message contains the end of its log.
        """
        owned = log is None
        if log is None:
            handle, name = tempfile.mkstemp(prefix="botlib-paper-", suffix=".log")
            os.close(handle)
            log = Path(name)
        if isinstance(options, PaperOptions):
            words = ["--options", replace(options, watch_parent=True).to_json()]
        else:
            words = ["--watch-parent", *options]
        before = log.stat().st_size if log.exists() else 0
        process = await asyncio.to_thread(_spawn, words, log)
        try:
            line = await asyncio.wait_for(asyncio.to_thread(_first_line, process), timeout)
            ready = orjson.loads(line) if line else None
        except (TimeoutError, orjson.JSONDecodeError):
            ready = None
        except BaseException:
            await asyncio.shield(asyncio.to_thread(_end, process, 0.0))
            _close_pipes(process)
            raise
        if ready is None:
            code = await asyncio.to_thread(_end, process, 1.0)
            _close_pipes(process)
            why = (
                _reason(log, before) or f"it was started with {' '.join(words)}, and said nothing."
            )
            if owned:
                log.unlink(missing_ok=True)
            raise PaperExchangeError(f"The paper exchange did not start (exit code {code}): {why}")
        return cls(process, ready, log, owned)

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def control(self) -> PaperControl:
        """Return a client of its control API; close it when done."""
        return PaperControl(self.url)

    def kill(self) -> None:
        """Kill the process, as a power cut would."""
        self._process.kill()
        self._process.wait()
        _close_pipes(self._process)

    async def stop(self, timeout: float = STOP_TIMEOUT) -> int:
        """Terminate the process, kill it after ``timeout`` seconds, and return the exit code."""
        code = await asyncio.to_thread(_end, self._process, timeout)
        _close_pipes(self._process)
        if self._log_owned:
            self.log.unlink(missing_ok=True)
        return code

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def _spawn(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    private_directory(log.parent)
    with open_private(log, "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "botlib", "paper", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env=environment_without_keys(),
            # A keyboard interrupt of this process must not end the exchange before its clients.
            start_new_session=True,
        )


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def _end(process: subprocess.Popen[bytes], timeout: float) -> int:
    if process.poll() is None:
        if timeout > 0:
            process.terminate()
        else:
            process.kill()
    try:
        return process.wait(timeout or None)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _reason(log: Path, before: int) -> str:
    """Return why a process ended: the sentence with which it refused, or else the end of its log.

    Args:
        before: bytes in the log that an earlier process wrote.
    """
    try:
        lines = log.read_bytes()[before:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    refused = [number for number, line in enumerate(lines) if line.startswith(_REFUSED)]
    if refused:
        return " ".join(lines[refused[-1] :]).removeprefix(_REFUSED).strip()
    return "\n".join(line for line in lines[-_LOG_LINES:] if line.strip())
