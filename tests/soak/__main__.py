"""Run the soak and print the certificate: ``python -m tests.soak --help`` lists the sizes."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from tests.soak.certificate import Part, certificate, timed
from tests.soak.days import faulty_days, outages
from tests.soak.fuzz import fuzzed_files, fuzzed_servers
from tests.soak.real import ended_bots
from tests.soak.virtual import crashes, full_disks, hard_scenarios, planted_bugs, schedules
from tests.support.order_scenarios import SCENARIOS

PARTS = (
    *("crashes", "hard", "schedules", "disks", "bugs", "kills", "days", "outages"),
    *("requests", "files"),
)


def options(arguments: list[str]) -> argparse.Namespace:
    """Return the sizes of the parts."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--sample", action="store_true", help="the sizes that the tests use")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--schedules", type=int, default=10_000, help="seeds of drawn faults")
    parser.add_argument("--kills", type=int, default=500, help="kill -9 of a real bot")
    parser.add_argument("--stops", type=int, default=200, help="SIGTERM of a real bot")
    parser.add_argument("--bugs", type=int, default=None, help="planted bugs; all by default")
    parser.add_argument("--days", type=int, default=30, help="simulated days")
    parser.add_argument("--fuzz", type=int, default=100_000, help="drawn requests and files")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    found = parser.parse_args(arguments)
    if found.sample:
        found.schedules, found.kills, found.stops, found.bugs, found.days = 500, 8, 2, 8, 1
        found.fuzz = 2_000
    return found


def main(arguments: list[str]) -> int:
    """Run the chosen parts, print the certificate, and return whether a part fails."""
    sizes = options(arguments)
    logging.disable(logging.CRITICAL)
    names = list(SCENARIOS)
    few = names[:1] if sizes.sample else names
    work: dict[str, Callable[[], Part]] = {
        "crashes": lambda: crashes(few),
        "hard": hard_scenarios,
        "schedules": lambda: schedules(sizes.schedules, sizes.seed),
        "disks": lambda: full_disks(few),
        "bugs": lambda: planted_bugs(sizes.bugs, sizes.seed),
        "kills": lambda: ended_bots(sizes.kills, sizes.stops, sizes.seed + 1),
        "days": lambda: faulty_days(sizes.days),
        "outages": outages,
        "requests": lambda: fuzzed_servers(sizes.fuzz * 6 // 10, sizes.seed),
        "files": lambda: fuzzed_files(sizes.fuzz * 4 // 10, sizes.seed),
    }
    parts = []
    for name in sizes.parts.split(","):
        part = timed(work[name])
        sys.stderr.write("\n".join(part.lines()) + "\n")
        sys.stderr.flush()
        parts.append(part)
    sys.stdout.write(certificate(parts) + "\n")
    return 0 if all(part.ok for part in parts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
