"""The blocking façade: an object with async methods, usable without ``await``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self


class Blocking:
    """A synchronous view of ``obj``: its coroutine functions become blocking calls.

    Everything else passes through, so there is one implementation and it is the async one. The
    view keeps names, signatures and docstrings. An async context manager can be used with ``with``.

    Args:
        obj: the object with async methods.
        call: runs a coroutine to its end and returns its result, such as `Runtime.call`.
    """

    __slots__ = ("_call", "_obj")

    def __init__(self, obj: object, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        object.__setattr__(self, "_obj", obj)
        object.__setattr__(self, "_call", call)

    @property
    def aio(self) -> Any:
        """The object itself, whose methods are awaited."""
        return self._obj

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return inspect.getdoc(self._obj)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._obj, name)
        if not inspect.iscoroutinefunction(value):
            return value
        run = self._call

        @functools.wraps(value)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            return run(value(*args, **kwargs))

        return blocking

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._obj, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._obj, name)

    def __dir__(self) -> list[str]:
        return sorted({"aio", *dir(self._obj)})

    def __repr__(self) -> str:
        return repr(self._obj)

    def __eq__(self, other: object) -> bool:
        return bool(self._obj == (other._obj if isinstance(other, Blocking) else other))

    def __hash__(self) -> int:
        return hash(self._obj)

    def __enter__(self) -> Self:
        self._call(self._obj.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Any:
        return self._call(self._obj.__aexit__(kind, error, trace))
