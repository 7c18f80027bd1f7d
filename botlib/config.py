"""Settings: one YAML file, checked as a whole, with defaults that run on the paper exchange.

Durations are written as ``30s``, ``5m`` or ``1h 30m`` and kept as seconds. Money is `Decimal`.
Keys and passwords have no place here: they come from the environment (see `botlib.secrets`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from botlib.errors import ConfigError, did_you_mean
from botlib.symbol import split_symbol, unified_symbol
from botlib.timeframe import parse_duration, timeframe_ms

MAX_FILE_SIZE: Final = 1_000_000
"""Largest configuration file read, in bytes."""


def _symbols(symbols: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(symbols))


def _timeframe(value: Any) -> str:
    timeframe_ms(value)
    return str(value)


def _positive_duration(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds == 0:
        raise ValueError("a duration of 0 is not accepted here; write for example '30s'")
    return seconds


def _number(value: Any) -> Any:
    # Pydantic would read true as 1.
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    return value


def _speed(value: Any) -> float | str:
    if value == "max":
        return "max"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value) and value > 0:
            return float(value)
    raise ValueError(f"cannot use {value!r} as a speed; accepted: a number above 0, or 'max'")


def _start(value: Any) -> str | int | None:
    if value is None or value == "now":
        return value  # type: ignore[no-any-return]
    moment: datetime | None = None
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
    elif isinstance(value, int) and not isinstance(value, bool) and value > 10**11:
        return value
    if moment is None:
        raise ValueError(
            f"cannot use {value!r} as a start; accepted: now, null, or a UTC time such as "
            "'2026-01-05' or '2026-01-05T12:00:00'"
        )
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000)


def _paths(value: Any) -> Any:
    return [value] if isinstance(value, (str, Path)) else value


def _loopback_url(value: Any) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        port, host = parts.port, parts.hostname
    except (ValueError, AttributeError, TypeError):
        parts, port, host = urlsplit(""), None, None
    bare = parts.path in ("", "/") and not parts.query and "@" not in parts.netloc
    if parts.scheme != "http" or not port or not bare or host not in ("127.0.0.1", "localhost"):
        raise ValueError(
            "the paper exchange is reached on this computer only; "
            "accepted: null, or an address of the form 'http://127.0.0.1:8123'"
        )
    return f"http://127.0.0.1:{port}"


def _assets(balances: dict[str, Decimal]) -> dict[str, Decimal]:
    if not balances:
        raise ValueError("at least one balance is needed, for example {USDT: 10000}")
    for asset in balances:
        if not re.fullmatch(r"[A-Z0-9]{1,20}", asset):
            raise ValueError(f"cannot read {asset!r} as an asset; accepted: a name such as 'USDT'")
    return balances


Symbol = Annotated[str, PlainValidator(unified_symbol)]
Timeframe = Annotated[str, PlainValidator(_timeframe)]
Duration = Annotated[float, PlainValidator(_positive_duration)]
Money = Annotated[Decimal, BeforeValidator(_number), Field(ge=0)]
PositiveMoney = Annotated[Decimal, BeforeValidator(_number), Field(gt=0)]
Count = Annotated[int, Field(strict=True, ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PaperSettings(_Section):
    """The market, the speed and the wallet of the paper exchange."""

    market: Literal["synthetic", "recording"] = "synthetic"
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 42
    recording: Annotated[tuple[Path, ...], BeforeValidator(_paths)] = ()
    start: Annotated[Literal["now"] | int | None, PlainValidator(_start)] = Field(
        default="now", validate_default=True
    )
    """``"now"``, a time in ms, or None: where the recording starts, plus the history."""
    speed: Annotated[float | Literal["max"], PlainValidator(_speed)] = 1.0
    lockstep: Annotated[bool, Field(strict=True)] = False
    balances: Annotated[dict[str, Money], AfterValidator(_assets)] = {"USDT": Decimal(10_000)}
    fee: Annotated[Decimal, BeforeValidator(_number), Field(ge=0, lt=1)] = Decimal("0.001")
    url: Annotated[str | None, PlainValidator(_loopback_url)] = None

    @field_validator("start")
    @classmethod
    def _start_of_market(
        cls, start: Literal["now"] | int | None, info: ValidationInfo
    ) -> Literal["now"] | int | None:
        # A recording has no "now", and a synthetic market no beginning.
        market = info.data.get("market")
        if market == "recording" and start == "now":
            return None
        if market == "synthetic" and start is None:
            return "now"
        return start

    @model_validator(mode="after")
    def _files_of_market(self) -> Self:
        if self.market == "recording" and not self.recording:
            raise ValueError("market 'recording' needs at least one candle file in 'recording'")
        if self.market == "synthetic" and self.recording:
            raise ValueError(
                "candle files are given, but the market is 'synthetic'; write 'market: recording' "
                "to replay them, or 'recording: []'"
            )
        return self


class ExchangeSettings(_Section):
    """The connection to the venue, real or paper."""

    data_deadline: Duration = 35.0
    """Seconds of silence on a stream after which it is dialled again."""


class StrategySettings(_Section):
    """One strategy at work on one symbol."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
    strategy: Annotated[
        str, Field(pattern=r"^([A-Za-z_]\w*(\.[A-Za-z_]\w*)*:)?[A-Za-z_]\w*$", max_length=200)
    ]
    symbol: Symbol
    timeframe: Timeframe = "1m"
    parameters: dict[str, Any] = {}
    order_cost: PositiveMoney = Decimal(1_000)
    """Quote units spent per entry."""


class RiskSettings(_Section):
    """Caps that no order may break. Money is in quote units, all symbols together."""

    max_order_cost: PositiveMoney = Decimal(2_000)
    max_exposure: PositiveMoney = Decimal(5_000)
    max_open_orders: Count = 5
    max_orders_per_minute: Count = 30
    max_daily_loss: PositiveMoney = Decimal(500)


class StreamTask(_Section):
    """A default task that runs for as long as the stream does."""

    enabled: Annotated[bool, Field(strict=True)] = True
    interval: Literal["stream"] = "stream"


class CandleTask(_Section):
    """A default task that runs on every closed candle."""

    enabled: Annotated[bool, Field(strict=True)] = True
    interval: Literal["candle"] = "candle"


class TimedTask(_Section):
    """A default task that runs every ``interval`` seconds."""

    enabled: Annotated[bool, Field(strict=True)] = True
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
    """The health page on 127.0.0.1 and what it calls unhealthy."""

    port: Annotated[int, Field(strict=True, ge=0, le=65_535)] = 8_000
    candle_deadline: Duration = 180.0
    """Seconds of market time by which the next closed candle of a subscription may be late."""
    max_lag: Duration = 1.0
    """Seconds by which the loop may run late."""


def _default_strategies(data: dict[str, Any]) -> tuple[StrategySettings, ...]:
    """Return one trend strategy per symbol on the first timeframe; none for a live account."""
    symbols, timeframes = data.get("symbols", ()), data.get("timeframes", ())
    if data.get("mode") != "paper" or not timeframes:
        return ()
    bases = [split_symbol(symbol)[0] for symbol in symbols]

    def name(symbol: str) -> str:
        base, quote = split_symbol(symbol)
        return f"trend-{base}" if bases.count(base) == 1 else f"trend-{base}-{quote}"

    return tuple(
        StrategySettings(
            name=name(symbol).lower(),
            strategy="TrendCross",
            symbol=symbol,
            timeframe=timeframes[0],
            parameters={"fast": 10, "slow": 30},
        )
        for symbol in symbols
    )


class Settings(_Section):
    """Everything that can be configured. Without a file: paper, on a synthetic market."""

    mode: Literal["paper", "live"] = "paper"
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1), AfterValidator(_symbols)] = (
        "BTC/USDT",
        "ETH/USDT",
    )
    timeframes: Annotated[tuple[Timeframe, ...], Field(min_length=1), AfterValidator(_symbols)] = (
        "1m",
        "5m",
        "15m",
    )
    data_directory: Path = Path("data")
    history: Count = 500
    """Candles per symbol and timeframe loaded at the start, at least."""
    paper: PaperSettings = PaperSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    strategies: tuple[StrategySettings, ...] = Field(default_factory=_default_strategies)
    risk: RiskSettings = RiskSettings()
    tasks: TaskSettings = TaskSettings()
    health: HealthSettings = HealthSettings()

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
            if entry.timeframe not in self.timeframes:
                problems.append(
                    f"strategy {entry.name!r} uses timeframe {entry.timeframe}, which is not among "
                    f"the timeframes ({', '.join(self.timeframes)}); add it there"
                )
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                problems.append(f"{names.count(name)} strategies are named {name!r}; names differ")
        if self.mode == "live" and "strategies" not in self.model_fields_set:
            problems.append(
                "mode 'live' has no default strategies; name yours under 'strategies', "
                "or write 'strategies: []' to only collect market data"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @classmethod
    def load(cls, path: str | Path | None = None) -> Settings:
        """Return the settings in a YAML file, or the defaults where there is no path.

        Raises:
            ConfigError: the file is missing, is no YAML mapping, or holds a value not accepted.
        """
        if path is None:
            return cls()
        return _validated(_read(Path(path)), f"The configuration {str(path)!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Return the settings in a mapping shaped like the YAML file.

        Raises:
            ConfigError: a key is unknown or a value not accepted.
        """
        return _validated(values, "The configuration")

    def override(self, changes: Mapping[str, Any]) -> Settings:
        """Return these settings with some changed: mappings are merged, lists replaced.

        What was left to its default follows the changes, so ``{"symbols": ["BTC/USDT"]}`` on the
        default settings leaves the one default strategy on that symbol.

        Raises:
            ConfigError: a key is unknown or a value not accepted.
        """
        merged = _merged(self.model_dump(exclude_unset=True), changes)
        return _validated(merged, "The changed configuration")


def example() -> str:
    """Return a commented YAML configuration which holds exactly the defaults."""
    return _EXAMPLE


class _Loader(yaml.SafeLoader):
    """Read plain YAML: no tags, no aliases (they can grow without bound), no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not accepted", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands here twice", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {str(path)!r}. "
            "Write one with 'botlib config --example', or leave the path out for the defaults."
        ) from None
    except OSError as error:
        raise ConfigError(f"Cannot read {str(path)!r}: {error.strerror}.") from None
    if len(data) > MAX_FILE_SIZE:
        raise ConfigError(f"{str(path)!r} has {len(data)} bytes: too large for a configuration.")
    try:
        loader = _Loader(data.decode("utf-8-sig"))
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        # The text itself is not quoted: it may hold a password.
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{str(path)!r}{place} is not plain YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{str(path)!r} is not plain YAML in UTF-8 ({type(error).__name__})."
        ) from None


def _validated(values: Any, origin: str) -> Settings:
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{origin} is a {type(values).__name__}; accepted: a mapping such as 'mode: paper'. "
            "See 'botlib config --example'."
        )
    lines = list(_secret_keys(values, ""))
    if not lines:
        try:
            return Settings.model_validate(dict(values))
        except ValidationError as error:
            lines = [
                line
                for problem in error.errors(include_url=False)
                for line in _explain(problem["loc"], problem)
            ]
    raise ConfigError(f"{origin} is refused:\n" + "\n".join(f"- {line}" for line in lines))


def _explain(loc: tuple[int | str, ...], problem: Any) -> Iterator[str]:
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        accepted = list(_section_at(loc[:-1]).model_fields)
        hint = did_you_mean(str(loc[-1]), accepted)
        yield f"unknown key {_dotted(loc)!r}. Accepted: {', '.join(accepted)}.{hint}"
        return
    where = f"{_dotted(loc)}: " if loc else ""
    if kind == "value_error":
        yield from (f"{where}{text}" for text in str(problem["ctx"]["error"]).split("\n"))
    elif kind == "missing":
        yield f"{where}this key is needed"
    else:
        text = problem["msg"].replace("Input should be", "accepted is")
        text = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", text)
        text = text.replace("a valid tuple", "a list").replace("a valid", "a")
        text = text.replace("a integer", "an integer")
        shown = repr(value)
        yield f"{where}{text}; received {shown if len(shown) <= 60 else shown[:57] + '…'}"


def _section_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = Settings
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            candidates = [annotation, *get_args(annotation)]
            section = next(
                kind
                for kind in candidates
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            )
    return section


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


_SECRET_WORDS = re.compile(
    r"(^|_)(secrets?|tokens?|password|passwd|passphrase|credentials?|api_?key|private_?key"
    r"|access_?key)(_|$)"
)


def _secret_keys(values: Any, path: str) -> Iterator[str]:
    """Yield a line for every key that looks like the name of a secret; values are never shown."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            place = f"{path}.{key}" if path else str(key)
            # apiKey and API-KEY are read as api_key.
            words = re.sub(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z0-9]+", "_", str(key)).lower()
            if _SECRET_WORDS.search(words):
                yield (
                    f"{place!r} looks like a secret, and secrets do not belong in a configuration. "
                    "Set BINANCE_API_KEY and BINANCE_API_SECRET in the environment or in .env."
                )
            yield from _secret_keys(value, place)
    elif isinstance(values, (list, tuple)):
        for index, value in enumerate(values):
            yield from _secret_keys(value, f"{path}[{index}]")


def _merged(base: Mapping[str, Any], changes: Any) -> Any:
    if not isinstance(changes, Mapping):
        return changes
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) else value
    return merged


_EXAMPLE = """\
# Configuration of botlib. Every key may be left out; these are the defaults.
# Durations: 30s, 5m, 1h 30m. Keys of an account never stand here: set BINANCE_API_KEY and
# BINANCE_API_SECRET in the environment, or in a file .env in the working directory.

mode: paper                # paper, or live: a real account, which must be armed in code as well
symbols: [BTC/USDT, ETH/USDT]      # BTCUSDT is accepted too
timeframes: [1m, 5m, 15m]  # all of them are streamed and stored
data_directory: data       # relative to the working directory
history: 500               # candles per symbol and timeframe loaded at the start, at least

paper:                     # the paper exchange, a process on this computer
  market: synthetic        # synthetic, or recording: replay candle files
  seed: 42                 # the same seed gives the same candles
  recording: []            # candle files to replay: one path or a list
  start: now               # now, or a UTC time such as 2026-01-05T12:00:00;
                           # null: where the recording starts, plus the history
  speed: 1                 # market seconds per second, or max
  lockstep: false          # true: the market waits until each closed candle was acted on
  balances: {USDT: 10000}
  fee: 0.001               # a fraction of every fill: 0.001 is 0.1 %
  url: null                # a paper exchange that already runs, such as http://127.0.0.1:8123

exchange:
  data_deadline: 35s       # silence on a stream after which it is dialled again

strategies:                # left out: a TrendCross on every symbol; none in mode live
  - name: trend-btc        # its identity: orders and positions are found again by it
    strategy: TrendCross   # a name in botlib.strategies, or package.module:Class
    symbol: BTC/USDT
    timeframe: 1m
    parameters: {fast: 10, slow: 30}
    order_cost: 1000       # quote units spent per entry
  - name: trend-eth
    strategy: TrendCross
    symbol: ETH/USDT
    timeframe: 1m
    parameters: {fast: 10, slow: 30}
    order_cost: 1000

risk:                      # caps no order may break, in quote units, all symbols together
  max_order_cost: 2000
  max_exposure: 5000
  max_open_orders: 5
  max_orders_per_minute: 30
  max_daily_loss: 500

tasks:                     # the default tasks
  market_data_collection: {enabled: true, interval: stream}    # runs with the stream
  position_monitoring: {enabled: true, interval: 30s}
  signal_generation: {enabled: true, interval: candle}         # runs on every closed candle
  order_sync: {enabled: true, interval: 30s}
  risk_checks: {enabled: true, interval: 5m}

health:                    # http://127.0.0.1:8000/health
  port: 8000               # the next free port is taken where this one is in use
  candle_deadline: 3m      # market time by which a closed candle may be late
  max_lag: 1s              # how late the loop may run
"""
