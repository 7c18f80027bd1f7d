"""Specifications of indicators: how they are read, spelled, refused and copied."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from botlib.core.errors import InvalidInput
from botlib.indicators import indicator, parse


@pytest.mark.parametrize(
    ("spec", "spelled"),
    [
        ("ema(20)", "ema(20)"),
        (" ema( length = 20 ) ", "ema(20)"),
        ("ema", "ema(10)"),
        ("bbands(20, 2)", "bbands(20, 2)"),
        ("bbands(20, std=2.0)", "bbands(20, 2)"),
        ("bbands(20, 2.5)", "bbands(20, 2.5)"),
        ("macd(12, 26, signal=5)", "macd(12, 26, 5)"),
        ("sma(10, source=high)", "sma(10, source=high)"),
        ("sma(10, source='hl2')", "sma(10, source=hl2)"),
        ("sma(10, source=close)", "sma(10)"),
        ("obv", "obv"),
        ("supertrend(7, 3)", "supertrend(7, 3)"),
        ("kc(scalar=1.5)", "kc(scalar=1.5)"),
        ("cdl_pattern(doji)", "cdl_pattern(doji)"),
    ],
)
def test_one_indicator_has_one_spelling(spec: str, spelled: str) -> None:
    found = parse(spec)
    assert str(found) == spelled
    assert parse(spelled) == found
    assert hash(parse(spelled)) == hash(found)
    assert indicator(found.name, source=found.source, **found.parameters) == found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("emma(20)", r"no indicator 'emma'\. Did you mean 'ema'\?"),
        ("ema(20, 30)", r"ema takes at most 1 values, not 2\. Accepted: ema\(length=10, source"),
        ("ema(20.5)", r"length must be a whole number, not 20\.5"),
        ("ema('fast')", r"length must be a whole number, not 'fast'"),
        ("ema(True)", r"length must be a whole number, not True"),
        ("ema(0)", r"length must be at least 1, not 0"),
        ("bbands(1)", r"length must be at least 2, not 1"),
        ("bbands(20, 1e999)", r"std must be finite, not inf"),
        ("stdev(20, 2)", r"ddof must be at most 1, not 2"),
        ("wma(-3)", r"length must be at least 1, not -3"),
        ("hma(0)", r"length must be at least 1, not 0"),
        ("ema(lenght=20)", r"no parameter 'lenght'.*Did you mean 'length'\?"),
        ("ema(20, length=30)", r"given length twice: 20 and 30"),
        ("macd(26, 12)", r"fast must be below slow, not fast=26, slow=12"),
        ("sma(10, source=hihg)", r"Cannot use 'hihg' as the source of sma.*Did you mean 'high'"),
        ("atr(14, source=high)", r"atr takes no source: it reads high, low, close"),
        ("ema(20", r"Cannot read the indicator 'ema\(20'.*Write it as a call"),
        ("ema(20) + 1", r"Cannot read"),
        ("ema(**x)", r"Cannot read"),
        ("ema(9, rsi(14))", r"Cannot read"),
        ("a.ema(20)", r"Cannot read"),
        ("", r"Cannot read"),
        ("dpo(20, centered=True)", r"dpo has no parameter 'centered'"),
        ("ema(20, offset=-5)", r"ema has no parameter 'offset'"),
        ("hma(20, offset=-5)", r"hma has no parameter 'offset'"),
        ("tos_stdevall", r"not offered: it fits one line.*knows the future"),
        ("vp(10)", r"not offered: it gives one profile of the whole frame"),
        ("beta", r"not offered: it compares two markets"),
    ],
)
def test_a_refused_specification_says_what_is_accepted(spec: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse(spec)


def test_only_a_text_is_parsed() -> None:
    with pytest.raises(InvalidInput, match=r"An indicator is a text, not 20 \(int\)"):
        parse(20)  # type: ignore[arg-type]
    assert indicator("ema", np.int64(20)) == parse("ema(20)")  # a sweep passes numpy numbers


@given(st.text(max_size=30))
@example("ema(" * 500)
@example("ema(\x00)")
@example("ema(1" + "0" * 5000 + ")")
@example("ema(" + "-" * 5000 + "1)")
def test_any_text_is_either_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except InvalidInput:
        pass


@pytest.mark.parametrize("spec", ["ema(20)", "tema(7, source=hlc3)", "obv", "supertrend(7, 3)"])
def test_a_copy_of_an_indicator_equals_it(spec: str) -> None:
    found = parse(spec)
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert other == found
        assert hash(other) == hash(found)
        assert other.record is found.record
