"""The synchronous view of an async object."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Self

import pytest

from botlib.core.errors import BlockingCallOnRuntime
from botlib.runtime import Blocking, Runtime


class Account:
    """A small account."""

    currency = "USDT"

    def __init__(self) -> None:
        self.open = False
        self.total = 0.0

    async def deposit(self, amount: float, *, note: str = "") -> float:
        """Add ``amount`` and return the balance."""
        await asyncio.sleep(0)
        if amount <= 0:
            raise ValueError("amount must be positive")
        self.total += amount
        self.note = f"{note}@{threading.current_thread().name}"
        return self.total

    @staticmethod
    async def venue() -> str:
        """Name the venue."""
        return "paper"

    def balance(self) -> float:
        """Return the balance."""
        return self.total

    async def __aenter__(self) -> Self:
        self.open = True
        return self

    async def __aexit__(self, *error: object) -> None:
        self.open = False

    def __repr__(self) -> str:
        return f"<Account {self.total}>"

    def _repr_html_(self) -> str:
        return f"<b>{self.total}</b>"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime()
    yield runtime
    runtime.close()


def test_async_methods_block_and_other_attributes_pass_through(runtime: Runtime) -> None:
    account = Account()
    view = Blocking(account, runtime.call)
    assert view.deposit(5, note="first") == 5
    assert account.note == "first@botlib-runtime"
    assert view.venue() == "paper"
    assert view.balance() == 5
    assert view.currency == "USDT"
    view.total = 7.0
    assert account.total == 7
    del view.total
    assert not hasattr(account, "total")
    assert view.aio is account


def test_errors_pass_through(runtime: Runtime) -> None:
    view = Blocking(Account(), runtime.call)
    with pytest.raises(ValueError, match="amount must be positive"):
        view.deposit(-1)
    with pytest.raises(AttributeError, match="withdraw"):
        _ = view.withdraw
    with pytest.raises(TypeError, match="missing 1 required"):
        view.deposit()


def test_the_view_has_the_signatures_docstrings_and_repr_of_the_object(runtime: Runtime) -> None:
    account = Account()
    view = Blocking(account, runtime.call)
    assert inspect.signature(view.deposit) == inspect.signature(account.deposit)
    assert view.deposit.__doc__ == Account.deposit.__doc__
    assert not inspect.iscoroutinefunction(view.deposit)
    assert set(dir(view)) == {"aio", *dir(account)}
    assert inspect.getdoc(view) == "A small account."
    assert repr(view) == "<Account 0.0>"
    assert view._repr_html_() == "<b>0.0</b>"
    assert view == account
    assert view == Blocking(account, runtime.call)
    assert hash(view) == hash(account)


def test_an_async_context_manager_works_in_a_with_statement(runtime: Runtime) -> None:
    account = Account()
    with Blocking(account, runtime.call) as view:
        assert account.open
        view.deposit(1)
    assert not account.open


def test_a_blocking_call_on_the_loop_thread_is_refused(runtime: Runtime) -> None:
    view = Blocking(Account(), runtime.call)

    async def wrong() -> None:
        view.deposit(1)

    with pytest.raises(BlockingCallOnRuntime, match=r"Account\.deposit"):
        runtime.call(wrong(), 20)
