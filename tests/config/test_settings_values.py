"""Every field of the settings, given values of every kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from botlib.config import Settings
from botlib.core.errors import ConfigError
from botlib.engine.safety.arming import check_live

ODD: tuple[Any, ...] = (
    *("live", "LIVE", "Live ", "paper", "true", "True", "yes", "on", "1", "no", "off", "", "0"),
    *("1e400", "NaN", "-1", "1m", "1h", "now", "max", "BTC/USDT", "5 %", "∞", "1e999999999"),
    *(None, True, False, 0, 1, -1, 2**63, 10**400, 1.0, math.inf, math.nan, -0.0, [], {}, ["live"]),
)
"""Values that are nearly what some field takes."""

SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.sampled_from(ODD)
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=4,
)


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every field, also of sections in sections."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, (*path, name))


PATHS = sorted(leaves(Settings))


def nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def found(made: Settings, path: tuple[str, ...]) -> Any:
    value: Any = made
    for name in path:
        value = getattr(value, name)
    return value


def check_value(path: tuple[str, ...], value: Any) -> None:
    """Check that a switch is a switch, a count a whole number, and only "live" is live."""
    try:
        made = Settings.from_dict(nested(path, value))
    except ConfigError as error:
        assert "is refused" in str(error)
        return
    taken = found(made, path)
    if isinstance(taken, bool):
        assert value is taken
    elif isinstance(taken, int) and not isinstance(value, str | float):
        assert value == taken and not isinstance(value, bool)
    elif isinstance(taken, Decimal | float):
        assert taken == taken and not isinstance(value, bool)
    assert made.mode != "live" or (path, value) == (("mode",), "live")
    # What is taken once is taken again, as the same.
    assert Settings.from_dict(nested(path, value)) == made


def test_every_odd_value_in_every_field_is_taken_as_it_is_meant_or_refused() -> None:
    for path in PATHS:
        for value in ODD:
            check_value(path, value)


@settings(max_examples=300)
@given(path=st.sampled_from(PATHS), value=ANYTHING)
def test_any_value_is_taken_as_it_is_meant_or_refused(path: tuple[str, ...], value: Any) -> None:
    check_value(path, value)


@given(mode=ANYTHING, live=ANYTHING)
@example(mode="live", live=True)
@example(mode="live", live=1)
@example(mode="live", live="True")
@example(mode="LIVE", live=True)
@example(mode=True, live=True)
def test_only_true_and_the_mode_live_arm(mode: Any, live: Any) -> None:
    armed = False
    try:
        made = Settings.from_dict({"mode": mode})
        check_live(made, live)
        armed = made.mode == "live"
    except ConfigError:
        pass
    assert armed == (mode == "live" and live is True)


@pytest.mark.parametrize("text", ["Live", "[live]", "{live: true}", "'live\\n'", "'live '", "true"])
def test_a_file_that_nearly_says_live_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bot.yaml"
    path.write_text(f"mode: {text}\nstrategies: []\n")
    with pytest.raises(ConfigError, match="mode"):
        Settings.load(path)
