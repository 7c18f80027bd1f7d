"""``botlib paper``: serve a paper exchange."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from botlib.cli.refused import Refused
from botlib.core.errors import BotlibError

if TYPE_CHECKING:
    from botlib.paper.market.depth import Depth
    from botlib.paper.streams.user_streams import EventOrder

_DEPTH: Final = ("spread", "levels", "size", "latency", "seed")


def _balances(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Decimal]:
    balances: dict[str, Decimal] = {}
    for value in values:
        asset, _, amount = value.partition("=")
        try:
            number = Decimal(amount)
        except InvalidOperation:
            number = Decimal(-1)
        if not asset or not number.is_finite() or number < 0:
            raise click.BadParameter(f"{value!r} is no balance. Accepted: USDT=10000.")
        balances[asset.upper()] = number
    return balances


def _fraction(context: click.Context, parameter: click.Parameter, value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal(-1)
    if not 0 <= number < 1:
        raise click.BadParameter(f"{value!r} is no fraction. Accepted: 0.001 for 0.1 %.")
    return number


def _price(context: click.Context, parameter: click.Parameter, value: str | None) -> Decimal | None:
    if value is None:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or number <= 0:
        raise click.BadParameter(f"{value!r} is no price. Accepted: a number above 0, such as 550.")
    return number


def _speed(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    if value is None or value == "max":
        return None
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise click.BadParameter(f"{value!r} is no speed. Accepted: a number above 0, or max.")
    return number


def _time(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    if value == "now":
        return int(datetime.now(UTC).timestamp() * 1_000)
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time. Accepted: now, 2026-01-05, 2026-01-05T12:00 (UTC)."
        ) from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000)


def _depth(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for one in value:
        name, _, text = one.partition("=")
        try:
            number = Decimal(text)
        except InvalidOperation:
            number = Decimal(-1)
        whole = name in ("levels", "latency", "seed")
        if name not in _DEPTH or not number.is_finite() or number < 0 or (whole and number % 1):
            raise click.BadParameter(
                f"{one!r} is no depth. Accepted: {', '.join(f'{name}=…' for name in _DEPTH)}, "
                "a number from 0 up, such as spread=0.0002."
            )
        found[name] = number
    return found


def _book(depth: dict[str, Decimal], seed: int) -> Depth | None:
    from botlib.paper.market.depth import Depth

    if not depth:
        return None
    usual = Depth()
    return Depth(
        spread=depth.get("spread", usual.spread),
        levels=max(1, int(depth.get("levels", usual.levels))),
        size=depth.get("size", usual.size),
        latency=int(depth.get("latency", usual.latency)),
        seed=int(depth.get("seed", seed)),
    )


@click.command()
@click.option("--seed", type=int, help="Seed of the synthetic market (42 where nothing is given).")
@click.option(
    "--recording",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Replay a recorded candle file; repeat for more symbols.",
)
@click.option(
    "--start",
    callback=_time,
    metavar="now|TIME",
    help="First market time, UTC. Default: now, or the beginning of a recording.",
)
@click.option(
    "--speed",
    callback=_speed,
    metavar="X|max",
    help="Market seconds a second. Default: 1, or max in lockstep.",
)
@click.option("--lockstep", is_flag=True, help="Hold at every candle until told to go on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="Port; 0 takes any free one."
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the account. Without one it ends with the process.",
)
@click.option(
    "--balance",
    multiple=True,
    default=("USDT=10000",),
    callback=_balances,
    metavar="ASSET=AMOUNT",
    show_default=True,
    help="What a new account owns; repeat for more.",
)
@click.option(
    "--fee", default="0.001", callback=_fraction, show_default=True, help="Fee, a fraction."
)
@click.option(
    "--slippage",
    default="0",
    callback=_fraction,
    show_default=True,
    help="How much worse than the price market orders fill, a fraction.",
)
@click.option(
    "--depth",
    multiple=True,
    callback=_depth,
    metavar="spread|levels|size|latency|seed=VALUE",
    help="Give the book a depth: spread (a fraction), levels a side, size of a level in quote "
    "units, latency of orders in ms, seed of the sizes. Default: a market that fills any amount at "
    "one price.",
)
@click.option(
    "--burn-bnb", is_flag=True, help="Pay fees in BNB where the account has some, 25 % less."
)
@click.option(
    "--bnb-price",
    callback=_price,
    metavar="PRICE",
    help="What a BNB costs in any quote, for fees paid in it. Default: the market's price.",
)
@click.option(
    "--events",
    type=click.Choice(("either", "first", "last")),
    default="either",
    show_default=True,
    help="When the events of an order leave: before the answer to it, after it, or either.",
)
@click.option("--symbols", multiple=True, metavar="SYMBOL", help="List a symbol; repeat for more.")
@click.option(
    "--scenario",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Play faults from a file: a list of {at: +30s, fault: reset, target: streams}.",
)
@click.option("--watch-parent", is_flag=True, help="End when the parent process ends.")
def paper(
    seed: int | None,
    recording: tuple[Path, ...],
    start: int | None,
    speed: float | None,
    lockstep: bool,
    port: int,
    ledger: Path | None,
    balance: dict[str, Decimal],
    fee: Decimal,
    slippage: Decimal,
    depth: dict[str, Decimal],
    burn_bnb: bool,
    bnb_price: Decimal | None,
    events: EventOrder,
    symbols: tuple[str, ...],
    scenario: Path | None,
    watch_parent: bool,
) -> None:
    """Serve a paper exchange on this computer: Binance's protocol, no real money.

    Prints one JSON line when it is ready, with its address. The market is synthetic, or a replay
    of recorded candle files.
    """
    from botlib.paper.market.market import PaperMarket
    from botlib.paper.market.market_clock import MarketPace
    from botlib.paper.operator.scenario import Scenario
    from botlib.paper.server import PaperSettings, Ready, serve

    if recording and seed is not None:
        raise click.UsageError("Give --seed or --recording, not both.")
    context = click.get_current_context()
    given = context.get_parameter_source("speed") is not click.core.ParameterSource.DEFAULT
    pace = MarketPace(speed if given or lockstep else 1.0, lockstep)
    settings = PaperSettings(
        start=start,
        pace=pace,
        port=port,
        ledger=ledger,
        balances=balance,
        fee=fee,
        slippage=slippage,
        depth=_book(depth, seed or 0),
        burn_bnb=burn_bnb,
        bnb_price=bnb_price,
        events=events,
        event_seed=seed or 0,
        symbols=tuple(name for value in symbols for name in value.split(",") if name),
        watch_parent=watch_parent,
    )

    def ready(state: Ready) -> None:
        click.echo(json.dumps(dataclasses.asdict(state)))

    def market() -> PaperMarket:
        if recording:
            from botlib.paper.market.replay import ReplayMarket

            return ReplayMarket(recording)
        from botlib.paper.market.synthetic import SyntheticMarket

        return SyntheticMarket(42 if seed is None else seed)

    try:
        played = None if scenario is None else Scenario.load(scenario)
        asyncio.run(serve(market(), settings, ready, played))
    except BotlibError as error:
        raise Refused(str(error)) from None
