"""The errors raised by botlib, as one tree.

::

    BotlibError
    ├── InvalidInput (ValueError)
    │   ├── UnknownTimeframe
    │   ├── UnknownSymbol
    │   └── ConfigError
    ├── TaskError
    │   ├── TaskConfigError (ValueError)
    │   ├── NoTasksRegistered
    │   ├── UnknownTask (KeyError)
    │   ├── TaskTimeout
    │   └── TaskStuck
    ├── RuntimeThreadError
    │   ├── BlockingCallOnRuntime
    │   └── RuntimeClosed
    ├── BusOverflow
    ├── RecordingError
    ├── StoreError
    │   ├── OrderTaken
    │   ├── WrongVenue
    │   ├── NotAStore
    │   ├── OutdatedStore
    │   └── StoreLocked
    ├── ExchangeError
    │   ├── ExchangeUnavailable
    │   │   └── ExchangeBusy
    │   ├── OrderRejected
    │   ├── OrderUnknown
    │   └── PaperExchangeError
    ├── RiskRejected
    ├── RequestsShort
    ├── EngineError
    ├── RunError
    ├── CheckFailed
    ├── SweepError
    ├── WidgetError
    ├── UnknownName (AttributeError)
    └── SimulationError

A message says what happened, the value received, what is accepted and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TypeVar

from botlib.core.text.masking import masked

Raised = TypeVar("Raised", bound=BaseException)


class BotlibError(Exception):
    """Base of all errors raised by botlib. Secrets are masked in its texts."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(masked(one) if isinstance(one, str) else one for one in args))

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows of the error: the lines of the user, and the message."""
        from botlib.core.text.tracebacks import short_traceback

        return short_traceback(self)


class InvalidInput(BotlibError, ValueError):
    """A value passed to botlib is not accepted."""


class UnknownTimeframe(InvalidInput):
    """A text is no timeframe of the venues."""


class UnknownSymbol(InvalidInput):
    """A symbol cannot be read, or is not listed by the venue."""


class ConfigError(InvalidInput):
    """A configuration file or value is not accepted."""


class TaskError(BotlibError):
    """Base of the errors of the task manager."""


class TaskConfigError(TaskError, ValueError):
    """The configuration of a task cannot work."""


class NoTasksRegistered(TaskError):
    """The manager was started without a task to run."""


class UnknownTask(TaskError, KeyError):
    """No task is registered under that name."""

    def __str__(self) -> str:
        # KeyError shows the repr of the message.
        return str(self.args[0]) if self.args else ""


class TaskTimeout(TaskError):
    """A run of a task took longer than its timeout and was cancelled."""


class TaskStuck(TaskError):
    """A task did not end after its cancellation."""


class RuntimeThreadError(BotlibError):
    """Base of the errors of the runtime thread."""


class BlockingCallOnRuntime(RuntimeThreadError):
    """A blocking call was made on the loop's own thread, where it would wait for itself."""


class RuntimeClosed(RuntimeThreadError):
    """The runtime thread has been closed."""


class BusOverflow(BotlibError):
    """A subscriber fell behind with events that must not be dropped."""


class RecordingError(BotlibError):
    """A candle file is missing, unreadable or damaged beyond repair."""


class StoreError(BotlibError):
    """Base of the errors of the candle and order storage."""


class OrderTaken(StoreError):
    """The client id of a new order is in the journal already; the order is never sent."""


class WrongVenue(StoreError):
    """A database belongs to another venue or paper market."""


class NotAStore(StoreError):
    """A file is no database of botlib, or is damaged."""


class OutdatedStore(StoreError):
    """A database of an earlier version is opened for reads only, before it was upgraded."""


class StoreLocked(StoreError):
    """Another process writes to the database."""


class ExchangeError(BotlibError):
    """Base of the errors of a venue and the connection to it."""


class ExchangeUnavailable(ExchangeError):
    """The venue could not be reached or did not answer in time."""


class ExchangeBusy(ExchangeUnavailable):
    """The venue asks for a pause that is longer than a request may wait.

    Attributes:
        retry_after: seconds until it may be asked again.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OrderRejected(ExchangeError):
    """The venue refused an order for certain: nothing was executed.

    Attributes:
        retry_after: seconds after which the venue may be asked again, if it did not look at the
            order at all; None if it refused the order itself.
        rules: whether the market's rules or its status forbid it, which may have changed since
            they were read.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, rules: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.rules = rules


class OrderUnknown(ExchangeError):
    """The outcome of an order is unknown: it may exist and must not be sent again."""


class PaperExchangeError(ExchangeError):
    """The paper exchange could not be started or controlled."""


class RiskRejected(BotlibError):
    """A risk rule forbids an order.

    Attributes:
        rule: name of the rule, such as ``max_order_cost``.
        value: what the order would have come to.
        limit: what the rule allows.
    """

    def __init__(self, message: str, *, rule: str = "", value: str = "", limit: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.value = value
        self.limit = limit


class RequestsShort(BotlibError):
    """The venue's limits leave no request for an entry now; the rest is kept for exits.

    Attributes:
        rule: name of the limit, such as ``orders_10s``.
        value: how much of it is used.
        limit: of the venue.
    """

    def __init__(self, message: str, *, rule: str = "", value: str = "", limit: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.value = value
        self.limit = limit


class EngineError(BotlibError):
    """A service of the engine failed to start or stop."""


class RunError(BotlibError):
    """A headless run of a notebook was refused or failed."""


class CheckFailed(BotlibError):
    """A strategy does not produce the same signals live as over history."""


class SweepError(BotlibError):
    """A sweep could not be completed; finished combinations are kept."""


class WidgetError(BotlibError):
    """A chart or dashboard cannot be shown, or a request to it cannot be met."""


class UnknownName(BotlibError, AttributeError):
    """An object has no attribute of that name; the message says what to use in its place."""


class SimulationError(BotlibError):
    """A simulation cannot be set up or continued."""


def without_frames(error: Raised) -> Raised:
    """Return an error without the frames it was raised in and the errors behind it.

    A traceback that shows variables would show what a signed request was made of.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest option, or an empty string."""
    close = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
