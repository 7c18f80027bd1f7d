"""`Services`: started in the order of their dependencies, and stopped in reverse."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError

from botlib.core.dependencies import start_order
from botlib.core.errors import EngineError

logger = logging.getLogger(__name__)

Action = Callable[[], Awaitable[None]]


class ServiceState(StrEnum):
    """The state of a service."""

    REGISTERED = "registered"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True, kw_only=True)
class ServiceInfo:
    """One service: how it starts and stops, its dependencies and its state."""

    name: str
    start: Action
    stop: Action | None
    depends_on: tuple[str, ...] = ()
    state: ServiceState = ServiceState.REGISTERED
    error: str | None = None
    started_in: float | None = None
    """Seconds that the start took."""


class Services:
    """The services of an engine."""

    def __init__(self) -> None:
        self._services: dict[str, ServiceInfo] = {}
        self._running: list[ServiceInfo] = []

    def add(
        self, name: str, start: Action, stop: Action | None, *, depends_on: tuple[str, ...] = ()
    ) -> ServiceInfo:
        """Register a service.

        Args:
            stop: None if the service holds nothing open.
            depends_on: services that start before it; they may be registered later.

        Raises:
            EngineError: the name is taken.
        """
        if name in self._services:
            raise EngineError(f"A service named {name!r} is registered already.")
        service = ServiceInfo(name=name, start=start, stop=stop, depends_on=depends_on)
        self._services[name] = service
        return service

    def __getitem__(self, name: str) -> ServiceInfo:
        return self._services[name]

    def all(self) -> list[ServiceInfo]:
        """Return every service in the order of registration."""
        return list(self._services.values())

    def order(self) -> list[ServiceInfo]:
        """Return the services in the order of their start.

        Raises:
            EngineError: a dependency is not registered, or dependencies form a circle.
        """
        for service in self._services.values():
            for needed in service.depends_on:
                if needed not in self._services:
                    raise EngineError(
                        f"Service {service.name!r} depends on {needed!r}, which is not registered. "
                        f"Registered: {', '.join(self._services)}."
                    )
        graph = {service.name: service.depends_on for service in self._services.values()}
        try:
            return [self._services[name] for name in start_order(graph)]
        except CycleError as error:
            raise EngineError(
                f"Services depend on each other in a circle: {' → '.join(error.args[1])}."
            ) from None

    async def start(self) -> None:
        """Start every service; if one fails, stop those that run and raise its error."""
        for service in self.order():
            service.state, service.error = ServiceState.STARTING, None
            began = time.monotonic()
            try:
                await service.start()
            except BaseException as error:
                service.state, service.error = ServiceState.FAILED, f"{error}"
                logger.error("service %s failed to start: %s", service.name, error)
                # It may have opened something before it failed.
                self._running.append(service)
                await self.stop()
                service.state = ServiceState.FAILED
                raise
            service.state = ServiceState.RUNNING
            service.started_in = time.monotonic() - began
            self._running.append(service)
            logger.info("service %s started in %.2f s", service.name, service.started_in)

    async def stop(self) -> None:
        """Stop the running services in reverse order; a failure does not keep the others."""
        while self._running:
            service = self._running.pop()
            service.state = ServiceState.STOPPING
            try:
                if service.stop is not None:
                    await service.stop()
            except Exception as error:
                service.state, service.error = ServiceState.FAILED, f"{error}"
                logger.exception("service %s failed to stop", service.name)
            else:
                service.state = ServiceState.STOPPED
                logger.info("service %s stopped", service.name)
