"""The feed of one mirrored symbol: its last trade, its book, and its status at the venue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import orjson

from botlib.paper.market.feed import Feed
from botlib.paper.market.market import PaperMarket, SymbolListing
from botlib.paper.mirror.book import MirrorBook
from botlib.paper.mirror.market import Entry
from botlib.paper.mirror.requests import UNREADABLE

QUEUED: Final = 20_000
"""Most trades that wait to be matched."""
_ZERO: Final = Decimal(0)


class MirrorFeed(Feed):
    """A mirrored symbol at the present.

    Args:
        market: the mirrored market.
        listing: the symbol.
        entry: returns its present entry in exchangeInfo.
        awake: returns whether the mirror follows the venue at present.
        walked: whether orders walk the book.
        slippage: fraction by which takers fill worse than the price, if they do not.
        unreadable: is called with a name and an error for what the venue sent in another form.

    Attributes:
        trades: trades that wait to be matched with the accounts' orders.
        trade_id: id of the last aggregate trade that was shown, 0 before the first.
        overflowing: whether trades are lost at present, since too many wait.
    """

    mirrored = True

    def __init__(
        self,
        market: PaperMarket,
        listing: SymbolListing,
        *,
        entry: Callable[[], Entry],
        awake: Callable[[], bool],
        walked: bool,
        slippage: Decimal,
        unreadable: Callable[[str, Exception], None],
    ) -> None:
        super().__init__(market, listing, 1, slippage=slippage)
        self.mirror_book = MirrorBook(self, walked=walked, slippage=slippage, unreadable=unreadable)
        self.book = self.mirror_book
        self.trades: deque[bytes] = deque()
        self.trade_id = 0
        self.overflowing = False
        self._entry, self._awake = entry, awake
        self._newest: bytes | None = None
        self._last = _ZERO
        self._seller_taker = False
        self._average_frame: bytes | None = None
        self._average_price = _ZERO
        self._unreadable = unreadable

    @property
    def entry(self) -> Entry:
        """The symbol's entry in the venue's exchangeInfo."""
        return self._entry()

    # -- the present

    def seek(self, time: int) -> None:
        """Note the market time (ms); what is shown is always the present."""
        self.time = max(self.time, time)

    def reload(self) -> None:
        """Do nothing: there are no candles here."""

    @property
    def known(self) -> bool:
        """Whether the price and the book are known."""
        return (self._newest is not None or self.price > 0) and (
            self.book.deep or self.mirror_book.known
        )

    @property
    def trading(self) -> bool:
        """Whether the symbol trades at the venue, and the mirror knows what happens there."""
        return self.known and self.status == "TRADING"

    @property
    def status(self) -> str:
        """The symbol's status in exchangeInfo; ``BREAK`` while the mirror is stale."""
        if self.rules.status != "TRADING":
            return self.rules.status
        status = str(self.entry.get("status", "BREAK"))
        return status if status != "TRADING" or self._awake() else "BREAK"

    @property
    def over(self) -> bool:
        """False: there is no last candle."""
        return False

    @property
    def opening(self) -> bool:
        """True: a stop that a trade triggers fills no better than at the price of the trade."""
        return True

    @property
    def falling(self) -> bool:
        """Whether the taker of the last trade was a seller."""
        self._read()
        return self._seller_taker

    @property
    def last_price(self) -> Decimal:
        """The price of the last trade."""
        self._read()
        return self._last

    def trade_number(self, time: int) -> int:
        """Return the id of the last aggregate trade of the venue."""
        self._read()
        return self.trade_id

    def average(self) -> Decimal:
        """Return the venue's average price of the last five minutes."""
        frame, self._average_frame = self._average_frame, None
        if frame is not None:
            try:
                found: dict[str, Any] = orjson.loads(frame)
                self._average_price = Decimal(found["w"] if "w" in found else found["price"])
            except UNREADABLE as error:
                self._unreadable(f"the average price of {self.id}", error)
        return self._average_price or self.last_price

    # -- what the venue sends

    def show_trade(self, payload: bytes) -> None:
        """Show an aggregate trade, which is read when somebody looks at it."""
        self._newest = payload

    def show_average(self, payload: bytes) -> None:
        """Show an average price, of a stream or of an answer."""
        self._average_frame = payload

    def apply(self, payload: bytes) -> bool:
        """Read and show an aggregate trade at once, and return whether it is a new one."""
        self._read()
        return self._show(payload)

    def _read(self) -> None:
        payload, self._newest = self._newest, None
        if payload is not None:
            self._show(payload)

    def _show(self, payload: bytes) -> bool:
        try:
            trade: dict[str, Any] = orjson.loads(payload)
            number, price, amount = int(trade["a"]), Decimal(trade["p"]), float(trade["q"])
            seller_taker = bool(trade["m"])
            if price <= 0:
                raise ValueError(f"the price {price}")
        except UNREADABLE as error:
            self._unreadable(f"the trades of {self.id}", error)
            return False
        if number <= self.trade_id:
            return False
        self.trade_id, self._last = number, price
        self.price, self.traded = float(price), amount
        self._seller_taker = seller_taker
        return True
