"""The thin ccxt.pro subclass: spot only, errors by the venue's own codes, addresses pinned.

ccxt decides by the address of a request which error table applies and which market an id means, so
it behaves differently on a loopback address than on Binance's hosts. Here every answer that reports
an error becomes a `VenueError` with status and code, whatever the address.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import ccxt.async_support as ccxt_async
import orjson
from ccxt.pro.binance import binance as ccxt_binance

from botlib.core.clock import SystemClock
from botlib.core.errors import (
    BotlibError,
    ExchangeError,
    ExchangeUnavailable,
    InvalidInput,
    without_frames,
)
from botlib.venues.binance.capabilities import BINANCE
from botlib.venues.binance.gate import RequestGate
from botlib.venues.binance.keys import key_advice
from botlib.venues.binance.weights import HEADERS, ORDERS, announced, weight_of
from botlib.venues.budget import RequestBudget
from botlib.venues.obstacles import (
    connection_advice,
    foreign_answer,
    is_page,
    offline_advice,
    page_title,
    state_advice,
)
from botlib.venues.proxies import is_loopback, proxy_for

_requests = logging.getLogger(f"{__name__}.requests")
_requests.setLevel(logging.INFO)

_request: ContextVar[int] = ContextVar("request", default=0)
"""Number of the request that is being made, in the budget."""

Connector = Callable[[], aiohttp.BaseConnector]
"""Returns a connector; called on the loop that will use it."""

READ_TIMEOUT: Final = 10_000
"""Longest wait for an answer in ms."""

_NOT_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)
"""Errors before a request could leave this computer for the venue."""

OPTIONS: Final[dict[str, Any]] = {
    "fetchMarkets": {"types": ["spot"]},
    "fetchMargins": False,
    "fetchCurrencies": False,
    "defaultType": "spot",
    "warnOnFetchOpenOrdersWithoutSymbol": False,
    # Signed POSTs must never be sent twice.
    "maxRetriesOnFailure": 0,
    # Compression of small frames costs more than it saves.
    "ws": {"compress": 0},
}


class VenueError(ExchangeError):
    """An error that the venue answered with.

    Attributes:
        status: of the HTTP answer.
        code: the venue's own error code, if the answer has one.
        message: the venue's own text.
        retry_after: seconds to wait before the next request, if the answer says so.
        data: what else the answer has to say, by part of the request.

    Args:
        advice: what to do about it.
    """

    def __init__(
        self,
        status: int,
        code: int | None,
        message: str,
        retry_after: float | None = None,
        data: Mapping[str, Any] | None = None,
        *,
        advice: str = "",
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.data = data
        named = f"HTTP {status}" if code is None else f"HTTP {status}, code {code}"
        # Firewalls of the venue answer with code 0.
        advice = advice or ("" if code else state_advice(status))
        super().__init__(f"The venue answered {message!r} ({named}).{advice and f' {advice}'}")


class Unreachable(ExchangeUnavailable):
    """No answer came. ``sent`` says whether the request may have reached the venue."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class SpotBinance(ccxt_binance):  # type: ignore[misc]
    """ccxt's Binance class, restricted to the spot market and to known addresses.

    Args:
        config: of ccxt.
        rest_url: address of a paper exchange, the only one then reached; None is the real venue.
        ws_url: its stream address.
        budget: what requests are counted in.
        environment: which of the real venue's systems is reached.
    """

    def __init__(
        self,
        config: dict[str, Any],
        *,
        rest_url: str | None,
        ws_url: str | None,
        budget: RequestBudget,
        environment: str = "live",
    ) -> None:
        self.budget = budget
        self.gate = RequestGate()
        self._real = rest_url is None
        self._environment = environment
        self._proxies: dict[str, str | None] = {}
        self._clock = SystemClock()
        super().__init__(config)
        # At DEBUG, ccxt logs requests with the key and the signature in them.
        self.logger = _requests
        if rest_url is not None and ws_url is not None:
            self.urls["api"] = _pinned(self.urls["api"], rest_url, ws_url)
        else:
            self.urls["api"] = _environment(self.urls, environment)
        self._outside = rest_url is None
        self._origins = _origins(self.urls["api"])
        self._known = tuple(f"{scheme}://{place}/" for scheme, place in self._origins)

    @staticmethod
    def hmac(
        request: bytes, secret: bytes, algorithm: Any = hashlib.sha256, digest: str = "hex"
    ) -> Any:
        # One call of OpenSSL; ccxt builds an object for each signature.
        if digest == "hex":
            return hmac.digest(secret, request, algorithm().name).hex()
        return ccxt_binance.hmac(request, secret, algorithm, digest)

    @property
    def verbose(self) -> bool:
        """Whether ccxt prints requests: never, as it prints the key and the signature with them."""
        return False

    @verbose.setter
    def verbose(self, wanted: object) -> None:
        if wanted:
            raise InvalidInput(
                "verbose=True is not accepted: ccxt would print the API key and the signature of "
                "every request into the notebook. Errors of the venue say its status and code."
            )

    def log(self, *args: object) -> None:
        """Print nothing."""

    def milliseconds(self) -> int:
        """Return the calendar time in ms with which requests are signed."""
        return self._clock.now()

    def is_spot_url(self, client: object) -> bool:
        # Otherwise BTCUSDT means the perpetual contract at an address without "/stream".
        return True

    def handle_errors(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        headers: Mapping[str, str] | None,
        body: str | None,
        response: object,
        requestHeaders: object,
        requestBody: object,
    ) -> None:
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        for header, (counted, period) in HEADERS.items():
            used = lowered.get(header)
            if used is not None and used.isdigit():
                self.budget.report(counted, period, int(used), _request.get())
        answer = response if isinstance(response, dict) else {}
        if isinstance(answer.get("rateLimits"), list):
            self.budget.announce(announced(answer["rateLimits"]))
        number = answer.get("code")
        if code < 400 and not (isinstance(number, int) and number < 0):
            if not isinstance(response, (dict, list)):
                raise Unreachable(foreign_answer(body), sent=True)
            return
        page = page_title(body or "") if is_page(body) else body
        text = answer.get("msg") or (page or reason or "")[:200]
        wait = lowered.get("retry-after")
        raise VenueError(
            code,
            number if isinstance(number, int) else None,
            str(text),
            float(wait) if wait and wait.replace(".", "", 1).isdigit() else None,
            answer["data"] if isinstance(answer.get("data"), dict) else None,
            advice=self.advice(number if isinstance(number, int) else None),
        )

    async def fetch(
        self, url: str, method: str = "GET", headers: object = None, body: object = None
    ) -> Any:
        self._check_origin(url)
        return await super().fetch(url, method, headers, body)

    def client(self, url: str) -> Any:
        self._check_origin(url)
        client = super().client(url)
        client.proxy = self.proxy_to(url)
        return client

    def check_proxy_settings(
        self, url: str, method: str, headers: object = None, body: object = None
    ) -> list[str | None]:
        return [None, self.proxy_to(url), None]

    def proxy_to(self, url: str) -> str | None:
        """Return the proxy for an address; a stand-in on this computer needs none."""
        place = urlsplit(url).netloc
        if place not in self._proxies:
            self._proxies[place] = proxy_for(url) if self._real else None
        return self._proxies[place]

    def advice(self, code: int | None) -> str:
        """Return what to do about an error of the real venue, empty if nothing special."""
        return key_advice(code, self._environment) if self._real else ""

    async def call(
        self, endpoint: str, params: Mapping[str, object] | None = None, *, routine: bool = False
    ) -> Any:
        """Call one of ccxt's raw endpoints, such as ``publicGetKlines``, once.

        Args:
            endpoint: its name in ccxt.
            params: of the request.
            routine: whether exits go first when the venue may be asked again after a pause.

        Raises:
            VenueError: the venue answered with an error, or has asked for silence until later.
            Unreachable: no usable answer came. The message holds no address: a signed address
                contains the signature.
        """
        signed = endpoint.startswith("private")
        self._check_gate(signed=signed, routine=routine)
        try:
            with self._counted(weight_of(endpoint, params), ORDERS.get(endpoint, 0)):
                return await getattr(self, endpoint)(dict(params or {}))
        except Exception as error:
            failure = self._explained(endpoint, error)
        # Raised outside of the frames of ccxt, which hold the key, the signature and the answer.
        raise failure

    @contextmanager
    def _counted(self, weight: int, orders: int = 0) -> Iterator[None]:
        """Count a request for as long as it is under way, and close the gate if it is told to."""
        request = self.budget.begin(weight=weight, orders=orders)
        token = _request.set(request)
        try:
            yield
        except VenueError as error:
            self.gate.refused(error.status, error.code, error.message, error.retry_after)
            raise
        finally:
            _request.reset(token)
            self.budget.end(request)

    def _check_gate(self, *, signed: bool, routine: bool) -> None:
        closing = self.gate.closing(signed=signed, routine=routine)
        if closing is not None:
            pause = self.gate.pause(signed=signed, routine=routine)
            raise VenueError(
                closing.status,
                closing.code,
                closing.message,
                pause,
                advice=self.advice(closing.code),
            )

    async def load(self) -> None:
        """Load the venue's markets.

        Raises:
            VenueError: the venue answered with an error.
            Unreachable: no usable answer came.
        """
        self._check_gate(signed=False, routine=True)
        try:
            with self._counted(weight_of("publicGetExchangeInfo")):
                await self.load_markets()
            return
        except Exception as error:
            failure = self._explained("exchangeInfo", error)
        if not isinstance(failure, BotlibError):  # ccxt raises anything on an unusual answer
            failure = Unreachable(
                f"The venue's markets cannot be read: {type(failure).__name__}. Try again.",
                sent=True,
            )
        raise failure

    def _explained(self, endpoint: str, error: Exception) -> Exception:
        """Return the error of a request as it is raised: without the frames it comes from."""
        if isinstance(error, ccxt_async.BaseError) and not isinstance(error, BotlibError):
            cause = error.__cause__ or error
            error = Unreachable(
                f"No answer from the venue to {endpoint}. "
                f"{connection_advice(cause, READ_TIMEOUT / 1_000)}",
                sent=not isinstance(cause, _NOT_SENT),
            )
        return without_frames(error)

    def _check_origin(self, url: str) -> None:
        if not url.startswith(self._known) and urlsplit(url)[:2] not in self._origins:
            raise ExchangeError(
                f"Refused to reach {urlsplit(url).netloc!r}. This venue is reached at "
                f"{', '.join(sorted(place for _, place in self._origins))} only; look at 'mode' "
                "and 'exchange' of the configuration if you meant another one."
            )
        if self._outside and (advice := offline_advice()):
            raise Unreachable(advice, sent=False)


class LoopbackConnector(aiohttp.TCPConnector):
    """A connector that reaches this computer only, redirects included."""

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        require_loopback(str(req.url))
        return await super().connect(req, traces, timeout)


def require_loopback(url: str) -> None:
    """Check that an address names this computer.

    Raises:
        InvalidInput: it does not.
    """
    if not is_loopback(urlsplit(url).hostname or ""):
        raise InvalidInput(
            f"{url!r} is not an address of this computer. A paper exchange is reached on loopback "
            "only, such as http://127.0.0.1:9000."
        )


def make_api(
    *,
    rest_url: str | None,
    ws_url: str | None,
    key: str | None,
    secret: str | None,
    connector: Connector | None = None,
    recv_window: int = BINANCE.order_recv_window,
    budget: RequestBudget | None = None,
    environment: str = "live",
) -> SpotBinance:
    """Build the ccxt instance; call it on the loop that will use it.

    Args:
        rest_url: address of a paper exchange; None is the real venue.
        ws_url: its stream address.
        key: API key.
        secret: API secret.
        connector: makes the connector of a paper exchange.
        recv_window: ms for which the venue takes a signed request.
        budget: what requests are counted in; by default one of its own.
        environment: which of the real venue's systems is reached: live, testnet or demo.
    """
    config: dict[str, Any] = {
        "options": {**orjson.loads(orjson.dumps(OPTIONS)), "recvWindow": recv_window},
        "timeout": READ_TIMEOUT,
        # ccxt spaces all requests evenly; the venue's weight limit allows bursts.
        "enableRateLimit": False,
        "verbose": False,
    }
    if (certificates := os.environ.get("SSL_CERT_FILE")) is not None:
        # Of a proxy that looks into the traffic, as companies have them.
        config["cafile"] = certificates
    if key is not None and secret is not None:
        config |= {"apiKey": key, "secret": secret}
    if rest_url is not None:
        config["session"] = aiohttp.ClientSession(
            connector=(connector or LoopbackConnector)(),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
    api = SpotBinance(
        config,
        rest_url=rest_url,
        ws_url=ws_url,
        budget=budget or RequestBudget(BINANCE.request_limits, SystemClock().now),
        environment=environment,
    )
    if rest_url is not None:
        api.ssl_context = False
        api.timeout_on_exit = 0
    return api


ENVIRONMENTS: Final = {"live": "api", "testnet": "test", "demo": "demo"}
"""The keys of ccxt's tables of addresses."""


def _environment(urls: dict[str, Any], environment: str) -> dict[str, Any]:
    """Return the spot addresses of one of the venue's systems; none leads to another."""
    table = urls[ENVIRONMENTS[environment]]
    found = _pinned(urls["api"], table["public"].removesuffix("/api/v3"), "")
    found["ws"]["spot"] = table["ws"]["spot"]
    found["ws"]["ws-api"] = {"spot": table["ws"]["ws-api"]["spot"]}
    return found


def _pinned(urls: dict[str, Any], rest_url: str, ws_url: str) -> dict[str, Any]:
    """Return ccxt's table of addresses with every address on the paper exchange."""
    rest, ws = rest_url.rstrip("/"), ws_url.rstrip("/")

    def elsewhere(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: elsewhere(inner) for name, inner in value.items()}
        return f"{rest}/not-offered"

    pinned: dict[str, Any] = elsewhere(urls)
    pinned.update({"public": f"{rest}/api/v3", "private": f"{rest}/api/v3", "v1": f"{rest}/api/v1"})
    pinned["sapi"] = f"{rest}/sapi/v1"
    # ccxt requires "/stream" in the address of a spot stream.
    pinned["ws"]["spot"] = f"{ws}/stream/ws"
    pinned["ws"]["ws-api"] = {"spot": f"{ws}/ws-api/v3"}
    return pinned


def _origins(urls: Any) -> frozenset[tuple[str, str]]:
    if isinstance(urls, dict):
        return frozenset().union(*(_origins(inner) for inner in urls.values()))
    return frozenset({urlsplit(str(urls))[:2]})
