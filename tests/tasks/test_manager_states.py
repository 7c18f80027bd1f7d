"""Any sequence of calls of a manager: a name never has two runs at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from botlib.core.errors import NoTasksRegistered, TaskError
from botlib.tasks import BackgroundTaskManager, TaskConfig, TaskState
from tests.support import simulated_time

NAMES = st.sampled_from("abc")
KINDS = st.sampled_from(["forever", "interval", "once", "cron"])
TEMPERS = st.sampled_from(["good", "fails", "slow to stop", "deaf for a while"])


class Tasks(RuleBasedStateMachine):
    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=simulated_time.new_loop)
        self.manager = BackgroundTaskManager(stop_timeout=2, rng=random.Random(0))
        self.going: dict[str, int] = {}
        self.twice: list[str] = []

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def body() -> Any:
            try:
                return await work
            except (TaskError, NoTasksRegistered):
                return None

        return self.runner.run(body())

    def make(self, name: str, version: int, kind: str, temper: str) -> TaskConfig:
        async def run() -> None:
            if self.going.get(name, 0):
                self.twice.append(name)
            self.going[name] = self.going.get(name, 0) + 1
            try:
                await asyncio.sleep(0.5)
                if temper == "fails":
                    raise ValueError(version)
                if kind == "forever":
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                if temper == "slow to stop":
                    await asyncio.sleep(1)
                elif temper == "deaf for a while":
                    await asyncio.sleep(5)
                raise
            finally:
                self.going[name] -= 1

        schedule: dict[str, Any] = {
            "forever": {"forever": True},
            "interval": {"interval": 3},
            "once": {},
            "cron": {"cron": "*/2 * * * * *"},
        }[kind]
        return TaskConfig(name=name, func=run, backoff=0.5, **schedule)

    @rule(
        target=known, name=NAMES, version=st.integers(0, 1), kind=KINDS, temper=TEMPERS,
        now=st.booleans(),
    )  # fmt: skip
    def register(self, name: str, version: int, kind: str, temper: str, now: bool) -> str:
        async def add() -> None:
            self.manager.add_task(self.make(name, version, kind, temper), start_immediately=now)

        self.do(add())
        return name

    @rule(name=known, again=st.sampled_from(["start_task", "stop_task", "restart_task"]))
    def control(self, name: str, again: str) -> None:
        self.do(getattr(self.manager, again)(name))

    @rule(names=st.lists(known, min_size=2, max_size=4), data=st.data())
    def control_many_at_once(self, names: list[str], data: st.DataObject) -> None:
        verbs = ["start_task", "stop_task", "restart_task", "run_now", "stop_all", "start_all"]
        # Drawn before any coroutine is created, as a draw may end the example.
        calls = [(data.draw(st.sampled_from(verbs)), name) for name in names]

        async def all_at_once() -> None:
            work = []
            for verb, name in calls:
                if verb == "run_now" and self.state(name) is TaskState.RUNNING:
                    continue  # it may never end
                arguments = () if verb.endswith("_all") else (name,)
                work.append(getattr(self.manager, verb)(*arguments))
            async with asyncio.timeout(60):
                await asyncio.gather(*work, return_exceptions=True)

        self.do(all_at_once())

    @rule(name=known)
    def pause(self, name: str) -> None:
        async def act() -> None:
            self.manager.pause(name)

        self.do(act())

    @rule(name=known)
    def resume(self, name: str) -> None:
        async def act() -> None:
            self.manager.resume(name)

        self.do(act())

    @rule(target=known, name=consumes(known))
    def remove(self, name: str) -> Any:
        self.do(self.manager.remove_task(name))
        return multiple()

    @rule()
    def start_all(self) -> None:
        self.do(self.manager.start_all())

    @rule(seconds=st.floats(0.01, 20))
    def pass_time(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @rule()
    def stop_all(self) -> None:
        report = self.do(self.manager.stop_all(deadline=30))
        assert report.stuck == (), report
        assert not any(self.going.values()), self.going
        assert all(not task.next_run for task in self.manager.status().tasks)

        async def left() -> set[str]:
            return {task.get_name() for task in asyncio.all_tasks()} - {
                asyncio.current_task().get_name()  # type: ignore[union-attr]
            }

        assert self.do(left()) == set()

    @invariant()
    def never_two_at_once(self) -> None:
        assert self.twice == []

    @invariant()
    def a_run_is_seen(self) -> None:
        for name, count in self.going.items():
            if count and name in self.manager:
                shown = self.state(name)
                former = any(task.name == name for task in self.manager._tasks.former())
                assert former or shown in {TaskState.RUNNING, TaskState.STOPPING, TaskState.STUCK}

    def state(self, name: str) -> TaskState | None:
        return self.manager.status()[name].state if name in self.manager else None

    def teardown(self) -> None:
        self.stop_all()
        self.runner.close()


TestTasks = Tasks.TestCase
TestTasks.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
