"""The parts of the soak in virtual time: crashes, drawn faults, full disks and planted bugs."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from botlib.core.errors import BotlibError
from tests.soak.certificate import Part
from tests.support.bug_hunt import HALTING, hunt
from tests.support.hard_scenarios import HARD
from tests.support.order_scenarios import SCENARIOS, Play, play
from tests.support.planted_bugs import BUGS


@contextmanager
def places() -> Iterator[Iterator[Path]]:
    """Yield new directories in memory, if the computer has a place for them."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:

        def new() -> Iterator[Path]:
            for number in range(10_000_000):
                path = Path(directory) / str(number)
                path.mkdir()
                yield path
                for file in path.iterdir():
                    file.unlink()

        yield new()


def wrong(found: Play, *, may_halt: bool = False) -> list[str]:
    """Return what a run violated; a halt counts where nothing gives cause for one."""
    return found.violations + ([] if may_halt else [f"halted: {one}" for one in found.halts])


def crashes(names: Sequence[str]) -> Part:
    """Crash scenarios before and after every journal write and every request."""
    part = Part("a crash at every moment")
    moments = Counter[str]()
    with places() as place:
        for name in names:
            whole = play(next(place), SCENARIOS[name]())
            part.count(name, wrong(whole))
            moments[name] = len(whole.moments)
            for number in range(len(whole.moments)):
                found = play(next(place), SCENARIOS[name](), crash_at=number)
                part.count(f"{name}, moment {number} ({found.crashed_at})", wrong(found))
    part.did = "all moments before and after each write and request: " + ", ".join(
        f"{count} of {name}" for name, count in moments.items()
    )
    return part


def schedules(count: int, first: int = 0) -> Part:
    """Draw faults and crashes by seed, over all scenarios."""
    part = Part("drawn faults and crashes")
    halts = Counter[str]()
    scenarios = list(SCENARIOS.values())
    crashed = 0
    with places() as place:
        for seed in range(first, first + count):
            found = play(next(place), scenarios[seed % 3](), seed=seed, partial=1 + seed % 2)
            part.count(f"seed {seed}", found.violations)
            crashed += bool(found.crashed_at)
            halts.update(_kind(reason) for reason in found.halts)
    part.did = f"seeds {first} to {first + count - 1}, {crashed} of them with a crash"
    part.notes = [f"{number} halted: {kind}" for kind, number in halts.most_common(6)]
    return part


def _kind(reason: str) -> str:
    """Return a reason without its numbers and names."""
    for words in (
        "has had no stop for over",
        "neither be protected nor be sold",
        "cannot be sold",
        "cannot be protected",
    ):
        if words in reason:
            return f"… {words} …"
    return reason


def hard_scenarios() -> Part:
    """Run the scenarios in which one thing goes wrong on purpose."""
    part = Part("scenarios with one fault each", did=", ".join(HARD))
    with places() as place:
        for name, steps in HARD.items():
            part.count(name, wrong(play(next(place), steps()), may_halt=name in HALTING))
    return part


def full_disks(names: Sequence[str], stretches: Sequence[int] = (1, 5, 1_000)) -> Part:
    """Have the n-th write of the journal and some after it fail, for every n."""
    part = Part("a full disk at every write")
    writes = Counter[str]()
    with places() as place:
        for name in names:
            whole = play(next(place), SCENARIOS[name](), full_disk=(1_000_000, 0))
            writes[name] = whole.writes
            for stretch in stretches:
                for number in range(whole.writes):
                    found = play(next(place), SCENARIOS[name](), full_disk=(number, stretch))
                    case = f"{name}, {stretch} writes from {number} on"
                    part.count(case, wrong(found))
    part.did = f"stretches of {', '.join(map(str, stretches))} writes from every write on: " + (
        ", ".join(f"{count} of {name}" for name, count in writes.items())
    )
    return part


def planted_bugs(count: int | None = None, seed: int = 0) -> Part:
    """Plant bugs one at a time; each has to be caught by name."""
    bugs = list(BUGS)
    if count is not None:
        bugs = random.Random(seed).sample(bugs, count)
    part = Part("planted bugs are caught", did=f"{len(bugs)} of {len(BUGS)} bugs, one at a time")
    for bug in bugs:
        try:
            caught = hunt(bug)
        except BotlibError as error:
            caught = f"raised: {error}"
        part.count(bug.name, [] if caught else ["it was not caught"])
        part.notes.append(f"{bug.name} | {caught[:110] or 'NOT CAUGHT'}")
    return part
