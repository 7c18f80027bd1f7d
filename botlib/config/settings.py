"""`Settings`: everything that can be configured, the defaults, and the rules between values."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from botlib.config.fields import (
    Balances,
    Count,
    Duration,
    Fraction,
    LoopbackUrl,
    Moment,
    Paths,
    PositiveFraction,
    PositiveMoney,
    SignedFraction,
    Speed,
    Start,
    Switch,
    Symbol,
    Symbols,
    Timeframe,
    Timeframes,
)
from botlib.config.reading import read_yaml, validated
from botlib.core.symbol import split_symbol
from botlib.venues.kinds import PAPER_KINDS
from botlib.venues.registry import DEFAULT_VENUE, VENUES


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DepthSettings(_Section):
    """The order book of the paper exchange, and the latency of its orders."""

    spread: Fraction = Decimal("0.0002")
    """Distance between the best prices, a fraction of the price."""
    levels: Annotated[int, Field(strict=True, ge=1, le=5_000)] = 50
    size: PositiveMoney = Decimal(5_000)
    """Average amount at a level, in quote units."""
    latency: Annotated[int, Field(strict=True, ge=0, le=60_000)] = 0
    """ms between an order's arrival and its matching."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = None
    """Seed of the amounts; None is the seed of the market."""


class ReplaySettings(_Section):
    """A stretch of stored candles to replay."""

    symbols: Symbols
    since: Moment = None
    """First open time; a span counts back from the newest candle. None is the first candle."""
    until: Moment = None
    """Last open time; None is that of the newest candle."""
    timeframe: Timeframe | None = None
    """Of the candles; None is the shortest that all symbols have."""
    venue: str = DEFAULT_VENUE

    @field_validator("venue")
    @classmethod
    def _real_venue(cls, venue: str) -> str:
        if venue not in VENUES:
            raise ValueError(f"unknown venue {venue!r}; accepted: {', '.join(VENUES)}")
        return venue


class MirrorSettings(_Section):
    """The real venue that a mirrored market follows."""

    venue: Literal["binance"] = "binance"
    upstream: LoopbackUrl = None
    """A paper exchange that stands in for the venue."""
    stale_after: Duration = 10.0
    """Seconds without a frame of the venue after which nothing is filled any more."""
    book: Switch = True
    """Whether orders walk the mirrored book; otherwise they fill at the last price."""


class PaperSettings(_Section):
    """The market, the speed and the balances of the paper exchange."""

    market: Literal["synthetic", "recording", "replay", "mirror"] = "synthetic"
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 42
    recording: Paths = ()
    replay: ReplaySettings | None = None
    mirror: MirrorSettings = MirrorSettings()
    start: Start = Field(default="now", validate_default=True)
    """``"now"``, a time in ms, or None: where recorded candles start, plus the history."""
    speed: Speed = 1.0
    lockstep: Switch = False
    balances: Balances = {"USDT": Decimal(10_000)}
    fee: Fraction = Decimal("0.001")
    maker_fee: SignedFraction | None = None
    """Fee of orders that rested, negative for a rebate; None is ``fee``."""
    slippage: Fraction | None = None
    """Fraction by which orders at the market fill worse, in a market without a depth. None is the
    usual one of the venue for its recorded candles, as backtests of them have it, and else 0."""
    burn_bnb: Switch = False
    """Whether fees are paid in BNB, while the account has some, at 25 % less."""
    bnb_price: PositiveMoney | None = None
    """Price of a BNB in any quote asset, for those fees; None is the market's price."""
    depth: DepthSettings | None = None
    """None is a market that fills any amount at one price."""
    events: Literal["either", "first", "last"] = "either"
    """When the events of an order arrive: before the answer to it, after it, or either."""
    url: LoopbackUrl = None
    """A paper exchange that runs already, which several bots may share."""
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "main"
    """The account of this bot there, with balances and a database of its own."""

    @property
    def market_slippage(self) -> Decimal:
        """Fraction by which orders at the market fill worse, where they do not walk a book."""
        if self.slippage is not None:
            return self.slippage
        recorded = self.market in ("recording", "replay")
        venue = DEFAULT_VENUE if self.replay is None else self.replay.venue
        return VENUES[venue].capabilities.market_slippage if recorded else Decimal(0)

    @field_validator("start")
    @classmethod
    def _start_of_market(cls, start: Start, info: ValidationInfo) -> Start:
        # A recording has no "now", and a synthetic market no start.
        market = info.data.get("market")
        if market in ("recording", "replay") and start == "now":
            return None
        if market == "synthetic" and start is None:
            return "now"
        return start

    @model_validator(mode="after")
    def _time_of_a_mirror(self) -> Self:
        if self.market != "mirror":
            return self
        given = [
            f"{name} is {value!r}; left out"
            for name, value, usual in (
                ("speed", self.speed, 1.0),
                ("lockstep", self.lockstep, False),
                ("depth", self.depth, None),
                ("recording", self.recording, ()),
            )
            if value != usual
        ]
        if given:
            raise ValueError(
                "a mirror has the time, the prices and the book of its venue: "
                f"{', and '.join(given)} it is accepted"
            )
        return self

    @model_validator(mode="after")
    def _files_of_market(self) -> Self:
        if self.market == "recording" and not self.recording:
            raise ValueError("market 'recording' needs at least one candle file in 'recording'")
        if self.market == "synthetic" and self.recording:
            raise ValueError(
                "candle files are given, but the market is 'synthetic'; write 'market: recording' "
                "to replay them, or 'recording: []'"
            )
        if (self.market == "replay") != (self.replay is not None):
            raise ValueError(
                "'market: replay' and 'replay: {symbols: [BTC/USDT], since: 2024-08-01}' belong "
                "together; give both or neither"
            )
        return self


class ExchangeSettings(_Section):
    """The connection to the venue, real or paper."""

    data_deadline: Duration = 35.0
    """Seconds of silence on a stream after which it is dialled again."""
    environment: Literal["live", "testnet", "demo"] = "live"
    """The venue's system that mode live trades on; testnet and demo trade play money."""
    url: LoopbackUrl = None
    """A paper exchange that stands in for the venue, with paper keys and files of its own."""


class StrategySettings(_Section):
    """One strategy at work on one symbol."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
    strategy: Annotated[
        str, Field(pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:)?[A-Za-z_]\w*$", max_length=200)
    ]
    symbol: Symbol
    timeframe: Timeframe | None = None
    """Of the candles it trades on; None is that of its class, or 1m if the class names none."""
    parameters: dict[str, Any] = {}
    order_cost: PositiveMoney | None = None
    """Quote units spent per entry; None is half of ``risk.max_order_cost``."""
    overrule: tuple[str, ...] = ()
    """Kinds of findings of a check with which it may trade live all the same."""


class RiskSettings(_Section):
    """Limits of every entry; exits and stops always pass. Money is in quote units."""

    max_order_cost: PositiveMoney = Decimal(2_000)
    max_exposure: PositiveMoney = Decimal(5_000)
    """Value of everything held and under way, all symbols together."""
    max_open_orders: Count = 5
    max_orders_per_minute: Count = 30
    max_daily_loss: PositiveMoney = Decimal(500)
    max_position: PositiveMoney | None = None
    """Value of one symbol's position, the entry included; None for no cap of its own."""
    max_drawdown: PositiveFraction | None = None
    """Fraction by which the equity may lie below its highest before entries are halted."""
    symbols: Symbols | None = None
    """The only symbols that may be entered; None for all configured ones."""
    price_band: PositiveFraction | None = None
    """Fraction by which the price of an entry may differ from the newest one."""


class StreamTask(_Section):
    """A default task that runs while the stream runs."""

    enabled: Switch = True
    interval: Literal["stream"] = "stream"


class CandleTask(_Section):
    """A default task that runs on every closed candle."""

    enabled: Switch = True
    interval: Literal["candle"] = "candle"


class TimedTask(_Section):
    """A default task that runs every ``interval`` seconds."""

    enabled: Switch = True
    interval: Duration


class TaskSettings(_Section):
    """The five default tasks, by their names."""

    market_data_collection: StreamTask = StreamTask()
    position_monitoring: TimedTask = Field(default=TimedTask(interval=30.0))
    signal_generation: CandleTask = CandleTask()
    order_sync: TimedTask = Field(default=TimedTask(interval=30.0))
    risk_checks: TimedTask = Field(default=TimedTask(interval=300.0))

    @field_validator("position_monitoring", "order_sync", "risk_checks", mode="before")
    @classmethod
    def _default_interval(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Mapping) and "interval" not in value:
            default = cls.model_fields[str(info.field_name)].default
            return {**value, "interval": default.interval}
        return value


class HealthSettings(_Section):
    """The health page on 127.0.0.1, and the limits beyond which a bot is unhealthy."""

    port: Annotated[int, Field(strict=True, ge=0, le=65_535)] = 8_000
    candle_deadline: Duration = 180.0
    """Seconds of market time by which the next closed candle of a subscription may be late."""
    max_lag: Duration = 1.0
    """Seconds by which the loop may run late."""


def _above_caps(entry: StrategySettings, risk: RiskSettings) -> list[str]:
    """Return why no entry of a strategy could pass the caps."""
    return [
        f"strategy {entry.name!r} spends {entry.order_cost:f} per entry, which is above risk.{cap} "
        f"{limit:f}: every entry would be refused; lower order_cost, or raise the cap"
        for cap in ("max_order_cost", "max_position", "max_exposure")
        if entry.order_cost is not None
        and (limit := getattr(risk, cap)) is not None
        and entry.order_cost > limit
    ]


class Settings(_Section):
    """The settings of a bot. The defaults are a paper account on a synthetic market."""

    mode: Literal["paper", "watch", "live"] = "paper"
    symbols: Symbols = (
        "BTC/USDT",
        "ETH/USDT",
    )
    timeframes: Timeframes = (
        "1m",
        "5m",
        "15m",
    )
    data_directory: Path = Path("data")
    history: Count = 500
    """Least number of candles per symbol and timeframe loaded at the start."""
    paper: PaperSettings = PaperSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    strategies: tuple[StrategySettings, ...] = ()
    """What trades from the start on; nothing does unless it is named here or started in code."""
    risk: RiskSettings = RiskSettings()
    tasks: TaskSettings = TaskSettings()
    health: HealthSettings = HealthSettings()

    @field_validator("symbols")
    @classmethod
    def _one_quote_asset(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        quotes: dict[str, list[str]] = {}
        for symbol in symbols:
            quotes.setdefault(split_symbol(symbol)[1], []).append(symbol)
        if len(quotes) > 1:
            named = "; ".join(f"{quote}: {', '.join(of)}" for quote, of in quotes.items())
            raise ValueError(
                f"the symbols are quoted in {' and '.join(quotes)} ({named}); the caps add amounts "
                "up in one quote asset, so give each quote asset a bot of its own"
            )
        return symbols

    @model_validator(mode="after")
    def _strategies_fit(self) -> Self:
        problems = []
        names = [entry.name for entry in self.strategies]
        for entry in self.strategies:
            if entry.symbol not in self.symbols:
                problems.append(
                    f"strategy {entry.name!r} trades {entry.symbol}, which is not among the "
                    f"symbols ({', '.join(self.symbols)}); add it there"
                )
            if entry.timeframe is not None and entry.timeframe not in self.timeframes:
                problems.append(
                    f"strategy {entry.name!r} uses timeframe {entry.timeframe}, which is not among "
                    f"the timeframes ({', '.join(self.timeframes)}); add it there"
                )
            problems += _above_caps(entry, self.risk)
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                problems.append(f"{names.count(name)} strategies are named {name!r}; names differ")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def kind(self) -> str:
        """The kind of market, as `botlib.venues.kinds` names it.

        That of a paper exchange at an address is known when its name is.
        """
        if self.mode == "paper":
            return PAPER_KINDS[self.paper.market]
        return self.exchange.environment if self.mode == "live" else self.mode

    @classmethod
    def load(cls, path: str | Path | None = None) -> Settings:
        """Return the settings in a YAML file, or the defaults without a path.

        Raises:
            ConfigError: the file is missing, is no YAML mapping, or holds a value not accepted.
        """
        if path is None:
            return cls()
        return validated(cls, read_yaml(Path(path)), f"The configuration {str(path)!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Return the settings in a mapping of the same form as the YAML file.

        Raises:
            ConfigError: a key is unknown or a value not accepted.
        """
        return validated(cls, values, "The configuration")

    def override(self, changes: Mapping[str, Any]) -> Settings:
        """Return these settings with some changed: mappings are merged, lists replaced.

        Raises:
            ConfigError: a key is unknown or a value not accepted.
        """
        merged = _merged(self.model_dump(exclude_unset=True), changes)
        return validated(Settings, merged, "The changed configuration")


def example() -> str:
    """Return a commented YAML configuration with exactly the defaults."""
    return Path(__file__).with_name("example.yaml").read_text(encoding="utf-8")


def _merged(base: Mapping[str, Any], changes: Any) -> Any:
    if not isinstance(changes, Mapping):
        return changes
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) else value
    return merged
