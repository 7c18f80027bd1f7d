"""Secrets: their origin, and that they are never shown."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
from pathlib import Path
from urllib.parse import quote

import pytest

from botlib.config.secrets import ApiKeys, MaskingFilter, Secret, keys_at_hand
from botlib.core.errors import ConfigError
from botlib.core.text.masking import masked

CANARY = "canary/4f9+Zk2vQ81x=="


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Secret:
    monkeypatch.setenv("BINANCE_API_SECRET", CANARY)
    return Secret.from_environment("BINANCE_API_SECRET")


def test_a_secret_is_shown_only_by_reveal(secret: Secret) -> None:
    assert secret.reveal() == CANARY
    assert secret.name == "BINANCE_API_SECRET"
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}"]
    shown += [secret._repr_html_(), repr([secret]), repr({"a": secret})]
    shown += [str(ApiKeys(secret, secret)), str(dir(secret))]
    assert not [text for text in shown if CANARY in text]
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize(
    "leak",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        hash,
        lambda s: copy.deepcopy([s]),
        "".join,
    ],
)
def test_a_secret_cannot_be_pickled_or_copied(secret: Secret, leak: object) -> None:
    assert callable(leak)
    with pytest.raises(TypeError) as caught:
        leak(secret)
    assert CANARY not in str(caught.value)


def test_equality_needs_two_secrets(secret: Secret) -> None:
    assert secret == Secret.from_environment("BINANCE_API_SECRET")
    assert secret != CANARY


def test_literals_are_refused() -> None:
    with pytest.raises(ConfigError, match="from_environment") as caught:
        Secret("BINANCE_API_SECRET", CANARY)
    assert CANARY not in str(caught.value)
    with pytest.raises(ConfigError, match="from_environment") as caught:
        ApiKeys(CANARY, CANARY)  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)


def test_keys_come_from_the_environment_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BINANCE_API_KEY", "key-of-environment")
    monkeypatch.delenv("BINANCE_API_SECRET", raising=False)
    (tmp_path / ".env").write_text("BINANCE_API_KEY=key-of-file\nBINANCE_API_SECRET='a$b{HOME}c'\n")
    keys = ApiKeys.from_environment()
    assert keys.key.reveal() == "key-of-environment"
    assert keys.secret.reveal() == "a$b{HOME}c"


@pytest.mark.parametrize("value", [None, "", "   "])
def test_absent_keys_say_how_to_set_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BINANCE_API_KEY", "key-of-environment")
    monkeypatch.delenv("BINANCE_API_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("BINANCE_API_SECRET", value)
    with pytest.raises(ConfigError, match=r"BINANCE_API_SECRET is not set.*export.*\.env"):
        ApiKeys.from_environment()


@pytest.mark.parametrize("value", ["two words", "schlüssel-mit-umlaut", "line\nbreak-inside"])
def test_malformed_keys_are_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BINANCE_API_KEY", value)
    with pytest.raises(ConfigError, match="BINANCE_API_KEY contains a space") as caught:
        Secret.from_environment("BINANCE_API_KEY")
    assert value not in str(caught.value)


def test_a_private_key_of_several_lines_is_read_and_masked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An Ed25519 key is signed with such a text, in a variable or quoted in the file."""
    body = base64.b64encode(bytes(range(40, 88))).decode()
    pem = f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"
    monkeypatch.delenv("BINANCE_API_SECRET", raising=False)
    dotenv = tmp_path / ".env"
    one_line = pem.replace("\n", "\\n")
    for text in (f'"{pem}"', f"'{pem}\n'", f"'{one_line}'"):
        dotenv.write_text(f"BINANCE_API_SECRET={text}\n")
        assert Secret.from_environment("BINANCE_API_SECRET", dotenv).reveal() == pem
    monkeypatch.setenv("BINANCE_API_SECRET", pem)
    found = Secret.from_environment("BINANCE_API_SECRET")
    assert found.reveal() == pem
    assert masked(f"it says {pem}!").replace("=", "") == (
        "it says -----BEGIN PRIVATE KEY-----\n•••\n-----END PRIVATE KEY-----!"
    )
    assert masked("PRIVATE KEY") == "PRIVATE KEY" and body[8:20] not in masked(body[8:20])
    monkeypatch.setenv("BINANCE_API_SECRET", "-----BEGIN PRIVATE KEY----- and more")
    with pytest.raises(ConfigError, match="contains a space"):
        Secret.from_environment("BINANCE_API_SECRET")


def test_a_secret_is_masked_in_texts_from_its_making_on(secret: Secret) -> None:
    encoded = base64.b64encode(CANARY.encode()).decode()
    text = f"raw {CANARY} url {quote(CANARY, safe='')} b64 {encoded} hex {CANARY.encode().hex()}."
    assert masked(text).replace("=", "") == "raw ••• url ••• b64 ••• hex •••."
    assert masked("nothing here") == "nothing here"


def test_log_records_are_redacted(secret: Secret) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(MaskingFilter())
    logger = logging.getLogger("test_secrets.redaction")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        logger.warning("signing with %s", CANARY)
        logger.warning("plain", stack_info=True)
        logger.warning("does not fit %d %s", CANARY)
        try:
            raise ValueError(f"signature={CANARY}")
        except ValueError:
            logger.exception("request failed")
    finally:
        logger.removeHandler(handler)
    text = stream.getvalue()
    assert CANARY not in text
    assert "signing with •••" in text
    assert "ValueError: signature=•••" in text


def test_an_error_without_a_secret_is_left_to_other_handlers(secret: Secret) -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.StreamHandler(io.StringIO())
    handler.addFilter(MaskingFilter())
    later = logging.Handler()
    later.emit = seen.append  # type: ignore[method-assign]
    logger = logging.Logger("test_secrets.errors")
    logger.addHandler(handler)
    logger.addHandler(later)
    for text in ("plain", CANARY):
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("failed")
    assert seen[0].exc_info is not None
    assert seen[1].exc_info is None


def test_keys_at_hand_are_those_that_are_set(
    secret: Secret, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BINANCE_API_KEY", raising=False)
    dotenv = tmp_path / ".env"
    assert keys_at_hand(dotenv) == (secret,)
    dotenv.write_text(f"BINANCE_API_KEY={CANARY}2\n")
    assert [one.name for one in keys_at_hand(dotenv)] == ["BINANCE_API_KEY", "BINANCE_API_SECRET"]
    monkeypatch.setenv("BINANCE_API_SECRET", "two words")
    assert [one.name for one in keys_at_hand(dotenv)] == ["BINANCE_API_KEY"]
