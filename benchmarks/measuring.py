"""The common parts of all benchmarks: sizes, child processes, timing and rows."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import IO, Any, Final, Self

import psutil

ROOT: Final = Path(__file__).resolve().parents[1]
POLL: Final = 0.02
"""Seconds between two looks at a child process."""

_QUOTED: Final = 2_000
"""Characters of a child's error output that are quoted in a message."""

Row = dict[str, object]


class Size(Enum):
    """How much a benchmark measures."""

    SMOKE = "smoke"
    """Seconds: shows that the benchmark runs, its figures mean nothing."""

    USUAL = "usual"
    FULL = "full"
    """As the usual size, with the rows that take many minutes."""


class BenchmarkError(RuntimeError):
    """A benchmark that could not be measured: a child ended, hung or answered nonsense."""


class Child:
    """A Python process that a benchmark starts; leaving the block kills it and its descendants.

    Its output goes to temporary files, so that it never blocks on a full pipe.

    Args:
        name: what messages call it.
        arguments: of the Python interpreter.
        environment: variables beside those of this process.
        folder: its working directory.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
    ) -> None:
        self.name = name
        self._out = tempfile.TemporaryFile()
        self._err = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self._out.close()
        self._err.close()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def line(self, limit: float) -> str:
        """Wait for the first line the child prints, such as the address of a server.

        Args:
            limit: seconds to wait.

        Raises:
            BenchmarkError: the child ended first, or printed no line in time.
        """
        deadline = time.monotonic() + limit
        while True:
            ended = self._process.poll() is not None
            first, newline, _ = _read(self._out).partition("\n")
            if newline:
                return first.strip()
            if ended:
                raise self._error(f"ended with code {self._process.returncode} before it was ready")
            if time.monotonic() > deadline:
                self.kill()
                raise self._error(f"was not ready within {limit:g} s and was killed")
            time.sleep(POLL)

    def result(self, limit: float, sample: Callable[[], None] | None = None) -> Any:
        """Wait for the end of the child and return the JSON on the last line it printed.

        Args:
            limit: seconds to wait.
            sample: called every 20 ms while the child runs.

        Raises:
            BenchmarkError: the child failed, did not end in time, or printed no JSON.
        """
        deadline = time.monotonic() + limit
        while True:
            try:
                self._process.wait(POLL if sample else limit)
            except subprocess.TimeoutExpired:
                pass
            if self._process.returncode is not None:
                break
            if sample is not None:
                sample()
            if time.monotonic() > deadline:
                self.kill()
                raise self._error(f"did not end within {limit:g} s and was killed")
        if self._process.returncode:
            raise self._error(f"ended with code {self._process.returncode}")
        printed = _read(self._out)
        try:
            return json.loads(printed.splitlines()[-1])
        except (IndexError, ValueError):
            raise self._error(f"printed no result but {printed[-200:]!r}") from None

    def kill(self) -> None:
        """Kill the child and every process it started, and wait for their end."""
        descendants: list[psutil.Process] = []
        try:
            descendants = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            pass
        try:
            # Also those whose parent has ended already.
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for process in descendants:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait()
        psutil.wait_procs(descendants, timeout=10)

    def _error(self, what: str) -> BenchmarkError:
        quoted = _read(self._err)[-_QUOTED:].strip()
        said = f" Its error output:\n{quoted}" if quoted else " It printed no error."
        return BenchmarkError(f"The process {self.name!r} {what}.{said}")


def result_of(
    name: str,
    arguments: Sequence[str],
    *,
    limit: float,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Any:
    """Run a child process to its end and return the JSON on the last line it printed.

    Raises:
        BenchmarkError: it failed, did not end within ``limit`` seconds, or printed no JSON.
    """
    with Child(name, arguments, environment=environment, folder=folder) as child:
        return child.result(limit)


def progress(name: str, what: str) -> None:
    """Say on standard error what a benchmark that takes minutes measures now."""
    print(f"{name}: {what}", file=sys.stderr, flush=True)


def seconds(function: Callable[[], object], rounds: int) -> float:
    """Return the seconds of the quickest of several calls."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


def absent(package: str) -> str:
    """Return why a peer cannot be measured, or "" if its package is installed."""
    if importlib.util.find_spec(package) is not None:
        return ""
    return f"the package {package} is not installed"


def skipped(what: str, name: str, reason: str) -> Row:
    """Return the row of a peer that was not measured.

    Args:
        what: the header of the column of names.
        name: of the peer.
        reason: why it was not measured.
    """
    return {what: name, "skipped": reason}


def _read(file: IO[bytes]) -> str:
    # Without moving the offset, which is shared with the child that writes there.
    descriptor = file.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")
