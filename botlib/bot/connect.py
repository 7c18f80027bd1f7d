"""`connect`: starts the bot of a configuration, or returns it if it runs already."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from botlib.backtesting.vectorbt_setup import release_gil_when_loaded
from botlib.bot.async_bot import AsyncBot
from botlib.bot.bot import Bot
from botlib.bot.replaying import recorded_changes, replay_changes
from botlib.config import Settings
from botlib.config.secrets import MaskingFilter, keys_at_hand
from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.files import PrivateLog, private_directory, take_from_others
from botlib.core.project import DATA, data_directory, project_directory
from botlib.engine.safety.arming import check_live
from botlib.runtime import HEADLESS, Runtime, garbage, get_runtime
from botlib.tasks.status import ACTIVE
from botlib.venues.registry import VENUES, capabilities
from botlib.widgets.display import show_text

logger = logging.getLogger(__name__)

RESIDENT: Final = "bot"
"""Name of the bot among the runtime's residents."""

START_TIMEOUT: Final = 180.0
"""Longest seconds of a start."""


def connect(
    config: str | Path | None = None,
    *,
    market: str | None = None,
    live: bool = False,
    recorded: str | Path | None = None,
    replay: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Bot:
    """Connect to a market and start a bot; the same call again returns the same bot.

    Without arguments the bot has a paper account on a synthetic market: no key, no network, no
    server. It trades nothing until a strategy is started by `Bot.trade`, or named in the settings.
    Changed settings replace the bot that runs.

    Args:
        config: a YAML file; ``botlib config --example`` prints one.
        market: a venue to watch, such as ``"binance"``: its real prices, without keys; strategies
            are asked and their signals shown, but nothing can be ordered.
        live: True arms live trading, together with ``mode: live`` in the file; as one of
            ``changes`` the mode would stand in the same call. The key must be one that may trade
            and may not withdraw, and no strategy may look ahead on its stored candles; account,
            caps and strategies are shown.
        recorded: a candle file to replay on the paper exchange in place of the synthetic market;
            its symbol is the only one, and strategies of others are left out.
        replay: stored candles to replay in its place, any number of symbols in step:
            ``{"symbols": ["BTC/USDT", "ETH/USDT"], "since": "2024-08-01", "until": "2024-08-10"}``.
            ``since`` and ``until`` are the first and the last open time, by default those of the
            candles that all symbols have; ``timeframe`` is by default the shortest. Stored candles
            before ``since`` are the history.
        changes: settings that override the file, such as ``symbols=["BTC/USDT"]``.

    Raises:
        ConfigError: a setting, the key of a real account or a strategy on it is not accepted.
        BotlibError: something did not start; everything was stopped again.
    """
    # Before anything can fail: no text of it may show a key.
    keys_at_hand()
    project = project_directory(Path.cwd())
    file = None if config is None else _find(config, project)
    settings = written = Settings.load(file)
    if changes:
        settings = settings.override(changes)
    if market is not None and live is True:
        raise ConfigError(
            f"market={market!r} only watches, and live=True arms orders. Leave live= out, or "
            "market= and write 'mode: live' into a file."
        )
    _check_armed(settings, written, live)
    _check_one_market(market=market, recorded=recorded, replay=replay)
    if market is not None:
        settings = settings.override(_watching(market))
    if recorded is not None:
        settings = settings.override(recorded_changes(_find(recorded, project), settings))
    if "data_directory" not in settings.model_fields_set:
        settings = settings.override({"data_directory": data_directory()})
    elif not settings.data_directory.is_absolute():
        settings = settings.override({"data_directory": project / settings.data_directory})
    if settings.data_directory in (project / DATA, data_directory()):
        # A checkout has it open to all, with databases and logs to come.
        take_from_others(settings.data_directory)
    if replay is not None:
        settings = settings.override(replay_changes(replay, settings))
    # Compiled research code in a cell must not block the tasks on the runtime.
    release_gil_when_loaded()
    runtime = get_runtime(watch_parent=HEADLESS in os.environ)
    before: Bot | None = runtime.residents.get(RESIDENT)
    if before is not None:
        if before.aio.engine.started and before.aio.settings == settings:
            return before
        if before.aio.engine.started:
            sys.stdout.write(f"{_replaced(before, settings)}\n")
        _release(before, runtime)
        # While no bot trades: what bots before this one left behind.
        garbage.settle()
    _log_to(settings.data_directory / "logs" / "botlib.log")
    core = runtime.call(_make(settings, runtime, live, file))
    bot = Bot(core, runtime)
    runtime.call(core.start(), timeout=START_TIMEOUT)
    runtime.residents[RESIDENT] = bot
    runtime.add_closer(RESIDENT, core.stop)
    garbage.freeze()
    if core.arming is not None:
        show_text(core.arming)
    return bot


def _check_armed(settings: Settings, written: Settings, live: bool) -> None:
    """Check that live trading needs two acts: a file and a call.

    Args:
        settings: with the changes of the call.
        written: those of the file alone.

    Raises:
        ConfigError: one of the acts is missing.
    """
    check_live(settings, live)
    if settings.mode != "live":
        return
    asked, stands = settings.exchange.environment, written.exchange.environment
    # Nor may the call lead from a stand-in on this computer to the venue itself.
    real = written.exchange.url is not None and settings.exchange.url is None
    if written.mode != "live" or asked != stands or real:
        raise ConfigError(
            "Live trading needs two acts, and mode='live' in the same call as live=True is one. "
            f"Write 'mode: live' and 'exchange: {{environment: {asked}}}' into a configuration "
            "file, and pass its path: bl.connect('bot.yaml', live=True)."
        )


def _check_one_market(**chosen: object) -> None:
    """Check that at most one market is chosen.

    Raises:
        ConfigError: several are.
    """
    given = [f"{name}={value!r}" for name, value in chosen.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(
            f"{' and '.join(given)} are {len(given)} markets; a bot has one. Pass one: market= to "
            "watch a venue, recorded= for a file, replay= for a stretch of stored candles."
        )


def _watching(market: str) -> dict[str, Any]:
    """Return the settings that watch a venue.

    Raises:
        InvalidInput: it is none.
    """
    venue = capabilities(market)
    if venue.name != market:
        raise InvalidInput(
            f"Cannot watch {market!r}. Accepted: {', '.join(VENUES)}; bl.connect() trades on paper."
        )
    return {"mode": "watch", "exchange": {"environment": venue.environment}}


async def _make(settings: Settings, runtime: Runtime, live: bool, file: Path | None) -> AsyncBot:
    # On the loop, because asyncio objects belong to the loop that creates them.
    return AsyncBot(settings, runtime, live=live, file=file)


def _replaced(before: Bot, settings: Settings) -> str:
    """Return in a line which settings replace a bot, and what does not go on."""
    old, new = before.aio.settings.model_dump(), settings.model_dump()
    changed = ", ".join(name for name in new if new[name] != old[name])
    line = f"Other settings ({changed}): the {before.aio.settings.kind.upper()} bot is replaced."
    listed = {entry.name for entry in settings.strategies}
    gone = [name for name in before.aio.engine.signals.strategies if name not in listed]
    tasks = before.aio.tasks.status().tasks
    own = [task.name for task in tasks if task.group is None and task.state in ACTIVE]
    if gone:
        line += f" Not asked any more until it is started again: {', '.join(gone)}."
    if own:
        line += f" Ended with it: the tasks {', '.join(own)}."
    return line


def _release(bot: Bot, runtime: Runtime) -> None:
    runtime.remove_closer(RESIDENT)
    runtime.residents.pop(RESIDENT, None)
    bot.stop()


def _find(path: str | Path, project: Path) -> Path:
    found = Path(path).expanduser()
    return found if found.is_absolute() or found.exists() else project / found


def _log_to(path: Path) -> None:
    """Write the log of the package to a file, with the keys masked."""
    handler = _log_file(path)
    keys_at_hand()
    root = logging.getLogger("botlib")
    if handler not in root.handlers:
        root.addHandler(handler)
    if root.level == logging.NOTSET:
        root.setLevel(logging.INFO)


def _log_file(path: Path) -> logging.Handler:
    """Return the handler that writes to this file; a handler of another file is closed."""
    private_directory(path.parent)
    root = logging.getLogger("botlib")
    for handler in list(root.handlers):
        if isinstance(handler, PrivateLog):
            if Path(handler.baseFilename) == path.resolve():
                return handler
            root.removeHandler(handler)
            handler.close()
    made = PrivateLog(path, maxBytes=10_000_000, backupCount=3, encoding="utf-8")
    made.addFilter(MaskingFilter())
    made.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return made
