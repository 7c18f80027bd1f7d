"""Independent clients trade on the paper exchange, each in an environment of its own.

`make conformance` creates the environments and runs these tests; `make test` does not.
"""

from __future__ import annotations

import json
import subprocess
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
CLIENTS = ("schemathesis", "python-binance", "unicorn-binance-websocket-api", "binance-sdk-spot")
KEYS = {"key": PAPER_API_KEY, "secret": PAPER_API_SECRET, "signing_key": PAPER_ED25519_API_KEY}
SECONDS = 240


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_session(client: str, tmp_path: Path, subtests: pytest.Subtests) -> None:
    python = ENVIRONMENTS / client / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{client} is not installed. Run make conformance")
    pem = tmp_path / "key.pem"
    pem.write_text(paper_private_key())
    with paper_exchange() as url:
        done = subprocess.run(
            [python, "-W", "ignore", HERE / f"session_{client.replace('-', '_')}.py"],
            input=json.dumps({"url": url, **KEYS, "private_key": str(pem)}),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    lines = done.stdout.splitlines()
    marks = [tuple(line.split(maxsplit=1)) for line in lines if line.startswith(("ok ", "FAILED "))]
    for mark, name in marks:
        with subtests.test(name):
            assert mark == "ok", name
    report = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, report
    assert lines[-1] == f"=       {len(marks)} passed, 0 failed", report
