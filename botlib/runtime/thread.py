"""The runtime: one daemon thread with an event loop, on which all live work of a kernel runs.

A cell may sleep, compute or block while the loop goes on, and a blocking call from a cell needs no
nested loop. The end has two steps. *Stopping* runs the closers (tasks end, connections close) and
leaves the loop usable, so that the last cells of a headless notebook can still request results.
*Closing* stops, and then ends the thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from botlib.core.blocking import discard, submit, wait_for_result
from botlib.core.errors import BlockingCallOnRuntime, InvalidInput, RuntimeClosed
from botlib.core.lag import LagMeter
from botlib.runtime import garbage
from botlib.runtime.stalls import THRESHOLD, Stall, StallWatch

T = TypeVar("T")

log = logging.getLogger(__name__)

SWITCH_INTERVAL: Final = 0.0005
"""Seconds that a busy cell may hold the GIL; with Python's default of 5 ms every beat is late."""

CLOSE_TIMEOUT: Final = 20.0
CANCEL_TIMEOUT: Final = 2.0

Closer = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeStopReport:
    """The result of a stop: the closers that ended, failed (with the error) or got stuck."""

    reason: str
    closed: tuple[str, ...] = ()
    failed: dict[str, BaseException] = field(default_factory=dict)
    stuck: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether every closer ended in time and without an error."""
        return not self.failed and not self.stuck


class Runtime:
    """A daemon thread with its own event loop.

    Args:
        close_timeout: longest time for all closers together, in seconds.
    """

    def __init__(self, *, close_timeout: float = CLOSE_TIMEOUT) -> None:
        self.close_timeout = close_timeout
        self.lag = LagMeter(late_after=THRESHOLD, on_late=self._note_stall)
        self.stop_requested: str | None = None
        """The reason of the first stop request, or None."""
        self.residents: dict[str, Any] = {}
        """Objects that live on this runtime, by name; a cell that runs again finds them here."""
        self._loop = asyncio.new_event_loop()
        # Marked as running, so that callers that wait for them cannot cancel them.
        self._stopped: Future[RuntimeStopReport] = Future()
        self._stopped.set_running_or_notify_cancel()
        self._finished: Future[RuntimeStopReport] = Future()
        self._finished.set_running_or_notify_cancel()
        self._closers: dict[str, Closer] = {}
        self._calls: dict[Future[Any], Coroutine[Any, Any, Any]] = {}
        self._lock = threading.Lock()
        self._ending = False
        self._closed = False
        self._stop_task: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._watch: StallWatch | None = None
        self._pid = os.getpid()
        ready = threading.Event()
        # An empty context: work on this thread must not belong to the cell that happened to start
        # it, or its output would be shown there, and be dropped once that cell has ended.
        self._thread = threading.Thread(
            target=contextvars.Context().run,
            args=(self._main, ready),
            name="botlib-runtime",
            daemon=True,
        )
        self._thread.start()
        ready.wait()

    # Callable from any thread

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop, for interfaces that need one."""
        return self._loop

    @property
    def closed(self) -> bool:
        """Whether the thread has ended; also true in a forked child, which does not have it."""
        return self._closed or self._pid != os.getpid()

    @property
    def on_thread(self) -> bool:
        """Whether the caller runs on the loop's own thread."""
        # Not by ident: the ident of a thread that has ended may belong to another one.
        return threading.current_thread() is self._thread

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The last stalls of the loop with the functions that caused them, oldest first."""
        return () if self._watch is None else self._watch.stalls()

    def call(self, coro: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop, wait for it and return its result, without ``await``.

        An interrupt or the timeout cancels this one call and nothing else.

        Args:
            coro: the coroutine to run.
            timeout: longest time in seconds; None waits for ever.

        Raises:
            BlockingCallOnRuntime: the caller is the loop thread, which would wait for itself.
            RuntimeClosed: the runtime is closed, or was closed during the call.
            TimeoutError: the call took longer than ``timeout``.
        """
        if self.on_thread:
            name = getattr(coro, "__qualname__", repr(coro))
            discard(coro)
            raise BlockingCallOnRuntime(
                f"{name} was called in its blocking form on the runtime thread, where it would "
                "wait for itself for ever. In code that runs on the loop (tasks, strategies, "
                "async functions) await the async form instead."
            )
        future = self.submit(coro)
        try:
            return wait_for_result(future, timeout)
        except TimeoutError:
            if future.done():  # the coroutine's own
                raise
            future.cancel()
            raise TimeoutError(
                f"{getattr(coro, '__qualname__', coro)} did not end within {timeout} s and was "
                "cancelled. Give a longer timeout, or look at runtime.stalls."
            ) from None
        except concurrent.futures.CancelledError:
            if self._ending:
                raise self._closed_error() from None
            raise
        except BaseException:
            future.cancel()
            raise

    def submit(self, coro: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop, bound to no cell, and return its future at once.

        Raises:
            InvalidInput: ``coro`` is not a coroutine.
            RuntimeClosed: the runtime is closed.
        """
        if not asyncio.iscoroutine(coro):
            raise InvalidInput(
                f"The runtime runs coroutines, got {coro!r}. Call the async function: f(), not f."
            )
        with self._lock:
            if self.closed:
                discard(coro)
                raise self._closed_error()
            future = submit(coro, self._loop)
            self._calls[future] = coro
        future.add_done_callback(self._forget)
        return future

    # Stopping and closing

    def add_closer(self, name: str, closer: Closer) -> None:
        """Add a closer, which is awaited when the runtime stops; the last one added runs first.

        Adding a name again replaces the closer and keeps its place.
        """
        with self._lock:
            if self.closed:
                raise self._closed_error()
            self._closers[name] = closer

    def remove_closer(self, name: str) -> None:
        """Remove a closer; an unknown name is no error."""
        with self._lock:
            self._closers.pop(name, None)

    def request_stop(self, reason: str) -> Future[RuntimeStopReport]:
        """Start the closers and return at once; the loop still works afterwards.

        Safe in any thread and in a signal handler, and may be repeated: the first reason counts.

        Returns:
            The future of the report, which is set when the closers have ended.
        """
        if self.stop_requested is None:
            self.stop_requested = reason
        self._post(self._begin_stop)
        return self._stopped

    def request_close(self, reason: str) -> Future[RuntimeStopReport]:
        """Start the closers as `request_stop` does, and end the thread afterwards."""
        if self.stop_requested is None:
            self.stop_requested = reason
        self._post(self._begin_close)
        return self._finished

    def close(self, reason: str = "closed", timeout: float | None = None) -> RuntimeStopReport:
        """Run the closers, end the thread and wait for both; may be repeated.

        Raises:
            BlockingCallOnRuntime: the caller is the loop thread.
            TimeoutError: the loop did not end in time, most likely because something blocks it.
        """
        if self._pid != os.getpid():
            return RuntimeStopReport(reason="forked")
        if self.on_thread:
            raise BlockingCallOnRuntime(
                "The runtime cannot be closed by waiting on its own thread. "
                "Use request_close(reason) there."
            )
        # The closers have their deadline; the rest is for cancelling the remaining tasks.
        limit = self.close_timeout + 2 * CANCEL_TIMEOUT if timeout is None else timeout
        try:
            report = self.request_close(reason).result(limit)
        except TimeoutError:
            stalled = f" {self.stalls[-1].where} keeps it." if self.stalls else ""
            raise TimeoutError(
                f"The runtime did not close within {limit} s.{stalled} It is a daemon thread and "
                "ends with the process."
            ) from None
        self._thread.join(CANCEL_TIMEOUT)
        return report

    def __repr__(self) -> str:
        state = "closed" if self.closed else "running"
        if state == "running" and self.stop_requested is not None:
            state = f"stopped ({self.stop_requested})" if self._stopped.done() else "stopping"
        return f"<Runtime {state}, lag {self.lag.current * 1e3:.1f} ms>"

    # On the loop thread

    def _main(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_default_executor(ThreadPoolExecutor(32, thread_name_prefix="botlib-work"))
        self._loop.call_soon(self._begin, ready)
        before = sys.getswitchinterval()
        sys.setswitchinterval(min(before, SWITCH_INTERVAL))
        garbage.hold()
        try:
            while not self._ending:
                try:
                    self._loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as error:
                    # The exit of one task must not end the others; its caller gets the exception.
                    log.error("A task raised %r on the runtime thread; the loop goes on.", error)
        finally:
            sys.setswitchinterval(before)
            garbage.release()
            self._end()

    def _begin(self, ready: threading.Event) -> None:
        self.lag.start()
        self._watch = StallWatch(self.lag, threading.get_ident())
        self._watch.start()
        ready.set()

    def _begin_stop(self) -> None:
        if self._stop_task is None:
            self._stop_task = self._loop.create_task(self._stop(), name="stop")

    def _begin_close(self) -> None:
        self._begin_stop()
        if self._close_task is None:
            self._close_task = self._loop.create_task(self._close(), name="close")

    async def _stop(self) -> None:
        log.info("Stopping: %s.", self.stop_requested)
        self._stopped.set_result(await self._run_closers())

    async def _close(self) -> None:
        assert self._stop_task is not None
        await self._stop_task
        if self._closers:  # added after the stop
            late = await self._run_closers()
            if not late.clean:
                log.error("Closers added after the stop did not end well: %s.", late)
        self._ending = True
        self._loop.stop()

    async def _run_closers(self) -> RuntimeStopReport:
        closed: list[str] = []
        stuck: list[str] = []
        failed: dict[str, BaseException] = {}
        deadline = time.monotonic() + self.close_timeout
        while True:
            with self._lock:
                if not self._closers:
                    break
                name, closer = self._closers.popitem()
                last = not self._closers
            # A closer that hangs must leave half of the time to those after it.
            left = max(0.0, deadline - time.monotonic())
            task = self._loop.create_task(_run(closer), name=f"close {name}")
            await asyncio.wait({task}, timeout=left if last else left / 2)
            if not task.done():
                task.cancel("the time to close is over")
                await asyncio.wait({task}, timeout=min(left / 4, CANCEL_TIMEOUT))
                stuck.append(name)
                log.error("%s did not close in time and was cancelled.", name)
            elif task.cancelled():
                failed[name] = asyncio.CancelledError()
            elif (error := task.exception()) is not None:
                failed[name] = error
                log.error("%s failed to close.", name, exc_info=error)
            else:
                closed.append(name)
        return RuntimeStopReport(
            reason=self.stop_requested or "closed",
            closed=tuple(closed),
            failed=failed,
            stuck=tuple(stuck),
        )

    def _end(self) -> None:
        """Cancel the remaining tasks, resolve all waiting calls and close the loop."""
        with self._lock:
            self._closed = True
        self.lag.stop()
        if self._watch is not None:
            self._watch.stop()
        # First start calls that were submitted just before, as only a task can be cancelled, and
        # finish those that waited for the stop.
        self._loop.run_until_complete(_turns(5))
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel("the runtime closes")
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=CANCEL_TIMEOUT))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        for future, coro in list(self._calls.items()):
            # Never started, or a task that did not end after its cancellation.
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                future.set_exception(self._closed_error())
            discard(coro)
        if self._stopped.done():
            report = self._stopped.result()
        else:
            report = RuntimeStopReport(reason=self.stop_requested or "the loop ended")
            self._stopped.set_result(report)
        self._finished.set_result(report)

    def _note_stall(self, seconds: float) -> None:
        if self._watch is not None:
            self._watch.note(seconds)

    def _post(self, callback: Callable[[], None]) -> None:
        # No lock and no log here: a signal may have interrupted the code that holds them.
        try:
            self._loop.call_soon_threadsafe(callback, context=contextvars.Context())
        except RuntimeError:
            if not self._ending:
                raise

    def _forget(self, future: Future[Any]) -> None:
        self._calls.pop(future, None)

    def _closed_error(self) -> RuntimeClosed:
        why = "was started in the parent of this process" if self._pid != os.getpid() else "closed"
        reason = f" ({self.stop_requested})" if self.stop_requested else ""
        return RuntimeClosed(
            f"The runtime thread {why}{reason}. get_runtime() gives a new one; "
            "what ran on the old one must be connected again."
        )


async def _run(closer: Closer) -> None:
    await closer()


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
