"""Faults at every point of injection, and scenarios that play them at their times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from click.testing import CliRunner

from botlib.cli import main
from botlib.core.errors import PaperExchangeError
from botlib.paper import PaperControl, PaperProcess
from botlib.paper.accounts.keys import PAPER_API_KEY
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.market.synthetic import SyntheticMarket
from botlib.paper.operator.scenario import Scenario

MINUTE = 60_000
STREAM = "btcusdt@kline_1m"
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


@pytest.fixture
async def served(serve: Any, start_time: int) -> AsyncIterator[Any]:
    """Start an exchange in lockstep on a synthetic market."""
    yield await serve(SyntheticMarket(7), start=start_time, pace=MarketPace(None, lockstep=True))


async def minute(served: Any, listener: Any) -> list[Any]:
    """Advance by a minute, and return its frames, invalid ones as text."""
    await served.advance(STREAM)
    # It is sent after all frames of the minute, and no fault changes it.
    await served.control.fault("malformed", text='{"end": true}')
    found = []
    while True:
        text = await listener.ws.receive_str(timeout=30)
        try:
            frame = orjson.loads(text)
        except orjson.JSONDecodeError:
            found.append(text)
            continue
        if "end" in frame:
            return found
        found.append(frame)


async def until_played(served: Any) -> None:
    """Wait until every step of a scenario was performed."""
    while (await served.control.state())["scenario"]["waiting"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def shape(frames: list[Any], start: int) -> list[tuple[int, bool]]:
    return [((one["k"]["t"] - start) // MINUTE, one["k"]["x"]) for one in frames]


async def test_frames_are_dropped_swapped_damaged_and_repeated(
    served: Any, start_time: int
) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    plain = [(0, False)] * 3 + [(0, True), (1, False)]
    assert shape(await minute(served, listener), start_time) == plain
    await served.control.fault("drop", match="kline", count=2, skip=1)
    assert shape(await minute(served, listener), start_time) == [(1, False), (1, True), (2, False)]
    await served.control.fault("reorder", skip=3)
    swapped = [(2, False)] * 3 + [(3, False), (2, True)]
    assert shape(await minute(served, listener), start_time) == swapped
    await served.control.fault("corrupt", count=1)
    await served.control.fault("corrupt", count=1, text="[]")
    await served.control.fault("corrupt", count=1, values={"k.c": "NaN", "new.name": 1})
    frames = await minute(served, listener)
    assert isinstance(frames[0], str) and frames[1] == []
    assert (frames[2]["k"]["c"], frames[2]["new"]) == ("NaN", {"name": 1})
    await served.control.fault("drop", symbol="ETH/USDT", count=99)
    await served.control.fault("duplicate", symbol="BTC/USDT")
    assert len(await minute(served, listener)) == 6
    struck = (await served.control.state())["counters"]["faults"]
    del struck["malformed"]
    assert struck == {"drop": 2, "reorder": 1, "corrupt": 3, "duplicate": 1}


async def test_a_delayed_frame_is_sent_while_the_market_is_held(served: Any) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    await served.control.fault("delay", seconds=0.3, skip=3)
    frames = await minute(served, listener)
    while not any(one["k"]["x"] for one in frames):
        frames.append(await listener.next())
    # The first frame of the next minute was sent before it.
    assert [one["k"]["x"] for one in frames] == [False] * 4 + [True]
    assert frames[3]["k"]["t"] == frames[4]["k"]["t"] + MINUTE


async def test_probabilities_are_repeatable_by_their_seed(served: Any) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    found = []
    for seed in (1, 1, 2):
        await served.control.fault("clear")
        step = {"at": "+0s", "fault": "drop", "probability": 0.5, "count": 1_000}
        await served.control.scenario([step], seed=seed)
        await until_played(served)
        times: list[tuple[int, bool]] = []
        for number in range(6):
            start = served.venue.market_time
            times += [(number, one["k"]["t"] < start) for one in await minute(served, listener)]
            times.append((-1, False))
        found.append(times)
    assert len(found[0]) < 6 * 6
    assert [len(one) for one in found[:1]] == [len(one) for one in found[1:2]]
    assert found[0] == found[1] != found[2]


async def test_account_events_are_lost_repeated_and_late(served: Any) -> None:
    user = await served.user_stream()
    await served.control.fault("drop", match="user@executionReport", count=2)
    await served.order("BUY", "MARKET", quantity="0.01")
    # Of the events of a filled order only the balances are sent.
    assert (await user.next())["event"]["e"] == "outboundAccountPosition"
    await served.control.fault("duplicate", match="user@executionReport", symbol="BTC/USDT")
    await served.control.fault("delay", match="user@outboundAccountPosition", seconds=0.2)
    await served.order("SELL", "MARKET", quantity="0.009")
    events = [(await user.next())["event"] for _ in range(4)]
    kinds = [(event["e"], event.get("x")) for event in events]
    new, trade = ("executionReport", "NEW"), ("executionReport", "TRADE")
    assert kinds == [new, new, trade, ("outboundAccountPosition", None)]


async def test_the_clock_of_the_server_is_skewed_for_a_time(served: Any) -> None:
    ahead = await served.get("time")
    await served.control.fault("clock", skew=90_000)
    skewed = await served.get("time")
    assert skewed["serverTime"] - ahead["serverTime"] >= 90_000
    status, answer = await served.signed("GET", "account")
    assert (status, answer["code"]) == (400, -1021)
    now = time.time_ns() // 1_000_000 + 90_000
    assert (await served.signed("GET", "account", timestamp=now))[0] == 200
    await served.control.fault("clear")
    assert (await served.signed("GET", "account"))[0] == 200


async def test_answers_are_late_or_from_a_lagging_replica(served: Any) -> None:
    await served.control.fault("slow", match="time", seconds=0.2)
    began = time.monotonic()
    await served.get("time")
    assert time.monotonic() - began >= 0.2
    await served.order("BUY", "MARKET", quantity="0.01", newClientOrderId="mine")
    await served.listen(STREAM)
    query: dict[str, Any] = {"symbol": "BTCUSDT", "origClientOrderId": "mine"}
    await served.control.fault("read_lag", seconds=3, count=2)
    status, answer = await served.signed("GET", "order", **query)
    assert (status, answer["code"]) == (400, -2013)
    assert (await served.signed("GET", "myTrades", symbol="BTCUSDT"))[1] == []
    assert (await served.signed("GET", "order", **query))[0] == 200
    await served.advance(STREAM)
    whole = await served.get("klines", symbol="BTCUSDT", interval="1m", limit=5)
    await served.control.fault("read_lag", seconds=30, match="klines")
    assert await served.get("klines", symbol="BTCUSDT", interval="1m", limit=5) == whole[:3]


async def test_a_lagging_replica_returns_former_states(served: Any) -> None:
    async def lagging(path: str, **params: Any) -> Any:
        await served.control.fault("read_lag", seconds=30)
        return (await served.signed("GET", path, **params))[1]

    async def usdt() -> tuple[str, str]:
        account = await lagging("account")
        [found] = [one for one in account["balances"] if one["asset"] == "USDT"]
        return found["free"], found["locked"]

    resting = {"timeInForce": "GTC", "quantity": "0.1", "price": "20000"}
    oco = {"aboveType": "LIMIT_MAKER", "abovePrice": "190000", "belowType": "STOP_LOSS"}
    order = await served.order("BUY", "LIMIT", **resting)
    assert order["status"] == "NEW"
    assert await usdt() == ("10000.00000000", "0.00000000")
    assert await lagging("openOrders") == [] == await lagging("allOrders", symbol="BTCUSDT")
    await served.listen(STREAM)
    await served.advance(STREAM)  # a minute later
    await served.order("BUY", "MARKET", quantity="0.01")
    status, pair = await served.signed(
        "POST",
        "orderList/oco",
        **{"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.005", **oco},
        belowStopPrice="20000",
    )
    assert status == 200, pair
    assert await served.refused("DELETE", "order", symbol="BTCUSDT", orderId=99) == -2011
    mine = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    status, _ = await served.signed("DELETE", "order", **mine)
    assert status == 200
    assert await usdt() == ("8000.00000000", "2000.00000000")
    assert (await lagging("order", **mine))["status"] == "NEW"
    assert [one["orderId"] for one in await lagging("openOrders")] == [order["orderId"]]
    assert [one["status"] for one in await lagging("allOrders", symbol="BTCUSDT")] == ["NEW"]
    assert await lagging("openOrderList") == [] == await lagging("allOrderList")
    assert (await served.signed("GET", "order", **mine))[1]["status"] == "CANCELED"
    assert len((await served.signed("GET", "openOrderList"))[1]) == 1
    await served.advance(STREAM)
    assert (await lagging("order", **mine))["status"] == "CANCELED"
    assert len(await lagging("openOrders")) == 2


async def test_sockets_get_a_shutdown_notice_expire_and_recover(served: Any) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    await served.control.fault("stall", **{"for": 0.2})
    await asyncio.sleep(0.4)
    assert await minute(served, listener)
    await served.control.fault("shutdown", notice=0.1)
    assert (await listener.next())["e"] == "serverShutdown"
    assert await listener.until_closed() == 1001
    listener = await served.listen(STREAM)
    # An expired connection is closed with a close frame.
    struck, code = await asyncio.gather(served.control.fault("expire"), listener.until_closed())
    assert (struck["struck"], code) == (1, 1000)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"at": "+1s"}, "step 1 lacks 'fault'"),
        ({"fault": "reset"}, "step 1 lacks 'at'"),
        ({"at": "soon", "fault": "reset"}, "at is 'soon'"),
        ({"at": 30, "fault": "reset"}, "at is 30"),
        ({"at": "after none orders", "fault": "reset"}, "after 3 orders"),
        ({"at": "+1s", "fault": "rest"}, "Did you mean 'reset'"),
        ({"at": "+1s", "fault": "reset", "tarket": "all"}, "Did you mean 'target'"),
        ({"at": "+1s", "fault": "drop", "probability": 2}, "probability of the fault drop is 2"),
        ({"at": "+1s", "fault": "drop", "for": "long"}, "for of the fault drop is 'long'"),
        ({"at": "+1s", "fault": "clock"}, "needs 'skew'"),
        ("reset", "step 1 is 'reset'"),
    ],
)
def test_an_invalid_step_is_refused(step: object, words: str) -> None:
    with pytest.raises(PaperExchangeError) as refused:
        Scenario.of([step])
    assert words in str(refused.value)


def test_an_invalid_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    texts = {
        "- {at: +1s, fault: reset}\n\n- at: +2s\n  fault: resett\n": "line 3, step 2: Unknown",
        "- {at: +1s, fault: reset": "line 1, column 25 is not plain YAML",
        "steps: []\n": "holds no steps",
        "seed: x\nsteps: [{at: +1s, fault: reset}]": "seed is 'x'",
        "stebs: []\n": "Did you mean 'steps'",
        "just words": "holds no steps",
        "": "holds no steps",
    }
    for text, words in texts.items():
        path.write_text(text)
        with pytest.raises(PaperExchangeError) as refused:
            Scenario.load(path)
        assert words in str(refused.value)
        result = CliRunner().invoke(main, ["paper", "--scenario", str(path)])
        assert result.exit_code == 2 and words in result.output
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PaperExchangeError, match="not plain YAML"):
        Scenario.load(path)
    with pytest.raises(PaperExchangeError, match="There is no scenario file"):
        Scenario.load(tmp_path / "absent.yaml")
    path.write_text("{seed: 3, steps: [{at: 2026-01-05, fault: reset}, {at: 2026-01-05 00:01:00, "
                    "fault: restart, away: 2s}]}")  # fmt: skip
    scenario = Scenario.load(path)
    assert [step.market for step in scenario.steps] == [1_767_571_200_000, 1_767_571_260_000]


async def test_steps_are_performed_at_market_times_and_after_orders(
    served: Any, start_time: int
) -> None:
    listener = await served.listen(STREAM)
    await listener.next()
    await served.control.scenario(
        [
            {"at": start_time + 2 * MINUTE, "fault": "drop_closing"},
            {"at": "after 2 orders", "fault": "before_accept", "reply": "timeout"},
            {"at": "after 2 orders", "fault": "delist", "symbol": "NO/SUCH/THING"},
        ]
    )
    closings = [sum(one["k"]["x"] for one in await minute(served, listener)) for _ in range(3)]
    assert closings == [1, 0, 1]
    for _ in range(2):
        await served.order("BUY", "MARKET", quantity="0.01")
    await until_played(served)
    status, answer = await served.signed("POST", "order", **BUY)
    assert (status, answer["code"]) == (504, -1007)
    played = (await served.control.state())["scenario"]
    assert played["performed"] == 2
    assert "NO/SUCH/THING" in played["errors"][0]


async def test_crashes_and_restarts_need_a_process(served: Any) -> None:
    with pytest.raises(PaperExchangeError, match="Only an exchange in a process"):
        await served.control.fault("crash_after_accept")
    with pytest.raises(PaperExchangeError, match="no supervisor"):
        await served.control.fault("restart")


async def test_a_scenario_file_restarts_a_process_and_crashes_it_at_an_order(
    tmp_path: Path, signer: Any
) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(
        "- {at: after 1 order, fault: restart, away: 0.1s}\n"
        "- {at: after 1 order, fault: crash_after_accept, skip: 1}\n"
    )
    arguments = ["--seed", "7", "--start", "2026-01-05", "--ledger", str(tmp_path / "ledger.db")]

    async with await PaperProcess.start([*arguments, "--scenario", str(path)]) as process:
        control = PaperControl(process.url)

        async def buy(number: int) -> int | None:
            query = {**BUY, "newClientOrderId": f"order-{number}"}
            text = "&".join(f"{name}={value}" for name, value in query.items())
            text += f"&timestamp={time.time_ns() // 1_000_000}"
            try:
                async with aiohttp.ClientSession() as session:
                    async with session.post(
                        f"{process.url}/api/v3/order?{signer(text)}",
                        headers={"X-MBX-APIKEY": PAPER_API_KEY},
                    ) as response:
                        return response.status
            except aiohttp.ClientError:
                return None

        assert await buy(1) == 200

        async def restarted() -> bool:
            try:
                counters = (await control.state())["counters"]["faults"]
            except PaperExchangeError:
                return False
            return bool(counters.get("restart"))

        async with asyncio.timeout(60):
            while not (await restarted() and await buy(2) == 200):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            # After the restart the exchange has all orders that it acknowledged before.
            known = {one["client_order_id"] for one in (await control.ledger())["orders"]}
            assert known == {"order-1", "order-2"}
            assert await buy(3) is None
            while process.running:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await control.close()
    # The order is accepted and on disk, but not answered.
    async with await PaperProcess.start(arguments) as process, process.control() as control:
        known = {one["client_order_id"] for one in (await control.ledger())["orders"]}
        assert known == {"order-1", "order-2", "order-3"}
