"""What the proxy of the benchmark of orders notes, and how latencies follow from it."""

from __future__ import annotations

import pytest

from benchmarks.orders import latencies
from benchmarks.orders_proxy import Notes

CLOSE = b'{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":0,"T":1,"s":"BTCUSDT","i":"1m","x":true}}'
OPEN = CLOSE.replace(b"true", b"false")
FILL = (
    b'{"e":"executionReport","E":1,"s":"BTCUSDT","c":"bl0-1","S":"BUY","o":"MARKET","X":"FILLED"}'
)
ANSWER = b'{"symbol":"BTCUSDT","orderId":1,"clientOrderId":"bl0-1","status":"FILLED"}'


def order(kind: str) -> bytes:
    body = f"symbol=BTCUSDT&side=BUY&type={kind}&quantity=1"
    return f"POST /api/v3/order HTTP/1.1\r\nHost: x\r\n\r\n{body}".encode()


@pytest.mark.parametrize("cut", [0, 1, 40, len(CLOSE) - 3])
def test_a_close_is_noted_once_even_when_it_arrives_in_two_parts(cut: int) -> None:
    notes, kept = Notes(), b""
    text = OPEN + CLOSE
    for number, chunk in enumerate((text[: len(OPEN) + cut], text[len(OPEN) + cut :], OPEN)):
        kept = notes.of_venue(chunk, kept, float(number))
    assert notes.closed == [(1.0, "BTCUSDT")]


def test_fills_and_orders_are_noted() -> None:
    notes = Notes()
    notes.of_venue(FILL, b"", 1.0)
    notes.of_venue(ANSWER, b"", 2.0)
    kept = notes.of_bot(order("MARKET")[:30], b"", 3.0)
    notes.of_bot(order("MARKET")[30:], kept, 4.0)
    assert notes.filled == [(1.0, "BTCUSDT", "bl0-1"), (2.0, "BTCUSDT", "bl0-1")]
    assert notes.sent == [(4.0, "BTCUSDT", "MARKET")]


def test_a_stop_follows_the_first_news_of_the_newest_fill() -> None:
    orders, stops = latencies(
        {
            "closed": [[1.0, "A"], [2.0, "A"], [2.0, "B"]],
            "filled": [[2.5, "A", "one"], [2.6, "A", "one"]],
            "sent": [[2.25, "A", "MARKET"], [2.75, "A", "STOP_LOSS"], [2.9, "B", "STOP_LOSS"]],
        }
    )
    assert (orders, stops) == ([0.25], [0.25])
