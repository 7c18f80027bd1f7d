"""A real bot in a process of its own, on a paper exchange of its own, for attackers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history=30, strategies=[],
    health={"port": int(sys.argv[1])},
)
paper = bot.aio.engine.paper
print(json.dumps({"url": bot.url, "token": str(bot.token_file), "paper": paper.url}), flush=True)
sys.stdin.readline()
bot.stop()
"""


def descriptors(pid: int) -> int:
    """Return the number of open files of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def settled_descriptors(pid: int, most: int, limit: float = 60.0) -> int:
    """Return the number of open files of a process, once there are at most as many, or at last.

    A connection that is refused exists until the process has looked at it.
    """
    until = time.monotonic() + limit
    while descriptors(pid) > most and time.monotonic() < until:
        time.sleep(0.05)
    return descriptors(pid)


class AttackedBot:
    """A running bot: its addresses, its files and what it wrote to its error output."""

    def __init__(self, process: subprocess.Popen[str], errors: Path, said: dict[str, str]) -> None:
        self.pid = process.pid
        self.errors = errors
        self.url = said["url"]
        self.paper = said["paper"]
        self.token_file = Path(said["token"])

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Send a request to its health page, and return status and answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def kill(self, reason: str) -> tuple[int, Any]:
        """Use its kill switch."""
        token = self.token_file.read_text().strip()
        return self.ask("/api/v1/kill", {"reason": reason}, **{"X-Botlib-Token": token})


@contextmanager
def attacked_bot(folder: Path, *, port: int = 0, **environment: str) -> Iterator[AttackedBot]:
    """Run a bot whose data are below a folder."""
    errors = folder / "stderr.txt"
    with errors.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**os.environ, "BOTLIB_HOME": str(folder), **environment},
        )
    with process:
        try:
            assert process.stdout is not None and process.stdin is not None
            line = process.stdout.readline()
            assert line, errors.read_text()
            yield AttackedBot(process, errors, json.loads(line))
            process.stdin.close()
            assert process.wait(90) == 0, errors.read_text()
        finally:
            process.kill()
