"""The configuration: the defaults, the example, and refusals with their messages."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from botlib.config import Settings, example
from botlib.core.errors import ConfigError
from botlib.trading.risk import RiskLimits


def refusal(values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings.from_dict(values)
    return str(caught.value)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "bot.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def keys(values: Any, path: str = "") -> set[str]:
    """Return the dotted path of every key, list entries left out."""
    if not isinstance(values, dict):
        return set()
    return {f"{path}{key}" for key in values} | {
        name for key, value in values.items() for name in keys(value, f"{path}{key}.")
    }


def test_defaults_are_complete_and_on_paper() -> None:
    settings = Settings.load(None)
    assert settings.mode == "paper"
    assert settings.symbols == ("BTC/USDT", "ETH/USDT")
    assert settings.paper.market == "synthetic"
    assert settings.paper.start == "now"
    assert settings.strategies == ()
    assert settings.tasks.risk_checks.interval == 300.0


def test_example_holds_exactly_the_defaults(tmp_path: Path) -> None:
    assert Settings.load(written(tmp_path, example())) == Settings.load(None)


def test_example_shows_every_key() -> None:
    shown, defaults = yaml.safe_load(example()), Settings().model_dump()
    assert keys(shown) == keys(defaults)


def test_the_strategy_that_the_example_leaves_out_can_be_put_in() -> None:
    block = example().split("strategies: []")[1].split("risk:")[0]
    lines = [line[1:] for line in block.splitlines() if line.startswith("# ")]
    entries = yaml.safe_load("\n".join(lines))
    settings = Settings.from_dict({"strategies": entries})
    assert keys(entries[0]) == keys(settings.strategies[0].model_dump())


def test_file_of_comments_is_the_defaults(tmp_path: Path) -> None:
    assert Settings.load(written(tmp_path, "# nothing set\n")) == Settings()


def test_values_are_normalised() -> None:
    settings = Settings.from_dict(
        {
            "symbols": ["btcusdt", "BTC/USDT", "ETHUSDT"],
            "paper": {"fee": 0.00075, "balances": {"USDT": 0.1}, "url": "http://localhost:8123/"},
            "exchange": {"data_deadline": "1m 30s"},
            "strategies": [{"name": "a", "strategy": "my.module:Own", "symbol": "BTCUSDT"}],
            "tasks": {"order_sync": {"interval": "2m"}, "position_monitoring": {"enabled": False}},
        }
    )
    assert settings.symbols == ("BTC/USDT", "ETH/USDT")
    assert settings.paper.fee == Decimal("0.00075")
    assert settings.paper.balances == {"USDT": Decimal("0.1")}
    assert settings.paper.url == "http://127.0.0.1:8123"
    assert settings.exchange.data_deadline == 90.0
    assert settings.strategies[0].symbol == "BTC/USDT"
    assert settings.tasks.order_sync.interval == 120.0
    assert settings.tasks.position_monitoring.interval == 30.0
    assert not settings.tasks.position_monitoring.enabled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", "now"),
        ("2026-01-05", 1_767_571_200_000),
        ("'2026-01-05'", 1_767_571_200_000),
        ("2026-01-05T12:00:00Z", 1_767_614_400_000),
        ("'2026-01-05T13:00:00+01:00'", 1_767_614_400_000),
        ("1767614400000", 1_767_614_400_000),
        ("null", "now"),
    ],
)
def test_start_of_the_paper_market(tmp_path: Path, text: str, expected: object) -> None:
    assert Settings.load(written(tmp_path, f"paper: {{start: {text}}}")).paper.start == expected


def test_recording_starts_where_its_history_ends() -> None:
    paper = {"market": "recording", "recording": "a.csv.gz"}
    settings = Settings.from_dict({"paper": paper})
    assert settings.paper.recording == (Path("a.csv.gz"),)
    assert settings.paper.start is None


def test_unknown_keys_are_named_with_their_path() -> None:
    message = refusal(
        {
            "papr": {},
            "paper": {"sped": 1},
            "strategies": [{"name": "a", "strategy": "B", "symbol": "BTCUSDT", "tmeframe": "1m"}],
            "tasks": {"order_sync": {"intervall": 3}, "order_sink": {}},
        }
    )
    assert "unknown key 'papr'" in message
    assert "Did you mean 'paper'?" in message
    assert "unknown key 'paper.sped'" in message
    assert "Did you mean 'speed'?" in message
    assert "unknown key 'strategies[0].tmeframe'" in message
    assert "Did you mean 'timeframe'?" in message
    assert "Accepted: enabled, interval." in message
    assert "Did you mean 'order_sync'?" in message
    assert message.count("\n") == 5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mode": "demo"}, "mode: accepted is 'paper', 'watch' or 'live'; received 'demo'"),
        ({"symbols": []}, "symbols"),
        ({"symbols": 5}, "symbols: accepted is a list"),
        ({"symbols": ["BTC"]}, "symbols[0]: Cannot read 'BTC' as a symbol"),
        ({"timeframes": ["1m", "60m"]}, "timeframes[1]: Unknown timeframe '60m'"),
        ({"timeframes": [["1m"]]}, "Unknown timeframe"),
        ({"history": 0}, "history"),
        ({"history": True}, "history: accepted is an integer; received True"),
        ({"history": 1.5}, "history"),
        ({"paper": []}, "paper: accepted is a mapping; received []"),
        ({"paper": {"speed": 0}}, "paper.speed: cannot use 0 as a speed"),
        ({"paper": {"speed": float("inf")}}, "or 'max'"),
        ({"paper": {"speed": True}}, "or 'max'"),
        ({"paper": {"start": "yesterday"}}, "paper.start: cannot use 'yesterday' as a start"),
        ({"paper": {"start": 1_767_614_400}}, "as a start"),
        ({"paper": {"fee": -0.001}}, "paper.fee"),
        ({"paper": {"fee": 1}}, "paper.fee"),
        ({"paper": {"fee": float("nan")}}, "paper.fee"),
        ({"paper": {"depth": {"spred": 0.1}}}, "unknown key 'paper.depth.spred'"),
        ({"paper": {"depth": {"spread": 1}}}, "paper.depth.spread: accepted is less than 1"),
        ({"paper": {"depth": {"levels": 0}}}, "paper.depth.levels: accepted is greater than or"),
        ({"paper": {"depth": {"size": 0}}}, "paper.depth.size: accepted is greater than 0"),
        ({"paper": {"depth": {"latency": "20ms"}}}, "paper.depth.latency: accepted is an integer"),
        ({"paper": {"depth": {"seed": -1}}}, "paper.depth.seed"),
        ({"paper": {"depth": 5}}, "paper.depth: accepted is a mapping"),
        ({"paper": {"bnb_price": 0}}, "paper.bnb_price: accepted is greater than 0"),
        ({"paper": {"burn_bnb": "yes"}}, "paper.burn_bnb: accepted is a boolean"),
        ({"paper": {"events": "never"}}, "paper.events: accepted is 'either', 'first' or 'last'"),
        ({"paper": {"balances": {}}}, "at least one balance"),
        ({"paper": {"balances": {"usdt": 1}}}, "cannot read 'usdt' as an asset"),
        ({"paper": {"balances": {"USDT": -1}}}, "paper.balances.USDT"),
        ({"paper": {"balances": {"USDT": True}}}, "not a number"),
        ({"paper": {"market": "recording"}}, "needs at least one candle file"),
        ({"paper": {"recording": ["a.csv"]}}, "the market is 'synthetic'"),
        ({"paper": {"url": "https://api.binance.com"}}, "on this computer only"),
        ({"paper": {"url": "http://127.0.0.1"}}, "on this computer only"),
        ({"paper": {"url": "http://127.0.0.1:8000@evil.example:80"}}, "on this computer only"),
        ({"paper": {"url": "http://127.0.0.1:99999"}}, "on this computer only"),
        ({"paper": {"url": 8123}}, "on this computer only"),
        ({"exchange": {"data_deadline": 0}}, "a duration of 0"),
        ({"tasks": {"order_sync": {"interval": -5}}}, "Cannot use -5 as a duration"),
        ({"tasks": {"order_sync": {"interval": "soon"}}}, "Cannot use 'soon' as a duration"),
        ({"tasks": {"order_sync": {"enabled": "yes"}}}, "accepted is a boolean"),
        ({"tasks": {"signal_generation": {"interval": "30s"}}}, "accepted is 'candle'"),
        ({"risk": {"max_daily_loss": 0}}, "risk.max_daily_loss: accepted is greater than 0"),
        ({"risk": {"max_daily_loss": -1}}, "risk.max_daily_loss"),
        ({"risk": {"max_open_orders": 2.5}}, "risk.max_open_orders"),
        ({"health": {"port": 70_000}}, "health.port"),
        ({"health": {"max_lag": "-1s"}}, "health.max_lag"),
        ({"strategies": [{"name": "a"}]}, "strategies[0].strategy: this key is needed"),
        ({"strategies": [{"name": "a b", "strategy": "C", "symbol": "BTCUSDT"}]}, "[0].name"),
        ({"strategies": [{"name": "a", "strategy": "C()", "symbol": "BTCUSDT"}]}, "[0].strategy"),
        ({1: 2}, "1"),
        ([], "The configuration is a list; accepted: a mapping"),
        ("mode", "The configuration is a str; accepted: a mapping"),
    ],
)
def test_refused_values(values: Any, words: str) -> None:
    assert words in refusal(values)


def test_strategies_must_fit_the_subscriptions() -> None:
    entry = {"strategy": "TrendCross", "symbol": "SOLUSDT", "timeframe": "1h"}
    message = refusal({"strategies": [{"name": "a", **entry}, {"name": "a", **entry}]})
    assert "strategy 'a' trades SOL/USDT, which is not among the symbols (BTC/USDT" in message
    assert "uses timeframe 1h, which is not among the timeframes (1m, 5m, 15m)" in message
    assert "2 strategies are named 'a'" in message


def test_nothing_trades_unless_it_is_named() -> None:
    assert Settings().strategies == ()
    assert Settings.from_dict({"mode": "live"}).strategies == ()


def test_symbols_of_two_quote_assets_are_refused() -> None:
    message = refusal({"symbols": ["BTCUSDT", "BTCUSDC", "ETHUSDT"]})
    assert "USDT and USDC" in message
    assert "USDT: BTC/USDT, ETH/USDT" in message and "USDC: BTC/USDC" in message
    assert "a bot of its own" in message
    with pytest.raises(ConfigError, match="USDT and EUR"):
        Settings().override({"symbols": ["BTCUSDT", "BTC/EUR"]})


def test_optional_caps_are_off_unless_they_are_set() -> None:
    risk = Settings().risk
    assert (risk.max_position, risk.max_drawdown, risk.symbols, risk.price_band) == (None,) * 4
    given = {"max_position": 700, "max_drawdown": 0.1, "symbols": ["btcusdt"], "price_band": 0.02}
    limits = RiskLimits(**Settings.from_dict({"risk": given}).risk.model_dump())
    assert (limits.max_position, limits.max_drawdown) == (Decimal(700), Decimal("0.1"))
    assert (limits.symbols, limits.price_band) == (("BTC/USDT",), Decimal("0.02"))


@pytest.mark.parametrize(
    "cap",
    [
        {"max_position": 0},
        {"max_position": -1},
        {"max_drawdown": 10},
        {"max_drawdown": 0},
        {"price_band": 1},
        {"price_band": float("nan")},
        {"price_band": True},
        {"symbols": []},
        {"symbols": ["???"]},
        {"max_order_cost": float("inf")},
    ],
    ids=str,
)
def test_impossible_caps_are_refused(cap: dict[str, Any]) -> None:
    assert f"risk.{next(iter(cap))}" in refusal({"risk": cap})


def test_live_mode_trades_only_configured_strategies() -> None:
    assert Settings.from_dict({"mode": "live", "strategies": []}).strategies == ()


@pytest.mark.parametrize(
    "values",
    [
        {"api_key": "CANARY"},
        {"exchange": {"apiKey": "CANARY"}},
        {"exchange": {"secret": "CANARY"}},
        {"exchange": {"API-SECRET": "CANARY"}},
        {"paper": {"token": "CANARY"}},
        {"strategies": [{"parameters": {"db_password": "CANARY"}}]},
    ],
)
def test_secrets_are_refused_and_not_shown(values: dict[str, Any]) -> None:
    message = refusal(values)
    assert "looks like a secret" in message
    assert "BINANCE_API_KEY" in message
    assert "CANARY" not in message


def test_override_merges_mappings_and_replaces_lists() -> None:
    base = Settings.from_dict({"risk": {"max_exposure": 100}, "paper": {"seed": 7}})
    changed = base.override({"paper": {"speed": "max"}, "symbols": ["BTCUSDT"]})
    assert (changed.paper.seed, changed.paper.speed) == (7, "max")
    assert changed.risk.max_exposure == 100
    assert changed.symbols == ("BTC/USDT",)
    assert base.paper.speed == 1.0
    assert base.override({}) == base


def test_override_checks_what_it_is_given() -> None:
    with pytest.raises(ConfigError, match="The changed configuration is refused"):
        Settings().override({"paper": {"sped": 1}})
    with pytest.raises(ConfigError, match="looks like a secret"):
        Settings().override({"exchange": {"secret": "x"}})


def test_override_switches_markets_and_back() -> None:
    replay = Settings().override({"paper": {"market": "recording", "recording": "a.csv"}})
    assert replay.paper.start is None
    back = replay.override({"paper": {"market": "synthetic", "recording": []}})
    assert back.paper.start == "now"


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().mode = "live"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: [*x, *x]", "line 2, column 5 is not plain YAML: aliases are not accepted"),
        ("mode: !!python/object/apply:os.system [id]", "not plain YAML"),
        (
            "mode: paper\nmode: live",
            "line 2, column 1 is not plain YAML: the key 'mode' is given twice",
        ),
        ("risk: {max_exposure: 1, max_exposure: 2}", "is given twice"),
        ("mode: [paper", "not plain YAML"),
        ("? [mode]\n: paper", "not plain YAML: found unhashable key"),
        ("- mode", "is a list; accepted: a mapping"),
        ("mode", "is a str; accepted: a mapping"),
        ("paper: {start: 2026-13-45}", "not plain YAML in UTF-8 (ValueError)"),
        ("mode: paper\n---\nmode: live", "not plain YAML"),
        (b"mode: \xff\xfe", "not plain YAML in UTF-8"),
        (b"mode: \x00", "not plain YAML in UTF-8"),
        ("[" * 5_000, "not plain YAML"),
        ("# " + "x" * 1_000_001, "too large"),
        ("moode: paper", "bot.yaml' is refused"),
    ],
)
def test_refused_files(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load(written(tmp_path, text))
    assert words in str(caught.value)


def test_broken_file_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load(written(tmp_path, "secret: 'CANARY\nmode: x"))
    assert "CANARY" not in str(caught.value)


def test_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="botlib config --example"):
        Settings.load(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="Cannot read"):
        Settings.load(tmp_path)
