"""Services: order of start, failures and stop."""

from __future__ import annotations

import pytest

from botlib.core.errors import EngineError
from botlib.engine.services import Services, ServiceState


class Recorder:
    """Services that record their starts and stops."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.services = Services()

    def add(self, name: str, *depends_on: str, fail: str = "") -> None:
        async def start() -> None:
            self.log.append(f"+{name}")
            if fail == "start":
                raise ValueError("cannot")

        async def stop() -> None:
            self.log.append(f"-{name}")
            if fail == "stop":
                raise ValueError("will not")

        self.services.add(name, start, stop, depends_on=depends_on)


async def test_they_start_after_their_dependencies_and_stop_in_reverse() -> None:
    recorder = Recorder()
    recorder.add("orders", "exchange", "store")
    recorder.add("exchange", "paper")
    recorder.add("store")
    recorder.add("paper")
    await recorder.services.start()
    started = [name[1:] for name in recorder.log]
    assert started.index("paper") < started.index("exchange") < started.index("orders")
    assert started.index("store") < started.index("orders")
    assert all(service.state is ServiceState.RUNNING for service in recorder.services.all())
    await recorder.services.stop()
    assert recorder.log[4:] == [f"-{name}" for name in reversed(started)]
    assert all(service.state is ServiceState.STOPPED for service in recorder.services.all())


async def test_a_failed_start_stops_the_running_services_and_raises() -> None:
    recorder = Recorder()
    recorder.add("a")
    recorder.add("b", "a", fail="start")
    recorder.add("c", "b")
    with pytest.raises(ValueError, match="cannot"):
        await recorder.services.start()
    assert recorder.log == ["+a", "+b", "-b", "-a"]
    assert recorder.services["b"].state is ServiceState.FAILED
    assert recorder.services["b"].error == "cannot"
    assert recorder.services["c"].state is ServiceState.REGISTERED


async def test_a_failed_stop_does_not_keep_the_other_services_running() -> None:
    recorder = Recorder()
    recorder.add("a")
    recorder.add("b", "a", fail="stop")
    await recorder.services.start()
    await recorder.services.stop()
    assert recorder.log[-1] == "-a"
    assert recorder.services["b"].state is ServiceState.FAILED


def test_unknown_circular_and_repeated_names_are_refused() -> None:
    recorder = Recorder()
    recorder.add("a", "nothing")
    with pytest.raises(EngineError, match="'nothing', which is not registered"):
        recorder.services.order()
    with pytest.raises(EngineError, match="registered already"):
        recorder.add("a")
    circle = Recorder()
    circle.add("a", "b")
    circle.add("b", "a")
    with pytest.raises(EngineError, match="circle"):
        circle.services.order()
