"""The refusals of the paper exchange: Binance's error codes, with its own wording."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """An answer ``{"code": …, "msg": …}``; not an error of the kit, but a part of the protocol."""

    def __init__(
        self, code: int, message: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """Return the answer's JSON object."""
        return {"code": self.code, "msg": self.message}


def missing(name: str) -> Refusal:
    """A mandatory parameter is absent or unreadable."""
    return Refusal(
        -1102,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


def illegal(name: str, legal: str) -> Refusal:
    """A parameter holds characters outside the legal range."""
    return Refusal(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def unexpected(name: str) -> Refusal:
    """A parameter does not belong to this type of order."""
    return Refusal(-1106, f"Parameter '{name}' sent when not required.")


def invalid_symbol() -> Refusal:
    """The symbol is not listed."""
    return Refusal(-1121, "Invalid symbol.")


def filter_failure(name: str) -> Refusal:
    """An order breaks one of the symbol's filters."""
    return Refusal(-1013, f"Filter failure: {name}")


def rejected(message: str) -> Refusal:
    """The matching engine refuses a new order."""
    return Refusal(-2010, message)


def unsupported(status: int = 400) -> Refusal:
    """The operation does not exist here."""
    return Refusal(-1020, "This operation is not supported.", status)
