"""Every error botlib raises on purpose.

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
    │   ├── WrongVenue
    │   ├── NotAStore
    │   └── StoreLocked
    ├── ExchangeError
    │   ├── ExchangeUnavailable
    │   │   └── ExchangeBusy
    │   ├── OrderRejected
    │   ├── OrderUnknown
    │   └── PaperExchangeError
    ├── RiskRejected
    ├── EngineError
    ├── RunError
    ├── CheckFailed
    ├── SweepError
    ├── WidgetError
    └── SimulationError

A message says what happened, the value received, what is accepted and the next step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BotlibError(Exception):
    """Base of every error raised by botlib on purpose."""


class InvalidInput(BotlibError, ValueError):
    """A value given to botlib is not accepted."""


class UnknownTimeframe(InvalidInput):
    """A timeframe no venue of the kit offers."""


class UnknownSymbol(InvalidInput):
    """A symbol that cannot be read, or that the venue does not list."""


class ConfigError(InvalidInput):
    """A configuration file or value is refused."""


class TaskError(BotlibError):
    """Base of the errors of the task manager."""


class TaskConfigError(TaskError, ValueError):
    """A task is described in a way that cannot run."""


class NoTasksRegistered(TaskError):
    """The manager was started with nothing to do."""


class UnknownTask(TaskError, KeyError):
    """No task is registered under that name."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        return str(self.args[0]) if self.args else ""


class TaskTimeout(TaskError):
    """A run of a task took longer than its timeout and was cancelled."""


class TaskStuck(TaskError):
    """A task outlived its cancellation."""


class RuntimeThreadError(BotlibError):
    """Base of the errors of the runtime thread."""


class BlockingCallOnRuntime(RuntimeThreadError):
    """A blocking call was made on the loop thread, where it would wait for itself for ever."""


class RuntimeClosed(RuntimeThreadError):
    """The runtime thread has been closed."""


class BusOverflow(BotlibError):
    """A subscriber fell behind on events that must not be dropped."""


class RecordingError(BotlibError):
    """A candle file is missing, unreadable or damaged beyond repair."""


class StoreError(BotlibError):
    """Base of the errors of the candle and order storage."""


class WrongVenue(StoreError):
    """A database belongs to another venue or paper market."""


class NotAStore(StoreError):
    """A file is not a database made by botlib, or is damaged."""


class StoreLocked(StoreError):
    """Another process writes to the database."""


class ExchangeError(BotlibError):
    """Base of the errors of a venue and the way to it."""


class ExchangeUnavailable(ExchangeError):
    """The venue could not be reached or did not answer in time."""


class ExchangeBusy(ExchangeUnavailable):
    """The venue asks to be left alone for longer than a request may wait."""


class OrderRejected(ExchangeError):
    """The venue definitely refused an order: nothing was executed."""


class OrderUnknown(ExchangeError):
    """The outcome of an order is unknown: it may exist and must not be sent again."""


class PaperExchangeError(ExchangeError):
    """The paper exchange could not be started or controlled."""


class RiskRejected(BotlibError):
    """A risk rule forbids an order."""


class EngineError(BotlibError):
    """A service of the engine failed to start or stop."""


class RunError(BotlibError):
    """A headless notebook run was refused or failed."""


class CheckFailed(BotlibError):
    """A strategy does not give the same signals live as over history."""


class SweepError(BotlibError):
    """A sweep could not be carried out; what was finished before is kept."""


class WidgetError(BotlibError):
    """A chart or dashboard cannot be shown, or asked for what it cannot give."""


class SimulationError(BotlibError):
    """A simulation cannot be set up, or cannot go on."""


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest option, or an empty string."""
    close = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
