"""The options of a paper exchange: one record from the configuration to the serving process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from botlib.core.clock import iso
from botlib.core.errors import PaperExchangeError
from botlib.core.project import data_directory
from botlib.core.timeframe import timeframe_ms
from botlib.paper.market.depth import Depth
from botlib.paper.market.market import PaperMarket
from botlib.paper.market.market_clock import MarketPace
from botlib.paper.mirror.source import MirrorSource
from botlib.store.stretch import StoredStretch

if TYPE_CHECKING:
    from botlib.config import PaperSettings

SAVE_INTERVAL: Final = 1.0
"""Usual seconds between two writes of the market time to the ledger."""

EventOrder = Literal["either", "first", "last"]
"""When the user events of a request are sent: before its answer, after it, or either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOptions:
    """The market that a paper exchange plays, its account, its costs and its address.

    Attributes:
        seed: seed of the synthetic market.
        recordings: candle files to replay.
        mirror: the real venue to follow, in place of a market of the computer's own.
        stretch: stored candles to replay; without them and files the market is synthetic.
        symbols: symbols that the market must list, besides its own.
        start: first market time in ms; None for now, or for a moment in the recording.
        history: candles that each of ``symbols`` must have before the first moment of a recording;
            None to start at the beginning of the recording.
        pace: how market time passes.
        depth: the orders around the price; None for a market that fills any amount at one price.
        slippage: fraction by which market orders fill worse than the price.
        balances: what a new account owns, by asset.
        fee: fraction of what a trade receives.
        maker_fee: the same of an order that rested; None is ``fee``, a negative one is a rebate.
        burn_bnb: whether the default account pays its fees in BNB from the start.
        bnb_price: price of a BNB in any quote, for those fees; None for the market's price.
        events: whether the user events of a request are sent before its answer, after it, or
            either.
        event_seed: seed of that choice, if it is ``either``.
        ledger: file of the accounts; None for accounts that end with the process.
        port: 0 for any free one.
        any_user: whether programs of other users of this computer are answered.
        scenario: file of faults to play; None for none.
        watch_parent: whether to end when the parent process ends.
        save_interval: seconds between two writes of the market time to the ledger.
    """

    seed: int = 42
    recordings: tuple[Path, ...] = ()
    stretch: StoredStretch | None = None
    mirror: MirrorSource | None = None
    symbols: tuple[str, ...] = ()
    start: int | None = None
    history: int | None = None
    pace: MarketPace = field(default_factory=lambda: MarketPace(1.0))
    depth: Depth | None = None
    slippage: Decimal = Decimal(0)
    balances: Mapping[str, Decimal] = field(default_factory=lambda: {"USDT": Decimal(10_000)})
    fee: Decimal = Decimal("0.001")
    maker_fee: Decimal | None = None
    burn_bnb: bool = False
    bnb_price: Decimal | None = None
    events: EventOrder = "either"
    event_seed: int = 0
    ledger: Path | None = None
    port: int = 0
    any_user: bool = False
    scenario: Path | None = None
    watch_parent: bool = False
    save_interval: float = SAVE_INTERVAL

    @classmethod
    def configured(
        cls,
        settings: PaperSettings,
        symbols: Iterable[str] = (),
        history: int | None = None,
        *,
        directory: Path | None = None,
        lead: int = 0,
    ) -> PaperOptions:
        """Return the options for the paper section of a configuration.

        Args:
            settings: the paper section.
            symbols: symbols that are traded.
            history: candles that each of them must have before the first moment.
            directory: the data directory, whose stored candles a replay plays.
            lead: how far before a replayed stretch stored candles are its history, ms.
        """
        stretch = None
        if settings.replay is not None:
            stretch = StoredStretch(
                directory=directory or data_directory(), lead=lead, **settings.replay.model_dump()
            )
        mirror = None
        if settings.market == "mirror":
            mirror = MirrorSource(**settings.mirror.model_dump())
        pace = MarketPace(None if settings.speed == "max" else settings.speed)
        depth = None
        if settings.depth is not None:
            seed = settings.seed if settings.depth.seed is None else settings.depth.seed
            depth = Depth(**{**settings.depth.model_dump(), "seed": seed})
        return cls(
            seed=settings.seed,
            recordings=settings.recording,
            stretch=stretch,
            mirror=mirror,
            symbols=tuple(symbols),
            start=settings.start if isinstance(settings.start, int) else None,
            history=history,
            # In lockstep the client advances the market, which has no speed of its own.
            pace=MarketPace(None, lockstep=True) if settings.lockstep else pace,
            depth=depth,
            balances=settings.balances,
            fee=settings.fee,
            maker_fee=settings.maker_fee,
            slippage=settings.market_slippage,
            burn_bnb=settings.burn_bnb,
            bnb_price=settings.bnb_price,
            events=settings.events,
            event_seed=settings.seed,
        )

    def open_market(self) -> PaperMarket:
        """Return the market, with `symbols` listed; reading a recording takes a while.

        A mirror lists nothing until it is opened.

        Raises:
            InvalidInput: stored candles of a stretch are missing.
            RecordingError: a recording cannot be read.
            UnknownSymbol: the market cannot trade one of the symbols.
        """
        market: PaperMarket
        if self.mirror is not None:
            from botlib.paper.mirror.market import MirrorMarket

            # It lists nothing before it is opened, which takes a network.
            return MirrorMarket(self.mirror)
        if self.stretch is not None:
            from botlib.paper.market.replay import ReplayMarket

            market = ReplayMarket.of_stretch(self.stretch)
        elif self.recordings:
            from botlib.paper.market.replay import ReplayMarket

            market = ReplayMarket(self.recordings)
        else:
            from botlib.paper.market.synthetic import SyntheticMarket

            market = SyntheticMarket(self.seed)
        for symbol in self.symbols:
            market.listing(symbol)
        return market

    def first_moment(self, market: PaperMarket, *, now: int) -> int:
        """Return the market time (ms) at which a new exchange starts.

        Args:
            market: what is traded.
            now: the moment at which a market without an end starts, ms.

        Raises:
            UnknownSymbol: the market does not trade one of the symbols.
            PaperExchangeError: the history leaves nothing to replay.
        """
        if self.mirror is not None:
            return now
        if self.start is not None:
            return self.start
        spans = [market.span(listing.symbol) for listing in market.listings()]
        if any(end is None for _, end in spans):
            return now
        if self.history is None:
            return min(begin for begin, _ in spans)
        begin = max(market.span(symbol)[0] for symbol in self.symbols)
        first = begin + self.history * timeframe_ms(market.base)
        from botlib.paper.market.replay import ReplayMarket

        if isinstance(market, ReplayMarket) and market.opening is not None:
            first = max(first, market.opening)
        last = min(end for _, end in spans if end is not None)
        if first > last:
            raise PaperExchangeError(
                f"Nothing is left to replay: the candles of {market.base} last from {iso(begin)} "
                f"to {iso(last)}, and the first {self.history} are history. Pass a smaller "
                "history= or more candles."
            )
        return first

    def to_json(self) -> str:
        """Return the options as JSON, for `from_json`."""
        return orjson.dumps(self, default=str).decode()

    @classmethod
    def from_json(cls, text: str) -> PaperOptions:
        """Return the options that `to_json` wrote."""
        values: dict[str, Any] = orjson.loads(text)
        depth = values["depth"]
        if depth is not None:
            depth["spread"], depth["size"] = Decimal(depth["spread"]), Decimal(depth["size"])
            values["depth"] = Depth(**depth)
        for name in ("slippage", "fee", "maker_fee", "bnb_price"):
            values[name] = None if values[name] is None else Decimal(values[name])
        for name in ("ledger", "scenario"):
            values[name] = None if values[name] is None else Path(values[name])
        values["balances"] = {
            asset: Decimal(amount) for asset, amount in values["balances"].items()
        }
        if values["stretch"] is not None:
            stretch = values["stretch"]
            stretch["directory"] = Path(stretch["directory"])
            stretch["symbols"] = tuple(stretch["symbols"])
            values["stretch"] = StoredStretch(**stretch)
        if values["mirror"] is not None:
            cache = values["mirror"]["cache"]
            values["mirror"]["cache"] = None if cache is None else Path(cache)
            values["mirror"] = MirrorSource(**values["mirror"])
        values["recordings"] = tuple(map(Path, values["recordings"]))
        values["symbols"] = tuple(values["symbols"])
        values["pace"] = MarketPace(**values["pace"])
        return cls(**values)
