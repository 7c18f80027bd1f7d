"""An event loop in virtual time: nobody waits, its clock jumps to whoever is due next."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from botlib.errors import SimulationError
from botlib.simulation.network import MemoryServer, MemoryTransport, Network


class _Selector:
    """What the loop asks for events: there are none, but time passes while it would wait."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout is None:
            raise SimulationError(
                "Nothing is left to happen in the simulation, and something still waits. A task "
                "waits for an event that nobody will set, or for another thread or process."
            )
        if timeout > 0:
            self._loop.jump()
        return ()


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without sockets, threads and waiting.

    `time` stands still while anything can run, then becomes the next timer's. Connections lead to
    the servers of the same loop. What others run in threads (`asyncio.to_thread`) runs at once.

    Args:
        start: the calendar time at which the loop begins, in ms; `calendar` goes on from there.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _check_closed: Callable[[], None]

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start: Final = start
        self.network = Network(self)
        self._now = 0.0
        self._selector = _Selector(self)

    def time(self) -> float:
        """Return the seconds since the beginning."""
        return self._now

    def calendar(self) -> int:
        """Return the calendar time in ms: what `SystemClock` tells on this loop."""
        return self.start + round(self._now * 1_000)

    def jump(self) -> None:
        """Move on to the next timer."""
        self._now = max(self._now, self._scheduled[0].when())

    # The three below are those of the base, without its checks for a debug mode.

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call a function at the loop's next turn."""
        self._check_closed()
        handle = asyncio.Handle(callback, args, self, context)
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
        """Call a function when `time` is ``when``."""
        self._check_closed()
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        **options: Any,
    ) -> MemoryServer:
        """Listen on a port of the loop's own network; 0 takes any free one."""
        return self.network.listen(protocol_factory, host, port)

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str,
        port: int,
        **options: Any,
    ) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        """Connect to a server of the loop.

        Raises:
            ConnectionRefusedError: nobody listens there.
        """
        await asyncio.sleep(0)
        return self.network.connect(protocol_factory, host, port)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call a function at once, whatever executor was meant."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except StopIteration as error:
            # A future refuses it; the error of a generator that a thread would have raised too.
            future.set_exception(RuntimeError(f"{error!r} raised by {func!r}"))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: object) -> None:
        """Do nothing: events are callbacks here."""

    def _write_to_self(self) -> None:
        """Do nothing: the loop never sleeps, and sees calls from other threads at its next turn."""
