"""``botlib watch``: the candles and prices of a real venue in the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from botlib.cli.data import VENUE_TITLE
from botlib.cli.errors import CommandError
from botlib.cli.root import data_option
from botlib.core.errors import BotlibError
from botlib.core.text import formats
from botlib.venues.registry import DEFAULT_VENUE

if TYPE_CHECKING:
    from botlib.bot import Bot

PRICE_INTERVAL: Final = 5.0
"""Seconds between two lines of best prices."""

_POLL: Final = 0.25
_BOOK_TIMEOUT: Final = 5.0


@click.command("watch", help=f"Watch the market of {VENUE_TITLE}, without a key.")
@click.argument("symbols", nargs=-1)
@click.option("--timeframe", "-t", default="1m", show_default=True, help="Of the candles.")
@click.option(
    "--for", "run_for", default="1m", show_default=True, help="How long; Ctrl-C ends it earlier."
)
@click.option(
    "--url", help="A paper exchange on this computer that stands in, as http://127.0.0.1:9000."
)
@data_option
def watch(symbols: tuple[str, ...], timeframe: str, run_for: str, url: str | None) -> None:
    """Print best prices and closed candles as they come, and store the candles.

    SYMBOLS are BTC/USDT and ETH/USDT by default. Nothing can be ordered.
    """
    from botlib.bot import connect
    from botlib.core.timeframe import parse_duration

    try:
        seconds = parse_duration(run_for)
        bot = connect(
            market=DEFAULT_VENUE,
            symbols=list(symbols or ("BTC/USDT", "ETH/USDT")),
            timeframes=[timeframe],
            exchange={"url": url},
        )
    except BotlibError as error:
        raise CommandError(str(error)) from None
    pairs = bot.aio.engine.subscriptions()
    click.echo(repr(bot) if url is None else f"{bot!r} · {url} stands in")
    try:
        _follow(bot, pairs, seconds)
    except KeyboardInterrupt:
        click.echo("Interrupted.")
    finally:
        stored = bot.health().candles_closed
        bot.stop()
    path = Path(bot.database)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    click.echo(f"Stored {formats.count(stored)} candles in {shown}. The same in a notebook:")
    given = "" if url is None else f', exchange={{"url": "{url}"}}'
    click.echo(f'  bot = bl.connect(market="{DEFAULT_VENUE}"{given})')
    click.echo('  bot.chart("{}", "{}")'.format(*pairs[0]))


def _follow(bot: Bot, pairs: Sequence[tuple[str, str]], seconds: float) -> None:
    """Print what happens until the time is over or the bot is stopped."""
    seen = {pair: _last(bot, *pair) for pair in pairs}
    end, due, trouble = time.monotonic() + seconds, 0.0, ""
    while (now := time.monotonic()) < end and bot.aio.engine.started:
        for pair in pairs:
            newest = _last(bot, *pair)
            if newest is not None and newest != seen[pair]:
                seen[pair] = newest
                click.echo(_candle_line(bot, *pair))
        if now >= due:
            due = now + PRICE_INTERVAL
            for symbol in dict.fromkeys(symbol for symbol, _ in pairs):
                click.echo(_price_line(bot, symbol))
            reasons = "; ".join(bot.health().reasons)
            if reasons != trouble:
                click.echo(f"unhealthy: {reasons}" if reasons else "healthy again")
                trouble = reasons
        time.sleep(_POLL)


def _last(bot: Bot, symbol: str, timeframe: str) -> int | None:
    """Return the open time of the newest closed candle, ms."""
    newest: int | None = bot.aio.engine.frames.last_open(symbol, timeframe)
    return newest


def _candle_line(bot: Bot, symbol: str, timeframe: str) -> str:
    frame = bot.candles(symbol, timeframe, limit=1)
    row = frame.iloc[-1]
    values = " ".join(
        f"{name} {row[name]:.8g}" for name in ("open", "high", "low", "close", "volume")
    )
    return f"{frame.index[-1]:%H:%M:%S}  {symbol} {timeframe} closed: {values}"


def _price_line(bot: Bot, symbol: str) -> str:
    try:
        book = bot.order_book(symbol, levels=1, timeout=_BOOK_TIMEOUT)
    except BotlibError as error:
        return f"{symbol}: {error}"
    bid, ask = ("-" if level is None else f"{level.price:f}" for level in (book.bid, book.ask))
    moment = time.strftime("%H:%M:%S", time.gmtime(book.timestamp / 1_000))
    return f"{moment}  {symbol} bid {bid} ask {ask}"
