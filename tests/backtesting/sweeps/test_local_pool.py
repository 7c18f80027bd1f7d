"""Worker processes of a sweep: killed, interrupted and orphaned ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import psutil
import pytest

from botlib.backtesting.sweeps.local_pool import LocalPool
from botlib.core.errors import SweepError
from tests.support.sweeps import Cross, Fragile, RandomSignals, sweep

ROOT = Path(__file__).resolve().parents[3]


def test_a_dead_worker_is_replaced_and_a_deadly_combination_named(frame: pd.DataFrame) -> None:
    with pytest.raises(SweepError, match=r"died 3 times.*\(13,\)"):
        sweep(Fragile, frame, fast=[13], workers=1, progress=False)


def test_work_of_a_killed_worker_is_done_by_another(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    original = LocalPool.run

    def run(self: LocalPool, tiles: list[list[tuple[object, ...]]]) -> object:
        for number, answer in enumerate(original(self, tiles)):
            if number == 1:
                killed.append(self.pids[0])
                os.kill(self.pids[0], signal.SIGKILL)
            yield answer

    monkeypatch.setattr(LocalPool, "run", run)
    result = sweep(Cross, frame, fast=range(2, 12), slow=range(12, 22), workers=2, progress=False)
    assert killed and len(result) == 100 and result.failures.empty


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.support import sweeps as t\n"
        "from botlib.backtesting.sweeps.local_pool import LocalPool\n"
        "from botlib.backtesting.sweeps.evaluator import SweepJob, SweepSettings\n"
        "from botlib.backtesting.sweeps.candles import to_arrays\n"
        "import numpy as np\n"
        "job = SweepJob(strategy=t.Cross, names=('fast',), symbol='', settings=SweepSettings(),\n"
        "          ends=np.array([99]), keep=10**6)\n"
        "pool = LocalPool(job, to_arrays(t.Frames('', {'1m': t.candles(100)})), workers=1)\n"
        "print(*pool.pids, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert psutil.pid_exists(worker)
        parent.kill()
        parent.wait()
    psutil.wait_procs([p for p in psutil.process_iter() if p.pid == worker], timeout=60)
    assert not psutil.pid_exists(worker)


def test_a_real_interrupt_ends_the_workers(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = LocalPool.run
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    workers: list[int] = []

    def run(self: LocalPool, tiles: list[list[tuple[object, ...]]]) -> object:
        for answer in original(self, tiles):
            if not workers:
                workers.extend(self.pids)
                timer.start()
            yield answer

    monkeypatch.setattr(LocalPool, "run", run)
    result = sweep(RandomSignals, frame, number=range(100_000), workers=1, progress=False)
    timer.join()
    assert result.interrupted
    assert workers and not any(map(psutil.pid_exists, workers))


def test_a_worker_loads_neither_the_store_nor_the_checks() -> None:
    loads = (
        "import sys\n"
        "from botlib.backtesting.sweeps.worker import main\n"
        "from botlib.backtesting.sweeps.evaluator import Evaluator\n"
        "more = {'apsw', 'botlib.store', 'botlib.core.text.cards'} & set(sys.modules)\n"
        "assert not more, more"
    )
    subprocess.run([sys.executable, "-c", loads], check=True, timeout=60)
