"""The public names of `botlib`, and the modules that importing it loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import botlib
from botlib.core.timeframe import TIMEFRAMES, timeframe_ms

HEAVY = ("ccxt", "vectorbt", "pandas", "pandas_ta_classic", "papermill", "plotly", "dask", "numpy")


def test_all_lists_every_public_name_and_each_can_be_loaded() -> None:
    offered = {name for names in botlib._HOMES.values() for name in names}
    assert set(botlib.__all__) == offered
    assert botlib.__all__ == sorted(botlib.__all__)
    for name in botlib.__all__:
        assert getattr(botlib, name) is not None
    shown = {name for name in dir(botlib) if not name.startswith("_")}
    assert shown == set(botlib.__all__)  # no module, no name of typing


def test_the_names_of_timeframes_are_accepted_wherever_a_timeframe_is() -> None:
    assert {str(one) for one in botlib.TimeFrame} == set(TIMEFRAMES)
    assert botlib.TimeFrame.M15 == "15m" and timeframe_ms(botlib.TimeFrame.H4) == TIMEFRAMES["4h"]
    assert botlib.TrendCross(timeframes=(botlib.TimeFrame.M1,)).timeframes == ("1m",)


def test_the_names_known_to_type_checkers_are_the_same() -> None:
    tree = ast.parse(Path(botlib.__file__).read_text())
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    names = {
        alias.name
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names == set(botlib.__all__)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, botlib; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert out.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    try:
        botlib.nothing  # noqa: B018
    except AttributeError as error:
        assert "no attribute 'nothing'" in str(error)
    else:
        raise AssertionError("botlib.nothing exists")
