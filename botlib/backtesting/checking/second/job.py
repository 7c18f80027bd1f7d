"""What a second process is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botlib.backtesting.checking.truncation import Columns
    from botlib.frames import Frames

JOB_FILE = "job.pickle"
PATH_FILE = "path.pickle"
ANSWER_FILE = "answer.pickle"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondJob:
    """What is asked of the second process.

    Attributes:
        strategy: pickled, as it was before anyone asked it.
        lengths: of the histories, in trading candles, ascending.
        rows: trading candles with a signal, after some of which data is changed.
    """

    strategy: bytes
    frames: Frames
    lengths: tuple[int, ...]
    rows: tuple[int, ...]
    seconds: float
    seed: int


@dataclass(slots=True, kw_only=True)
class Probe:
    """What changed when a piece of data beyond the candles was changed.

    Attributes:
        name: of the data, with its kind and size.
        column: the first column that changed.
        row: the first row that changed.
        known: trading candles after which the data was changed, None if all of it was.
        long: whether it is as long as the history, or has times.
        rebuilt: whether the signals change only if the strategy is made anew with it.
    """

    name: str
    words: str
    column: str
    row: int
    known: int | None
    long: bool
    rebuilt: bool = False


@dataclass(slots=True, kw_only=True)
class SecondAnswer:
    """What the second process found.

    Attributes:
        cuts: the columns of each history that it got to, by length.
        remade: the columns of a strategy made anew from its parameters, over the whole history.
        remade_error: why it could not be made anew, or why that one failed.
        constructed: whether it could be made anew.
        different: attributes of the strategy that the one made anew has not, or with other values;
            all that are no parameters, if none could be made.
        opened: files and addresses that were opened while the strategy answered.
        probed: how many pieces of data were changed, of those that are ``reached``.
    """

    cuts: dict[int, Columns] = field(default_factory=dict)
    whole: Columns | None = None
    remade: Columns | None = None
    remade_error: str = ""
    constructed: bool = False
    different: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    probes: list[Probe] = field(default_factory=list)
    probed: int = 0
    reached: int = 0
    error: str = ""
