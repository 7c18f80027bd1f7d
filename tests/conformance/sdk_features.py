"""Recent features of Binance through its SDK: amendments, pegged prices, microseconds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from binance_common.errors import BadRequestError
from sdk import known, refused, spot, whole
from session import PATIENCE, SYMBOL, Session

LIMIT = {"symbol": SYMBOL, "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.03}
WORKING = {
    **{"symbol": SYMBOL, "working_type": "LIMIT", "working_side": "BUY", "pending_side": "SELL"},
    **{"working_time_in_force": "GTC", "working_quantity": 0.01},
}


def features(session: Session, rest: Any, price: float) -> None:
    away = round(price * 0.9, 2)
    with session.check("amendments of an order, in their order"):
        number = rest.new_order(**LIMIT, side="BUY", price=away).data().order_id
        for amount in (0.02, 0.01):
            known(rest.order_amend_keep_priority(SYMBOL, amount, order_id=number).data())
        rows = whole(rest.order_amendments(SYMBOL, number).data())
        assert [row.new_qty for row in rows] == ["0.02000000", "0.01000000"]
        assert rows[0].new_client_order_id == rows[1].orig_client_order_id
        refused(
            rest.order_amend_keep_priority,
            BadRequestError,
            -2038,
            symbol=SYMBOL,
            new_qty=0.05,
            order_id=number,
        )
        rest.delete_order(SYMBOL, order_id=number)
    with session.check("pegged orders: they queue, they take, and they tell their price"):
        peg = {"peg_price_type": "PRIMARY_PEG", "peg_offset_type": "PRICE_LEVEL"}
        number = rest.new_order(**LIMIT, side="BUY", **peg, peg_offset_value=3).data().order_id
        order = known(rest.get_order(SYMBOL, order_id=number).data())
        assert (order.peg_price_type, order.peg_offset_value) == ("PRIMARY_PEG", 3)
        assert 0 < float(order.pegged_price) < price * 1.1 and float(order.price) == 0
        rest.delete_open_orders(SYMBOL)
        sent = {**LIMIT, "time_in_force": "IOC", "quantity": 0.001}
        taken = known(rest.new_order(**sent, side="BUY", peg_price_type="MARKET_PEG").data())
        assert taken.status == "FILLED"
        refused(
            rest.new_order,
            BadRequestError,
            -2010,
            **sent,
            side="BUY",
            peg_price_type="PRIMARY_PEG",
        )
    with session.check("what no symbol has: rules of execution, allocations, other books"):
        assert [one.rules for one in known(rest.execution_rules(symbol=SYMBOL).data()).symbol_rules]
        assert known(rest.my_allocations(SYMBOL).data()) == []
        assert known(rest.historical_block_trades(SYMBOL, from_id=1).data()) == []
        assert known(rest.my_filters(SYMBOL).data()).symbol_filters
        refused(rest.reference_price, BadRequestError, -2043, symbol=SYMBOL)
        refused(
            rest.sor_order,
            BadRequestError,
            -1020,
            **{**LIMIT, "quantity": 0.01},
            side="BUY",
            price=away,
        )
    with session.check("order lists OPO and OPOCO: the first order pays the others"):
        others = {
            "opo": {"pending_type": "MARKET"},
            "opoco": {
                **{
                    "pending_above_type": "LIMIT_MAKER",
                    "pending_above_price": round(price * 1.2, 2),
                },
                **{
                    "pending_below_type": "STOP_LOSS",
                    "pending_below_stop_price": round(price * 0.8, 2),
                },
            },
        }
        for kind, more in others.items():
            place = getattr(rest, f"order_list_{kind}")
            made = known(place(**WORKING, working_price=away, **more).data())
            assert [one.status for one in made.order_reports][:2] == ["NEW", "PENDING_NEW"]
            gone = known(rest.delete_order_list(SYMBOL, order_list_id=made.order_list_id).data())
            assert gone.list_order_status == "ALL_DONE"
    with session.check("answers in microseconds"):
        fine = spot(session, session.key, session.secret, unit="MICROSECOND").rest_api
        assert abs(whole(fine.time().data()).server_time - time.time_ns() // 1_000) < 60_000_000
        row = fine.klines(SYMBOL, "1m", limit=2).data()[0]
        assert row[6] - row[0] == 59_999_999


async def in_microseconds(session: Session) -> None:
    """Check a stream whose times are in microseconds."""
    with session.check("a stream in microseconds"):
        fine = spot(session, session.key, session.secret, unit="MICROSECOND")
        connection = await fine.websocket_streams.create_connection()
        frames: asyncio.Queue[Any] = asyncio.Queue()
        stream = await connection.kline(symbol="btcusdt", interval="1m")
        stream.on("message", frames.put_nowait)
        async with asyncio.timeout(PATIENCE):
            frame = whole(await frames.get())
        assert frame.k.T - frame.k.t == 59_999_999 and frame.E > 10**15
        await connection.close_connection(close_session=True)
