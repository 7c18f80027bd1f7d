"""Reading of YAML files, and validation with messages that say what to correct."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from botlib.core.errors import ConfigError, did_you_mean
from botlib.core.files import read_regular
from botlib.venues.registry import capabilities

MAX_FILE_SIZE: Final = 1_000_000
"""Largest configuration file read, in bytes."""

Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """A loader of plain YAML: no tags, no aliases (they can grow without bound), no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not accepted", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


class Located(dict[str, Any]):
    """A mapping that knows its line in the file, from 1."""

    line = 0


class _LocatingLoader(_Loader):
    """A loader that reads mappings as `Located`."""


def _located(loader: _LocatingLoader, node: Any) -> Iterator[Located]:
    found = Located()
    found.line = node.start_mark.line + 1
    yield found
    found.update(loader.construct_mapping(node))


_LocatingLoader.add_constructor("tag:yaml.org,2002:map", _located)


def read_yaml(path: Path, *, located: bool = False) -> Any:
    """Return the content of a YAML file.

    Args:
        path: of the file.
        located: return every mapping as a `Located`.

    Raises:
        ConfigError: the file is missing, unreadable or no plain YAML.
    """
    try:
        data = read_regular(path, MAX_FILE_SIZE)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {str(path)!r}. "
            "Write one with 'botlib config --example', or leave the path out for the defaults."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"Cannot read {str(path)!r} as a configuration: {error.strerror}."
        ) from None
    try:
        loader = (_LocatingLoader if located else _Loader)(data.decode("utf-8-sig"))
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        # The text itself is not quoted: it may contain a password.
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{str(path)!r}{place} is not plain YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{str(path)!r} is not plain YAML in UTF-8 ({type(error).__name__})."
        ) from None


def validated(model: type[Model], values: Any, origin: str) -> Model:
    """Return ``values`` as a ``model``; None means an empty mapping.

    Args:
        model: the type of the settings.
        values: a mapping as in the YAML file.
        origin: where they come from, for messages.

    Raises:
        ConfigError: some values are refused; the message has ``origin`` and one line for each.
    """
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{origin} is a {type(values).__name__}; accepted: a mapping such as 'mode: paper'. "
            "See 'botlib config --example'."
        )
    lines = list(_secret_keys(values, ""))
    if not lines:
        try:
            return model.model_validate(dict(values))
        except ValidationError as error:
            lines = [
                line
                for problem in error.errors(include_url=False)
                for line in _explain(model, problem["loc"], problem)
            ]
    raise ConfigError(f"{origin} is refused:\n" + "\n".join(f"- {line}" for line in lines))


def _explain(model: type[BaseModel], loc: tuple[int | str, ...], problem: Any) -> Iterator[str]:
    kind, value = problem["type"], problem["input"]
    if loc[:1] == ("strategies",) and hasattr(value, "signals"):
        yield (
            f"{_dotted(loc)}: a strategy is listed by its name, such as {{'name': 'mine', "
            "'strategy': 'TrendCross', 'symbol': 'BTC/USDT'}. One that was made in code is started "
            "by bot.trade(strategy, symbol, name='mine')"
        )
        return
    if kind == "extra_forbidden":
        accepted = list(_section_at(model, loc[:-1]).model_fields)
        hint = did_you_mean(str(loc[-1]), accepted)
        yield f"unknown key {_dotted(loc)!r}. Accepted: {', '.join(accepted)}.{hint}"
        return
    where = f"{_dotted(loc)}: " if loc else ""
    if kind == "value_error":
        yield from (f"{where}{text}" for text in str(problem["ctx"]["error"]).split("\n"))
    elif kind == "missing":
        yield f"{where}this key is needed"
    else:
        text = problem["msg"].replace("Input should be", "accepted is")
        text = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", text)
        text = text.replace("a valid tuple", "a list").replace("a valid", "a")
        text = text.replace("a integer", "an integer")
        shown = repr(value)
        yield f"{where}{text}; received {shown if len(shown) <= 60 else shown[:57] + '…'}"


def _section_at(section: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            candidates = [annotation, *get_args(annotation)]
            section = next(
                kind
                for kind in candidates
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            )
    return section


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


_SECRET_WORDS = re.compile(
    r"(^|_)(secrets?|tokens?|password|passwd|passphrase|credentials?|api_?key|private_?key"
    r"|access_?key)(_|$)"
)


def _secret_keys(values: Any, path: str) -> Iterator[str]:
    """Yield a message for every key that looks like the name of a secret; no value is shown."""
    venue = capabilities()
    if isinstance(values, Mapping):
        for key, value in values.items():
            place = f"{path}.{key}" if path else str(key)
            # apiKey and API-KEY are read as api_key.
            words = re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z0-9]+", "_", str(key)).lower()
            if _SECRET_WORDS.search(words):
                yield (
                    f"{place!r} looks like a secret, and secrets do not belong in a configuration. "
                    f"Set {venue.key_variable} and {venue.secret_variable} in the environment or "
                    "in .env."
                )
            yield from _secret_keys(value, place)
    elif isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            yield from _secret_keys(value, f"{path}[{index}]")
