"""The hunt for a planted bug: scenarios, crashes and drawn faults until it is noticed.

It is noticed if an invariant is violated, or if entries are halted where a sound order path halts
nothing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from tests.support.hard_scenarios import HARD
from tests.support.order_scenarios import SCENARIOS, Play, play
from tests.support.planted_bugs import Bug

WRITTEN: Final = 16
"""Writes of the scenario of an entry and an exit."""

HALTING: Final = ("halted", "refusing venue")
"""Scenarios at whose end entries are rightly halted."""

QUICK: Final = 20
"""Seeds of faults that are tried before the crashes, which take longer."""


def expected(found: Play, scenario: str) -> bool:
    """Return whether a run is what a sound order path does."""
    return not found.violations and (not found.halts or scenario in HALTING)


def hunt(bug: Bug, *, seeds: int = 60) -> str:
    """Return where a planted bug was caught and by what, "" if it was not.

    Scenarios come first, then crashes at every moment of them, then drawn faults.
    """
    everything = {**SCENARIOS, **HARD}
    names = sorted(everything, key=lambda name: name != bug.hint)
    with bug.planted(), tempfile.TemporaryDirectory(dir=_memory()) as directory:
        number = iter(range(1_000_000))

        def place() -> Path:
            path = Path(directory) / str(next(number))
            path.mkdir()
            return path

        def faulty(seed: int) -> Play:
            steps = list(SCENARIOS.values())[seed % 3]()
            return play(place(), steps, seed=seed, partial=1 + seed % 2)

        for name in names:
            found = play(place(), everything[name]())
            if not expected(found, name):
                return f"{name}: {_first(found)}"
        for seed in range(QUICK):
            found = faulty(seed)
            if found.violations:
                return f"faults of seed {seed}: {_first(found)}"
        for write in range(WRITTEN):
            found = play(place(), SCENARIOS["entry and exit"](), full_disk=(write, 3))
            if not expected(found, "entry and exit"):
                return f"full disk at write {write}: {_first(found)}"
        for name in ("entry and exit", "trailing stop and target"):
            for moment in range(len(play(place(), everything[name]()).moments)):
                found = play(place(), everything[name](), crash_at=moment)
                if not expected(found, name):
                    return f"{name}, crash at {found.crashed_at}: {_first(found)}"
        for seed in range(QUICK, seeds):
            found = faulty(seed)
            if found.violations:
                return f"faults of seed {seed}: {_first(found)}"
    return ""


def _first(found: Play) -> str:
    return next(iter([*found.violations, *found.halts]))


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
