"""A pool of workers on a Dask cluster."""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import cloudpickle  # type: ignore[import-untyped]

from botlib.backtesting.sweeps.candles import Arrays
from botlib.backtesting.sweeps.collector import EvaluatedChunk
from botlib.backtesting.sweeps.evaluator import CombinationResults, Evaluator, SweepJob
from botlib.backtesting.sweeps.space import Combination
from botlib.core.errors import SweepError

CHUNKS_AHEAD: Final = 3
"""Chunks submitted per thread of the cluster, computed or waiting."""
CHUNK: Final = 25
"""Combinations in a chunk."""
ATTEMPTS: Final = 3
_CONNECT_TIMEOUT: Final = "10s"

_own = threading.local()


class ClusterPool:
    """A pool of the workers of any Dask cluster that have botlib installed.

    The candles are sent to the workers once. If a worker is lost its chunks are computed elsewhere,
    and the candles are sent again if no worker has them any more.

    Args:
        client: a ``distributed.Client``, or the address of a scheduler.
    """

    def __init__(self, job: SweepJob, arrays: Arrays, client: Any) -> None:
        from distributed import Client

        self._owned = isinstance(client, str)
        connect: Any = Client
        try:
            self._client = connect(client, timeout=_CONNECT_TIMEOUT) if self._owned else client
        except (OSError, TimeoutError, ValueError) as error:
            raise SweepError(
                f"No Dask scheduler answers at {client!r}: {error}. Give the address that "
                "client.scheduler.address shows, such as 'tcp://127.0.0.1:8786'."
            ) from error
        self._arrays = arrays
        self._job = cloudpickle.dumps(job)
        self._sweep = uuid.uuid4().hex
        self._shared: Any = None

    def __enter__(self) -> ClusterPool:
        self._share()
        return self

    def __exit__(self, *_: object) -> None:
        self._shared = None
        if self._owned:
            self._client.close()

    def run(self, tiles: Sequence[list[Combination]]) -> Iterator[EvaluatedChunk]:
        """Yield chunks with their results, as they are done.

        Raises:
            SweepError: a chunk failed three times, or the cluster has no workers.
        """
        from distributed import wait

        wait_for: Any = wait
        waiting = deque(
            (tuple(tile[start : start + CHUNK]), 0)
            for tile in tiles
            for start in range(0, len(tile), CHUNK)
        )
        running: dict[Any, tuple[tuple[Combination, ...], int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < CHUNKS_AHEAD * self._threads():
                    chunk, failed = waiting.popleft()
                    running[self._submit(chunk)] = (chunk, failed)
                done = wait_for(list(running), return_when="FIRST_COMPLETED").done
                for future in done:
                    chunk, failed = running.pop(future)
                    try:
                        outcome = future.result()
                    except Exception as error:  # Dask raises many types for a lost worker.
                        waiting.appendleft((chunk, failed + 1))
                        self._recover(chunk, failed + 1, error)
                        continue
                    yield list(chunk), outcome
        finally:
            self._client.cancel(list(running))

    def _submit(self, chunk: tuple[Combination, ...]) -> Any:
        return self._client.submit(
            _evaluate, self._sweep, self._job, self._shared, chunk, pure=False, retries=ATTEMPTS
        )

    def _share(self) -> None:
        self._threads()
        self._shared = self._client.scatter(_SharedCandles(self._arrays), broadcast=True)

    def _recover(self, chunk: tuple[Combination, ...], failed: int, error: Exception) -> None:
        if failed >= ATTEMPTS:
            raise SweepError(
                f"The cluster failed {failed} times on the same {len(chunk)} combinations, from "
                f"{chunk[0]} to {chunk[-1]}: {type(error).__name__}: {error}. What was finished "
                "before is kept where directory= was given."
            ) from error
        if self._shared.status != "finished":
            self._share()

    def _threads(self) -> int:
        threads = sum(self._client.nthreads().values())
        if not threads:
            self._client.wait_for_workers(1, timeout=60)
            threads = sum(self._client.nthreads().values())
        return int(threads)


class _SharedCandles:
    """A wrapper, since Dask would scatter the items of a plain mapping one by one."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays


def _evaluate(
    sweep: str, job: bytes, candles: _SharedCandles, combinations: tuple[Combination, ...]
) -> CombinationResults:
    """Evaluate a chunk on a worker, each of whose threads keeps an evaluator of one sweep."""
    if getattr(_own, "sweep", None) != sweep:
        _own.evaluator = Evaluator(cloudpickle.loads(job), candles.arrays)
        _own.sweep = sweep
    outcome: CombinationResults = _own.evaluator.run(combinations)
    return outcome
