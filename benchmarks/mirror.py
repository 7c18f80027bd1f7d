"""What a mirror adds to a frame: its delay, and its CPU time beside that of a bare client.

A server stands for the venue. A client receives each frame of 100 symbols from the server and
through the mirror; the difference is the delay. Then both ways are flooded: the CPU time of the
mirror a frame is compared with that of a client that reads and parses frames, aiohttp with orjson.
Aims: a p95 of 5 ms at 100 symbols, and 3 times the bare client.
"""

from __future__ import annotations

import math
from typing import Final

import orjson
import psutil

from benchmarks.measuring import Child, Row, Size, result_of

SYMBOLS: Final = 100
LIMIT: Final = 180.0


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return a row for the delay and one for the CPU time of a frame.

    Raises:
        BenchmarkError: a process failed or hung.
    """
    symbols, paced, flooded = (10, 500, 2_000) if size is Size.SMOKE else (SYMBOLS, 20_000, 200_000)
    with Child("venue", ["-m", "benchmarks.mirror_server", str(symbols)]) as server:
        url = server.line(LIMIT)
        words = ["-m", "botlib", "paper", "--mirror", "binance", "--upstream", url]
        with Child("mirror", words) as mirror:
            address = orjson.loads(mirror.line(LIMIT))["url"]
            client = ["-m", "benchmarks.mirror_client"]
            found = result_of(
                "delays", [*client, "delays", address, url, str(symbols), str(paced)], limit=LIMIT
            )["delays"]
            process = psutil.Process(mirror.pid)
            before = _cpu(process)
            result_of(
                "client", [*client, "read", address, url, str(symbols), str(flooded)], limit=LIMIT
            )
            used = (_cpu(process) - before) / flooded
        bare = result_of(
            "bare client", [*client, "read", url, url, str(symbols), str(flooded)], limit=LIMIT
        )["cpu"]
    found.sort()
    at = {f"p{q:g}": found[max(0, math.ceil(q / 100 * len(found)) - 1)] for q in (50, 95, 99)}
    return [
        {
            "what": f"added delay of a frame, {symbols} symbols, 2,000 frames/s",
            **{f"{name} ms": round(value * 1e3, 2) for name, value in at.items()},
        },
        {
            "what": "CPU of a mirrored frame",
            "mirror µs": round(used * 1e6, 1),
            "bare client µs": round(bare * 1e6, 1),
            "ratio": round(used / bare, 2),
        },
    ]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
