"""The simulation kernels of backtests and sweeps: vectorbt's compiled functions on plain arrays.

vectorbt wraps every step in pandas; without that the numbers are the same to the last bit, in a
fraction of the time and memory. The Rust kernels load in milliseconds and need no vectorbt; numba's
are used if they are not installed. The rules they repeat are those of
`botlib.backtesting.account.PlainAccount`, to which a property test holds them.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.inputs import Flags
from botlib.backtesting.metrics import Floats
from botlib.backtesting.vectorbt_setup import load_vectorbt, rust_engine

Records = npt.NDArray[Any]

ORDER: Final = np.dtype(
    [
        ("id", np.int64),
        ("col", np.int64),
        ("idx", np.int64),
        ("size", np.float64),
        ("price", np.float64),
        ("fees", np.float64),
        ("side", np.int64),
    ],
    align=True,
)
"""vectorbt's order record; side 0 buys, 1 sells."""


_bootstrap: Final[Any] = importlib.import_module("importlib._bootstrap")

_ENUMS: Final = "vectorbt.portfolio.enums"


class SimulationKernel(ABC):
    """The functions of an engine that are used. Series have one dimension, a value per row.

    Args:
        portfolio, returns: modules of the engine.
        ending: of the names of their functions.
    """

    def __init__(self, portfolio: Any, returns: Any, ending: str) -> None:
        self._portfolio = portfolio
        self._returns, self._sharpe, self._sortino, self._max_drawdown = (
            getattr(returns, f"{name}_{ending}")
            for name in ("returns", "sharpe_ratio", "sortino_ratio", "max_drawdown")
        )

    def orders(
        self,
        entry: Flags,
        leave: Flags,
        price: Floats,
        close: Floats,
        *,
        size: Floats | float,
        fee: float,
        slippage: Floats | float,
        cash: float,
    ) -> Records:
        """Simulate market entries and exits as ``Portfolio.from_signals`` does."""
        return self._simulated(_arguments(entry, leave, price, close, size, fee, slippage, cash))

    @abstractmethod
    def _simulated(self, given: tuple[object, ...]) -> Records: ...

    @abstractmethod
    def holdings(self, orders: Records, rows: int, cash: float) -> tuple[Floats, Floats]:
        """Return cash and base units held after each row."""

    @abstractmethod
    def profit(self, orders: Records, close: Floats) -> float:
        """Return the total profit in quote units."""

    def returns(self, value: Floats, cash: float) -> Floats:
        """Return the return of each row."""
        changes: Floats = self._returns(_column(value), np.array([cash]))
        return changes

    def sharpe(self, returns: Floats, year: float) -> float:
        """Return the annual Sharpe ratio; ``year`` is the number of rows in a year."""
        return float(self._sharpe(returns, year)[0])

    def sortino(self, returns: Floats, year: float) -> float:
        """Return the annual Sortino ratio."""
        return float(self._sortino(returns, year)[0])

    def max_drawdown(self, returns: Floats) -> float:
        """Return the deepest drawdown, a negative fraction."""
        return float(self._max_drawdown(returns)[0])


def load_kernel(engine: str | None = None) -> SimulationKernel:
    """Return the kernel of an engine: "rust", "numba", or the faster one that is installed."""
    return _RustKernel() if (engine or default_engine()) == "rust" else _NumbaKernel()


def default_engine() -> str:
    """Return the faster engine that is installed."""
    return "rust" if rust_engine() else "numba"


def _call(function: Any, *given: object) -> Any:
    return function(*given, use_stops=False)


_call_alone: Final[Any] = FunctionType(
    _call.__code__, {"__builtins__": {"__import__": lambda *_: None}}
)
"""Calls a function whose imports find what is loaded already, and load nothing."""


def _without_vectorbt(function: Any, *given: object) -> Any:
    """Call a Rust kernel that looks up record types in vectorbt, without loading vectorbt.

    Another thread that imports vectorbt meanwhile waits for the end of the call.
    """
    if "vectorbt" in sys.modules:
        # A thread may be importing it still: two that import parts of it hold up each other.
        importlib.import_module("vectorbt")
        return _call(function, *given)
    with _bootstrap._ModuleLockManager("vectorbt"):
        if "vectorbt" in sys.modules:  # imported while this thread waited
            return _call(function, *given)
        sys.modules[_ENUMS] = _record_module()
        try:
            return _call_alone(function, *given)
        finally:
            del sys.modules[_ENUMS]


def _cell(value: object, kind: type = float) -> npt.NDArray[Any]:
    """Return a value that applies to all rows, as one row of one column."""
    return np.array([[value]], dtype=kind)


_NO: Final = _cell(False, bool)
_YES: Final = _cell(True, bool)
_ZERO: Final = _cell(0.0)
_NAN: Final = _cell(np.nan)
_INF: Final = _cell(np.inf)
_FIRST: Final = _cell(0, np.int64)


def _arguments(
    entry: Flags,
    leave: Flags,
    price: Floats,
    close: Floats,
    size: Floats | float,
    fee: float,
    slippage: Floats | float,
    cash: float,
) -> tuple[object, ...]:
    """Return the arguments of vectorbt's ``simulate_from_signals``, with its defaults."""
    rows = len(close)
    sizes = _column(size) if isinstance(size, np.ndarray) else _cell(size)
    return (
        (rows, 1),
        np.array([1], dtype=np.int64),  # one group of one column
        np.array([cash], dtype=np.float64),
        np.zeros((rows, 1), dtype=np.int64),  # calling sequence
        _column(entry),
        _column(leave),
        _FIRST,  # direction: long only
        _NO,  # long and short signals of their own: none
        _NO,
        _NO,
        _NO,
        sizes,
        _column(price),
        _FIRST,  # size in base units
        _cell(fee),
        _ZERO,  # fixed fees
        _column(slippage) if isinstance(slippage, np.ndarray) else _cell(slippage),
        _ZERO,  # least size
        _INF,  # greatest size
        _NAN,  # size steps
        _ZERO,  # chance of rejection
        _NO,  # lock cash
        _YES,  # allow partial fills
        _NO,  # raise on rejection
        _NO,  # log
        _FIRST,  # accumulate: no
        _FIRST,  # conflicting signals: ignore
        _FIRST,
        _FIRST,
        _cell(4, np.int64),  # opposite entry: reverse and reduce
        _INF,  # valuation at the order price
        _NAN,  # open, high, low: used by stops only
        _NAN,
        _NAN,
        _column(close),
        _NAN,  # stops: none
        _NO,
        _NAN,
        _cell(3, np.int64),
        _FIRST,
        _FIRST,
        _cell(1, np.int64),
    )


def _column(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(values).reshape(-1, 1)


@functools.cache
def _record_module() -> ModuleType:
    """Return a module that has the record types of the installed vectorbt, and nothing else."""
    found = importlib.util.find_spec("vectorbt")
    assert found is not None and found.origin is not None
    source = Path(found.origin).parent.joinpath("portfolio", "enums.py").read_text("utf-8")
    wanted = {"order_dt", "_log_fields", "log_dt"}
    parts = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and {getattr(t, "id", "") for t in node.targets} & wanted
    ]
    module = ModuleType(_ENUMS)
    vars(module)["np"] = np
    exec(compile(ast.Module([*parts], []), _ENUMS, "exec"), vars(module))
    return module


class _RustKernel(SimulationKernel):
    def __init__(self) -> None:
        from vectorbt_rust import portfolio, returns

        super().__init__(portfolio, returns, "rs")

    def _simulated(self, given: tuple[object, ...]) -> Records:
        records: Records = _without_vectorbt(self._portfolio.simulate_from_signals_rs, *given)[0]
        return records

    def holdings(self, orders: Records, rows: int, cash: float) -> tuple[Floats, Floats]:
        places, count, shape = np.arange(len(orders)), _count(orders), (rows, 1)
        flow = self._portfolio.asset_flow_rs(orders, places, count, shape, 0)
        paid = self._portfolio.cash_flow_rs(orders, places, count, shape, False)
        money = self._portfolio.cash_rs(paid, np.array([cash]))
        return money[:, 0], self._portfolio.assets_rs(flow)[:, 0]

    def profit(self, orders: Records, close: Floats) -> float:
        places, shape = np.arange(len(orders)), (len(close), 1)
        made = self._portfolio.total_profit_rs(
            shape, _column(close), orders, places, _count(orders)
        )
        return float(made[0])


class _NumbaKernel(SimulationKernel):
    def __init__(self) -> None:
        load_vectorbt()
        from vectorbt.portfolio import nb as portfolio
        from vectorbt.returns import nb as returns

        super().__init__(portfolio, returns, "nb")

    def _simulated(self, given: tuple[object, ...]) -> Records:
        records: Records = self._portfolio.simulate_from_signals_nb(*given, use_stops=False)[0]
        return records

    def holdings(self, orders: Records, rows: int, cash: float) -> tuple[Floats, Floats]:
        columns, shape = (np.arange(len(orders)), _count(orders)), (rows, 1)
        flow = self._portfolio.asset_flow_nb(shape, orders, columns, 0)
        paid = self._portfolio.cash_flow_nb(shape, orders, columns, False)
        money = self._portfolio.cash_nb(paid, np.array([cash]))
        return money[:, 0], self._portfolio.assets_nb(flow)[:, 0]

    def profit(self, orders: Records, close: Floats) -> float:
        columns, shape = (np.arange(len(orders)), _count(orders)), (len(close), 1)
        made = self._portfolio.total_profit_nb(shape, _column(close), orders, columns)
        return float(made[0])


def _count(orders: Records) -> npt.NDArray[np.int64]:
    return np.array([len(orders)], dtype=np.int64)
