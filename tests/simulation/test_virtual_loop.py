"""Virtual time, and connections within a loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from botlib.core.clock import SystemClock
from botlib.core.errors import SimulationError
from botlib.simulation.loop import VirtualLoop
from botlib.simulation.network import HIGH, IN_FLIGHT, MemoryConnector, MemoryTransport

START = 1_735_689_600_000


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(START)) as runner:
        return runner.run(main())


def test_sleeping_takes_no_real_time_and_moves_the_calendar() -> None:
    async def main() -> list[int]:
        clock = SystemClock()
        seen = [clock.now()]
        await asyncio.sleep(86_400)
        seen.append(clock.now())
        async with asyncio.timeout(3_600):
            await clock.sleep_until(START + 86_400_000 + 60_000)
        return [*seen, clock.now()]

    began = time.monotonic()
    assert run(main) == [START, START + 86_400_000, START + 86_460_000]
    assert time.monotonic() - began < 60
    # Outside of the loop it is the computer's clock again.
    assert abs(SystemClock().now() - time.time_ns() // 1_000_000) < 60_000


def test_timers_run_in_the_order_of_their_times() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(2, order.append, "two")
        loop.call_later(1, lambda: loop.call_later(0.5, order.append, "one and a half"))
        loop.call_later(0.25, order.append, "a quarter")
        loop.call_soon(order.append, "at once")
        await asyncio.sleep(3)
        assert loop.time() == 3
        return order

    assert run(main) == ["at once", "a quarter", "one and a half", "two"]


def test_timers_of_the_same_time_run_in_the_order_they_were_set() -> None:
    async def main() -> list[int]:
        order: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(50):
            loop.call_at(1.0, order.append, number)
            loop.call_at(2.0, order.append, 50 + number)
        await asyncio.sleep(3)
        return order

    assert run(main) == list(range(100))


def test_cancelled_timers_are_not_run_and_are_removed() -> None:
    async def main() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        for _ in range(20):
            timers = [loop.call_later(3_600 + number, wrong) for number in range(200)]
            for timer in timers:
                timer.cancel()
            await asyncio.sleep(1)
        waiting = len(loop._scheduled)
        loop.call_later(5, wrong).cancel()
        await asyncio.sleep(7_200)
        return waiting, loop.time()

    def wrong() -> None:
        raise AssertionError("a cancelled timer ran")

    assert run(main) == (pytest.approx(0, abs=300), 7_220)


def test_blocking_moves_the_time_and_makes_timers_late() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        ran: list[float] = []
        loop.call_later(1, lambda: ran.append(loop.time()))
        loop.block(60)
        await asyncio.sleep(0.5)
        return ran[0], loop.time()

    assert run(main) == (60.0, 60.5)


def test_functions_for_a_thread_are_called_at_once() -> None:
    async def main() -> tuple[object, float]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(asyncio.get_running_loop), loop.time() - before

    loop, passed = run(main)
    assert isinstance(loop, VirtualLoop)
    assert passed == 0


def test_waiting_for_an_event_that_is_never_set_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(SimulationError, match="something still waits"):
        run(main)


async def served(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def test_aiohttp_client_and_server_exchange_http_and_websocket_messages() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    async def talk(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    async def main() -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/echo", echo)
        app.router.add_get("/talk", talk)
        runner, url = await served(app)
        body = bytes(range(256)) * 3_500  # more than fits into the connection at once
        async with aiohttp.ClientSession(connector=MemoryConnector()) as session:
            for _ in range(3):
                async with session.post(f"{url}/echo", data=body) as answer:
                    assert await answer.read() == body
            async with session.ws_connect(f"{url}/talk") as socket:
                for word in ("one", "two"):
                    await socket.send_str(word)
                assert [await socket.receive_str() for _ in range(2)] == ["ONE", "TWO"]
            await runner.cleanup()
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(url)

    run(main)


class RecordingProtocol(asyncio.Protocol):
    """A protocol that records its events and data."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = b""
        self.transport: MemoryTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, MemoryTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append(f"lost {type(error).__name__}")


async def pair() -> tuple[RecordingProtocol, RecordingProtocol]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    far = RecordingProtocol()
    server = await loop.create_server(lambda: far, "127.0.0.1", 0)
    _, near = await loop.create_connection(RecordingProtocol, *server.address)
    assert isinstance(near, RecordingProtocol)
    return near, far


def test_a_paused_reader_pauses_its_writer() -> None:
    async def main() -> None:
        near, far = await pair()
        far.transport.pause_reading()
        chunk = bytes(64 * 1024)
        count = 0
        while not near.events:
            near.transport.write(chunk)
            count += 1
        assert (count - 1) * len(chunk) <= IN_FLIGHT + HIGH < count * len(chunk)
        await asyncio.sleep(1)
        assert far.data == b""
        far.transport.resume_reading()
        await asyncio.sleep(1)
        assert len(far.data) == count * len(chunk)
        assert near.events == ["pause", "resume"]

    run(main)


def test_a_close_delivers_written_data_and_an_abort_does_not() -> None:
    async def main() -> None:
        near, far = await pair()
        near.transport.write(b"goodbye")
        near.transport.close()
        near.transport.write(b"too late")
        await asyncio.sleep(1)
        assert far.data == b"goodbye"
        assert near.events == far.events == ["lost NoneType"]
        near, far = await pair()
        near.transport.write(b"lost on the way")
        near.transport.abort()
        await asyncio.sleep(1)
        assert far.data == b""
        assert (near.events, far.events) == (["lost NoneType"], ["lost ConnectionResetError"])

    run(main)
