"""``botlib run``: its table and its exit code."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

import botlib.runs
from botlib.cli import main
from botlib.runs import RunReport


def report(left_over: tuple[str, ...]) -> RunReport:
    now = datetime.now(UTC)
    return RunReport(
        name="n",
        notebook=Path("n.ipynb"),
        html=Path("n.html"),
        parameters={},
        started=now,
        finished=now,
        seconds=1.0,
        ok=True,
        error=None,
        stop_signal=None,
        summary=None,
        left_over=left_over,
    )


@pytest.mark.parametrize(("left_over", "code"), [((), 0), (("trend BTC/USDT has no stop",), 1)])
def test_what_the_bot_left_over_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, left_over: tuple[str, ...], code: int
) -> None:
    monkeypatch.setattr(botlib.runs, "run_notebook", lambda *args, **options: report(left_over))
    result = CliRunner().invoke(main, ["run", "n.ipynb"])
    assert result.exit_code == code, result.output
    assert ("left over" in result.output) == bool(left_over)
    assert ("trend BTC/USDT has no stop" in result.output) == bool(left_over)
