"""The client of a paper exchange's control API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
import orjson

from botlib.core.errors import PaperExchangeError
from botlib.paper.protocol.closings import Advance, ClosedCandle
from botlib.paper.protocol.mirror_state import MirrorState

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def require_local(url: str) -> None:
    """Check that the address of a paper exchange is on this computer.

    Raises:
        PaperExchangeError: it is not.
    """
    if urlsplit(url).hostname not in _LOOPBACK:
        raise PaperExchangeError(
            f"{url!r} is not a paper exchange: it listens on this computer only. "
            "Accepted: http://127.0.0.1:PORT."
        )


class PaperControl:
    """The client of a running paper exchange's control API.

    Args:
        url: address of the exchange, ``http://127.0.0.1:PORT``.
        connector: makes the aiohttp connector; None for TCP sockets.

    Raises:
        PaperExchangeError: the address is not on this computer.
    """

    def __init__(
        self, url: str, connector: Callable[[], aiohttp.BaseConnector] | None = None
    ) -> None:
        require_local(url)
        self.url = url.rstrip("/")
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None

    async def state(self) -> dict[str, Any]:
        """Return the venue, market time, speed, balances and counters."""
        return await self._call("GET", "state", {}, None)

    async def mirror(self) -> MirrorState | None:
        """Return how well a mirror follows its venue, None if the market is no mirror."""
        found = (await self._call("GET", "mirror", {}, None))["mirror"]
        return (
            None
            if found is None
            else MirrorState(**{**found, "followed": tuple(found["followed"])})
        )

    async def advance(
        self, streams: Sequence[str], acknowledged: int, timeout: float = 10.0
    ) -> Advance:
        """Run a market in lockstep until a candle of one of ``streams`` has closed.

        The call can be repeated if its answer was lost.

        Args:
            streams: kline streams, such as ``btcusdt@kline_1m``.
            acknowledged: market time (ms) up to which all closed candles were handled: that of the
                last answer, or of `state` at first.
            timeout: seconds after which the answer comes without a closed candle.
        """
        body = {"streams": list(streams), "acknowledged": acknowledged, "timeout": timeout}
        answer = await self._call("POST", "advance", body, timeout + 30)
        closed = [ClosedCandle(**candle) for candle in answer["closed"]]
        return Advance(answer["market_time"], closed, answer["ended"])

    async def fault(self, kind: str, **details: object) -> dict[str, Any]:
        """Perform a fault, or order it for its next occasions.

        At once: ``reset``, ``close`` (``code``), ``stall``, ``blackhole``, ``malformed``
        (``text``), ``shutdown`` (``notice``) and ``expire`` strike the open sockets (``target``:
        streams, user or all); ``clock`` (``skew``, ms), ``restart`` (``away``), ``halt``,
        ``rules``, ``limits`` (``weight``, ``orders_10s``, ``orders_1d``), ``delist``, ``deposit``,
        ``withdraw`` and ``pause`` change the venue.

        At the next occasions: ``drop``, ``duplicate``, ``delay`` (``seconds``), ``reorder``,
        ``corrupt`` (``text``, ``values``), ``drop_closing`` and ``late`` strike frames;
        ``http_status`` (``status``, ``retry_after``), ``slow`` and ``read_lag`` (``seconds``)
        requests; ``before_accept``, ``after_accept`` (``reply``: drop, hang or timeout),
        ``crash_before_accept`` and ``crash_after_accept`` orders. They accept ``count``, ``skip``,
        ``probability``, ``match`` (in the stream or path), ``symbol``, and ``for`` (a duration).

        ``clear`` cancels all faults that wait.
        """
        return await self._call("POST", "fault", {"kind": kind, **details}, None)

    async def scenario(
        self, steps: Sequence[Mapping[str, object]], *, seed: int = 0
    ) -> dict[str, Any]:
        """Play faults, each at its time, such as ``{"at": "+30s", "fault": "reset"}``.

        The `state` contains the progress.
        """
        return await self._call("POST", "scenario", {"steps": list(steps), "seed": seed}, None)

    async def ledger(self, after: int = 0, orders: Sequence[int] = ()) -> dict[str, Any]:
        """Return the orders, trades and balances of the account, as the venue has them.

        ``repeated`` contains the client order ids that several orders were given, whichever orders
        are returned.

        Args:
            after: orders with a greater id are returned, with their trades; 0 for all.
            orders: ids of earlier orders to return as well.
        """
        return await self._call("POST", "ledger", {"after": after, "orders": list(orders)}, None)

    async def candles(
        self, symbol: str, timeframe: str, start: int, end: int
    ) -> list[tuple[int, float, float, float, float, float]]:
        """Return the venue's closed candles with open times ``start`` to ``end`` (ms)."""
        body: dict[str, object] = {"symbol": symbol, "timeframe": timeframe}
        answer = await self._call("POST", "candles", {**body, "start": start, "end": end}, None)
        return [tuple(row) for row in answer["candles"]]

    async def pause(self) -> None:
        """Stop the market at its present time."""
        await self._call("POST", "pause", {}, None)

    async def resume(self) -> None:
        """Run a paused market again."""
        await self._call("POST", "resume", {}, None)

    async def permit(self, permissions: Sequence[str], account: str | None = None) -> None:
        """Set what the API keys of an account may do: ``USER_DATA``, ``TRADE``, ``WITHDRAW``.

        Args:
            account: its name; None is the default one.
        """
        body: dict[str, object] = {"permissions": list(permissions)}
        if account is not None:
            body["account"] = account
        await self._call("POST", "permissions", body, None)

    async def open_account(self, account: str, balances: Mapping[str, Decimal]) -> tuple[str, str]:
        """Return the API key and secret of an account; a new one gets balances.

        Args:
            account: its name, of 1 to 32 letters, digits, ``-`` and ``_``.
            balances: amounts by asset.
        """
        body: dict[str, object] = {
            "account": account,
            "balances": {asset: str(amount) for asset, amount in balances.items()},
            "new_only": True,
        }
        answer = await self._call("POST", "accounts", body, None)
        return str(answer["key"]), str(answer["secret"])

    async def register_key(self, public_key: str, account: str | None = None) -> str:
        """Register an Ed25519 public key, and return the API key that signs with it.

        Args:
            public_key: as PEM.
            account: name of its account; None is the default one.
        """
        body: dict[str, object] = {"public_key": public_key}
        if account is not None:
            body["account"] = account
        return str((await self._call("POST", "keys", body, None))["key"])

    async def close(self) -> None:
        """Close the connection; the exchange continues."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(
        self, method: str, name: str, body: dict[str, object], timeout: float | None
    ) -> dict[str, Any]:
        if self._session is None:
            connector = None if self._connector is None else self._connector()
            self._session = aiohttp.ClientSession(connector=connector)
        try:
            async with self._session.request(
                method,
                f"{self.url}/paper/v1/{name}",
                data=orjson.dumps(body) if body else None,
                timeout=aiohttp.ClientTimeout(total=timeout or 30.0),
                # Whoever listens in place of the exchange could lead to another computer.
                allow_redirects=False,
            ) as response:
                raw = await response.read()
                if 300 <= response.status < 400:
                    raise PaperExchangeError(
                        f"{self.url} is no paper exchange: it answers {name} with a redirection "
                        f"(HTTP {response.status}). Look at what listens there."
                    )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PaperExchangeError(
                f"The paper exchange at {self.url} does not answer: "
                f"{type(error).__name__}: {error}. Is it still running?"
            ) from error
        try:
            answer = orjson.loads(raw)
        except orjson.JSONDecodeError:
            answer = {"error": raw[:200].decode("utf-8", "replace")}
        if not isinstance(answer, dict) or "error" in answer:
            raise PaperExchangeError(
                f"The paper exchange refused {name}: {dict(answer).get('error')}"
            )
        return answer
