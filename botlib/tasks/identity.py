"""Whether a task that is registered again is the same one.

A cell that runs again defines its functions anew: equal functions are other objects then. Two
functions are the same where their code, defaults and captured values are; the names they look up
in their module may change, as those are found again at every call.
"""

from __future__ import annotations

import functools
from dataclasses import fields
from types import CodeType, FunctionType, MethodType

from botlib.tasks.config import TaskConfig


def same_config(one: TaskConfig, other: TaskConfig) -> bool:
    """Tell whether two configurations describe the same task."""
    try:
        return all(
            _same(getattr(one, field.name), getattr(other, field.name))
            for field in fields(TaskConfig)
        )
    except RecursionError:  # values that contain each other
        return False


def _same(one: object, other: object) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return _same_function(one, other)
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        # Equal is not enough: a task of the old object must not go on for the new one.
        return one.__self__ is other.__self__ and _same(one.__func__, other.__func__)
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        return _same((one.func, one.args, one.keywords), (other.func, other.args, other.keywords))
    if isinstance(one, CodeType) and isinstance(other, CodeType):
        return _same_code(one, other)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    try:
        return bool(one == other)
    except Exception:
        # Some values cannot be compared, or not to one truth (arrays): taken for different.
        return False


def _same_function(one: FunctionType, other: FunctionType) -> bool:
    return (
        one.__qualname__ == other.__qualname__
        and one.__module__ == other.__module__
        and _same_code(one.__code__, other.__code__)
        and _same(one.__defaults__, other.__defaults__)
        and _same(one.__kwdefaults__, other.__kwdefaults__)
        and _same(_captured(one), _captured(other))
    )


def _same_code(one: CodeType, other: CodeType) -> bool:
    # Line numbers and file names differ between two runs of a cell, and mean nothing.
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and one.co_freevars == other.co_freevars
        and _same(one.co_consts, other.co_consts)
    )


def _captured(function: FunctionType) -> list[object]:
    values: list[object] = []
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            value = None
        # A function that captures itself would be compared for ever.
        values.append(None if value is function else value)
    return values
