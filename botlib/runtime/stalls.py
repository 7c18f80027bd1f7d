"""Stalls: times in which the loop does not run, and the function that causes them.

A daemon thread checks the loop five times a second. While a beat is overdue it reads the stacks of
the process and names the innermost user function: on the loop thread if a callback blocks it, or on
another thread if compiled code holds the GIL. While the GIL is held no Python runs, this thread
included, so before each sleep it arms a timer of `faulthandler`, which writes all stacks without
the GIL if the thread does not wake up in time. The timer is armed here and not by the loop's beat,
because reading the stack of running code is not safe: it must fire only while no Python can run.
`faulthandler` has one such timer per process, which this watch uses.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import re
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from botlib.core import lag
from botlib.core.lag import LagMeter

log = logging.getLogger(__name__)

THRESHOLD: Final = 0.25
"""Seconds of lateness from which on a beat is a stall."""

GIL_TIMEOUT: Final = 1.5
"""Seconds without running Python after which the stacks are written."""

END_TIMEOUT: Final = 3.0
"""Seconds to wait for the end of the watch."""

KEPT: Final = 100
LOG_EVERY: Final = 10.0
WARN_FROM: Final = 1.0
"""Seconds from which on a stall is a warning: every large import causes shorter ones."""

DEPTH: Final = 200
DUMP_READ: Final = 1_000_000

UNKNOWN: Final = "nothing seen in this process: the machine may be busy or have slept"

_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_LIBRARIES = tuple(
    {
        path.rstrip(os.sep) + os.sep
        for key in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_path(key))
    }
)
_BEAT = lag.__file__
_MACHINERY = (
    f"{os.sep}asyncio{os.sep}",
    f"{_PACKAGE}runtime{os.sep}",
    f"{_PACKAGE}tasks{os.sep}",
    f"{os.sep}nest_asyncio2.py",
    f"{os.sep}threading.py",
    f"{os.sep}selectors.py",
)
# A thread whose innermost frame is in one of these files waits, and does not hold the GIL.
_WAITING = tuple(
    f"{os.sep}{name}"
    for name in ("threading.py", "selectors.py", "queue.py", "socket.py", "ssl.py", "subprocess.py")
)


class StackFrame(NamedTuple):
    """One entry of a stack."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A time in which the loop did not run.

    Args:
        seconds: lateness of the beat in seconds.
        where: the function that caused it, as ``file:line function``.
        when: end of the stall (ms, UTC).
    """

    seconds: float
    where: str
    when: int


class StallWatch:
    """A watch that finds the functions that stall the loop of one thread.

    Args:
        meter: the lag meter of that loop; it must call `note` for beats later than `threshold`.
        thread: ident of the loop's thread.
        threshold: seconds of lateness from which on the stacks are read.
    """

    def __init__(self, meter: LagMeter, thread: int, *, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        self._meter = meter
        self._loop_thread = thread
        self._stalls: deque[Stall] = deque(maxlen=KEPT)
        self._seen: Counter[str] = Counter()
        self._over = threading.Event()
        self._dump = tempfile.TemporaryFile(prefix="botlib-stall-")
        self._read = 0
        self._armed_until = 0.0
        self._logged = -LOG_EVERY
        self._watcher = threading.Thread(target=self._watch, name="botlib-stalls", daemon=True)

    def start(self) -> None:
        """Start the watch."""
        self._watcher.start()

    def stop(self) -> None:
        """Stop the watch; the stalls stay readable."""
        self._over.set()
        if threading.current_thread() is not self._watcher:
            self._watcher.join(END_TIMEOUT)
        # While the thread lives, its timer may write to the file, or to a later one of that number.
        if not self._watcher.is_alive():
            self._dump.close()

    def stalls(self) -> tuple[Stall, ...]:
        """Return the last 100 stalls, oldest first, including one that still lasts."""
        late = self._meter.current
        ended = tuple(self._stalls)
        seen = self._seen.most_common(1)
        if late < self.threshold or not seen:
            return ended
        return (*ended, Stall(seconds=late, where=seen[0][0], when=time.time_ns() // 1_000_000))

    def note(self, seconds: float) -> None:
        """Record a stall that has just ended; called on the loop by its meter."""
        # First, before the thread that held the GIL runs on: reading the dump releases the GIL.
        # These stacks count only if no function was seen during the stall.
        stacks = _stacks(without=(threading.get_ident(), self._watcher.ident))
        seen, self._seen = self._seen, Counter()
        where = self._read_dump()
        if where is None and seen:
            where = seen.most_common(1)[0][0]
        if where is None:
            where = _other_thread(stacks)
        stall = Stall(seconds=seconds, where=where or UNKNOWN, when=time.time_ns() // 1_000_000)
        self._stalls.append(stall)
        now = time.monotonic()
        if now - self._logged >= LOG_EVERY:
            self._logged = now
            level = logging.WARNING if seconds >= WARN_FROM else logging.INFO
            log.log(level, "The loop stood still for %.2f s: %s.", seconds, stall.where)

    def _watch(self) -> None:
        try:
            self._keep_watch()
        finally:
            faulthandler.cancel_dump_traceback_later()  # in this thread, which alone arms it

    def _keep_watch(self) -> None:
        poll = self.threshold * 0.8
        due = math.inf
        while not self._over.is_set():
            now = time.monotonic()
            # Before arming, which releases the GIL: the thread that held it would run on.
            if self._meter.overdue > self.threshold:
                self._look(held=now - due > self.threshold)
            self._arm(now)
            due = time.monotonic() + poll
            self._over.wait(poll)

    def _arm(self, now: float) -> None:
        # Arming starts a thread and costs 70 µs: every second time is enough.
        if now < self._armed_until - GIL_TIMEOUT * 0.75:
            return
        self._armed_until = now + GIL_TIMEOUT
        if self._read > DUMP_READ:
            faulthandler.cancel_dump_traceback_later()
            os.ftruncate(self._dump.fileno(), 0)
            os.lseek(self._dump.fileno(), 0, os.SEEK_SET)
            self._read = 0
        # Repeated, as the GIL may be held twice before this thread runs again.
        faulthandler.dump_traceback_later(GIL_TIMEOUT, repeat=True, file=self._dump)

    def _look(self, *, held: bool) -> None:
        beats = self._meter.beats
        stacks = _stacks(without=(threading.get_ident(),))
        if self._meter.beats != beats:
            return  # the stall ended meanwhile, and these stacks do not belong to the next one
        where = _blocking(stacks.get(self._loop_thread, ()))
        if where is None and held:
            where = _other_thread({k: v for k, v in stacks.items() if k != self._loop_thread})
        if where is not None:
            self._seen[where] += 1

    def _read_dump(self) -> str | None:
        """Return the function in the stacks that `faulthandler` wrote since the last call."""
        file = self._dump.fileno()
        size = os.fstat(file).st_size
        start = max(self._read, size - DUMP_READ)
        # Not truncated here, as the next dump may be in progress.
        self._read = size
        text = os.pread(file, size - start, start).decode(errors="replace")
        for dump in reversed(text.split("Timeout (")):  # the last one may be incomplete
            stacks = parse_dump(dump)
            own = _blocking(stacks.pop(self._loop_thread, ()))
            stacks.pop(self._watcher.ident or 0, None)
            if name := own or _other_thread(stacks):
                return name
        return None


def parse_dump(text: str) -> dict[int, list[StackFrame]]:
    """Return the stacks in a dump of `faulthandler` by thread ident, innermost frame first."""
    stacks: dict[int, list[StackFrame]] = {}
    stack: list[StackFrame] = []
    for line in text.splitlines():
        if head := re.match(r"(?:Current )?[Tt]hread 0x([0-9a-fA-F]+)", line):
            stack = stacks.setdefault(int(head[1], 16), [])
        elif entry := re.match(r'  File "(.*)", line (\d+) in (.*)', line):
            stack.append(StackFrame(entry[1], int(entry[2]), entry[3]))
    return stacks


def _stacks(*, without: Sequence[int | None]) -> dict[int, list[StackFrame]]:
    return {
        ident: _walk(frame)
        for ident, frame in sys._current_frames().items()
        if ident not in without
    }


def _walk(frame: FrameType | None) -> list[StackFrame]:
    stack: list[StackFrame] = []
    while frame is not None and len(stack) < DEPTH:
        code = frame.f_code
        stack.append(StackFrame(code.co_filename, frame.f_lineno or 0, code.co_qualname))
        frame = frame.f_back
    return stack


def _is_user(frame: StackFrame) -> bool:
    return not frame.file.startswith((*_LIBRARIES, _PACKAGE, "<frozen"))


def _blocking(stack: Sequence[StackFrame]) -> str | None:
    """Return the function that runs on the loop thread, or None if the loop itself waits."""
    if any(frame.file == _BEAT for frame in stack):
        return None  # the late beat itself, which is not its own cause
    work = [f for f in stack if not any(part in f.file for part in _MACHINERY)]
    work = [f for f in work if not f.file.startswith("<frozen")]
    if not work:
        return None
    return _name(next(filter(_is_user, work), work[0]))


def _other_thread(stacks: Mapping[int, Sequence[StackFrame]]) -> str | None:
    """Return the user function that holds the GIL, preferring the main thread, or None."""
    main = threading.main_thread().ident
    for ident in sorted(stacks, key=lambda ident: ident != main):
        stack = stacks[ident]
        if not stack or stack[0].file.endswith(_WAITING):
            continue
        user = next(filter(_is_user, stack), None)
        if user is not None:
            return f"{_name(user)} (holding the GIL on another thread)"
    return None


def _name(frame: StackFrame) -> str:
    # The kernel compiles each cell as /tmp/ipykernel_<pid>/<hash>.py.
    file = "cell" if re.search(r"ipykernel_\d+[/\\]", frame.file) else frame.file
    # Of what is installed its name says enough: pandas/core/frame.py, botlib/store/write.py.
    # The longest root first: an environment may lie in the project, which is then a root as well.
    above = str(Path(_PACKAGE).parent) + os.sep
    roots = sorted((above, *_LIBRARIES), key=len, reverse=True)
    if file.startswith((_PACKAGE, *_LIBRARIES)):
        file = file.removeprefix(next(root for root in roots if file.startswith(root)))
    return f"{file}:{frame.line} {frame.function}"
