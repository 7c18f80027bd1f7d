"""numba releases the GIL by default, and nothing else about it changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

KINDS = """
import numba, numpy as np
from numba import jit, njit, objmode, prange
from numba.experimental import jitclass
from botlib.backtesting.vectorbt_setup import release_gil

release_gil()
release_gil()

@njit
def plain(x):
    return x + 1

@njit(nogil=False)
def holding(x):
    return x + 1

@njit
def mixed(x):
    with objmode(y="float64"):
        y = float(str(x))
    return y + 1

@jit(forceobj=True)
def interpreted(x):
    return str(x)

@njit(parallel=True)
def together(n):
    total = 0.0
    for i in prange(n):
        total += i
    return total

@numba.vectorize
def each(x):
    return x + 1

@numba.guvectorize(["void(float64[:], float64[:])"], "(n)->(n)")
def whole(x, y):
    for i in range(len(x)):
        y[i] = x[i] + 1

@jitclass([("x", numba.float64)])
class Held:
    def __init__(self):
        self.x = 1.0

assert plain.targetoptions["nogil"] and not holding.targetoptions["nogil"]
assert (plain(1), holding(1), mixed(1.0), interpreted(1), together(4)) == (2, 2, 2.0, "1", 6.0)
assert each(1.0) == 2.0 and whole(np.ones(2)).tolist() == [2.0, 2.0] and Held().x == 1.0
"""

LOADED_BEFORE = """
import sys
import numba
import vectorbt
from vectorbt.generic import nb
assert "nogil" not in nb.shuffle_1d_nb.targetoptions
from botlib.backtesting.vectorbt_setup import cache_directory, load_vectorbt
assert load_vectorbt() is vectorbt
assert nb.shuffle_1d_nb.targetoptions["nogil"]
from vectorbt.portfolio.nb import simulate_from_signals_nb as simulate
assert simulate.targetoptions["nogil"]
assert simulate.stats.cache_path.startswith(str(cache_directory())), simulate.stats
"""

LATER = """
import sys
from botlib.backtesting.vectorbt_setup import release_gil_when_loaded
before = list(sys.meta_path)
release_gil_when_loaded()
release_gil_when_loaded()
assert "numba" not in sys.modules
from numba import njit

@njit
def plain(x):
    return x + 1

assert plain.targetoptions["nogil"] and plain(1) == 2
assert sys.meta_path == before
"""


def run(script: str, directory: Path, *options: str) -> None:
    subprocess.run(
        [sys.executable, *options, "-c", script],
        check=True,
        timeout=100,
        env={**os.environ, "NUMBA_CACHE_DIR": str(directory)},
    )


def test_every_kind_of_compiled_function_still_works(tmp_path: Path) -> None:
    run(KINDS, tmp_path, "-W", "error")


def test_vectorbt_releases_the_gil_even_if_it_was_loaded_before(tmp_path: Path) -> None:
    run(LOADED_BEFORE, tmp_path)


def test_numba_imported_later_releases_the_gil_too(tmp_path: Path) -> None:
    run(LATER, tmp_path, "-W", "error")
