"""The import of vectorbt, with numba set to release the GIL first.

A compiled loop that holds the interpreter lock stops every live task of the process for as long
as it runs (seconds, in a sweep). numba holds it by default; `release_gil` changes the default for
everything compiled afterwards, vectorbt's kernels and functions written in a notebook cell alike.
Results and speed stay the same. ``nogil=False`` still holds the lock for one function.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


def load_vectorbt() -> ModuleType:
    """Import vectorbt so that its kernels release the GIL, and return it (2 to 4 s at first)."""
    release_gil()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import vectorbt
        from vectorbt.portfolio import nb
    # vectorbt compiles this kernel in every process, for 10 to 20 s; it can be cached as well.
    simulate: Any = nb.simulate_from_signals_nb
    if hasattr(simulate, "enable_caching") and not hasattr(simulate._cache, "_py_func"):
        with _own_cache():
            simulate.enable_caching()
    module: ModuleType = vectorbt
    return module


def release_gil() -> None:
    """Make ``nogil=True`` the default of numba, in this process, from now on.

    A second call does nothing. Kernels of vectorbt that were imported before are changed too,
    unless they have been compiled already.
    """
    from numba.core import decorators as numba_decorators

    decorators: Any = numba_decorators
    if not hasattr(decorators._jit, "__wrapped__"):
        decorators._jit = _releasing_jit(decorators._jit)
        # numba warns of blocks that run in the interpreter, whose author did not ask for nogil.
        warnings.filterwarnings("ignore", message="Code running in object mode won't allow")
        _release_loaded("vectorbt")


def release_gil_when_loaded() -> None:
    """Make ``nogil=True`` the default of numba once something imports it, without importing it."""
    if "numba" in sys.modules:
        release_gil()
    elif not any(isinstance(finder, _AfterNumba) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterNumba())


def rust_engine() -> bool:
    """Return whether vectorbt's Rust engine is installed."""
    return importlib.util.find_spec("vectorbt_rust") is not None


def cache_directory() -> Path:
    """Return the directory in which kernels compiled by this default are cached.

    numba's cache does not distinguish a kernel that releases the GIL from one that holds it, so
    these kernels never share a directory with those compiled elsewhere.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return Path(given) / "nogil"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "botlib" / "numba"


class _AfterNumba(importlib.abc.MetaPathFinder):
    """A finder that calls `release_gil` once numba has been imported, and then removes itself."""

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "numba":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                release_gil()

            loader.exec_module = exec_module
        return spec


def _releasing_jit(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def jit(
        sigs: Any, locals: Any, target: Any, cache: bool, targetoptions: dict[str, Any], **rest: Any
    ) -> Callable[[Any], Any]:
        # Functions for other targets (numpy's ufuncs) have no such option.
        chosen = target != "cpu" or "nogil" in targetoptions or bool(targetoptions.get("forceobj"))
        if not chosen:
            targetoptions["nogil"] = True
        decorate = original(sigs, locals, target, cache, targetoptions, **rest)
        if chosen or not cache:
            return decorate  # type: ignore[no-any-return]

        def decorate_with_own_cache(function: Any) -> Any:
            with _own_cache():
                return decorate(function)

        return decorate_with_own_cache

    return jit


@contextlib.contextmanager
def _own_cache() -> Iterator[None]:
    """Cache the code of functions decorated meanwhile in `cache_directory`."""
    from numba.core import config as numba_config

    config: Any = numba_config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache_directory())
    try:
        yield
    finally:
        config.CACHE_DIR = before


def _release_loaded(package: str) -> None:
    from numba.core.dispatcher import Dispatcher

    for name, module in list(sys.modules.items()):
        if name != package and not name.startswith(package + "."):
            continue
        for found in list(vars(module).values()):
            if not isinstance(found, Dispatcher) or "nogil" in found.targetoptions:
                continue
            kernel: Any = found
            kernel.targetoptions["nogil"] = True
            if hasattr(kernel._cache, "_py_func"):
                with _own_cache():
                    kernel.enable_caching()
