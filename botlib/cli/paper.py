"""``botlib paper``: serve a paper exchange."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from botlib.cli.data import VENUE_TITLE
from botlib.cli.errors import CommandError
from botlib.cli.root import data_option
from botlib.core.clock import SystemClock
from botlib.core.errors import BotlibError

if TYPE_CHECKING:
    from botlib.paper import PaperOptions

_Callback = Callable[[click.Context, click.Parameter, Any], Any]

_HELP: Final = f"""Serve a paper exchange on this computer: {VENUE_TITLE}'s protocol, no real money.

Prints one JSON line when it is ready, with its address. The market is synthetic, a replay of
recorded candle files, or a mirror: the prices of a real venue, on which accounts of this exchange
trade with play money. A mirror needs a network and no key, and fills nothing while it does not
hear the venue.

A client that signs with Ed25519 needs an API key of its own: send its public key to the running
exchange, POST /paper/v1/keys {{"public_key": PEM, "account": NAME}}, and use the key in the answer.
"account" may be left out; POST /paper/v1/accounts {{"account": NAME}} opens another one.
"""

_DEPTH: Final = ("spread", "levels", "size", "latency", "seed")


def _read(key: str, value: object) -> Any:
    """Return a value as the paper section of a configuration reads it under ``key``.

    Raises:
        ValueError: it is not accepted there.
    """
    from botlib.config import PaperSettings

    return getattr(PaperSettings.model_validate({key: value}), key)


def _setting(key: str, noun: str, accepted: str) -> _Callback:
    """Return a callback for an option that is also a key of the paper section.

    Args:
        key: the key.
        noun: name of its values, for the message.
        accepted: values that are accepted, for the message.
    """

    def convert(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value is None:
            return None
        try:
            return _read(key, value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is no {noun}. Accepted: {accepted}.") from None

    return convert


_fraction: Final = _setting("fee", "fraction", "0.001 for 0.1 %")
_iso_time: Final = _setting("start", "time", "now, 2026-01-05, 2026-01-05T12:00 (UTC)")
_speed: Final = _setting("speed", "speed", "a number above 0, or max")


def _market_speed(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    try:
        number = None if value is None else float(value)
    except ValueError:
        number = None
    return _speed(context, parameter, value if number is None else number)


def _time(context: click.Context, parameter: click.Parameter, value: Any) -> int | None:
    moment = _iso_time(context, parameter, value)
    return SystemClock().now() if moment == "now" else moment


def _balances(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> Mapping[str, Any]:
    balances: dict[str, Any] = {}
    for value in values:
        asset, _, amount = value.partition("=")
        try:
            balances |= _read("balances", {asset.upper(): amount})
        except ValueError:
            raise click.BadParameter(f"{value!r} is no balance. Accepted: USDT=10000.") from None
    return balances


def _depth(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    depth: dict[str, Any] = {}
    for value in values:
        name, _, text = value.partition("=")
        number = int(text) if text.isdecimal() else text
        try:
            _read("depth", {name: number})
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is no depth. Accepted: {', '.join(f'{name}=…' for name in _DEPTH)}, "
                "a number such as spread=0.0002."
            ) from None
        depth[name] = number
    return depth


@click.command(help=_HELP)
@click.option("--options", "record", hidden=True, help="All options as JSON, for a parent process.")
@click.option(
    "--seed",
    type=int,
    callback=_setting("seed", "seed", "a whole number from 0 up"),
    help="Seed of the synthetic market. Default: 42.",
)
@click.option(
    "--recording",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Replay a recorded candle file; repeat for more symbols.",
)
@click.option(
    "--mirror",
    metavar="VENUE",
    help="Follow the public streams of a real venue, binance: real prices, play money.",
)
@click.option(
    "--upstream",
    metavar="URL",
    help="A paper exchange on this computer that stands in for the mirrored venue.",
)
@click.option(
    "--stale-after",
    metavar="SECONDS",
    help="Silence of the mirrored venue after which nothing is filled. Default: 10.",
)
@click.option(
    "--no-book", is_flag=True, help="Fill at the mirrored venue's last price, and walk no book."
)
@click.option(
    "--candles",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep the closed candles of the mirrored venue in a file.",
)
@click.option(
    "--start",
    callback=_time,
    metavar="now|TIME",
    help="First market time, UTC. Default: now, or the beginning of a recording.",
)
@click.option(
    "--speed",
    callback=_market_speed,
    metavar="X|max",
    help="Market seconds a second. Default: 1, or max in lockstep.",
)
@click.option("--lockstep", is_flag=True, help="Stop at every candle until a client advances it.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="Port; 0 takes any free one."
)
@click.option("--any-user", is_flag=True, help="Answer other users of this computer as well.")
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the account. Without one it ends with the process.",
)
@click.option(
    "--balance",
    "balances",
    multiple=True,
    default=("USDT=10000",),
    callback=_balances,
    metavar="ASSET=AMOUNT",
    show_default=True,
    help="Balance of a new account; repeat for more.",
)
@click.option(
    "--fee",
    default="0.001",
    callback=_fraction,
    show_default=True,
    help="Fee, a fraction.",
)
@click.option(
    "--slippage",
    default="0",
    callback=_fraction,
    show_default=True,
    help="Fraction by which market orders fill worse than the price.",
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
    "--burn-bnb", is_flag=True, help="Pay fees in BNB if the account has some, 25 % less."
)
@click.option(
    "--bnb-price",
    callback=_setting("bnb_price", "price", "a number above 0, such as 550"),
    metavar="PRICE",
    help="Price of a BNB in any quote, for fees paid in it. Default: the market's price.",
)
@click.option(
    "--events",
    type=click.Choice(("either", "first", "last")),
    default="either",
    show_default=True,
    help="When the events of an order are sent: before its answer, after it, or either.",
)
@click.option("--symbols", multiple=True, metavar="SYMBOL", help="List a symbol; repeat for more.")
@click.option(
    "--scenario",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Play faults from a file: a list of {at: +30s, fault: reset, target: streams}.",
)
@click.option("--watch-parent", is_flag=True, help="End when the parent process ends.")
@data_option
def paper(record: str | None, **given: Any) -> None:
    """Serve a paper exchange until it is interrupted."""
    from botlib.paper import PaperOptions, serve

    options = _options(**given) if record is None else PaperOptions.from_json(record)
    if options.mirror is not None:
        _log_with_times()
    try:
        asyncio.run(serve(options, lambda ready: click.echo(json.dumps(dataclasses.asdict(ready)))))
    except BotlibError as error:
        raise CommandError(str(error)) from None


def _log_with_times() -> None:
    """Write the log of the package to stderr, each line with its time."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("botlib").setLevel(logging.INFO)


def _mirror(venue: str, upstream: str | None, stale_after: str | None, no_book: bool) -> Any:
    """Return the settings of a mirror.

    Raises:
        click.UsageError: one of the options is not accepted.
    """
    values: dict[str, Any] = {"venue": venue, "upstream": upstream, "book": not no_book}
    if stale_after is not None:
        values["stale_after"] = float(stale_after) if stale_after.isdecimal() else stale_after
    try:
        return _read("mirror", values)
    except ValueError:
        raise click.UsageError(
            f"Cannot mirror {venue!r} (upstream {upstream}, stale after {stale_after}). Accepted: "
            "--mirror binance, --upstream http://127.0.0.1:8123 on this computer only, and "
            "--stale-after 10 or 10s."
        ) from None


def _options(
    *,
    seed: int | None,
    recording: tuple[Path, ...],
    start: int | None,
    speed: float | str | None,
    lockstep: bool,
    depth: dict[str, Any],
    mirror: str | None,
    upstream: str | None,
    stale_after: str | None,
    no_book: bool,
    candles: Path | None,
    symbols: tuple[str, ...],
    port: int,
    any_user: bool,
    ledger: Path | None,
    slippage: Decimal,
    scenario: Path | None,
    watch_parent: bool,
    **settings: Any,
) -> PaperOptions:
    """Return the options of the command as one record."""
    from botlib.config import PaperSettings
    from botlib.paper import MarketPace, PaperOptions

    if recording and seed is not None:
        raise click.UsageError("Give --seed or --recording, not both.")
    market: Literal["synthetic", "recording", "mirror"]
    market = "recording" if recording else "synthetic"
    if mirror is not None:
        market, settings["mirror"] = "mirror", _mirror(mirror, upstream, stale_after, no_book)
        if recording or seed is not None or speed is not None or lockstep or start is not None:
            raise click.UsageError(
                "A mirror has the prices and the time of its venue: leave out --seed, --recording, "
                "--start, --speed and --lockstep."
            )
    elif upstream or stale_after or no_book or candles:
        raise click.UsageError(
            "--upstream, --stale-after, --no-book and --candles belong to --mirror binance."
        )
    if seed is not None:
        settings["seed"] = seed
    if depth:
        settings["depth"] = {"seed": seed or 0, **depth}
    section = PaperSettings(market=market, recording=recording, **settings)
    if speed is None:
        speed = "max" if lockstep else 1.0
    options = PaperOptions.configured(
        section, [name for value in symbols for name in value.split(",") if name]
    )
    if options.mirror is not None:
        options = dataclasses.replace(
            options, mirror=dataclasses.replace(options.mirror, cache=candles)
        )
    return dataclasses.replace(
        options,
        start=start,
        pace=MarketPace(None if isinstance(speed, str) else speed, lockstep),
        slippage=slippage,
        event_seed=seed or 0,
        ledger=ledger,
        port=port,
        any_user=any_user,
        scenario=scenario,
        watch_parent=watch_parent,
    )
