"""Errors of signed requests, as IPython shows them: without key and signature in every mode."""

from __future__ import annotations

import string
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from IPython.core.ultratb import FormattedTB

from botlib.config.secrets import ApiKeys, keys_at_hand
from botlib.core.errors import BotlibError, InvalidInput
from botlib.core.model import OrderIntent, OrderType, Side
from botlib.paper import PaperProcess
from botlib.runtime.outputs import OUTPUTS, mask_outputs
from botlib.venues.binance.socket import UserSocket
from botlib.venues.binance.venue import BinanceExchange

pytestmark = pytest.mark.timeout(240)

MODES = ("Plain", "Context", "Verbose", "Minimal", "Docs")
_RNG = Random(5)
KEY, SECRET = ("".join(_RNG.choices(string.ascii_letters + string.digits, k=64)) for _ in "ks")


def shown(error: BaseException) -> str:
    """Return an error as IPython shows it, in all modes."""
    texts = []
    for mode in MODES:
        shower = FormattedTB(mode=mode)
        found = shower.structured_traceback(type(error), error, error.__traceback__)
        texts.append("\n".join(found))
    return "\n".join(texts)


@pytest.fixture
async def exchange(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[BinanceExchange]:
    """Return a paper exchange taken for the venue, with keys that it refuses."""
    monkeypatch.setenv("BINANCE_API_KEY", KEY)
    monkeypatch.setenv("BINANCE_API_SECRET", SECRET)
    options = ["--seed", "7", "--symbols", "BTC/USDT", "--start", "now"]
    async with await PaperProcess.start(options, log=tmp_path / "paper.log") as process:
        found = BinanceExchange(
            venue="binance", rest_url=process.url, keys=ApiKeys.from_environment()
        )
        await found.connect()
        found.arm()
        yield found
        await found.close()


INTENT = OrderIntent(
    client_order_id="x-1",
    symbol="BTC/USDT",
    side=Side.BUY,
    type=OrderType.MARKET,
    amount=Decimal("0.01"),
    strategy="test",
)

CALLS: dict[str, Callable[[BinanceExchange], Awaitable[object]]] = {
    "balances": lambda exchange: exchange.balances(),
    "permissions": lambda exchange: exchange.permissions(),
    "an order": lambda exchange: exchange.place_order(INTENT),
    "a cancellation": lambda exchange: exchange.cancel_order("BTC/USDT", "x-1"),
    "open orders": lambda exchange: exchange.open_orders(),
    "fills": lambda exchange: exchange.fetch_fills("BTC/USDT"),
}


async def failed(call: Awaitable[object]) -> BaseException:
    try:
        await call
    except BotlibError as error:
        return error
    raise AssertionError("the call did not fail")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("reached", [True, False])
async def test_neither_key_nor_signature_is_in_a_traceback(
    exchange: BinanceExchange, name: str, reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames of ccxt hold both, and a mode that shows variables would print them."""
    if not reached:
        # A port on which nothing listens any more.
        api = exchange._api
        monkeypatch.setattr(api, "urls", {**api.urls, "api": _elsewhere(api.urls["api"])})
        monkeypatch.setattr(api, "_known", ("http://127.0.0.1:1/",))
    error = await failed(CALLS[name](exchange))
    text = shown(error)
    assert "BotlibError" in [kind.__name__ for kind in type(error).__mro__]
    for hidden in (KEY, SECRET, KEY[:8], SECRET[:8], "signature="):
        assert hidden not in text
    chain: BaseException | None = error
    while chain is not None:
        trace = chain.__traceback__
        while trace is not None:
            assert "ccxt" not in trace.tb_frame.f_code.co_filename
            trace = trace.tb_next
        chain = chain.__context__


def _elsewhere(urls: object) -> object:
    if isinstance(urls, dict):
        return {name: _elsewhere(inner) for name, inner in urls.items()}
    return "http://127.0.0.1:1/" + str(urls).partition("//")[2].partition("/")[2]


async def test_a_refused_subscription_shows_neither_key_nor_signature(
    exchange: BinanceExchange,
) -> None:
    socket = UserSocket(exchange._api, lambda event: None, lambda text, reason: None)
    await socket.open()
    try:
        text = shown(await failed(socket.subscribe()))
    finally:
        await socket.close()
    for hidden in (KEY, SECRET, KEY[:8], SECRET[:8], "signature'"):
        assert hidden not in text


async def test_a_connection_that_fails_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BINANCE_API_KEY", KEY)
    monkeypatch.setenv("BINANCE_API_SECRET", SECRET)
    keys = ApiKeys.from_environment()
    exchange = BinanceExchange(venue="binance", rest_url="http://127.0.0.1:1", keys=keys)
    text = shown(await failed(exchange.connect()))
    await exchange.close()
    for hidden in (KEY, SECRET, KEY[:8], SECRET[:8]):
        assert hidden not in text


async def test_ccxt_is_not_made_to_print_requests(
    exchange: BinanceExchange, capsys: pytest.CaptureFixture[str]
) -> None:
    api = exchange._api
    with pytest.raises(InvalidInput, match="would print the API key"):
        api.verbose = True
    assert api.verbose is False
    api.__dict__["verbose"] = True
    api.log("anything", KEY)
    await failed(exchange.balances())
    assert capsys.readouterr().out == ""


class _Kernel:
    """A kernel whose session keeps what it sends."""

    def __init__(self) -> None:
        self.session = self
        self.sent: list[object] = []

    def send(
        self, stream: object, message: object, content: object = None, *rest: object, **more: object
    ) -> None:
        self.sent.append((message, content, rest, more))


def test_every_way_in_which_a_kernel_sends_an_output_is_masked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BINANCE_API_SECRET", SECRET)
    keys_at_hand()
    kernel = _Kernel()
    mask_outputs(kernel)
    mask_outputs(kernel)
    content = {"data": {"text/plain": [SECRET]}, "metadata": {SECRET: 1}}
    for kind in OUTPUTS:
        kernel.session.send(None, kind, content, {"parent": 1}, ident=b"x")
        kernel.session.send(None, {"msg_type": kind, "content": content, "header": {}}, ident=b"x")
    kernel.session.send(None, "comm_msg", {"data": 1})
    assert SECRET not in str(kernel.sent) and SECRET[:8] not in str(kernel.sent)
    assert len(kernel.sent) == 2 * len(OUTPUTS) + 1
    assert kernel.sent[0][2:] == (({"parent": 1},), {"ident": b"x"})  # type: ignore[index]
