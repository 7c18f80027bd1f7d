"""Share the engine fixture: views are tested on a real engine."""

from tests.engine.conftest import make_engine as make_engine
