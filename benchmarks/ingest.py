"""CPU per kline frame: a bare client, ccxt's own way, and botlib without and with the storage.

A process of its own floods one socket with kline frames of many symbols, faster than any client
reads. Each client runs in a fresh process; the figure is the CPU time of that process from its
first frame to its last, divided by the frames. The shares of a real stream are kept: an update
every two seconds of market time, so that one frame in 31 closes a candle.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from benchmarks.measuring import Child, Row, Size, result_of

CLIENTS: Final = {
    "bare": "aiohttp + orjson",
    "ccxt": "ccxt watch_ohlcv_for_symbols",
    "stream": "botlib stream, without storage",
    "stream+store": "botlib stream, storing every closed candle",
}
LIMIT: Final = 120.0
"""Seconds for one client."""


class IngestSize(NamedTuple):
    """How much the clients have to read."""

    symbols: tuple[int, ...]
    frames: int
    rounds: int


USUAL: Final = IngestSize(symbols=(100, 500), frames=60_000, rounds=4)
SMOKE: Final = IngestSize(symbols=(20,), frames=2_000, rounds=1)


def measure(size: Size = Size.USUAL) -> list[Row]:
    """Return one row per client and number of symbols: µs of CPU per frame, ratio to bare.

    Raises:
        BenchmarkError: the server or a client ended or hung.
    """
    chosen = SMOKE if size is Size.SMOKE else USUAL
    rows: list[Row] = []
    for symbols in chosen.symbols:
        best: dict[str, float] = {}
        arguments = ["-m", "benchmarks.ingest_server", str(symbols), str(chosen.frames)]
        with Child("ingest server", arguments) as server:
            url = server.line(LIMIT)
            # Turn by turn, so that a busy moment of the machine meets all clients alike.
            for _ in range(chosen.rounds):
                for client in CLIENTS:
                    found = _run(client, symbols, chosen.frames, url)
                    best[client] = min(found, best.get(client, found))
        rows += [
            {
                "benchmark": "ingest",
                "client": name,
                "symbols": symbols,
                "frames": chosen.frames,
                "cpu_us_per_frame": round(best[client] * 1e6, 2),
                "ratio_to_bare": round(best[client] / best["bare"], 2),
            }
            for client, name in CLIENTS.items()
        ]
    return rows


def _run(client: str, symbols: int, frames: int, url: str) -> float:
    arguments = ["-m", "benchmarks.ingest_clients", client, str(symbols), str(frames), url]
    found = result_of(f"ingest client {client}, {symbols} symbols", arguments, limit=LIMIT)
    return float(found["cpu"])
