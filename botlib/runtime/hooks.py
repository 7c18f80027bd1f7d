"""Hooks that stop the runtime when the kernel or process ends: shutdown, SIGTERM, exit, orphan.

A kernel that is shut down or restarted gets SIGTERM after 2.5 s and SIGKILL after 5 s, so closers
run as soon as the request arrives, also while a cell is busy. A SIGTERM to a kernel stops the work,
but the notebook goes on: a waiting cell returns and the last cells run, which is how a headless run
ends. SIGKILL cannot be handled, so protective stops must rest on the exchange.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from botlib.runtime.outputs import mask_outputs
from botlib.runtime.thread import Runtime

log = logging.getLogger(__name__)

EXIT_TIMEOUT: Final = 20.0
FINISH_TIMEOUT: Final = 2.0
PARENT_POLL: Final = 0.5

Current = Callable[[], Runtime | None]
"""Returns the runtime that the process has when the hook is called."""


class Hooks:
    """The hooks installed in this process, each of them once."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._term: TermSignal | None = None
        self._kernel: object = None
        self._exit = False

    def install(self) -> None:
        """Install the missing hooks, as far as this thread may install them."""
        if not self._exit:
            self._exit = True
            # Plain atexit runs after the thread pools were shut down, which closers still need,
            # for DNS among others.
            register = getattr(threading, "_register_atexit", atexit.register)
            register(self._close_at_exit)
        kernel = running_kernel()
        if kernel is not None and kernel is not self._kernel:
            self._kernel = kernel
            wrap_shutdown(kernel, self._current)
            mask_outputs(kernel)
        if self._term is None and threading.current_thread() is threading.main_thread():
            self._term = TermSignal(self._current)
            self._term.install()

    def _close_at_exit(self) -> None:
        """Close the runtime at the end of the program, then end as a pending SIGTERM demands."""
        close_at_exit(self._current)
        if self._term is not None:
            self._term.finish(FINISH_TIMEOUT)


class TermSignal:
    """A SIGTERM handler that stops the runtime, then passes the signal to the earlier handler."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._previous: Any = signal.SIG_DFL
        self._stage = "waiting"
        self._pid = os.getpid()
        self._follower: threading.Thread | None = None

    def install(self) -> None:
        """Install the handler, which only the main thread can do."""
        self._previous = signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        runtime = self._current()
        if self._pid != os.getpid() or runtime is None or runtime.closed:
            self._pass_on(number, frame)
        elif self._stage == "stopped":
            self._stage = "waiting"
            self._pass_on(number, frame)
        elif self._stage == "waiting":
            # The handler must not wait, as it may have interrupted the main thread anywhere.
            self._stage = "stopping"
            runtime.request_stop("SIGTERM")
            self._follower = threading.Thread(
                target=self._follow, args=(runtime,), name="botlib-sigterm", daemon=True
            )
            self._follower.start()

    def finish(self, timeout: float) -> None:
        """Wait until a signal that is being handled was passed on.

        A program whose last statement waited for the bot ends as soon as the bot has stopped, which
        may be sooner than the second stage: its exit code would depend on which came first.
        """
        if self._follower is not None:
            self._follower.join(timeout)

    def _follow(self, runtime: Runtime) -> None:
        wait_stopped(runtime)
        self._stage = "stopped"
        os.kill(os.getpid(), signal.SIGTERM)  # to the main thread, for the second stage

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous is not signal.SIG_IGN and running_kernel() is None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def wait_stopped(runtime: Runtime) -> None:
    """Block until the closers have run, or their time is over."""
    try:
        runtime.request_stop("stop").result(runtime.close_timeout + 1)
    except TimeoutError:
        log.error("The runtime did not stop in time.")


def running_kernel() -> Any:
    """Return the Jupyter kernel that runs in this process, or None; imports nothing."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None)


def wrap_shutdown(kernel: Any, current: Current) -> None:
    """Wrap the shutdown of a kernel, so that it closes the runtime first."""
    original = kernel.do_shutdown

    async def do_shutdown(restart: bool) -> Any:
        # Runs on the kernel's control thread, also while a cell is busy.
        runtime = current()
        if runtime is not None and not runtime.closed:
            done = runtime.request_close("kernel restart" if restart else "kernel shutdown")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(runtime.close_timeout):
                    await asyncio.wrap_future(done)
        answer = original(restart)
        return await answer if inspect.isawaitable(answer) else answer

    kernel.do_shutdown = do_shutdown


def close_at_exit(current: Current) -> None:
    """Close the runtime at the normal end of the program."""
    runtime = current()
    if runtime is None or runtime.closed:
        return
    try:
        runtime.close("exit", min(runtime.close_timeout, EXIT_TIMEOUT))
    except TimeoutError as error:
        log.error("%s", error)


async def stop_with_parent(runtime: Runtime, parent: int) -> None:
    """Stop the runtime and end this process when ``parent`` (a pid) is no longer its parent.

    A kernel whose papermill was killed must not go on trading.
    """
    # On all systems, only the parent id of a child changes when its parent dies.
    while os.getppid() == parent:  # noqa: ASYNC110
        await asyncio.sleep(PARENT_POLL)
    log.error("The parent process %d died: stopping.", parent)
    runtime.request_stop("the parent process died")
    threading.Thread(
        target=_end_process, args=(runtime,), name="botlib-orphan", daemon=True
    ).start()


def _end_process(runtime: Runtime) -> None:
    wait_stopped(runtime)
    with contextlib.suppress(TimeoutError):
        runtime.request_close("the parent process died").result(EXIT_TIMEOUT)
    os._exit(1)  # the main thread may wait for something that never happens
