"""Parameters that papermill would ignore with a warning, or store in plain text."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import uuid
from pathlib import Path

import nbformat
import pytest

from botlib.core.errors import RunError
from botlib.runs.parameters import (
    check_parameters,
    declared_parameters,
    looks_random,
    secret_like_name,
)

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
    assert declared_parameters(notebook(source), PATH) == list("ABCDEFG")
    assert declared_parameters(notebook(source, tag="other"), PATH) is None


def test_declared_parameters_are_accepted() -> None:
    given = {"SYMBOL": "ETH/USDT", "RUN_FOR": "1h", "FAST": 5, "DRY_RUN": False}
    check_parameters(DEFAULTS, given, PATH)
    check_parameters(notebook("x", tag="other"), {}, PATH)


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
