"""How the end of the process reaches the runtime: kernel shutdown, SIGTERM, exit, a dead parent.

A kernel that is shut down or restarted gets SIGTERM after 2.5 s and SIGKILL after 5 s, so closers
run as soon as the request arrives, also while a cell is busy. A SIGTERM to a kernel stops the
work and lets the notebook go on: a waiting cell returns and the last cells run, which is how a
headless run ends. Nothing helps against SIGKILL: protective stops must rest on the exchange.
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

from botlib.runtime.thread import Runtime

log = logging.getLogger(__name__)

EXIT_TIMEOUT: Final = 10.0
PARENT_POLL: Final = 0.5

Current = Callable[[], Runtime | None]
"""Gives the runtime of the process as it is when the hook is called."""


class Hooks:
    """What is installed in this process; every hook is installed once, however often asked."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._term: TermSignal | None = None
        self._kernel: object = None
        self._exit = False

    def install(self) -> None:
        """Install every hook that can be installed from this thread and is not there yet."""
        if not self._exit:
            self._exit = True
            # Before the thread pools are shut, which plain atexit comes after: closers may still
            # need them, for DNS among others.
            register = getattr(threading, "_register_atexit", atexit.register)
            register(close_at_exit, self._current)
        kernel = running_kernel()
        if kernel is not None and kernel is not self._kernel:
            self._kernel = kernel
            wrap_shutdown(kernel, self._current)
        if self._term is None and threading.current_thread() is threading.main_thread():
            self._term = TermSignal(self._current)
            self._term.install()


class TermSignal:
    """Stops the runtime on SIGTERM, then gives the signal to whoever would have had it."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._previous: Any = signal.SIG_DFL
        self._stage = "waiting"
        self._pid = os.getpid()

    def install(self) -> None:
        """Take over SIGTERM; only the main thread may."""
        self._previous = signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        runtime = self._current()
        if self._pid != os.getpid() or runtime is None or runtime.closed:
            self._hand_over(number, frame)
        elif self._stage == "stopped":
            self._stage = "waiting"
            self._hand_over(number, frame)
        elif self._stage == "waiting":
            # The handler itself must not wait: it has interrupted the main thread anywhere.
            self._stage = "stopping"
            runtime.request_stop("SIGTERM")
            threading.Thread(
                target=self._follow, args=(runtime,), name="botlib-sigterm", daemon=True
            ).start()

    def _follow(self, runtime: Runtime) -> None:
        wait_stopped(runtime)
        self._stage = "stopped"
        os.kill(os.getpid(), signal.SIGTERM)  # back to the main thread, for the second stage

    def _hand_over(self, number: int, frame: FrameType | None) -> None:
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous is not signal.SIG_IGN and running_kernel() is None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def wait_stopped(runtime: Runtime) -> None:
    """Block until the closers have run or their time is over."""
    try:
        runtime.request_stop("stop").result(runtime.close_timeout + 1)
    except TimeoutError:
        log.error("The runtime did not stop in time.")


def running_kernel() -> Any:
    """Return the Jupyter kernel this process is, or None; loads nothing."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None)


def wrap_shutdown(kernel: Any, current: Current) -> None:
    """Have the kernel close the runtime before it shuts down or restarts."""
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
    """Close the runtime when the program ends by itself."""
    runtime = current()
    if runtime is None or runtime.closed:
        return
    try:
        runtime.close("exit", min(runtime.close_timeout, EXIT_TIMEOUT))
    except TimeoutError as error:
        log.error("%s", error)


async def stop_with_parent(runtime: Runtime, parent: int) -> None:
    """Stop the runtime and end the process when process ``parent`` is no longer its parent.

    A kernel whose papermill was killed must not trade on alone.
    """
    # Nothing on all systems tells a child that its parent died but the changed parent id.
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
    os._exit(1)  # the main thread may wait for something that will never come
