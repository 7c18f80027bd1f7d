"""Conservation of balances: a state machine of random actions on the matching engine."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.trading_machine import TradingMachine


class DeepMarketMachine(TradingMachine):
    """Random actions in a market without a depth, which fills any amount at one price."""

    depth = None


@pytest.mark.parametrize("machine", [TradingMachine, DeepMarketMachine], ids=["book", "deep"])
def test_balances_are_conserved(machine: type[TradingMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=50,
            stateful_step_count=45,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
