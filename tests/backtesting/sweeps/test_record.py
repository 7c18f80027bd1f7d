"""Records of sweeps: what identifies them must not change from version to version."""

from __future__ import annotations

from botlib.backtesting.sweeps.evaluator import SweepSettings
from botlib.backtesting.sweeps.record import _settings_text


def test_settings_are_written_into_the_identity_as_version_0_1_0_wrote_them() -> None:
    assert _settings_text(SweepSettings(start=3, engine="rust")) == (
        "Settings(terms=Terms(fee=0.001, slippage=0.0, cash=10000.0, order_cost=None, "
        "market=None), start=3, engine='rust')"
    )
