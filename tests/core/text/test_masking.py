"""Masking: every form and every piece of a secret, and nothing else."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from botlib.core.text.masking import MASK, Masker, masked, masked_values

SECRET = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
ODD = "p/q+r&s<t>'u\"v=w~x!y%z$A"
TEXTS = st.text(max_size=60)
SHOWN = st.text("abcdefghijk <>&=:/0123456789.,\n", max_size=60)


@pytest.fixture(scope="module")
def masker() -> Masker:
    found = Masker()
    found.hide(SECRET, ODD, "short")
    return found


def forms(secret: str, before: str = "", after: str = "") -> list[str]:
    """Return a secret as texts contain it, with neighbours that are encoded with it."""
    around = f"{before}{secret}{after}".encode()
    return [
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        secret.encode().hex(),
        secret.encode().hex().upper(),
        base64.b64encode(around).decode(),
        base64.urlsafe_b64encode(around).decode(),
        base64.b64encode(around).decode().rstrip("="),
    ]


def left(text: str, secret: str) -> set[str]:
    """Return the pieces of a secret that a text still holds, decoded in every way."""
    pieces = {secret[at : at + 8] for at in range(len(secret) - 7)}
    found = {piece for piece in pieces if piece in text}
    found |= {piece for piece in pieces if piece.encode().hex() in text.lower()}
    found |= {piece for piece in pieces if quote(piece, safe="") in text}
    plain = text.replace("-", "+").replace("_", "/")
    for piece in pieces:
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + piece.encode()).decode()
            inner = coded[-(-shift * 8 // 6) : (shift + 8) * 8 // 6]
            if inner in plain:
                found.add(piece)
    return found


@pytest.mark.parametrize("secret", [SECRET, ODD])
@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("number", range(10))
def test_every_form_is_masked(masker: Masker, secret: str, before: str, number: int) -> None:
    form = forms(secret, before, "\n")[number]
    for text in (form, f"key={form}&x", f"<td>{form}</td>", f"{form}{form}"):
        shown = masker.masked(text)
        assert MASK in shown and left(shown, secret) == set(), shown


@given(st.integers(0, 56), st.integers(8, 64), SHOWN, SHOWN)
@example(0, 8, "", "")
@example(3, 8, "abc", "")
def test_pieces_of_eight_characters_and_more_are_masked(
    start: int, length: int, before: str, after: str
) -> None:
    masker = Masker()
    masker.hide(SECRET)
    piece = SECRET[start : start + length]
    for text in (piece, *forms(piece, "u")[1:]):
        shown = masker.masked(f"{before}{text}{after}")
        assert left(shown, SECRET) == set()
    # What is around it stays as it was, unless it continues the secret by chance.
    shown = masker.masked(f"{before}\n{piece}\n{after}")
    assert shown == f"{before}\n{MASK}\n{after}"


@given(SHOWN)
def test_a_text_without_a_secret_is_left_as_it_is(text: str) -> None:
    masker = Masker()
    masker.hide(SECRET, ODD)
    assert masker.masked(text) is text


def test_numbers_are_not_taken_for_a_secret_in_hexadecimal() -> None:
    masker = Masker()
    masker.hide("1357913579135791")  # 31333537 in hexadecimal
    text = "1767313335373139 31333537 3133"
    assert masker.masked(text) == text


@given(st.integers(0, 40_000), TEXTS)
def test_long_texts_are_searched_as_short_ones_are(at: int, odd: str) -> None:
    masker = Masker()
    masker.hide(SECRET, "schlüssel-äöü-zwölf")
    filler = "0123456789 <tr><td>4.5</td></tr> ä"[: 1 + at % 33] * 3_000
    for piece in (SECRET, SECRET[20:28], "schlüssel-äöü-zwölf"):
        text = f"{filler[:at]}{odd}{piece}{filler}"
        assert piece not in masker.masked(text)
        assert masker.masked(f"{odd}{filler}") == f"{odd}{filler}" or SECRET[:8] in odd


def test_secrets_can_be_forgotten_and_short_ones_are_not_hidden() -> None:
    masker = Masker()
    masker.hide(SECRET, ODD, "a")
    masker.forget(SECRET, "never hidden")
    assert masker.masked(f"a banana {SECRET}") == f"a banana {SECRET}"
    assert masker.masked(ODD) == MASK
    assert Masker().masked(SECRET) == SECRET


def test_values_are_masked_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = Masker()
    masker.hide(SECRET)
    monkeypatch.setattr("botlib.core.text.masking.masked", masker.masked)
    found = masked_values({SECRET: [1, (f"x{SECRET}", None)], "b": {"c": 2.5, "d": True}})
    assert found == {MASK: [1, (f"x{MASK}", None)], "b": {"c": 2.5, "d": True}}
    assert masked("nothing") == "nothing"
