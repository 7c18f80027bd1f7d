"""The tree of errors, and the suggestions in their messages."""

from __future__ import annotations

import inspect
import pickle

import pytest

from botlib.core import errors
from botlib.core.errors import BotlibError, UnknownTask, did_you_mean

ERRORS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, BaseException)
]


def documented() -> list[tuple[int, str, str]]:
    """Return depth, name and built-in base of each line of the tree in the module docstring."""
    tree = (errors.__doc__ or "").split("::\n\n")[1].split("\n\n")[0]
    found = []
    for line in tree.splitlines():
        text = line.removeprefix("    ")
        name = text.lstrip("│├└─ ")
        depth = (len(text) - len(name)) // 4
        name, _, base = name.partition(" ")
        found.append((depth, name, base.strip("()")))
    return found


def actual(kind: type, depth: int = 0) -> list[tuple[int, str, str]]:
    foreign = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"]
    rows = [(depth, kind.__name__, ", ".join(foreign) if kind is not BotlibError else "")]
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            rows += actual(child, depth + 1)
    return rows


def test_the_documented_tree_is_the_real_one() -> None:
    assert documented() == actual(BotlibError)


def test_the_tree_contains_every_error() -> None:
    assert {name for _, name, _ in documented()} == {error.__name__ for error in ERRORS}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_documented_readable_and_picklable(error: type[BotlibError]) -> None:
    assert error.__doc__ and error.__doc__.split("\n\n")[0].endswith(".")
    raised = error("What happened. What next.")
    assert str(raised) == "What happened. What next."
    # Runs and backtests send errors between processes.
    assert str(pickle.loads(pickle.dumps(raised))) == str(raised)


def test_an_unknown_task_without_a_message_is_shown_empty() -> None:
    assert str(UnknownTask()) == ""


def test_only_a_similar_word_is_suggested() -> None:
    assert did_you_mean("intervall", ["interval", "cron"]) == " Did you mean 'interval'?"
    assert did_you_mean("xyz", ["interval", "cron"]) == ""
    assert did_you_mean("cron", []) == ""
