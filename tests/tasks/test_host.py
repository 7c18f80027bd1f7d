"""The task manager on every host of its loop: a program, the runtime's thread, a kernel."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator

import pytest
from jupyter_client.manager import start_new_kernel

from botlib.runtime import get_runtime
from tests.support.kernels import ROOT, Kernel
from tests.support.task_behaviours import BEHAVIOURS, LIMIT

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """Yield a kernel of the module, with the behaviours and the manager imported."""
    home = tmp_path_factory.mktemp("kernel")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(home)}
    env["JUPYTER_PLATFORM_DIRS"] = "1"
    manager, client = start_new_kernel(env=env, cwd=str(home))
    shared = Kernel(manager, client)
    try:
        shared.ok(
            "import asyncio; from tests.support import task_behaviours as behaviours\n"
            "from botlib.tasks import *"
        )
        yield shared
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_in_a_program(name: str) -> None:
    async def main() -> None:
        await BEHAVIOURS[name]()

    asyncio.run(main())


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_on_the_runtime_thread(name: str) -> None:
    async def main() -> None:
        await BEHAVIOURS[name]()

    get_runtime().call(main(), timeout=2 * LIMIT)


@pytest.mark.kernel
@pytest.mark.parametrize("name", BEHAVIOURS)
def test_in_a_kernel(kernel: Kernel, name: str) -> None:
    kernel.ok(f"await behaviours.{name}()")


@pytest.mark.kernel
def test_blocking_calls_work_on_the_loop_of_the_kernel(kernel: Kernel) -> None:
    register = """
    manager = globals().get("manager") or BackgroundTaskManager()
    seen = globals().setdefault("seen", [])
    @manager.task(interval=0.01)
    async def tick():
        seen.append(1)
    """
    kernel.ok(register)
    assert kernel.ok("print(manager.blocking.start_all())") == "('tick',)\n"
    kernel.ok(register)  # Run All, a second time
    assert kernel.ok("print(manager.blocking.start_all())") == "()\n"
    assert kernel.ok("print(manager.blocking.wait(timeout=0.2))") == "False\n"
    kernel.ok("while len(seen) < 3: manager.blocking.wait(timeout=0.05)")
    html = kernel.value("manager")
    assert "1 task" in html and "1 running, healthy" in html and "<table" in html
    kernel.ok("manager.blocking.run_now('tick')")
    assert kernel.ok("print(manager.blocking.stop_all().stopped)") == "('tick',)\n"
    # The same again, on a loop that is patched already.
    for name in ("a_task_registered_again_is_kept_or_replaced", "tasks_can_be_paused_and_run_now"):
        kernel.ok(f"await behaviours.{name}()")


@pytest.mark.kernel
def test_tasks_run_between_the_cells(kernel: Kernel) -> None:
    kernel.ok(
        """
        ticks = 0
        async def count():
            global ticks
            ticks += 1
        between = BackgroundTaskManager()
        config = TaskConfig(name="count", func=count, interval=0.01)
        between.add_task(config, start_immediately=True)
        """
    )
    before = int(kernel.ok("print(ticks)"))
    deadline = time.monotonic() + LIMIT
    while int(kernel.ok("print(ticks)")) <= before:
        assert time.monotonic() < deadline, "no task runs between the cells"
        time.sleep(0.05)
    kernel.ok("await between.stop_all()")
