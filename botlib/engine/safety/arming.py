"""The arming of live trading: what is checked before the first order can be sent.

The key has to be one that trades and cannot withdraw, and every strategy must not look ahead on the
candles that are stored. What was checked is an `Arming`, which is logged and shown.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botlib.core.clock import iso
from botlib.core.errors import BotlibError, ConfigError
from botlib.core.retry import retry
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card, figures
from botlib.core.text.tables import html_table, text_table
from botlib.frames import Frames
from botlib.store import CandleStorage, Database
from botlib.venues.registry import capabilities

if TYPE_CHECKING:
    import random

    from botlib.config import Settings
    from botlib.engine.strategies.active import ActiveStrategy
    from botlib.trading.risk import RiskLimits
    from botlib.venues.base import Balance, Exchange, KeyPermissions
    from botlib.venues.capabilities import VenueCapabilities

logger = logging.getLogger(__name__)

CHECKED_CANDLES: Final = 2_000
"""Most stored candles a strategy is checked on, the newest."""

LEAST_CANDLES: Final = 200
"""Least candles beyond its warm-up on which a check says anything."""

CHECK_SECONDS: Final = 10.0
"""How long the check of a strategy may take; what it does not get to is told."""

HEADERS: Final = ("what", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arming:
    """What was checked before a bot was allowed to trade a real account.

    Attributes:
        venue: the name of the venue.
        environment: which of the venue's systems it is: live, testnet or demo.
        account: rows of what the key may do and what the account holds.
        caps: rows of the limits of every entry.
        strategies: rows of the strategies and what came of their checks.
        by: who armed it, from where.
        since: wall time of the arming, ms.
        until: wall time of its end, ms; None while it lasts.
        fee: fraction of the value of a fill that the account pays, None if the venue did not say.
    """

    venue: str
    environment: str
    account: tuple[tuple[str, str], ...]
    caps: tuple[tuple[str, str], ...]
    strategies: tuple[tuple[str, str], ...]
    by: str
    since: int
    until: int | None = None
    fee: Decimal | None = None

    @property
    def title(self) -> str:
        """The name that people know the venue by."""
        return capabilities(self.venue).title

    @property
    def words(self) -> str:
        """By whom and until when, in one line."""
        end = "until the bot stops" if self.until is None else f"until {iso(self.until)} UTC"
        return f"armed by {self.by}, from {iso(self.since)} UTC {end}"

    @property
    def rows(self) -> list[list[object]]:
        """All rows: the arming, account, caps, strategies."""
        parts = (("armed", self.words.removeprefix("armed ")), *self.account, *self.caps)
        return [[name, value] for name, value in (*parts, *self.strategies)]

    def __str__(self) -> str:
        word = self.environment.upper()
        return f"{word} TRADING on {self.title} is armed\n{text_table(list(HEADERS), self.rows)}"

    def __repr__(self) -> str:
        return f"<Arming: {self.title}, {len(self.strategies)} strategies>"

    def _repr_html_(self) -> str:
        return card(
            f"Trading on {self.title} is armed",
            figures([("strategies", len(self.strategies))]),
            html_table(list(HEADERS), self.rows),
            badge=self.environment.upper(),
            tone=Tone.BAD if self.environment == "live" else Tone.WARN,
        )


async def arm(
    exchange: Exchange,
    strategies: Iterable[ActiveStrategy],
    *,
    limits: RiskLimits,
    database: Path,
    assets: Iterable[str],
    by: str,
    now: int,
    rng: random.Random,
) -> Arming:
    """Check key and strategies of a real account, and allow orders.

    Args:
        database: file of the stored candles, on which the strategies are checked.
        assets: those of the symbols, whose balances are shown.
        by: who arms it, from where.
        now: wall time, ms.

    Raises:
        ConfigError: the key may not trade or may withdraw, or a strategy looks ahead.
        ExchangeError: the venue does not answer, or does not say what the key may do.
    """
    permissions = await retry(exchange.permissions, rng=rng)
    record = capabilities(exchange.venue)
    check_permissions(permissions, record)
    balances = await retry(exchange.balances, rng=rng)
    rows = [
        (f"strategy {one.name}", await check_active(one, database, exchange.venue))
        for one in strategies
    ]
    armed = Arming(
        venue=exchange.venue,
        environment=record.environment,
        account=_account_rows(permissions, balances, assets),
        caps=_cap_rows(limits),
        by=by,
        since=now,
        strategies=tuple(rows) or (("strategies", "none"),),
        fee=permissions.fee,
    )
    for name, value in armed.rows:
        logger.warning("%s trading: %s: %s", record.environment, name, value)
    exchange.arm()
    return armed


def check_permissions(permissions: KeyPermissions, record: VenueCapabilities) -> None:
    """Check that a key may trade and may not withdraw.

    Args:
        record: of the venue.

    Raises:
        ConfigError: it is not so, with how to make a key that fits.
    """
    problem = ""
    if permissions.withdraw:
        problem = "may withdraw, so whoever gets hold of it can empty the account"
    elif not permissions.trade:
        problem = "may not trade on the spot market"
    if problem:
        raise ConfigError(
            f"Live trading is refused: the API key {problem} (by {permissions.source}). Make a key "
            f"in the API management of {record.title} with reading and spot trading enabled and "
            "withdrawals disabled, restrict it to the address of this computer, and set "
            f"{record.key_variable} and {record.secret_variable} to it."
        )


async def check_active(active: ActiveStrategy, database: Path, venue: str) -> str:
    """Check a strategy on its stored candles; keep what came of it, and return it in words.

    Raises:
        ConfigError: it does not produce the same signals live as over history, and what was found
            is not overruled by name.
    """
    active.checked = await asyncio.to_thread(_checked, active, database, venue)
    return (
        f"{active.strategy!r} on {active.symbol}, {active.order_cost} per entry; {active.checked}"
    )


def _checked(active: ActiveStrategy, database: Path, venue: str) -> str:
    from botlib.backtesting import check

    strategy = active.strategy
    with Database.open(database, venue, readonly=True) as opened:
        storage = CandleStorage(opened)
        found = {
            timeframe: storage.frame(active.symbol, timeframe, None, None, CHECKED_CANDLES)
            for timeframe in strategy.timeframes
        }
    needed, stored = strategy.warmup + LEAST_CANDLES, len(found[strategy.timeframes[0]])
    if stored < needed:
        have, need = formats.count(stored), formats.count(needed)
        return f"not checked: {have} candles are stored, {need} are needed"
    try:
        report = check(strategy, Frames(active.symbol, found), seconds=CHECK_SECONDS)
    except BotlibError as error:
        return f"not checked: {error}"
    refused = [one for one in report.findings if one.kind not in active.overrule]
    if refused:
        kinds = tuple(dict.fromkeys((*active.overrule, *(one.kind for one in refused))))
        raise ConfigError(
            f"Live trading is refused: the strategy {active.name!r} does not produce the same "
            f"signals live as over its {formats.count(stored)} stored candles: "
            f"{'; '.join(map(str, refused))} "
            f"bot.check(strategy) on paper shows where. Who trades it all the same names what is "
            f"overruled: bot.trade(..., overrule={list(kinds)!r}), or overrule: in its settings."
        )
    parts = [
        f"checked on {formats.count(stored)} candles, {report.looked_at[0]}"
        if report.looked_at
        else ""
    ]
    parts += [f"OVERRULED: {finding}" for finding in report.findings]
    parts += [f"not looked at: {missed}" for missed in report.not_looked_at]
    parts += [f"beware: {warning}" for warning in report.warnings]
    return "; ".join(part for part in parts if part)


def check_live(settings: Settings, live: object) -> None:
    """Check that ``live`` is True or False, and True where the mode is live.

    Raises:
        ConfigError: it is not so.
    """
    if not isinstance(live, bool):
        raise ConfigError(
            f"Cannot arm live trading with live={live!r}. Accepted: live=True, or nothing."
        )
    if live and settings.mode != "live":
        raise ConfigError(
            f"live=True arms live trading, but the configuration says 'mode: {settings.mode}'. "
            "Pass the file that says 'mode: live', or leave live= out."
        )
    if settings.mode == "live" and live is not True:
        raise ConfigError(
            "The configuration says 'mode: live', but live trading was not armed in code. "
            "Pass live=True as well, or set 'mode: paper'."
        )


def armed_by(file: Path | None) -> str:
    """Return who arms a bot, from where.

    Args:
        file: the configuration that says ``mode: live``.
    """
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"user {os.getuid()}"
    where = "settings made in code" if file is None else str(file)
    return f"{user} (process {os.getpid()}, {where})"


def _restriction(addresses: bool | None) -> str:
    if addresses is None:
        return "the venue does not say"
    if addresses:
        return "yes"
    return "NO: whoever gets hold of it can trade from anywhere; restrict it at the venue"


def _account_rows(
    permissions: KeyPermissions, balances: Mapping[str, Balance], assets: Iterable[str]
) -> tuple[tuple[str, str], ...]:
    held = [
        (f"balance {asset}", f"{balances[asset].total:f}" if asset in balances else "0")
        for asset in dict.fromkeys(assets)
    ]
    return (
        ("key may trade", "yes"),
        ("key may withdraw", f"no (by {permissions.source})"),
        ("key is restricted to addresses", _restriction(permissions.addresses)),
        ("fee of a fill", "not said" if permissions.fee is None else f"{permissions.fee:.3%}"),
        *held,
    )


def _cap_rows(limits: RiskLimits) -> tuple[tuple[str, str], ...]:
    def shown(value: object) -> str:
        if value is None:
            return "no limit"
        if isinstance(value, tuple):
            return ", ".join(map(str, value))
        return f"{value:f}" if isinstance(value, Decimal) else str(value)

    return tuple((name, shown(getattr(limits, name))) for name in type(limits).__slots__)
