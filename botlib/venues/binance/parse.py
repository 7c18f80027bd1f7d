"""Conversion of Binance's candles, order books, orders and executions into the kit's types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from botlib.core.errors import ExchangeError, InvalidInput
from botlib.core.model import Candle, CandleSource, Fill, OrderStatus, OrderType, Side
from botlib.venues.base import (
    Balance,
    BookLevel,
    DepthSnapshot,
    DepthUpdate,
    KeyPermissions,
    Market,
    OrderReport,
    RawKline,
)

Raw = Mapping[str, Any]

_STATUS: Final = {
    "NEW": OrderStatus.OPEN,
    "PENDING_NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "PENDING_CANCEL": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}

_TYPES: Final = {kind.value.upper(): kind for kind in OrderType}

_CLOSE_TIME: Final = 6
"""Index of the close time in a REST candle row."""


def market(symbol: str, info: Raw) -> Market:
    """Return a market from its ``exchangeInfo`` entry."""
    filters = {entry["filterType"]: entry for entry in info["filters"]}
    lot, price = filters.get("LOT_SIZE", {}), filters.get("PRICE_FILTER", {})
    # Called MIN_NOTIONAL until 2023.
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    return Market(
        symbol=symbol,
        id=str(info["symbol"]),
        base=str(info["baseAsset"]),
        quote=str(info["quoteAsset"]),
        tick=_decimal(price.get("tickSize", "0")),
        step=_decimal(lot.get("stepSize", "0")),
        min_amount=_decimal(lot.get("minQty", "0")),
        min_cost=_decimal(notional.get("minNotional", "0")),
        active=info.get("status", "TRADING") == "TRADING",
        order_types=frozenset(map(str, info.get("orderTypes", ("LIMIT", "MARKET")))),
        sell_band=_sell_band(filters),
        replaces=bool(info.get("cancelReplaceAllowed", False)),
        lists=bool(info.get("ocoAllowed", False)),
    )


def _sell_band(filters: Mapping[str, Raw]) -> tuple[Decimal, Decimal]:
    """Return the lowest and highest price of a sale as multiples of the average price."""
    sided = filters.get("PERCENT_PRICE_BY_SIDE")
    if sided is not None:
        return _decimal(sided["askMultiplierDown"]), _decimal(sided["askMultiplierUp"])
    both = filters.get("PERCENT_PRICE", {})
    return _decimal(both.get("multiplierDown", "0")), _decimal(both.get("multiplierUp", "0"))


def streamed_candle(symbol: str, timeframe: str, raw: RawKline, *, closed: bool) -> Candle:
    """Return the candle of a kline frame.

    Raises:
        InvalidInput: a value cannot be read, or the candle is impossible.
    """
    try:
        return _sound(
            Candle(
                symbol=symbol,
                timeframe=timeframe,
                timestamp=raw["t"],
                open=float(raw["o"]),
                high=float(raw["h"]),
                low=float(raw["l"]),
                close=float(raw["c"]),
                volume=float(raw["v"]),
                closed=closed,
                source=CandleSource.STREAM,
            )
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"A streamed candle cannot be used: {error}") from error


def fetched_candle(symbol: str, timeframe: str, row: list[Any], *, now: int) -> Candle:
    """Return the candle of a REST row; it is closed if its close time is before ``now`` (ms).

    Raises:
        InvalidInput: a value cannot be read, or the candle is impossible.
    """
    try:
        return _sound(
            Candle(
                symbol=symbol,
                timeframe=timeframe,
                timestamp=int(row[0]),
                open=float(row[1]),
                high=float(row[2]),
                low=float(row[3]),
                close=float(row[4]),
                volume=float(row[5]),
                closed=int(row[_CLOSE_TIME]) < now,
                source=CandleSource.REST,
            )
        )
    except (IndexError, TypeError, ValueError) as error:
        raise InvalidInput(f"A fetched candle cannot be used: {error}") from error


def depth_update(raw: Raw) -> DepthUpdate:
    """Return the changes of a ``depthUpdate`` event.

    Raises:
        InvalidInput: a value cannot be read, or the changes are impossible.
    """
    try:
        first, last, time = raw["U"], raw["u"], raw["E"]
        if not all(type(number) is int for number in (first, last, time)) or first > last:
            raise ValueError(f"updates {first!r} to {last!r} at {time!r} cannot be used")
        return DepthUpdate(
            first=first, last=last, event_time=time, bids=_levels(raw["b"]), asks=_levels(raw["a"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"A change of an order book cannot be used: {error}") from error


def depth_snapshot(raw: Raw) -> DepthSnapshot:
    """Return the order book of a ``depth`` answer.

    Raises:
        ExchangeError: a value cannot be read, or the book is impossible.
    """
    try:
        number = raw["lastUpdateId"]
        if type(number) is not int:
            raise ValueError(f"update {number!r} cannot be used")
        bids, asks = _levels(raw["bids"]), _levels(raw["asks"])
    except (KeyError, TypeError, ValueError) as error:
        raise ExchangeError(f"The venue described an order book unreadably: {error!r}") from error
    return DepthSnapshot(update_id=number, bids=bids, asks=asks)


def _levels(rows: Iterable[Any]) -> tuple[BookLevel, ...]:
    levels = tuple(BookLevel(_decimal(price), _decimal(amount)) for price, amount in rows)
    for level in levels:
        if level.price <= 0 or level.amount < 0:
            raise ValueError(f"{level.amount} at a price of {level.price}")
    return levels


def order(symbol: str, raw: Raw) -> OrderReport:
    """Return an order from a REST or WS-API answer: placed, queried or cancelled."""
    try:
        created = int(raw.get("time") or raw.get("workingTime") or raw.get("transactTime") or 0)
        report = OrderReport(
            symbol=symbol,
            # A cancellation has its own id, and names the order's as the original one.
            client_order_id=str(raw.get("origClientOrderId") or raw["clientOrderId"]),
            venue_order_id=str(raw["orderId"]),
            side=Side(str(raw["side"]).lower()),
            type=_order_type(raw["type"]),
            amount=_decimal(raw["origQty"]),
            price=_decimal(raw.get("price", "0")) or None,
            stop_price=_decimal(raw.get("stopPrice", "0")) or None,
            status=_status(raw["status"]),
            filled=_decimal(raw["executedQty"]),
            cost=_decimal(raw.get("cummulativeQuoteQty", "0")),
            created=created,
            updated=int(raw.get("updateTime") or raw.get("transactTime") or created),
            message=str(raw.get("expiryReason") or ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ExchangeError(f"The venue described an order in an unknown way: {error!r}") from error
    fills = tuple(
        Fill(
            symbol=symbol,
            trade_id=int(entry["tradeId"]),
            venue_order_id=report.venue_order_id,
            client_order_id=report.client_order_id,
            side=report.side,
            price=_decimal(entry["price"]),
            amount=_decimal(entry["qty"]),
            fee=_decimal(entry["commission"]),
            fee_asset=str(entry["commissionAsset"]),
            timestamp=report.updated,
            # A fill within the answer met a resting order.
            maker=False,
        )
        for entry in raw.get("fills") or ()
    )
    return _with_fills(report, fills)


def cancelled(symbol: str, client_order_id: str, raw: Raw) -> OrderReport:
    """Return an order from the answer to its cancellation; one leg of a list answers for all."""
    for report in raw.get("orderReports") or ():
        if report.get("origClientOrderId") == client_order_id:
            return order(symbol, report)
    return order(symbol, raw)


def execution(symbol: str, raw: Raw) -> OrderReport:
    """Return an order from an ``executionReport`` of the user-data stream."""
    try:
        # Either it was rejected, or it expired.
        reasons = [str(raw.get(name) or "NONE") for name in ("r", "eR")]
        report = OrderReport(
            symbol=symbol,
            # On a cancellation C is the id of the order, and c the id of the cancel request.
            client_order_id=str(raw.get("C") or raw["c"]),
            venue_order_id=str(raw["i"]),
            side=Side(str(raw["S"]).lower()),
            type=_order_type(raw["o"]),
            amount=_decimal(raw["q"]),
            price=_decimal(raw.get("p", "0")) or None,
            stop_price=_decimal(raw.get("P", "0")) or None,
            status=_status(raw["X"]),
            filled=_decimal(raw["z"]),
            cost=_decimal(raw.get("Z", "0")),
            created=int(raw.get("O") or raw["T"]),
            updated=int(raw["T"]),
            message=next((reason for reason in reasons if reason != "NONE"), ""),
        )
        if raw["x"] != "TRADE":
            return report
        fill = Fill(
            symbol=symbol,
            trade_id=int(raw["t"]),
            venue_order_id=report.venue_order_id,
            client_order_id=report.client_order_id,
            side=report.side,
            price=_decimal(raw["L"]),
            amount=_decimal(raw["l"]),
            fee=_decimal(raw.get("n") or "0"),
            fee_asset=str(raw.get("N") or ""),
            timestamp=int(raw["T"]),
            maker=bool(raw.get("m")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ExchangeError(f"The venue reported an execution unreadably: {error!r}") from error
    return _with_fills(report, (fill,))


def trade(symbol: str, raw: Raw) -> Fill:
    """Return one of our executions from ``myTrades``, which has no client order ids."""
    try:
        return Fill(
            symbol=symbol,
            trade_id=int(raw["id"]),
            venue_order_id=str(raw["orderId"]),
            client_order_id=None,
            side=Side.BUY if raw["isBuyer"] else Side.SELL,
            price=_decimal(raw["price"]),
            amount=_decimal(raw["qty"]),
            fee=_decimal(raw["commission"]),
            fee_asset=str(raw["commissionAsset"]),
            timestamp=int(raw["time"]),
            maker=bool(raw["isMaker"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ExchangeError(f"The venue described a trade in an unknown way: {error!r}") from error


def balances(raw: Raw) -> dict[str, Balance]:
    """Return the balances of an ``account`` answer that are not zero."""
    held = {
        str(entry["asset"]): Balance(free=_decimal(entry["free"]), locked=_decimal(entry["locked"]))
        for entry in raw["balances"]
    }
    return {asset: balance for asset, balance in held.items() if balance.total}


def permissions(account: Raw, key: Raw | None) -> KeyPermissions:
    """Return what an API key may do, by the ``account`` answer and the key's restrictions.

    Args:
        key: the restrictions; None if the venue has none, and the account alone counts.

    Raises:
        ExchangeError: an answer does not say so.
    """
    try:
        if key is None:
            trade, withdraw = account["canTrade"], account["canWithdraw"]
        else:
            trade = account["canTrade"] and key["enableSpotAndMarginTrading"]
            withdraw = key["enableWithdrawals"]
    except KeyError as error:
        raise ExchangeError(f"The venue does not say what the key may do: {error}.") from None
    if not isinstance(trade, bool) or not isinstance(withdraw, bool):
        raise ExchangeError(f"Cannot read {trade!r} and {withdraw!r} as what the key may do.")
    source = "the account, since the venue has no restrictions of keys"
    return KeyPermissions(
        trade=trade,
        withdraw=withdraw,
        source=source if key is None else "the restrictions of the key",
        addresses=None if key is None else _flag(key.get("ipRestrict")),
        fee=_taker_fee(account),
    )


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _taker_fee(account: Raw) -> Decimal | None:
    try:
        return _decimal(account["commissionRates"]["taker"])
    except (KeyError, TypeError, ValueError):
        return None


def _sound(candle: Candle) -> Candle:
    flaw = candle.flaw()
    if flaw is not None:
        raise ValueError(flaw)
    return candle


def _decimal(value: object) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not finite")
    # Binance pads with zeros; the real precision of 0.00001000 shows without them.
    return number.normalize() if number else Decimal(0)


def _status(word: object) -> OrderStatus:
    try:
        return _STATUS[str(word)]
    except KeyError:
        raise ValueError(f"order status {word!r} is unknown") from None


def _order_type(word: object) -> OrderType:
    # An order type that the kit never sends (LIMIT_MAKER) is shown as the nearest one.
    return _TYPES.get(str(word), OrderType.LIMIT)


def _with_fills(report: OrderReport, fills: tuple[Fill, ...]) -> OrderReport:
    return replace(report, fills=fills) if fills else report
