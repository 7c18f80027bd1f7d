"""The certificate: what was enumerated, survived and caught, with seeds, durations and commit."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

ROOT_QUESTION = ("git", "rev-parse", "HEAD")


@dataclass
class Part:
    """One part of the proof.

    Attributes:
        name: what is proved.
        did: what was enumerated or drawn, in numbers.
        survived: cases in which every invariant held.
        cases: all cases.
        failures: what was violated, with what repeats it.
        notes: what else a reader has to know.
    """

    name: str
    did: str = ""
    cases: int = 0
    survived: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every case was survived, and there was one."""
        return not self.failures and 0 < self.cases == self.survived

    def count(self, case: str, violations: list[str]) -> None:
        """Count a case with what it violated."""
        self.cases += 1
        if violations:
            self.failures.append(f"{case}: {violations[0]}")
        else:
            self.survived += 1

    def lines(self) -> list[str]:
        """Return the part as text."""
        verdict = "holds" if self.ok else "FAILS"
        found = [
            f"{verdict}  {self.name}",
            f"       {self.did}",
            f"       {self.survived} of {self.cases} survived, {self.seconds:.0f} s",
        ]
        found += [f"       {one}" for one in self.notes]
        found += [f"       violated: {one}" for one in self.failures[:20]]
        return found


def timed(make: Callable[[], Part]) -> Part:
    """Return a part with the seconds it took."""
    began = time.monotonic()
    part = make()
    part.seconds = time.monotonic() - began
    return part


def certificate(parts: list[Part]) -> str:
    """Return the certificate as text."""
    commit = subprocess.run(ROOT_QUESTION, capture_output=True, text=True, check=False)
    changed = subprocess.run(
        ("git", "status", "--porcelain", "--untracked-files=no"),
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    head = [
        "Certificate of the order path",
        f"commit {commit.stdout.strip() or 'unknown'}{' with changes' if changed else ''}",
        f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC, "
        f"Python {platform.python_version()}, {platform.system()}",
        "",
    ]
    body = [line for part in parts for line in [*part.lines(), ""]]
    held = sum(part.ok for part in parts)
    return "\n".join([*head, *body, f"{held} of {len(parts)} parts hold."])
