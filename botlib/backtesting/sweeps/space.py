"""The parameter space of a sweep: the values of each parameter, and the wanted combinations."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botlib.core.errors import ConfigError, InvalidInput, did_you_mean
from botlib.core.text import formats

if TYPE_CHECKING:
    from botlib.strategy import Strategy

Combination = tuple[object, ...]
"""One value per parameter, in the order of `ParameterSpace.names`."""

Where = Callable[[dict[str, Any]], object]

ROW_BYTES: Final = 1_000
"""Memory of a combination while a sweep keeps its parameters and figures."""

_FEW: Final = 200_000
"""Combinations up to which a space is listed completely before samples are drawn."""
_MISSES: Final = 1_000
"""Samples in a row that ``where`` may refuse before a random search gives up."""


class ParameterSpace:
    """The values of each parameter, and a filter over their combinations.

    Args:
        axes: parameter → the values to try: a range, a list, an array; one value fixes it.
        where: called with the parameters by name; combinations for which it is false are left out.

    Raises:
        ConfigError: the strategy has no such parameter.
        InvalidInput: there is nothing to try.
    """

    def __init__(
        self, strategy: type[Strategy], axes: Mapping[str, object], where: Where | None = None
    ) -> None:
        accepted = tuple(strategy._parameter_types())
        for name in axes:
            if name not in accepted:
                raise ConfigError(
                    f"{strategy.__name__} has no parameter {name!r}. "
                    f"Accepted: {', '.join(accepted) or 'none'}.{did_you_mean(name, accepted)}"
                )
        if not axes:
            raise InvalidInput(
                f"A sweep needs at least one parameter with several values, for example "
                f"{accepted[0] if accepted else 'length'}=range(5, 50)."
            )
        self.names = tuple(axes)
        self.axes = tuple(_values(name, values) for name, values in axes.items())
        self._where = where

    @property
    def size(self) -> int:
        """Number of combinations before ``where`` is applied."""
        return math.prod(len(axis) for axis in self.axes)

    def grid(self, *, budget: int) -> list[Combination]:
        """Return every wanted combination.

        Args:
            budget: bytes of memory the combinations may take.

        Raises:
            InvalidInput: there are more than the budget allows, or none.
        """
        admitted = budget // ROW_BYTES
        if self.size > admitted:
            sides = " × ".join(
                f"{formats.count(len(axis))} {name}"
                for name, axis in zip(self.names, self.axes, strict=True)
            )
            raise InvalidInput(
                f"The grid has {formats.count(self.size)} combinations ({sides}); the memory "
                "budget "
                f"of {formats.count(budget)} bytes admits {formats.count(admitted)}. Try fewer "
                "values, method='random' or method='optuna' with samples=, or a larger memory=."
            )
        wanted = [combination for combination in self._all() if self.wants(combination)]
        if not wanted:
            raise InvalidInput(
                f"No combination is left: where= refused all {formats.count(self.size)}. Check "
                "its condition."
            )
        return wanted

    def sample(self, count: int, seed: int) -> list[Combination]:
        """Return different wanted combinations at random, all if there are at most ``count``.

        Raises:
            InvalidInput: ``where`` refuses so many that random choice finds too few.
        """
        generator = random.Random(seed)
        if self.size <= max(_FEW, count):
            wanted = [combination for combination in self._all() if self.wants(combination)]
            generator.shuffle(wanted)
            return wanted[:count]
        drawn: dict[int, Combination] = {}
        misses = 0
        while len(drawn) < count:
            number = generator.randrange(self.size)
            if number not in drawn and self.wants(combination := self.at(number)):
                drawn[number], misses = combination, 0
                continue
            misses += 1
            if misses > _MISSES:
                raise InvalidInput(
                    f"Found {formats.count(len(drawn))} of {formats.count(count)} combinations: "
                    "where= refused "
                    f"{formats.count(_MISSES)} drawings in a row. Narrow the ranges to what it "
                    "accepts."
                )
        return list(drawn.values())

    def at(self, number: int) -> Combination:
        """Return the combination of a number below `size`; the last parameter varies fastest."""
        picked: list[object] = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis))
            picked.append(axis[place])
        return tuple(reversed(picked))

    def wants(self, combination: Combination) -> bool:
        """Return whether ``where`` accepts a combination."""
        return self._where is None or bool(self._where(self.named(combination)))

    def named(self, combination: Combination) -> dict[str, Any]:
        """Return the parameters of a combination by name."""
        return dict(zip(self.names, combination, strict=True))

    def tiles(self, combinations: Iterable[Combination], side: int) -> list[list[Combination]]:
        """Return combinations grouped into tiles of at most ``side`` values per parameter.

        Neighbours share indicators: a worker that goes tile by tile computes each of them once
        per tile, even if its memory holds few of them.
        """
        places = [{value: place for place, value in enumerate(axis)} for axis in self.axes]
        tiles: dict[tuple[int, ...], list[Combination]] = {}
        for combination in combinations:
            key = tuple(
                place[value] // side for place, value in zip(places, combination, strict=True)
            )
            tiles.setdefault(key, []).append(combination)
        return list(tiles.values())

    def _all(self) -> Iterator[Combination]:
        return (self.at(number) for number in range(self.size))


def _values(name: str, values: object) -> tuple[object, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        values = (values,)
    listed = values if isinstance(values, Sequence) else list(values)
    plain = tuple(dict.fromkeys(_plain(value) for value in listed))
    if not plain:
        raise InvalidInput(f"{name} has no values to try. Give a range or a list, or leave it out.")
    return plain


def _plain(value: object) -> object:
    """Return a numpy scalar as the Python number that a strategy's parameter is."""
    return value.item() if hasattr(value, "item") else value
