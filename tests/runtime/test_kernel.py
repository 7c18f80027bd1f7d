"""The runtime in a real kernel."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.kernels import LIMIT, Kernel, KernelFactory

pytestmark = [pytest.mark.kernel, pytest.mark.alone]

CLOSER = """
import asyncio, os, time
from botlib.runtime import get_runtime
rt = get_runtime()
async def closer():
    await asyncio.to_thread(time.sleep, 0.01)
    with open({path!r}, "a") as file:
        file.write(f"{{rt.stop_requested}}\\n")
rt.add_closer("tasks", closer)
"""


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{text!r} does not come"
        time.sleep(0.02)


def test_cells_run_again_and_reloaded_modules_keep_the_thread(kernel: Kernel) -> None:
    cell = """
    import importlib, sys
    import botlib.runtime
    importlib.reload(botlib.runtime.thread)
    importlib.reload(botlib.runtime)
    for name in [name for name in sys.modules if name.startswith("botlib")]:
        del sys.modules[name]
    from botlib.runtime import get_runtime
    assert get_runtime() is rt
    print([t.name for t in threading.enumerate()].count("botlib-runtime"))
    """
    assert kernel.ok(cell) == "1\n"
    assert kernel.ok(cell) == "1\n"
    assert kernel.ok("print(rt.call(asyncio.sleep(0, 'answer')))") == "answer\n"


def test_an_interrupt_cancels_only_the_call(kernel: Kernel) -> None:
    kernel.ok(
        """
        seen = []
        async def slow():
            print("waiting", flush=True)
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
        other = rt.submit(asyncio.sleep(600))
        """
    )
    id = kernel.start("rt.call(slow())")
    kernel.wait_for(id, "waiting")
    kernel.manager.interrupt_kernel()
    cell = kernel.finish(id)
    assert cell.status == "error"
    assert "KeyboardInterrupt" in cell.error
    assert kernel.ok("rt.call(asyncio.sleep(0)); print(seen, other.done())") == (
        "['cancelled'] False\n"
    )
    kernel.ok("other.cancel()")


def test_output_is_not_bound_to_the_cell_that_started_the_work(kernel: Kernel) -> None:
    started = kernel.ok(
        """
        say, said = threading.Event(), threading.Event()
        async def talk():
            while not say.is_set():
                await asyncio.sleep(0.01)
            print("from the background", flush=True)
            said.set()
        talking = rt.submit(talk())
        """
    )
    assert started == ""
    cell = kernel.run("say.set(); said.wait(30)")
    assert cell.text == "from the background\n"
    assert cell.other == ""


def test_the_loop_beats_while_a_cell_sleeps_or_spins(kernel: Kernel) -> None:
    for busy in ("time.sleep(0.5)", "pass"):
        kernel.ok(
            f"""
            enough, end = rt.lag.beats + 5, time.monotonic() + {LIMIT / 2}
            while rt.lag.beats < enough:
                assert time.monotonic() < end, "the loop does not beat"
                {busy}
            """
        )


def test_a_cell_that_holds_the_gil_is_named(kernel: Kernel) -> None:
    text = kernel.ok(
        """
        import ctypes
        def keep():
            ctypes.PyDLL(None).sleep(3)
        keep()
        found = []
        end = time.monotonic() + 60
        while not found and time.monotonic() < end:
            found = [s.where for s in rt.stalls if s.seconds > 1.5 and "keep" in s.where]
            time.sleep(0.05)
        print(found[0] if found else rt.stalls)
        """
    )
    # The log names it too, before or after.
    assert "cell:3 keep (holding the GIL on another thread)" in text.splitlines()


def test_a_task_that_blocks_the_loop_is_named(kernel: Kernel) -> None:
    text = kernel.ok(
        """
        async def blocks():
            time.sleep(2)
        rt.call(blocks())
        found = []
        end = time.monotonic() + 60
        while not found and time.monotonic() < end:
            found = [s.where for s in rt.stalls if "blocks" in s.where]
            time.sleep(0.05)
        print(found[0] if found else rt.stalls)
        """
    )
    assert "cell:2 blocks" in text.splitlines()


def test_calls_work_from_an_async_cell(kernel: Kernel) -> None:
    text = kernel.ok("await asyncio.sleep(0); print(rt.call(asyncio.sleep(0, 'sync in async')))")
    assert text == "sync in async\n"


def test_the_runtime_works_beside_a_nested_loop_in_the_kernel(new_kernel: KernelFactory) -> None:
    kernel = new_kernel()
    kernel.ok("import asyncio; from botlib.runtime import get_runtime; rt = get_runtime()")
    kernel.ok("import nest_asyncio2; nest_asyncio2.apply()")
    text = kernel.ok(
        """
        async def main():
            return rt.call(asyncio.sleep(0, "nested"))
        print(asyncio.run(main()), rt.call(asyncio.sleep(0, "and not")))
        rt.close()
        print(get_runtime().call(asyncio.sleep(0.01, "and new")))
        """
    )
    assert text == "nested and not\nand new\n"


def test_sigterm_returns_a_waiting_cell_and_later_cells_run(
    new_kernel: KernelFactory, tmp_path: Path
) -> None:
    path = tmp_path / "closed"
    kernel = new_kernel()
    kernel.ok(CLOSER.format(path=str(path)) + "pid = os.getpid()")
    pid = int(kernel.ok("print(pid)"))
    kernel.ok(
        """
        stopped = asyncio.Event()
        async def announce():
            stopped.set()
        rt.add_closer("announce", announce)
        """
    )
    id = kernel.start("print('waiting', flush=True); print('stopped:', rt.call(stopped.wait()))")
    later = kernel.start(
        """
        report = rt.request_stop("again").result(60)
        print(report.reason, report.closed, rt.call(asyncio.sleep(0, 'alive')))
        """
    )
    kernel.wait_for(id, "waiting")
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGTERM)  # the group and the headless runner may both send one
    cell = kernel.finish(later)
    assert cell.status == "ok"
    assert cell.text == "SIGTERM ('announce', 'tasks') alive\n"
    assert "stopped: True" in cell.other
    assert path.read_text() == "SIGTERM\n"


def test_sigterm_runs_the_closers_while_a_cell_sleeps(
    new_kernel: KernelFactory, tmp_path: Path
) -> None:
    path = tmp_path / "closed"
    kernel = new_kernel()
    kernel.ok(CLOSER.format(path=str(path)))
    pid = int(kernel.ok("print(os.getpid())"))
    id = kernel.start("print('asleep', flush=True); time.sleep(600)")
    kernel.wait_for(id, "asleep")
    os.kill(pid, signal.SIGTERM)
    wait_for(path, "SIGTERM")


@pytest.mark.parametrize("cell", ["", "time.sleep(600)", "rt.call(asyncio.sleep(600))"])
def test_a_shutdown_runs_the_closers_even_while_a_cell_is_busy(
    new_kernel: KernelFactory, tmp_path: Path, cell: str
) -> None:
    path = tmp_path / "closed"
    kernel = new_kernel()
    kernel.ok(CLOSER.format(path=str(path)))
    id = kernel.start(f"print('begun', flush=True); {cell}")
    kernel.wait_for(id, "begun")
    kernel.manager.shutdown_kernel()
    assert path.read_text() == "kernel shutdown\n"


def test_a_restart_runs_the_closers_and_the_new_kernel_has_its_own_runtime(
    new_kernel: KernelFactory, tmp_path: Path
) -> None:
    path = tmp_path / "closed"
    kernel = new_kernel()
    kernel.ok(CLOSER.format(path=str(path)))
    kernel.manager.restart_kernel()
    assert path.read_text() == "kernel restart\n"
    kernel.client.wait_for_ready(timeout=LIMIT)
    kernel.ok(CLOSER.format(path=str(path)))
    assert kernel.ok("print(rt)").startswith("<Runtime running")


def test_a_kernel_ends_when_its_parent_has_died(new_kernel: KernelFactory, tmp_path: Path) -> None:
    kernel = new_kernel()
    pid = int(kernel.ok("import os, time; print(os.getpid())"))
    kernel.start(
        """
        from botlib.runtime import get_runtime
        from botlib.runtime.hooks import stop_with_parent
        rt = get_runtime(watch_parent=True)
        # As if another process had started this kernel and was gone by now.
        future = rt.submit(stop_with_parent(rt, os.getppid() + 1))
        """
    )
    deadline = time.monotonic() + LIMIT
    while kernel.manager.is_alive():
        assert time.monotonic() < deadline, f"kernel {pid} runs on"
        time.sleep(0.05)
