"""`Exchange`: the contract that every venue fulfils, and the records it exchanges.

`botlib.venues.binance` is the one implementation; it reaches the real venue and the paper exchange
alike. Nothing above this package knows a venue's own names.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypedDict, TypeVar

from botlib.core.market import Market as Market
from botlib.core.model import Candle, Fill, OrderIntent, OrderStatus, OrderType, Side
from botlib.venues.budget import Purpose, RequestBudget
from botlib.venues.capabilities import VenueCapabilities

if TYPE_CHECKING:
    import random

RawKline = Mapping[str, Any]
"""A candle as the venue's stream writes it, to be read by `Exchange.candle`; never changed."""

KlineSink = Callable[[int, int, bool, RawKline], None]
"""Receives one frame: open time (ms), event time (ms), whether the candle is final, the candle."""

DepthSink = Callable[["DepthUpdate"], None]
"""Receives one frame of changes of an order book."""

Sink = TypeVar("Sink", contravariant=True)

BadFrameSink = Callable[[str, str], None]
"""Receives a frame that could not be used: its text (shortened) and what is wrong with it."""

ReportSink = Callable[["OrderReport"], None]
"""Receives one report of the venue about one of our orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The amounts that the account holds of one asset."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """Free and locked together."""
        return self.free + self.locked


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """The venue's report about one order, in an answer or on the user-data stream.

    ``filled`` and ``cost`` (quote units) are the order's totals so far. ``fills`` are only the
    executions that this report itself carries: those of an immediate fill, or the one execution of
    a stream event. A queried order carries none; `Exchange.fetch_fills` has them.
    """

    symbol: str
    client_order_id: str
    venue_order_id: str
    side: Side
    type: OrderType
    amount: Decimal
    price: Decimal | None
    status: OrderStatus
    filled: Decimal
    cost: Decimal
    fills: tuple[Fill, ...] = ()
    created: int
    updated: int
    stop_price: Decimal | None = None
    message: str = ""
    """Why the venue refused or ended the order, if it says so."""


@dataclass(slots=True, kw_only=True)
class ReplaceReport:
    """The result of a request to cancel an order and send another.

    Attributes:
        cancelled: the old order after it was cancelled, None if it was not.
        cancel_error: why not.
        placed: the new order, None if it was not placed.
        place_error: why not; None as well if it was not tried, since the other was not cancelled.
    """

    cancelled: OrderReport | None = None
    cancel_error: Exception | None = None
    placed: OrderReport | None = None
    place_error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPermissions:
    """What an API key may do, and what its account pays.

    Attributes:
        trade: whether it may place orders on the spot market.
        withdraw: whether it may move money away.
        source: which answers of the venue say so.
        addresses: whether it works from certain addresses only; None if the venue does not say.
        fee: fraction of the value of a fill that the account pays as the taker, without discounts;
            None if the venue does not say.
    """

    trade: bool
    withdraw: bool
    source: str
    addresses: bool | None = None
    fee: Decimal | None = None


class BookLevel(NamedTuple):
    """A price of an order book, and the amount at that price in base units."""

    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthUpdate:
    """The changes of an order book by its updates ``first`` to ``last``.

    An amount of 0 removes the level. ``event_time`` is market time in ms.
    """

    first: int
    last: int
    event_time: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthSnapshot:
    """An order book at update ``update_id``, the best prices first."""

    update_id: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]


class StreamConnection(Protocol[Sink]):
    """One open socket, which carries up to `streams_per_connection` subscriptions."""

    frames: int
    """Number of usable frames so far. Pings, pongs and acknowledgements do not count."""

    heard: float
    """Time of the last of them on the loop's timer; before the first, the time of the dial."""

    async def subscribe(self, sinks: Mapping[tuple[str, str], Sink]) -> None:
        """Subscribe to pairs of symbol and timeframe or kind, in batches the venue allows.

        Returns when the venue has acknowledged all of them.

        Raises:
            ExchangeUnavailable: the socket died or an acknowledgement did not come in time.
            ExchangeError: the venue refused a subscription.
        """

    async def unsubscribe(self, keys: Sequence[tuple[str, str]]) -> None:
        """End subscriptions; returns when no frame of them follows.

        Raises:
            ExchangeUnavailable: the socket died or the acknowledgement did not come in time.
            ExchangeError: the venue refused.
        """

    async def ended(self) -> str:
        """Wait until the socket is dead, and return why."""

    async def retiring(self) -> str:
        """Wait until the venue announces that it will close the socket, and return the reason."""

    def hold(self, held: bool) -> None:
        """Pause or resume reading; while paused, a fast venue waits for a slow reader."""

    async def close(self) -> None:
        """Close the socket within about a second, dead or alive; closing twice is harmless."""


class Exchange(Protocol):
    """The contract of a venue: candles, orders, balances.

    An exchange belongs to the loop that called `connect`.
    """

    venue: str
    """The stamp of its data: the venue's name, or that of a paper market such as
    ``paper:synthetic:seed=42``."""

    capabilities: VenueCapabilities
    """What the venue offers, and its limits."""

    budget: RequestBudget
    """What may be requested, shared by reads, entries and exits."""

    on_barred: Callable[[str], None]
    """Is called with the reason if the venue bars this computer or refuses the key."""

    async def connect(self) -> None:
        """Load and check the venue's markets; a second call does nothing.

        Raises:
            ExchangeUnavailable: the venue cannot be reached.
        """

    def market(self, symbol: str) -> Market:
        """Return how a symbol (either form) is traded.

        Raises:
            UnknownSymbol: the venue does not list it; the message suggests one it lists.
        """

    def markets(self) -> list[Market]:
        """Return everything that the venue lists, as it was read when it connected."""

    async def reload_market(self, symbol: str, *, purpose: Purpose = Purpose.READ) -> Market:
        """Read again how a symbol is traded; one that is not listed any more is not active.

        Args:
            purpose: as in `fetch_order`.

        Raises:
            ExchangeUnavailable: the venue cannot be reached, or asks to wait for too long.
        """

    def candle_stream(self, symbol: str, timeframe: str) -> str:
        """Return the venue's own name of a candle stream.

        Raises:
            UnknownSymbol: the venue does not list the symbol.
        """

    async def market_time(self) -> int:
        """Return the market's time in ms: the server's clock, or the clock of a paper market."""

    def candle(self, symbol: str, timeframe: str, raw: RawKline, *, closed: bool) -> Candle:
        """Convert a streamed candle.

        Raises:
            InvalidInput: a value cannot be read, or the candle is impossible.
        """

    async def fetch_candles(
        self,
        symbol: str,
        timeframe: str,
        start: int,
        end: int,
        *,
        now: int,
        limit: int | None = None,
        forming: bool = False,
    ) -> list[Candle]:
        """Fetch the candles with open times ``start`` to ``end`` (ms, both included), oldest first.

        A candle whose close time is not before ``now`` (market time, ms) still forms: it is left
        out, or with ``forming`` returned with ``closed=False``. ``limit`` keeps the oldest n.

        Raises:
            ExchangeUnavailable: the venue cannot be reached, or asks to wait for too long.
        """

    async def place_order(self, intent: OrderIntent) -> OrderReport:
        """Send an order once; it is never sent again, whatever the outcome.

        Raises:
            OrderRejected: the venue definitely refused it, or it was never sent.
            OrderUnknown: it may exist; `fetch_order` tells what became of it.
        """

    async def place_list(self, intents: Sequence[OrderIntent]) -> list[OrderReport]:
        """Send a target and a stop that cancel each other, once.

        Raises:
            OrderRejected: the venue definitely refused them, or they were never sent.
            OrderUnknown: they may exist.
        """

    async def replace_order(self, client_order_id: str, intent: OrderIntent) -> ReplaceReport:
        """Cancel an order and send another in one request; nothing is sent if the first fails.

        Raises:
            OrderRejected: neither was done.
            OrderUnknown: either may have been done.
        """

    async def fetch_order(
        self, symbol: str, client_order_id: str, *, purpose: Purpose = Purpose.READ
    ) -> OrderReport | None:
        """Return an order, or None if the venue does not know it (yet).

        Args:
            purpose: what the question is for: how much of the venue's limits it leaves to exits,
                and whether it is waited for.

        Raises:
            ExchangeUnavailable: the venue could not be asked.
            ExchangeBusy: the question would have to wait.
        """

    async def cancel_order(self, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an open order.

        Raises:
            OrderRejected: the venue has no such open order: it is final already, or unknown.
            OrderUnknown: it may be cancelled; `fetch_order` tells what became of it.
        """

    async def open_orders(self, symbol: str | None = None) -> list[OrderReport]:
        """Return the open orders of one symbol, or of all."""

    async def fetch_fills(
        self, symbol: str, from_id: int = 0, *, purpose: Purpose = Purpose.READ
    ) -> list[Fill]:
        """Return our executions of a symbol with trade ids from ``from_id`` up, oldest first."""

    async def balances(self, *, purpose: Purpose = Purpose.READ) -> dict[str, Balance]:
        """Return the balances of the account by asset, without those that are zero.

        Args:
            purpose: as in `fetch_order`.
        """

    async def permissions(self) -> KeyPermissions:
        """Return what the API key may do, and what its account pays.

        Raises:
            ExchangeError: the venue does not say what the key may do.
        """

    def arm(self) -> None:
        """Allow orders. At the real venue none can be sent before; a paper exchange needs none."""

    async def watch_executions(
        self,
        sink: ReportSink,
        *,
        on_connect: Callable[[], None] | None = None,
        on_loss: Callable[[str], None] | None = None,
    ) -> None:
        """Deliver every report of the user-data stream to ``sink``, for ever, reconnecting.

        ``on_connect`` is called at each (re)connection: earlier reports are lost, so the caller has
        to fetch orders and fills then.
        """

    async def open_klines(self, on_bad: BadFrameSink) -> StreamConnection[KlineSink]:
        """Open a connection for candle streams: (symbol, timeframe) pairs.

        Raises:
            ExchangeUnavailable: the venue cannot be reached.
        """

    async def open_depth(self, on_bad: BadFrameSink) -> StreamConnection[DepthSink]:
        """Open a connection for changes of order books: (symbol, any text) pairs.

        Raises:
            ExchangeUnavailable: the venue cannot be reached.
        """

    async def fetch_depth(self, symbol: str, levels: int) -> DepthSnapshot:
        """Fetch the order book, ``levels`` a side.

        Raises:
            ExchangeUnavailable: the venue cannot be reached, or asks to wait for too long.
        """

    async def close(self) -> None:
        """Close every connection; closing twice is harmless."""


MarketTime = Callable[[], Awaitable[int]]
"""Returns the market's time in ms, for markets whose time is not the server's."""


class Revealable(Protocol):
    """A secret that is shown on request only."""

    def reveal(self) -> str:
        """Return the text itself."""


class VenueKeys(Protocol):
    """A pair of an API key and its secret."""

    @property
    def key(self) -> Revealable:
        """The API key."""

    @property
    def secret(self) -> Revealable:
        """The API secret."""


class ExchangeOptions(TypedDict, total=False):
    """The options with which an exchange can be built; each may be left out.

    Attributes:
        rest_url: address of a paper exchange, loopback only; None is the real venue.
        keys: API key and secret; without them only market data can be read. Those of a paper
            exchange may be a pair of plain texts, since they are worthless.
        market_time: returns the market's time of a paper exchange; None reads the server's clock.
        max_wait: longest wait in seconds that a "slow down" answer may impose on a read.
        connector: makes the aiohttp connector with which a paper exchange is reached.
        rng: source of the jitter of retries and reconnections.
    """

    rest_url: str | None
    keys: VenueKeys | tuple[str, str] | None
    market_time: MarketTime | None
    max_wait: float
    connector: Callable[[], Any] | None
    rng: random.Random | None
