"""The engine fixture, because views are tested on a real engine."""

from tests.engine.conftest import make_engine as make_engine
