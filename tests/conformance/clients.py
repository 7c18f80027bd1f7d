"""Independent clients trade on the paper exchange, each in an environment of its own.

`make conformance` creates the environments and runs these tests; `make test` does not.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from botlib.paper.accounts.keys import (
    PAPER_API_KEY,
    PAPER_API_SECRET,
    PAPER_ED25519_API_KEY,
    paper_private_key,
)
from tests.support.paper_process import paper_exchange

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".venv-conformance"
CLIENTS = ("python-binance", "unicorn-binance-websocket-api", "binance-sdk-spot")
KEYS = {"key": PAPER_API_KEY, "secret": PAPER_API_SECRET, "signing_key": PAPER_ED25519_API_KEY}
SECONDS = 240


def run_session(
    client: str,
    url: str,
    folder: Path,
    subtests: pytest.Subtests,
    *,
    paused: bool = False,
) -> None:
    """Run the session of a client in its environment, and fail with each of its checks.

    Args:
        folder: an empty folder, for the session's private key and files.
        paused: whether the market stands still until the session resumes it.
    """
    python = ENVIRONMENTS / client / "bin" / "python"
    if not (python.parents[1] / ".installed").exists():
        reason = python.parents[1] / ".skipped"
        told = reason.read_text().strip() if reason.exists() else "Run make conformance"
        pytest.skip(f"{client} is not installed. {told}")
    if paused:
        request = urllib.request.Request(f"{url}/paper/v1/pause", b"{}")
        urllib.request.urlopen(request, timeout=SECONDS).close()
    pem = folder / "key.pem"
    pem.write_text(paper_private_key())
    done = subprocess.run(
        [python, "-W", "ignore", HERE / f"session_{client.replace('-', '_')}.py"],
        input=json.dumps({"url": url, **KEYS, "private_key": str(pem)}),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=folder,
    )
    lines = done.stdout.splitlines()
    marks = [tuple(line.split(maxsplit=1)) for line in lines if line.startswith(("ok ", "FAILED "))]
    for mark, name in marks:
        with subtests.test(name):
            assert mark == "ok", name
    report = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, report
    # A framework may still write to its log after the session has ended.
    assert f"=       {len(marks)} passed, 0 failed" in lines, report


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_session(client: str, tmp_path: Path, subtests: pytest.Subtests) -> None:
    with paper_exchange() as url:
        run_session(client, url, tmp_path, subtests)
