"""Parameters that papermill would ignore with a warning, or store in plain text."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
from pathlib import Path

import nbformat
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from botlib.config.secrets import keys_at_hand
from botlib.core.errors import RunError
from botlib.runs.declared import declared_parameters
from botlib.runs.parameters import check_parameters, looks_random, secret_like_name

PATH = Path("x.ipynb")


def notebook(source: str, tag: str = "parameters") -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": [tag]})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os"), cell])


DEFAULTS = notebook(
    "SYMBOL = 'BTC/USDT'\nRUN_FOR: str | None = None\nFAST, SLOW = 10, 30\nDRY_RUN = True"
)


def test_every_form_of_assignment_declares_a_parameter() -> None:
    source = (
        "%matplotlib inline\nA = 1  # units\nB: int | None\n"
        "C, (D, *E) = 1, (2, 3)\nF = G = {}\nF['x'] = 1"
    )
    assert list(declared_parameters(notebook(source), PATH) or ()) == list("ABCDEFG")
    assert declared_parameters(notebook(source, tag="other"), PATH) is None


def test_declared_parameters_are_accepted() -> None:
    given = {"SYMBOL": "ETH/USDT", "RUN_FOR": "1h", "FAST": 5, "DRY_RUN": False}
    check_parameters(DEFAULTS, given, PATH)
    check_parameters(notebook("x", tag="other"), {}, PATH)


@pytest.mark.parametrize("text", ["False", "no", "off", "FALSE", "0", "", "True"])
def test_a_text_is_no_substitute_for_true_or_false(text: str) -> None:
    """Each of these texts but the empty one counts as true, so it would arm live trading."""
    for source in ("LIVE = False", "LIVE: bool = flag", "LIVE = not PAPER", "LIVE = 1 > 2"):
        with pytest.raises(RunError, match=r"'LIVE' cannot be .*Accepted .*: true or false"):
            check_parameters(notebook(source), {"LIVE": text}, PATH)


SAMPLES: dict[str, st.SearchStrategy[object]] = {
    "bool": st.booleans(),
    "int": st.integers(-(2**60), 2**60),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "str": st.text("abc /'\"\\\nFalse", max_size=12),
    "list": st.lists(st.integers(0, 9), max_size=3),
    "dict": st.dictionaries(st.text("xyz", max_size=3), st.booleans(), max_size=3),
    "NoneType": st.none(),
}
ANY = st.sampled_from(sorted(SAMPLES)).flatmap(lambda kind: SAMPLES[kind])


@given(default=ANY, value=ANY, annotated=st.booleans())
@example(default=False, value="False", annotated=False)
@example(default=False, value=1, annotated=False)
@example(default=1, value=True, annotated=True)
def test_a_parameter_accepts_values_of_the_kind_of_its_default_alone(
    default: object, value: object, annotated: bool
) -> None:
    kind, other = type(default), type(value)
    annotation = f": {kind.__name__}" if annotated and default is not None else ""
    cell = notebook(f"X{annotation} = {default!r}")
    good = default is None or kind is other or (kind is float and other is int)
    try:
        check_parameters(cell, {"X": value}, PATH)
        accepted = True
    except RunError as error:
        accepted = False
        assert "'X' cannot be" in str(error)
    assert accepted == good
    # A value that is accepted is the same one in the notebook.
    assert not accepted or json.loads(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("source", "good", "bad"),
    [
        ("A: str | None = 'x'", ["y", None], [1, True]),
        ("A: 'int | float' = 1", [2, 2.5], ["2", True]),
        ("A: Optional[float] = None", [1, 1.5, None], ["1"]),
        ("A: typing.Literal['a', 'b'] = 'a'", ["b"], [1]),
        ("A: Union[int, str]", [1, "x"], [1.5, [1]]),
        ("A: list[str] = []", [["x"]], ["x"]),
        ("A: Mapping[str, int] = {}", [{"x": 1}], [[1]]),
        ("A = 60 * 60", [1], [1.5, "1h"]),
        ("A = -1.5 / 2", [1, 2.5], ["1", True]),
        ("A = f'{B}'", ["x"], [1]),
        ("A = (1, 2)", [[3]], [3]),
        ("A, B = True, 'x'", [False], ["no"]),
        ("A = compute()", [1, "x", None, [1]], []),
        ("A: Thing = thing", [1, "x"], []),
        ("A: 'not an annotation' = 1", [2], ["2"]),
        ("A = 1\nA = 'x'", ["y"], [2]),
    ],
)
def test_annotations_and_expressions_say_what_is_accepted(
    source: str, good: list[object], bad: list[object]
) -> None:
    for value in good:
        check_parameters(notebook(source), {"A": value}, PATH)
    for value in bad:
        with pytest.raises(RunError, match="cannot be"):
            check_parameters(notebook(source), {"A": value}, PATH)


def test_a_key_of_the_file_is_refused_as_a_parameter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    key = "words-that-do-not-look-like-a-key"
    (tmp_path / ".env").write_text(f"BINANCE_API_KEY={key}\n")
    keys_at_hand()
    for value in (key, f"see {key}", [base64.b64encode(key.encode()).decode()], {key: 1}):
        with pytest.raises(RunError, match="key of the environment or of the file") as caught:
            check_parameters(notebook("A = None"), {"A": value}, PATH)
        assert key not in str(caught.value)


def test_an_unknown_parameter_is_refused_with_a_suggestion() -> None:
    with pytest.raises(RunError, match=r"'DRYRUN'.*Accepted: SYMBOL.*Did you mean 'DRY_RUN'"):
        check_parameters(DEFAULTS, {"DRYRUN": True}, PATH)


def test_a_notebook_without_a_tagged_cell_accepts_no_parameters() -> None:
    with pytest.raises(RunError, match=r"no cell tagged 'parameters', so 'A' would not"):
        check_parameters(notebook("A = 1", tag="params"), {"A": 2}, PATH)


def test_a_broken_parameters_cell_is_named() -> None:
    with pytest.raises(RunError, match=r"'parameters' cell of x.ipynb is not valid Python"):
        check_parameters(notebook("A = = 1"), {"A": 2}, PATH)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), PATH, b"x", [object()], {1, 2}])
def test_a_value_that_json_cannot_express_is_refused(value: object) -> None:
    with pytest.raises(RunError, match=r"'SYMBOL' cannot be written into a notebook"):
        check_parameters(DEFAULTS, {"SYMBOL": value}, PATH)


@pytest.mark.parametrize(
    "name",
    """API_KEY BINANCE_API_KEY apiSecret api_key apikey PASSWORD DB_PASSWD AUTH_TOKEN privateKey
    PRIVATE_KEY credentials SECRET2 seed_phrase""".split(),
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert secret_like_name(name)
    with pytest.raises(RunError, match=r"name of a secret.*environment"):
        check_parameters(notebook(f"{name} = ''"), {name: "x"}, PATH)


@pytest.mark.parametrize(
    "name", ["SYMBOL", "KEY_LEVEL", "SEED", "RUN_FOR", "MONKEY", "TOKENS_HELD"]
)
def test_other_names_are_not_those_of_secrets(name: str) -> None:
    assert not secret_like_name(name)


def test_generated_keys_look_random() -> None:
    rng = random.Random(7)
    letters = string.ascii_letters + string.digits
    for _ in range(200):
        assert looks_random("".join(rng.choices(letters, k=64)))
        assert looks_random(hashlib.sha256(rng.randbytes(8)).hexdigest())
        assert looks_random(base64.b64encode(rng.randbytes(48)).decode())
        assert looks_random(f"key={uuid.UUID(bytes=rng.randbytes(16)).hex}&x=1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "BTC/USDT",
        "data/candles/BTCUSDT-1m-20241130-20241229.csv.gz",
        "/home/someone/projects/trading/data/paper/synthetic-20241130.db",
        "2026-11-21T21:03:00.000000+00:00",
        "20261121210300123456",
        "1732222980000000000000",
        "TrendCrossWithVolumeFilterAndTrailingStop",
        "averyveryverylongnameofastrategythatsomebodychose",
        "ema12-rsi14-bbands20x2-atr14-macd12x26x9",
        "https://127.0.0.1:8080/api/v3/klines?symbol=BTCUSDT&interval=1m",
        "A sentence about the 200-day average, the 50-day average and 3 more things.",
    ],
)
def test_ordinary_text_does_not_look_random(text: str) -> None:
    assert not looks_random(text)


def test_a_random_value_is_refused_at_any_depth_and_never_shown() -> None:
    key = "aZ3kP9qL2mX7vB5nR8tY1wC4dF6gH0jKs2Eu4Ti8Oo6Pp1Ll3Mm5Nn7Bb9Vv0CcXx"
    for value in (key, [1, key], {"a": {"b": key}}, {key: 1}, f"user:{key}@host"):
        with pytest.raises(RunError, match="looks like a key") as caught:
            check_parameters(DEFAULTS, {"SYMBOL": value}, PATH)
        assert key not in str(caught.value)
    with pytest.raises(RunError, match="'api_key' is the name of a secret"):
        check_parameters(DEFAULTS, {"SYMBOL": {"api_key": "x"}}, PATH)


def test_a_loaded_key_is_refused_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINANCE_API_SECRET", "plainwords")
    with pytest.raises(RunError, match="environment variable BINANCE_API_SECRET") as caught:
        check_parameters(DEFAULTS, {"SYMBOL": "my plainwords here"}, PATH)
    assert "plainwords" not in str(caught.value)
    monkeypatch.delenv("BINANCE_API_SECRET")
    check_parameters(DEFAULTS, {"SYMBOL": "my plainwords here"}, PATH)
