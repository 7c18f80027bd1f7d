"""An event loop in virtual time, whose clock jumps to the next timer instead of waiting."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from botlib.core.errors import SimulationError
from botlib.simulation.network import MemoryServer, MemoryTransport, Network

_CANCELLED_LIMIT: Final = 100
"""Number of cancelled timers in the heap, from which on they are removed."""


class _Handle(asyncio.Handle):
    """A handle that is cheaper to create, as it keeps nothing for a debug mode."""

    __slots__ = ()
    _callback: Callable[..., object]
    _context: contextvars.Context

    def __init__(
        self,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._callback, self._args = callback, args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = False
        self._source_traceback = self._repr = None


class _TimerHandle(asyncio.TimerHandle):
    """A timer handle that is cheaper to create, in the same way."""

    __slots__ = ()
    _callback: Callable[..., object]
    _context: contextvars.Context

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: Sequence[Any],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        _Handle.__init__(self, callback, args, loop, context)  # type: ignore[arg-type]
        self._when, self._scheduled = when, True


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads and waiting.

    `time` stands still while anything can run, and then becomes the time of the next timer; timers
    of the same time run in the order in which they were set. Connections lead to the servers of the
    same loop. Functions for a thread (`asyncio.to_thread`) are called at once.

    Args:
        start: calendar time at the start of the loop (ms, UTC); `calendar` goes on from there.
    """

    _ready: deque[_Handle | _TimerHandle]
    _scheduled: list[tuple[float, int, _TimerHandle]]
    _timer_cancelled_count: int
    _stopping: bool
    _check_closed: Callable[[], None]

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start: Final = start
        self.network = Network(self)
        self._now = 0.0
        self._timers = itertools.count()

    def time(self) -> float:
        """Return the seconds since the start of the loop."""
        return self._now

    def calendar(self) -> int:
        """Return the calendar time in ms, which `SystemClock` returns on this loop."""
        return self.start + round(self._now * 1_000)

    def block(self, seconds: float) -> None:
        """Move the time on while nothing runs, as a blocking call does."""
        self._now += seconds

    def _run_once(self) -> None:
        """Run all callbacks that are ready, or if there are none, those of the next timer."""
        ready, scheduled = self._ready, self._scheduled
        if self._timer_cancelled_count > max(_CANCELLED_LIMIT, len(scheduled) // 2):
            scheduled[:] = [entry for entry in scheduled if not entry[2].cancelled()]
            heapq.heapify(scheduled)
            self._timer_cancelled_count = 0
        if not (ready or self._stopping):
            self._jump()
        now = self._now
        while scheduled and scheduled[0][0] <= now:
            ready.append(self._next_timer())
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            try:
                handle._context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                problem = {"message": f"Exception in {handle!r}", "exception": error}
                self.call_exception_handler({**problem, "handle": handle})

    def _jump(self) -> None:
        """Move the time to the next timer that was not cancelled."""
        scheduled = self._scheduled
        while scheduled and scheduled[0][2].cancelled():
            self._next_timer()
        if not scheduled:
            raise SimulationError(
                "Nothing is left to happen in the simulation, and something still waits. A task "
                "waits for an event that is never set, or for another thread or process."
            )
        self._now = max(self._now, scheduled[0][0])

    def _next_timer(self) -> _TimerHandle:
        timer = heapq.heappop(self._scheduled)[2]
        timer._scheduled = False
        if timer.cancelled():
            self._timer_cancelled_count -= 1
        return timer

    # The next three do what the base class does, without its checks for a debug mode.

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call a function in the next turn of the loop."""
        self._check_closed()
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call a function ``delay`` seconds from now."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call a function when `time` reaches ``when``."""
        self._check_closed()
        timer = _TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, (when, next(self._timers), timer))
        return timer

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        **options: Any,
    ) -> MemoryServer:
        """Start a server on a port of the loop's own network; 0 selects a free one."""
        return self.network.listen(protocol_factory, host, port)

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        **options: Any,
    ) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        """Connect to a server of the same loop.

        Raises:
            ConnectionRefusedError: no server listens there.
        """
        await asyncio.sleep(0)
        return self.network.connect(protocol_factory, host, port)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call a function at once on this thread, and return its result as a future."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except StopIteration as error:
            # A future refuses StopIteration; a thread would raise this error too.
            future.set_exception(RuntimeError(f"{error!r} raised by {func!r}"))
        except Exception as error:
            future.set_exception(error)
        return future

    def _write_to_self(self) -> None:
        """Do nothing: the loop never sleeps, and sees calls of other threads in its next turn."""
