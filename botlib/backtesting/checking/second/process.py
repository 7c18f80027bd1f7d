"""`SecondLook`: a strategy asked again in a process of its own, while the first one works."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

import cloudpickle  # type: ignore[import-untyped]

from botlib.backtesting.checking.second.answer_files import read_apart
from botlib.backtesting.checking.second.job import (
    ANSWER_FILE,
    JOB_FILE,
    PATH_FILE,
    SecondAnswer,
    SecondJob,
)
from botlib.config.secrets import environment_without_keys
from botlib.core.files import write_private
from botlib.core.temporary import temporary_directory

if TYPE_CHECKING:
    from botlib.backtesting.checking.subject import Deadline
    from botlib.strategy import Strategy

_GRACE: Final = 5.0
"""Seconds beyond its own that the process may take to start and to end."""

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Parcel:
    """A strategy as it is before the first question, to be sent to another process.

    A class of a notebook or of a function goes by value, with what its code names.

    Attributes:
        failed: why it cannot be sent, "" if it can.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.failed = ""
        self.content = b""
        try:
            self.content = cloudpickle.dumps(strategy)
        except Exception as error:
            self.failed = f"the strategy cannot be sent there: {type(error).__name__}: {error}"


class SecondLook:
    """A process that asks a strategy again; leaving the block ends it.

    Args:
        job: what is asked; None starts no process.
        failed: why there is none.
    """

    def __init__(self, job: SecondJob | None, failed: str = "") -> None:
        self._failed = failed
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if job is None:
            return
        self._directory = temporary_directory("check")
        path = [str(Path.cwd()) if entry == "" else entry for entry in sys.path]
        write_private(self._directory / JOB_FILE, pickle.dumps(job))
        write_private(self._directory / PATH_FILE, pickle.dumps(path))
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "botlib.backtesting.checking.second.worker",
                str(self._directory),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **environment_without_keys(),
                **dict.fromkeys(_THREADS, "1"),
                "PYTHONPATH": os.pathsep.join(path),
            },
            start_new_session=True,  # An interrupt typed at the terminal reaches the parent only.
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def answer(self, deadline: Deadline) -> SecondAnswer:
        """Wait for the answer and return it; one without anything says why in its ``error``."""
        if self._process is None or self._directory is None:
            return SecondAnswer(error=self._failed)
        try:
            code = self._process.wait(deadline.left + _GRACE)
        except subprocess.TimeoutExpired:
            return SecondAnswer(error="it was not done in time")
        try:
            # Written by a process of this user's own, into a directory that only he can read.
            found = read_apart(self._directory / ANSWER_FILE)
        except (OSError, EOFError, pickle.UnpicklingError):
            return SecondAnswer(error=f"it ended with code {code} and no answer")
        return cast(SecondAnswer, found)
