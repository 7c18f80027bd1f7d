"""Requests under way: an answer is waited for until what it would say is known otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from botlib.trading.orders import TrackedOrder

if TYPE_CHECKING:
    from botlib.execution.context import Context
    from botlib.execution.desk_books import DeskBooks
    from botlib.execution.enquiries import Enquiries
    from botlib.execution.sender import Answer

logger = logging.getLogger(__name__)

ANSWER_GRACE: Final = 0.1
"""Seconds an answer may come after the stream has told the same."""

LOOK_EVERY: Final = 1.0
"""Seconds a request may be without an answer before the venue is asked about its orders."""


async def done_or_woken(
    task: asyncio.Future[Any], woken: asyncio.Event, timeout: float | None = None
) -> None:
    """Wait until a task has ended, the desk is woken anew, or ``timeout`` seconds have passed."""

    def wake(done: asyncio.Future[Any]) -> None:
        woken.set()

    woken.clear()
    task.add_done_callback(wake)
    try:
        async with asyncio.timeout(timeout):
            await woken.wait()
    except TimeoutError:
        pass
    finally:
        task.remove_done_callback(wake)


async def given_up(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks whose results nobody needs, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class RequestsUnderWay:
    """The requests of one desk that are not answered.

    Args:
        woken: is set when the desk has to look again.
        wake: has it look again.
        watch: looks whether every position has its stop.
    """

    def __init__(
        self,
        context: Context,
        books: DeskBooks,
        enquiries: Enquiries,
        *,
        woken: asyncio.Event,
        wake: Callable[[], None],
        watch: Callable[[], None],
    ) -> None:
        self._context = context
        self._books = books
        self._enquiries = enquiries
        self._woken = woken
        self._wake = wake
        self._watch = watch
        self._late: set[asyncio.Future[list[Answer]]] = set()
        """Requests whose answers have not come, although what became of them is known."""

    async def make(
        self,
        request: Coroutine[Any, Any, list[Answer]],
        orders: Sequence[TrackedOrder],
        answered: Callable[[Iterable[Answer]], None],
    ) -> None:
        """Make a request, and have its answers processed.

        If the stream or a query tells what became of the orders first, nothing waits for the
        answers: they are processed when they come.

        Args:
            request: returns the answers.
            orders: those that it sends or cancels.
            answered: processes the answers.
        """
        task = asyncio.ensure_future(request)
        if await self._answered_first(task, orders):
            answered(task.result())
            return
        self._late.add(task)
        task.add_done_callback(lambda done: self._take_late(answered, done))

    async def close(self) -> None:
        """Cancel the requests whose answers have not come; what became of them is known."""
        await given_up(*self._late)

    async def _answered_first(
        self, request: asyncio.Future[list[Answer]], orders: Sequence[TrackedOrder]
    ) -> bool:
        """Wait for the answer to a request; return False if all of it was learnt before.

        The stream usually tells it at about the same time, so that the answer is given a moment.
        If neither comes, the venue is asked beside the request.
        """
        loop = asyncio.get_running_loop()
        look_at = loop.time() + LOOK_EVERY
        try:
            while not request.done():
                known = not any(
                    (now := self._books.current(one)).unclear or self._context.ledger.owes(now)
                    for one in orders
                )
                if known:
                    await asyncio.wait({request}, timeout=ANSWER_GRACE)
                    return request.done()
                await done_or_woken(request, self._woken, max(0.0, look_at - loop.time()))
                if loop.time() >= look_at and not request.done():
                    await self._enquiries.look(orders)
                    self._watch()
                    look_at = loop.time() + LOOK_EVERY
        except BaseException:
            # The desk ends here; the one that follows asks what became of the orders.
            await given_up(request)
            raise
        return True

    def _take_late(
        self, answered: Callable[[Iterable[Answer]], None], request: asyncio.Future[list[Answer]]
    ) -> None:
        self._late.discard(request)
        if request.cancelled():
            return
        error = request.exception()
        if error is not None:
            logger.error("a late answer cannot be read: %r", error, exc_info=error)
            return
        answered(request.result())
        self._wake()
