"""The threads of plain functions."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from textwrap import dedent

from botlib.tasks.threads import ThreadJob, ThreadPool
from tests.support.task_behaviours import LIMIT, until


def test_the_process_ends_while_a_function_never_returns() -> None:
    program = """
    import asyncio, time
    from botlib.tasks import BackgroundTaskManager, TaskConfig
    async def main():
        manager = BackgroundTaskManager(stop_timeout=0.05)
        manager.add_task(TaskConfig(name="endless", func=lambda: time.sleep(600)))
        await manager.start_all()
        print((await manager.stop_all(0.1)).stuck)
    asyncio.run(main())
    """
    ended = subprocess.run(
        [sys.executable, "-c", dedent(program)], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "('endless',)\n", ended.stderr
    assert ended.returncode == 0


async def test_the_pool_is_bounded_and_an_abandoned_thread_is_replaced() -> None:
    loop = asyncio.get_running_loop()
    pool = ThreadPool(2)
    hold = threading.Event()
    ran: list[int] = []
    context = contextvars.copy_context()
    before = set(threading.enumerate())

    def job(act: object) -> ThreadJob:
        return ThreadJob(act, lambda result, error: ran.append(1), loop, context.copy())  # type: ignore[arg-type]

    held = [job(lambda: hold.wait(LIMIT)) for _ in range(2)]
    for each in held:
        pool.submit(each)
    await until(lambda: all(each.started for each in held))
    waiting = job(lambda: None)
    refused = job(lambda: ran.append(100))
    pool.submit(waiting)
    pool.submit(refused)
    assert pool.cancel(refused) and not pool.cancel(held[0])
    await asyncio.sleep(0.02)
    assert not waiting.started
    pool.abandon(held[0])
    await until(lambda: len(ran) == 1)
    hold.set()
    await until(lambda: len(ran) == 3)
    pool.close()
    await until(lambda: set(threading.enumerate()) <= before)
    assert 100 not in ran
