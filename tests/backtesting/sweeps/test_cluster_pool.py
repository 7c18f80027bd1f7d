"""Sweeps on a Dask cluster of real processes, one of which is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pandas as pd
import psutil
import pytest
from distributed import Client

from botlib.backtesting.sweeps.cluster_pool import ClusterPool
from botlib.core.errors import SweepError
from botlib.strategies import TrendCross
from tests.support.samples import market
from tests.support.sweeps import sweep


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a scheduler with two worker processes."""
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    local = ["--host", "127.0.0.1", "--no-dashboard"]
    processes = [_dask("scheduler", "--port", "0", "--scheduler-file", str(file), *local)]
    try:
        processes += [
            _dask("worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", *local)
            for _ in range(2)
        ]
        deadline = time.monotonic() + 60
        # The file is created first and written a moment later.
        while not (file.exists() and file.read_text().endswith("\n}")):
            assert time.monotonic() < deadline, "the scheduler does not come up"
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def _dask(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return market(3_000, "1m", step=2e-3)


SPACE: dict[str, Any] = {"fast": range(2, 22), "slow": range(22, 42)}


def test_a_cluster_gives_the_same_numbers_even_when_a_worker_is_lost(
    address: str, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = sweep(TrendCross, frame, **SPACE, workers=1, progress=False)
    with Client(address) as client:
        client.wait_for_workers(2, timeout=60)
        there = sweep(TrendCross, frame, **SPACE, client=client, progress=False)
        pd.testing.assert_frame_equal(here.frame, there.frame, check_exact=True)

        pids = list(client.run(os.getpid).values())
        assert len(pids) == 2
        original = ClusterPool.run

        def run(self: ClusterPool, tiles: list[list[tuple[object, ...]]]) -> object:
            for number, answer in enumerate(original(self, tiles)):
                if number == 0:
                    os.kill(pids[0], signal.SIGKILL)
                yield answer

        monkeypatch.setattr(ClusterPool, "run", run)
    # Given an address, the sweep itself connects and disconnects.
    again = sweep(TrendCross, frame, **SPACE, client=address, progress=False)
    assert not psutil.pid_exists(pids[0]) or psutil.Process(pids[0]).status() == "zombie"
    pd.testing.assert_frame_equal(here.frame, again.frame, check_exact=True)


def test_a_scheduler_that_does_not_answer_is_reported(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botlib.backtesting.sweeps.cluster_pool._CONNECT_TIMEOUT", "1s")
    with pytest.raises(SweepError, match="No Dask scheduler answers"):
        sweep(TrendCross, frame, **SPACE, client="tcp://127.0.0.1:9", progress=False)
