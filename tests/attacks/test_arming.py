"""A typing mistake or one call does not arm live trading."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import botlib as bl
from botlib.config import Settings
from botlib.core.errors import ConfigError
from botlib.engine.safety.arming import check_live
from tests.support.notebooks import write_notebook

LIVE = Settings.from_dict({"mode": "live", "strategies": []})

ANYTHING = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.booleans()),
    st.dictionaries(st.text(), st.booleans()),
    st.decimals(),
    st.sampled_from(["True", "true", "yes", "on", 1, 1.0, Decimal(1), object, [True], {"live": 1}]),
)


@given(ANYTHING)
@example("False")
@example(1)
def test_nothing_but_true_arms(value: Any) -> None:
    with pytest.raises(ConfigError, match="live"):
        check_live(LIVE, value)


def test_true_arms_a_live_configuration_and_false_none() -> None:
    check_live(LIVE, True)
    with pytest.raises(ConfigError, match="not armed in code"):
        check_live(LIVE, False)
    check_live(Settings(), False)


@pytest.mark.parametrize("text", ["False", "no", "off", "True", '"true"', "1"])
def test_a_run_is_refused_whose_parameter_is_no_true_or_false(tmp_path: Path, text: str) -> None:
    """The text "False" counts as true, and would arm live trading in the notebook."""
    mark = tmp_path / "armed"
    book = write_notebook(
        tmp_path / "x.ipynb",
        f"open({str(mark)!r}, 'w').write(repr(LIVE))",
        parameters="LIVE = False",
    )
    command = [sys.executable, "-m", "botlib", "run", str(book), "-p", "LIVE", text]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "'LIVE' cannot be" in done.stderr and "true or false" in done.stderr
    assert not mark.exists() and not (tmp_path / "data").exists()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    for variable in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        (None, {"mode": "live"}),
        ("mode: paper", {"mode": "live"}),
        ("mode: watch", {"mode": "live"}),
        ("mode: live\nexchange: {environment: testnet}", {"exchange": {"environment": "live"}}),
        ("mode: live\nexchange: {url: 'http://127.0.0.1:1'}", {"exchange": {"url": None}}),
    ],
)
def test_one_call_does_not_arm_real_money(
    home: Path, file: str | None, changes: dict[str, Any]
) -> None:
    """Both acts would stand in the same cell, and be copied together."""
    path = None
    if file is not None:
        path = home / "bot.yaml"
        path.write_text(f"{file}\nstrategies: []\n")
    with pytest.raises(ConfigError, match="needs two acts"):
        bl.connect(path, live=True, strategies=[], **changes)
    assert not (home / "data").exists()


def test_a_file_alone_does_not_arm(home: Path) -> None:
    path = home / "bot.yaml"
    path.write_text("mode: live\nstrategies: []\n")
    with pytest.raises(ConfigError, match="not armed in code"):
        bl.connect(path)
    with pytest.raises(ConfigError, match="BINANCE_API_KEY is not set"):
        bl.connect(path, live=True)
