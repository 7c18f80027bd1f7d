"""The task manager does the same in a program, on the runtime's thread and in a kernel."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from botlib.runtime import get_runtime
from tests.support.task_behaviours import BEHAVIOURS, LIMIT

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]


class Kernel:
    """A real kernel, asked to run cells."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager = manager
        self.client = client

    def run(self, cell: str) -> str:
        """Run a cell; return what it printed, or fail with its traceback."""
        text: list[str] = []

        def hook(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                text.append(content["text"])
            elif message["msg_type"] == "execute_result":
                text.append(content["data"].get("text/html") or content["data"]["text/plain"])

        reply = self.client.execute_interactive(dedent(cell), timeout=2 * LIMIT, output_hook=hook)
        if reply["content"]["status"] != "ok":
            pytest.fail("\n".join(reply["content"].get("traceback", ["the cell failed"])))
        return "".join(text)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    from jupyter_client.manager import KernelManager

    home = tmp_path_factory.mktemp("kernel")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(home)}
    env["JUPYTER_PLATFORM_DIRS"] = "1"
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=env, cwd=str(home))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        kernel = Kernel(manager, client)
        kernel.run(
            "import asyncio; from tests.support import task_behaviours as behaviours\n"
            "from botlib.tasks import *"
        )
        yield kernel
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
    kernel.run(f"await behaviours.{name}()")


@pytest.mark.kernel
def test_plain_calls_work_on_the_kernels_own_loop(kernel: Kernel) -> None:
    register = """
    manager = globals().get("manager") or BackgroundTaskManager()
    seen = globals().setdefault("seen", [])
    @manager.task(interval=0.01)
    async def tick():
        seen.append(1)
    """
    kernel.run(register)
    assert kernel.run("print(manager.blocking.start_all())") == "('tick',)\n"
    kernel.run(register)  # Run All, a second time
    assert kernel.run("print(manager.blocking.start_all())") == "()\n"
    assert kernel.run("print(manager.blocking.wait(timeout=0.2))") == "False\n"
    kernel.run("while len(seen) < 3: manager.blocking.wait(timeout=0.05)")
    html = kernel.run("manager")
    assert "1 task" in html and "1 running, healthy" in html and "<table" in html
    kernel.run("manager.blocking.run_now('tick')")
    assert kernel.run("print(manager.blocking.stop_all().stopped)") == "('tick',)\n"
    # The same once more, where the loop is patched already.
    for name in ("a_cell_that_runs_again_keeps_or_replaces", "pausing_and_running_at_once"):
        kernel.run(f"await behaviours.{name}()")


@pytest.mark.kernel
def test_tasks_run_between_the_cells_and_print_to_the_latest(kernel: Kernel) -> None:
    kernel.run(
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
    before = int(kernel.run("print(ticks)"))
    deadline = time.monotonic() + LIMIT
    while int(kernel.run("print(ticks)")) <= before:
        assert time.monotonic() < deadline, "nothing runs between the cells"
        time.sleep(0.05)
    kernel.run("await between.stop_all()")
