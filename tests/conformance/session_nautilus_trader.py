"""A nautilus_trader node on the paper exchange: it reconciles, trades, and recovers its stream.

The node signs with Ed25519, since Binance accepts only that for the log-on of a session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from nautilus_trader.adapters.binance import (
    BINANCE,
    BinanceAccountType,
    BinanceDataClientConfig,
    BinanceExecClientConfig,
    BinanceLiveDataClientFactory,
    BinanceLiveExecClientFactory,
)
from nautilus_trader.config import (
    InstrumentProviderConfig,
    LiveExecEngineConfig,
    LoggingConfig,
    StrategyConfig,
    TradingNodeConfig,
)
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import OrderSide, OrderStatus, TimeInForce
from nautilus_trader.model.identifiers import InstrumentId, Venue
from nautilus_trader.trading.strategy import Strategy
from session import PATIENCE, SYMBOL, Session

INSTRUMENT = InstrumentId.from_str(f"{SYMBOL}.{BINANCE}")
AMOUNT = Decimal("0.02")
DONE = {OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.DENIED}


class Trader(Strategy):
    """A strategy that sends the orders which the session asks for."""

    def __init__(self) -> None:
        super().__init__(StrategyConfig(external_order_claims=[INSTRUMENT]))
        self.quotes: list[Any] = []

    def on_start(self) -> None:
        self.subscribe_quote_ticks(INSTRUMENT)

    def on_quote_tick(self, tick: Any) -> None:
        self.quotes.append(tick)

    def market(self, side: OrderSide, amount: Decimal = AMOUNT) -> Any:
        quantity = self.cache.instrument(INSTRUMENT).make_qty(amount)
        order = self.order_factory.market(INSTRUMENT, side, quantity)
        self.submit_order(order)
        return order

    def limit(self, side: OrderSide, price: float) -> Any:
        instrument = self.cache.instrument(INSTRUMENT)
        order = self.order_factory.limit(
            INSTRUMENT,
            side,
            instrument.make_qty(AMOUNT),
            instrument.make_price(price),
            time_in_force=TimeInForce.GTC,
        )
        self.submit_order(order)
        return order


async def until(found: Callable[[], Any], what: str) -> Any:
    """Wait until something is found and return it."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while asyncio.get_running_loop().time() < end:
        value = found()
        if value:
            return value
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE} s in vain for {what}")


def make_node(session: Session, loop: asyncio.AbstractEventLoop) -> TradingNode:
    hosts = {
        "api_key": session.signing_key,
        "api_secret": Path(session.private_key).read_text(),
        "account_type": BinanceAccountType.SPOT,
        "base_url_http": session.url,
        "instrument_provider": InstrumentProviderConfig(load_ids=frozenset({INSTRUMENT})),
    }
    config = TradingNodeConfig(
        trader_id="PAPER-001",
        logging=LoggingConfig(log_level="WARNING", log_colors=False),
        exec_engine=LiveExecEngineConfig(
            reconciliation=True, reconciliation_startup_delay_secs=0.5
        ),
        data_clients={BINANCE: BinanceDataClientConfig(base_url_ws=session.ws, **hosts)},
        exec_clients={
            BINANCE: BinanceExecClientConfig(base_url_ws=f"{session.ws}/ws-api/v3", **hosts)
        },
        timeout_connection=PATIENCE,
        timeout_reconciliation=PATIENCE,
    )
    node = TradingNode(config=config, loop=loop)
    node.add_data_client_factory(BINANCE, BinanceLiveDataClientFactory)
    node.add_exec_client_factory(BINANCE, BinanceLiveExecClientFactory)
    return node


def executed(session: Session, order: Any) -> Decimal:
    [found] = [
        one
        for one in session.look("ledger")["orders"]
        if one["client_order_id"] == order.client_order_id.value
    ]
    return Decimal(found["executed"])


async def filled(order: Any) -> None:
    await until(lambda: order.status in DONE, f"the end of {order}")
    assert order.status == OrderStatus.FILLED, order


def equal_to_the_ledger(node: TradingNode, session: Session) -> bool:
    account = node.cache.account_for_venue(Venue(BINANCE))
    for asset, balance in session.look("ledger")["balances"].items():
        found = next((one for code, one in account.balances().items() if code.code == asset), None)
        if found is None or found.free.as_decimal() != Decimal(balance["free"]):
            return False
        if found.locked.as_decimal() != Decimal(balance["locked"]):
            return False
    return True


def net(node: TradingNode) -> Decimal:
    return node.portfolio.net_position(INSTRUMENT)


async def trading(session: Session, node: TradingNode, trader: Trader) -> None:
    with session.check("the node connects, and reconciles an order that it did not send"):
        await until(lambda: trader.is_running, "the strategy to start")
        [waiting] = await until(lambda: node.cache.orders_open(), "the order of before")
        assert waiting.client_order_id.value == "of-before"
        assert equal_to_the_ledger(node, session)
    with session.check("quotes of the book arrive"):
        await until(lambda: len(trader.quotes) > 3, "quotes")
    price = float(trader.quotes[-1].bid_price)
    with session.check("it cancels the order of before"):
        trader.cancel_order(waiting)
        await until(lambda: waiting.status == OrderStatus.CANCELED, "the cancel")
    with session.check("market and limit orders trade, and the ledger agrees"):
        order = trader.market(OrderSide.BUY)
        await filled(order)
        assert order.filled_qty.as_decimal() == AMOUNT == executed(session, order)
        resting = trader.limit(OrderSide.BUY, price * 0.9)
        await until(lambda: resting.status == OrderStatus.ACCEPTED, "the order to rest")
        await until(lambda: equal_to_the_ledger(node, session), "the same balances")
    for kind in ("reset", "close", "expire"):
        with session.check(f"the user stream is lost ({kind}): the node finds what it missed"):
            session.control("fault", kind=kind, target="user")
            number = int(resting.venue_order_id.value)
            session.ask("DELETE", "order", symbol=SYMBOL, orderId=number)
            await until(lambda one=resting: one.status == OrderStatus.CANCELED, "the cancel")
            resting = trader.limit(OrderSide.BUY, price * 0.9)
            await until(lambda one=resting: one.status == OrderStatus.ACCEPTED, "a new order")
    with session.check("it trades again over the stream that came back"):
        await filled(trader.market(OrderSide.BUY))
    with session.check("it ends flat, without orders, and equal to the ledger"):
        trader.cancel_all_orders(INSTRUMENT)
        await until(lambda: not node.cache.orders_open(), "no order")
        # The commission of a purchase is paid in BTC, so less than the orders is held.
        await filled(trader.market(OrderSide.SELL, net(node)))
        assert net(node) == 0, net(node)
        assert node.portfolio.is_flat(INSTRUMENT)
        assert not [one for one in session.look("ledger")["orders"] if one["status"] == "NEW"]
        await until(lambda: equal_to_the_ledger(node, session), "the same balances")


async def traded(session: Session, node: TradingNode, trader: Trader) -> None:
    running = asyncio.create_task(node.run_async())
    try:
        await trading(session, node, trader)
    finally:
        await node.stop_async()
        await asyncio.wait([running], timeout=PATIENCE)


def main() -> None:
    session = Session()
    price = float(session.ask("GET", "ticker/price", symbol=SYMBOL)["price"])
    session.ask(
        "POST",
        "order",
        symbol=SYMBOL,
        type="LIMIT",
        side="BUY",
        timeInForce="GTC",
        quantity="0.01",
        price=f"{price * 0.85:.2f}",
        newClientOrderId="of-before",
    )
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    node = make_node(session, loop)
    trader = Trader()
    node.trader.add_strategy(trader)
    node.build()
    loop.run_until_complete(traded(session, node, trader))
    node.dispose()
    session.end()


main()
