"""The checks of a run's parameters before its start.

Papermill injects an unknown parameter with only a warning, so a run that is believed to be dry
could be a real one. So could one whose parameter is the text ``"False"``, which is true. It also
writes every parameter into the notebook, so a secret passed as one would be published with it.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from botlib.core.errors import RunError, did_you_mean
from botlib.core.text.masking import masked
from botlib.runs.declared import TAG, Kinds, accepts, declared_parameters, kind_of, words

_SECRET_WORDS: Final = frozenset(
    {"secret", "secrets", "password", "passwd", "passphrase", "token", "credential", "credentials"}
    | {"apikey", "privatekey", "secretkey", "accesskey", "mnemonic"}
)
_SECRET_PAIRS: Final = frozenset(
    {("api", "key"), ("private", "key"), ("access", "key"), ("signing", "key"), ("seed", "phrase")}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_RUN = re.compile(r"[A-Za-z0-9]{20,}")
_HEX = re.compile(r"(?=\d*[a-fA-F])[0-9a-fA-F]{32,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{32,}={0,2}")

_MIN_SECRET_LENGTH: Final = 8
"""Shorter values of secret environment variables are too common to be searched for."""

_RANDOM_BITS: Final = 3.0
"""Least Shannon entropy, in bits per character, of a sequence that looks random."""

_RANDOM_CHANGES: Final = 0.25
"""Least share of neighbouring characters of different kinds; random text has 0.4 and more.

A capital before a small letter does not count, because names in CamelCase have many of these.
"""


def check_parameters(notebook: Any, parameters: Mapping[str, object], path: Path) -> None:
    """Raise if the notebook does not declare a parameter, its kind differs, or it looks secret.

    Args:
        path: of the notebook, for messages.

    Raises:
        RunError: it names the parameter, and never a value that may be a secret.
    """
    if not parameters:
        return
    for name, value in parameters.items():
        _check_not_secret(name, value)
        _check_writable(name, value)
    declared = declared_parameters(notebook, path)
    if declared is None:
        raise RunError(
            f"{path} has no cell tagged {TAG!r}, so {', '.join(map(repr, parameters))} would not "
            f"take effect. Tag the cell that assigns the defaults with {TAG!r}, or pass none."
        )
    for name, value in parameters.items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise RunError(
                f"{path} has no parameter {name!r}. Accepted: {known}."
                f"{did_you_mean(str(name), declared)}"
            )
        _check_kind(name, value, declared[name])


def _check_kind(name: str, value: object, kinds: Kinds) -> None:
    if accepts(kinds, value):
        return
    hint = ""
    if isinstance(value, str) and kinds is not None and "bool" in kinds:
        hint = f" On the command line write -p {name} true or -p {name} false."
    elif kinds is not None and "str" in kinds:
        hint = f" On the command line write -p {name} '\"{json.dumps(value)}\"'."
    raise RunError(
        f"Parameter {name!r} cannot be {value!r}, which is {words(frozenset({kind_of(value)}))}. "
        f"Accepted by its default or annotation: {words(kinds)}.{hint}"
    )


def _check_not_secret(name: str, value: object) -> None:
    found = _secret(name, value, _loaded_secrets())
    if found is not None:
        raise RunError(
            f"Parameter {name!r} was refused: {found}. Parameters are stored in plain text in the "
            "executed notebook. Pass secrets in the environment, and read them there."
        )


def _secret(name: str, value: object, loaded: Mapping[str, str]) -> str | None:
    """Return why a parameter, or a value nested in it, looks like a secret, or None."""
    if secret_like_name(name):
        return f"{name!r} is the name of a secret"
    if isinstance(value, str):
        for variable, secret in loaded.items():
            if secret in value:
                return f"its value contains the environment variable {variable}"
        if masked(value) != value:
            return "its value contains a key of the environment or of the file .env"
        return "its value looks like a key" if looks_random(value) else None
    if isinstance(value, Mapping):
        inner = [_secret(str(key), item, loaded) for key, item in value.items()]
        # A secret may also be the key of a mapping.
        inner += [_secret("", str(key), loaded) for key in value]
    elif isinstance(value, (list, tuple)):
        inner = [_secret("", item, loaded) for item in value]
    else:
        inner = []
    return next((reason for reason in inner if reason), None)


def _loaded_secrets() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if len(value) >= _MIN_SECRET_LENGTH and secret_like_name(name)
    }


def secret_like_name(name: str) -> bool:
    """Return whether a name is that of a secret, such as ``BINANCE_API_KEY`` or ``password``."""
    words = [word.lower() for word in _WORD.findall(name)]
    if any(word in _SECRET_WORDS for word in words):
        return True
    return any(pair in _SECRET_PAIRS for pair in pairwise(words))


def looks_random(text: str) -> bool:
    """Return whether a text contains a sequence that looks like a generated key.

    It does with 20 or more well mixed letters and digits, with 32 hexadecimal digits, or if all of
    it is base64. Paths, sentences, symbols and dates do not look like keys.
    """
    runs = _RUN.findall(text)
    if _BASE64.fullmatch(text):
        # A path has a separator every few characters, random base64 one in thirty.
        letters = re.sub(r"[^A-Za-z0-9]", "", text)
        if len(letters) >= 0.9 * len(text):
            runs.append(letters)
    return bool(_HEX.search(text)) or any(_mixed(run) for run in runs)


def _mixed(run: str) -> bool:
    kinds = [_kind(char) for char in run]
    changes = sum(a != b and (a, b) != ("upper", "lower") for a, b in pairwise(kinds))
    shares = [count / len(run) for count in Counter(run).values()]
    bits = -sum(share * math.log2(share) for share in shares)
    return bits >= _RANDOM_BITS and changes / len(run) >= _RANDOM_CHANGES


def _kind(char: str) -> str:
    return "digit" if char.isdigit() else "upper" if char.isupper() else "lower"


def _check_writable(name: str, value: object) -> None:
    try:
        if not isinstance(value, (bool, int, float, str, list, dict, type(None))):
            raise TypeError(f"a {type(value).__name__}")
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RunError(
            f"Parameter {name!r} cannot be written into a notebook ({error}): {value!r}. Accepted: "
            "None, booleans, finite numbers, texts, and lists and dicts of these."
        ) from None
