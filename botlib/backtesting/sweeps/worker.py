"""A worker process of a sweep: ``python -m botlib.backtesting.sweeps.worker DIRECTORY``.

It reads chunks of combinations from its standard input and writes their results to the original
standard output; what a strategy prints goes to standard error. It ends when its input ends, so that
it never outlives the process that started it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

JOB_FILE = "job.pickle"
PATH_FILE = "path.pickle"
_NICENESS = 5
"""Added to the priority, so that live work on the same machine goes first."""


def main(directory: Path) -> None:
    """Evaluate chunks until the input ends.

    Args:
        directory: where the job and the candles were written.
    """
    answers = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)
    with contextlib.suppress(AttributeError, OSError):
        os.nice(_NICENESS)
    chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # Started before anything slow, so that the end of the parent is noticed at once.
    threading.Thread(target=_listen, args=(Connection(os.dup(0)), chunks), daemon=True).start()
    sys.path[:] = pickle.loads((directory / PATH_FILE).read_bytes())
    gc.disable()  # It would walk through what the imports make, several times.
    try:
        from botlib.backtesting.sweeps.candles import read_arrays
        from botlib.backtesting.sweeps.evaluator import Evaluator

        job = pickle.loads((directory / JOB_FILE).read_bytes())
        evaluator = Evaluator(job, read_arrays(directory))
    except Exception:
        answers.send(traceback.format_exc())
        raise
    gc.freeze()
    gc.enable()
    while True:
        answers.send(evaluator.run(pickle.loads(chunks.get())))


def _listen(connection: Connection, chunks: queue.SimpleQueue[bytes]) -> None:
    try:
        while True:
            chunks.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
