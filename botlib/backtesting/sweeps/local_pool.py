"""A pool of worker processes on this machine."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

import cloudpickle  # type: ignore[import-untyped]

from botlib.backtesting.sweeps.candles import Arrays, write_arrays
from botlib.backtesting.sweeps.collector import EvaluatedChunk
from botlib.backtesting.sweeps.evaluator import SweepJob
from botlib.backtesting.sweeps.space import Combination
from botlib.backtesting.sweeps.worker import JOB_FILE, PATH_FILE
from botlib.config.secrets import environment_without_keys
from botlib.core.errors import SweepError
from botlib.core.files import write_private
from botlib.core.temporary import temporary_directory

CHUNK_SECONDS: Final = 0.5
"""Seconds a chunk should take: an interrupt loses no more, and sending costs little."""
ATTEMPTS: Final = 3
"""Times a chunk is tried if its workers die."""
_FIRST_CHUNK: Final = 2
_CLOSE_TIMEOUT: Final = 2.0


@dataclass(slots=True, eq=False)
class _WorkerProcess:
    process: subprocess.Popen[bytes]
    questions: Connection
    answers: Connection
    tile: deque[Combination] = field(default_factory=deque)
    chunk: list[Combination] | None = None
    asked: float = 0.0
    seconds: float | None = None
    """Seconds this worker needs for a combination, None before its first chunk."""


class LocalPool:
    """A pool of worker processes in sessions of their own.

    The candles are written once to files that all workers map into memory. A worker that dies is
    replaced, and its chunk is tried again. The pool is a context manager; leaving it ends the
    workers.
    """

    def __init__(self, job: SweepJob, arrays: Arrays, *, workers: int) -> None:
        self._directory = temporary_directory("sweep")
        self._wanted = workers
        self._workers: list[_WorkerProcess] = []
        self._lost: dict[tuple[Combination, ...], int] = {}
        try:
            write_arrays(arrays, self._directory)
            write_private(self._directory / JOB_FILE, cloudpickle.dumps(job))
            path = [str(Path.cwd()) if entry == "" else entry for entry in sys.path]
            write_private(self._directory / PATH_FILE, pickle.dumps(path))
            self._environment = _environment(path)
            for _ in range(workers):
                self._workers.append(self._start())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def run(self, tiles: Sequence[list[Combination]]) -> Iterator[EvaluatedChunk]:
        """Yield chunks with their results, as they are done.

        Raises:
            SweepError: the same chunk lost its worker three times.
        """
        waiting = deque(deque(tile) for tile in tiles)
        while self._feed(waiting):
            asked = [worker.answers for worker in self._workers if worker.chunk]
            for ready in wait(asked) if asked else ():
                worker = next(w for w in self._workers if w.answers is ready)
                try:
                    outcome = worker.answers.recv()
                except (EOFError, OSError):
                    self._replace(worker)
                    continue
                if isinstance(outcome, str):
                    raise SweepError(f"A worker could not start.\n{outcome}")
                chunk = worker.chunk
                assert chunk is not None
                worker.seconds = (time.monotonic() - worker.asked) / len(chunk)
                worker.chunk = None
                yield chunk, outcome

    def close(self) -> None:
        """Kill the workers and remove the files."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            _close_worker(worker)
        self._workers.clear()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _feed(self, waiting: deque[deque[Combination]]) -> bool:
        """Send a chunk to every idle worker; return whether any work is left."""
        for worker in list(self._workers):
            if worker.chunk is not None:
                continue
            if not worker.tile:
                worker.tile = waiting.popleft() if waiting else self._split_longest()
            if not worker.tile:
                continue
            size = _FIRST_CHUNK
            if worker.seconds is not None:
                size = max(1, min(int(CHUNK_SECONDS / worker.seconds), 10_000))
                # Near the end smaller chunks keep all workers busy.
                left = sum(len(w.tile) for w in self._workers) + sum(map(len, waiting))
                size = max(1, min(size, -(-left // (2 * len(self._workers)))))
            chunk = [worker.tile.popleft() for _ in range(min(size, len(worker.tile)))]
            worker.chunk, worker.asked = chunk, time.monotonic()
            try:
                worker.questions.send_bytes(pickle.dumps(chunk))
            except OSError:
                self._replace(worker)
        return bool(waiting) or any(worker.chunk or worker.tile for worker in self._workers)

    def _split_longest(self) -> deque[Combination]:
        """Return half of the longest tile that another worker has left, taken from it."""
        fullest = max(self._workers, key=lambda worker: len(worker.tile))
        return deque(fullest.tile.pop() for _ in range(len(fullest.tile) // 2))

    def _replace(self, worker: _WorkerProcess) -> None:
        """Replace a dead worker by a new one that continues its work."""
        chunk = tuple(worker.chunk or ())
        lost = self._lost[chunk] = self._lost.get(chunk, 0) + 1
        _close_worker(worker)
        if lost >= ATTEMPTS:
            raise SweepError(
                f"A worker died {lost} times on the same {len(chunk)} combinations, from "
                f"{chunk[0]} to {chunk[-1]} (exit status {worker.process.returncode}; -9 is "
                "often the system running out of memory). What was finished before is kept where "
                "directory= was given. Lower memory= or workers=, or try these in backtest()."
            )
        fresh = self._start()
        fresh.tile = worker.tile
        fresh.tile.extendleft(reversed(chunk))
        self._workers[self._workers.index(worker)] = fresh

    def _start(self) -> _WorkerProcess:
        process = subprocess.Popen(
            [sys.executable, "-m", "botlib.backtesting.sweeps.worker", str(self._directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,  # An interrupt typed at the terminal reaches the parent only.
        )
        assert process.stdin is not None and process.stdout is not None
        return _WorkerProcess(
            process=process,
            questions=Connection(os.dup(process.stdin.fileno()), readable=False),
            answers=Connection(os.dup(process.stdout.fileno()), writable=False),
        )


def _environment(path: Sequence[str]) -> dict[str, str]:
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {
        **environment_without_keys(),
        **dict.fromkeys(threads, "1"),
        # glibc would return large arrays to the system at once, and page faults would follow.
        "MALLOC_MMAP_THRESHOLD_": str(2**30),
        "MALLOC_TRIM_THRESHOLD_": str(2**28),
        "MALLOC_TOP_PAD_": str(2**24),
        "PYTHONPATH": os.pathsep.join(path),
    }


def _close_worker(worker: _WorkerProcess) -> None:
    for end in (worker.questions, worker.answers, worker.process.stdin, worker.process.stdout):
        if end is not None:
            with contextlib.suppress(OSError):
                end.close()
    try:
        worker.process.wait(_CLOSE_TIMEOUT)
    except subprocess.TimeoutExpired:
        worker.process.kill()
        worker.process.wait()
