"""Secrets: keys that come from the environment and are never shown or saved.

A `Secret` is masked in every text from its making on (`botlib.core.text.masking`), and cannot be
pickled or copied. Only the code that signs a request calls `Secret.reveal`.
"""

from __future__ import annotations

import functools
import hmac
import io
import logging
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from botlib.core.errors import ConfigError
from botlib.core.files import open_to_others, read_regular
from botlib.core.text.masking import MASK, hide, masked
from botlib.venues.registry import DEFAULT_VENUE, VENUES, capabilities

logger = logging.getLogger(__name__)

_LARGEST_FILE: Final = 100_000

_PEM: Final = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )?PRIVATE KEY-----(?:\\n|\s)+[A-Za-z0-9+/=\\\s]+"
    r"-----END (?:[A-Z0-9]+ )?PRIVATE KEY-----"
)
"""A private key as PEM, which the venue's Ed25519 and RSA keys are signed with."""

_from_environment: Final = object()


class Secret:
    """A text that is never shown. Made by `Secret.from_environment` only, never from a literal."""

    __slots__ = ("__name", "__value")

    def __init__(self, name: str, value: str, _maker: object = None) -> None:
        if _maker is not _from_environment:
            raise ConfigError(
                "A secret is not made from a text in code, where it would be saved and shown. "
                f"Set it in the environment and use Secret.from_environment({name!r})."
            )
        self.__name = name
        self.__value = value
        # The first and the last line of a PEM text are in every such text.
        hide(*(_lines(value) if _PEM.fullmatch(value) else [value]))

    @classmethod
    def from_environment(cls, variable: str, dotenv: Path | None = None) -> Secret:
        """Return the secret in an environment variable, or else in a ``.env`` file.

        Args:
            variable: the name of the variable.
            dotenv: the file to read if the variable is not set; None is ``.env`` in the working
                directory.

        The private key of an Ed25519 key is a PEM text of several lines.

        Raises:
            ConfigError: it is not set, is empty, or contains a space or a non-ASCII character.
        """
        value = os.environ.get(variable) or _dotenv(dotenv or Path(".env")).get(variable) or ""
        value = value.strip()
        if _PEM.fullmatch(value):
            # One line, as some tools need it, has the line ends as two characters.
            value = value.replace("\\n", "\n")
            return cls(variable, value, _from_environment)
        if not value:
            raise ConfigError(
                f"{variable} is not set. Set it in the environment "
                f"(export {variable}=…), or write {variable}=… into a file .env in the working "
                "directory, readable by you alone."
            )
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(
                f"{variable} contains a space or a character that no key has. Copy the key "
                "again, without quotes or line breaks around it."
            )
        return cls(variable, value, _from_environment)

    @property
    def name(self) -> str:
        """The environment variable it came from."""
        return self.__name

    def reveal(self) -> str:
        """Return the text itself, to sign a request."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({self.__name}={MASK})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value, other.__value)

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"{self!r} cannot be pickled or copied. Read it from the environment where needed."
        )

    def __copy__(self) -> NoReturn:
        self.__reduce_ex__(None)

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self.__reduce_ex__(None)


class ApiKeys:
    """The API key and secret of an account at a venue."""

    __slots__ = ("key", "secret")

    def __init__(self, key: Secret, secret: Secret) -> None:
        if not isinstance(key, Secret) or not isinstance(secret, Secret):
            raise ConfigError(
                "Keys are not given as texts. Set them in the environment and use "
                "ApiKeys.from_environment()."
            )
        self.key = key
        self.secret = secret

    @classmethod
    def from_environment(cls, dotenv: Path | None = None, *, venue: str = DEFAULT_VENUE) -> ApiKeys:
        """Return the keys of a venue, in the environment variables that its record names.

        Args:
            dotenv: the file to read besides; None is ``.env`` in the working directory.
            venue: the name of a venue.

        Raises:
            ConfigError: one of them is not set, with how to set it.
        """
        record = capabilities(venue)
        return cls(
            Secret.from_environment(record.key_variable, dotenv),
            Secret.from_environment(record.secret_variable, dotenv),
        )

    def __repr__(self) -> str:
        return f"ApiKeys({self.key!r}, {self.secret!r})"

    def __iter__(self) -> Any:
        return iter((self.key, self.secret))


def keys_at_hand(dotenv: Path | None = None) -> tuple[Secret, ...]:
    """Return the keys that are set in the environment; they are masked in texts from now on.

    Args:
        dotenv: as for `ApiKeys.from_environment`.
    """
    found: list[Secret] = []
    for venue in VENUES.values():
        record = venue.capabilities
        for variable in (record.key_variable, record.secret_variable):
            with suppress(ConfigError):
                found.append(Secret.from_environment(variable, dotenv))
    return tuple(found)


class MaskingFilter(logging.Filter):
    """A log filter that masks secrets in messages, arguments and tracebacks.

    Add it to handlers rather than loggers: a logger's filter does not see its children's records.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # The handler would print the error with the unmasked arguments.
            message = f"{record.msg} (with arguments that do not fit)"
        record.msg, record.args = masked(message), None
        if record.exc_info:
            text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_text = masked(text)
            if record.exc_text != text:
                # The next handler would format the error again, with the secret.
                record.exc_info = None
        if record.stack_info:
            record.stack_info = masked(record.stack_info)
        return True


def _lines(pem: str) -> list[str]:
    """Return the lines of a PEM text that are secret, alone and as one."""
    lines = pem.replace("\\n", "\n").split("\n")[1:-1]
    return [*lines, "".join(lines)]


def _dotenv(path: Path) -> dict[str, str | None]:
    if not path.exists():
        return {}
    from dotenv import dotenv_values

    # Values of the file are not exported, so child processes do not inherit them.
    try:
        text = read_regular(path, _LARGEST_FILE).decode()
        found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(f"Cannot read {str(path)!r} ({why}).") from None
    if open_to_others(path) and _key_variables() & found.keys():
        _warn_open(str(path.resolve()))
    return found


@functools.cache
def _warn_open(path: str) -> None:
    logger.warning(
        "%s holds API keys, and other users of this computer may read it: chmod 600 %s", path, path
    )


def _key_variables() -> set[str]:
    return {
        variable
        for venue in VENUES.values()
        for variable in (venue.capabilities.key_variable, venue.capabilities.secret_variable)
    }


def environment_without_keys() -> dict[str, str]:
    """Return the environment for a process that needs no key of a venue, such as a worker."""
    keys_at_hand()
    variables = _key_variables()
    return {
        name: value
        for name, value in os.environ.items()
        if name not in variables and masked(value) == value
    }
