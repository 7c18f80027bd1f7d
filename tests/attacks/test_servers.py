"""The servers of a bot and of a paper exchange, attacked by another user and by bad requests."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from botlib.paper import PaperProcess
from tests.support.attacked_bot import AttackedBot, attacked_bot, descriptors, settled_descriptors
from tests.support.paper_process import paper_exchange
from tests.support.strangers import as_another_user, said_by_another_user

pytestmark = pytest.mark.timeout(300)

SILENT = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
held = []
for number in range(int(sys.argv[2])):
    held.append(socket.socket())
    held[-1].settimeout(30)
    try:
        held[-1].connect(("127.0.0.1", int(sys.argv[1])))
    except OSError:
        pass
print("holding", flush=True)
sys.stdin.readline()
"""
"""Opens connections and says nothing."""

ASKING = """
import socket, sys
client = socket.socket()
client.settimeout(30)
client.connect(("127.0.0.1", int(sys.argv[1])))
try:
    client.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin-1"))
    answer = client.recv(4096)
except ConnectionError:
    answer = b""
print(answer.decode("latin-1"))
"""
"""Sends bytes and prints the beginning of the answer."""

MALFORMED = (
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 300,
    b"POST /api/v1/kill HTTP/1.1\r\nHost: x\r\nX-Botlib-Token: guessed\r\nbad header\r\n\r\n",
    b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n",
    b"POST /api/v1/kill HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /api/v1/kill HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedBot]:
    with attacked_bot(tmp_path_factory.mktemp("attacked")) as found:
        yield found


def test_silent_connections_of_another_user_do_not_starve_a_bot(bot: AttackedBot) -> None:
    """Each would hold a file descriptor until none is left for the venue and the kill switch."""
    most = descriptors(bot.pid) + 64
    with as_another_user(SILENT, port_of(bot.url), 1_093) as stranger:
        assert stranger.stdout is not None and stranger.stdout.readline() == "holding\n"
        assert settled_descriptors(bot.pid, most) <= most
        assert bot.ask("/health")[0] in (200, 503)
        status, answer = bot.kill("the market is wild")
        assert (status, answer["killed"]) == (200, True)
        with socket.socket() as own:
            own.connect(("127.0.0.1", port_of(bot.url)))
    assert bot.errors.stat().st_size < 10_000, bot.errors.read_text()[:2_000]


def test_silent_connections_are_closed(bot: AttackedBot) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(3)]
        half, whole = b"GET /health HTTP/1.1\r\nHost: ", b"GET /health HTTP/1.1\r\n\r\n"
        for client, said in zip(clients, (b"", half, whole), strict=True):
            client.settimeout(90)
            client.connect(("127.0.0.1", port_of(bot.url)))
            client.sendall(said)
        for client in clients:
            while client.recv(4_096):
                pass


def test_malformed_requests_write_nothing(bot: AttackedBot) -> None:
    """Their text, a token among it, would fill the error output and so the running cell."""
    before, until = bot.errors.stat().st_size, time.monotonic() + 3
    sent = 0
    while time.monotonic() < until:
        for request in MALFORMED:
            with socket.socket() as client:
                client.settimeout(60)
                client.connect(("127.0.0.1", port_of(bot.url)))
                client.sendall(request)
                try:
                    client.recv(4_096)
                except ConnectionError:
                    pass
                sent += 1
    assert sent > 50
    assert bot.errors.stat().st_size == before
    log = next(Path(bot.token_file).parents[1].rglob("botlib.log")).read_text()
    assert "guessed" not in log and "bad header" not in log
    assert bot.ask("/health")[0] in (200, 503)


def test_an_unknown_charset_and_a_lone_surrogate_are_answered(bot: AttackedBot) -> None:
    token = bot.token_file.read_text().strip()
    named = {"X-Botlib-Token": token, "Content-Type": "text/plain; charset=nonsense"}
    assert bot.ask("/api/v1/kill", {"reason": "a test"}, **named)[0] == 200
    assert bot.ask("/api/v1/kill", {"reason": "half \ud800 a pair"}, **named)[0] == 200
    request = urllib.request.Request(f"{bot.url}/api/v1/kill", b"\xff\xfe", named)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    assert caught.value.code == 400
    caught.value.close()


def test_the_address_of_a_bot_stands_beside_its_token(bot: AttackedBot) -> None:
    """Whoever has taken the configured port gets the token of someone who guesses the address."""
    assert bot.token_file.with_suffix(".url").read_text().strip() == bot.url
    assert bot.token_file.with_suffix(".url").stat().st_mode & 0o777 == 0o600


ORDER = (
    r"POST /api/v3/order?symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1 HTTP/1.1\r\n"
    r"Host: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
FAULT = (
    r"POST /paper/v1/deposit HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 38\r\n\r\n"
    r'{"asset": "USDT", "amount": "1000000"}'
)


def test_a_paper_exchange_answers_no_other_user(bot: AttackedBot) -> None:
    """Its keys are public, and its operator API gives money and injects faults."""
    for said in (ORDER, FAULT, r"GET /api/v3/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"):
        assert said_by_another_user(ASKING, port_of(bot.paper), said).strip() == ""
    # The same bytes of the same user are answered.
    with socket.socket() as client:
        client.connect(("127.0.0.1", port_of(bot.paper)))
        client.sendall(FAULT.encode().decode("unicode_escape").encode())
        assert client.recv(4_096).startswith(b"HTTP/1.1 200")


def test_other_users_are_answered_where_that_is_asked_for() -> None:
    with paper_exchange("--any-user") as url:
        said = r"GET /api/v3/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        assert "200 OK" in said_by_another_user(ASKING, port_of(url), said)


def test_a_client_that_leaves_at_once_is_not_taken_for_root() -> None:
    """A socket that no process holds any more is shown as root's."""
    leaving = ASKING.replace("answer = client.recv(4096)", "answer = b''")
    deposit = FAULT.replace("USDT", "DOGE")
    with paper_exchange() as url:
        for _ in range(20):
            said_by_another_user(leaving, port_of(url), deposit)
        with urllib.request.urlopen(f"{url}/paper/v1/state", timeout=60) as answer:
            assert "DOGE" not in json.load(answer)["balances"]


async def test_a_paper_exchange_keeps_no_silent_connection_of_another_user() -> None:
    async with await PaperProcess.start(["--seed", "7"]) as exchange:
        with as_another_user(SILENT, port_of(exchange.url), 2_000) as stranger:
            assert stranger.stdout is not None and stranger.stdout.readline() == "holding\n"
            assert await asyncio.to_thread(settled_descriptors, exchange.pid, 99) < 100
            async with exchange.control() as control:
                assert (await control.state())["paused"] is False
