"""The part of the soak over real processes: bots that are killed and stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.soak.certificate import Part

ROOT = Path(__file__).resolve().parents[2]


def ended_bots(kills: int, stops: int, seed: int = 1) -> Part:
    """Kill and stop real bots that trade on a real paper exchange, at random moments."""
    part = Part("kill -9 and SIGTERM of a real bot")
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        words = [directory, str(kills), str(stops), str(seed)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.bot_killing", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        part.count("the program", [f"exit code {done.returncode}: {done.stderr[-600:]}"])
        return part
    part.cases = found["kills"] + found["stops"]
    part.failures = found["violations"]
    part.survived = part.cases - len(part.failures)
    part.did = (
        f"{found['kills']} kills, {found['early_kills']} of them while the bot started, and "
        f"{found['stops']} SIGTERMs, seed {seed}; {found['orders']} orders, {found['trades']} "
        f"trades, {found['stop_orders']} stops on the exchange"
    )
    part.notes = [
        f"slowest from the start of a bot until all invariants held: "
        f"{found['recovered_slowest']:.1f} s; until every position had its stop: "
        f"{found['protected_slowest']:.1f} s; slowest stop: {found['stopped_slowest']:.1f} s"
    ]
    if found["left_over"]:
        part.notes.append(
            f"{found['left_over']} stops could not settle an order that a kill had cut off, and "
            "said so; every position had its stop"
        )
    part.notes += [f"{count} times halted: {why}" for why, count in found["halts"].items()]
    return part
