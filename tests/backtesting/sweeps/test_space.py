"""Parameter spaces: random samples and tiles."""

from __future__ import annotations

from botlib.backtesting.sweeps.space import ParameterSpace
from tests.support.sweeps import Cross, fast_below_slow


def test_a_random_sample_of_a_huge_space_depends_on_the_seed_only() -> None:
    space = ParameterSpace(
        Cross, {"fast": range(1, 10**6), "slow": range(1, 10**6)}, fast_below_slow
    )
    drawn = space.sample(200, seed=3)
    assert len(set(drawn)) == 200 and all(fast < slow for fast, slow in drawn)
    assert drawn == space.sample(200, seed=3) != space.sample(200, seed=4)


def test_tiles_keep_neighbours_together() -> None:
    space = ParameterSpace(Cross, {"fast": range(10), "slow": range(10)})
    tiles = space.tiles(space.grid(budget=10**9), 5)
    assert len(tiles) == 4 and sum(map(len, tiles)) == 100
    assert all(len({fast for fast, _ in tile}) == 5 for tile in tiles)
