"""What a notebook shows of an error of the kit: the own lines, and the message."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from jupyter_client.manager import start_new_kernel

from botlib.core.errors import ConfigError
from botlib.core.text.tracebacks import own_traceback
from botlib.strategies import TrendCross
from botlib.strategy import Strategy
from tests.support.kernels import ROOT, Kernel

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    manager, client = start_new_kernel(cwd=str(ROOT))
    shared = Kernel(manager, client)
    home = str(tmp_path_factory.mktemp("home"))
    shared.ok(f"import os\nos.environ['BOTLIB_HOME'] = {home!r}\nimport botlib as bl")
    yield shared
    client.stop_channels()
    manager.shutdown_kernel()


def shown(kernel: Kernel, code: str) -> str:
    cell = kernel.run(code)
    assert cell.status == "error"
    return re.sub(r"\x1b\[[0-9;]*m", "", cell.error)


@pytest.mark.kernel
def test_an_error_of_the_kit_shows_the_line_of_the_user_and_the_message(kernel: Kernel) -> None:
    text = shown(kernel, "def make():\n    return bl.TrendCross(fats=3)\n\nmake()")
    assert len(text.splitlines()) <= 20, text
    assert "----> 4 make()" in text and "return bl.TrendCross(fats=3)" in text
    assert "site-packages" not in text and "/botlib/" not in text
    assert text.rstrip().endswith("Did you mean 'fast'?")
    assert "calls inside botlib: %xmode Verbose shows them" in text


@pytest.mark.kernel
def test_an_error_from_the_runtime_thread_is_as_short(kernel: Kernel) -> None:
    text = shown(kernel, "bl.connect(symbols='BTC/USDT', timeframes='1x')")
    assert len(text.splitlines()) <= 10 and "nknown timeframe '1x'" in text, text
    assert "PydanticUndefined" not in text
    kernel.ok(
        "bot = bl.connect(symbols='BTC/USDT', timeframes='1m', history=30, strategies=[],"
        " health={'port': 0}, paper={'lockstep': True, 'start': '2026-01-05'})"
    )
    text = shown(kernel, "bot.trade(bl.TrendCross(timeframes='1m'), 'BTC/USDT', order_cost=1e5)")
    assert len(text.splitlines()) <= 10 and "is above risk.max_order_cost" in text, text
    broken = (
        "class Mine(bl.Strategy):\n    timeframes = ('1m',)\n    def signals(self, data):\n"
        "        return data.frame['nothing']\nbot.trade(Mine(), 'BTC/USDT')"
    )
    text = shown(kernel, broken)
    assert len(text.splitlines()) <= 16 and "KeyError: 'nothing'" in text, text
    assert "line 4, in signals" in text and "pandas/" not in text
    text = shown(kernel, "bot.buy")
    assert len(text.splitlines()) <= 8 and "A bot has no 'buy'. Orders come from" in text, text


@pytest.mark.kernel
def test_the_rest_is_shown_when_it_is_asked_for(kernel: Kernel) -> None:
    kernel.ok("%xmode Verbose")
    text = shown(kernel, "bl.TrendCross(fats=3)")
    kernel.ok("%xmode Context")
    assert "botlib/strategy.py" in text and text.rstrip().endswith("Did you mean 'fast'?")


def test_a_traceback_of_own_lines_keeps_files_that_are_named() -> None:
    with pytest.raises(ConfigError) as refused:
        TrendCross(fats=3)
    own = own_traceback(refused.value)
    named = own_traceback(refused.value, [Strategy.__init__.__code__.co_filename])
    assert own.count(", line ") == 1 and "test_tracebacks.py" in own
    assert "botlib/strategy.py" in named and named.endswith("Did you mean 'fast'?")
