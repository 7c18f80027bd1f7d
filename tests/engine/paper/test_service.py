"""The paper exchange of an engine: started with the configured options."""

from __future__ import annotations

import hashlib
import hmac
import time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from botlib.config import Settings
from botlib.engine.paper.service import PaperService
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}


def signed(order: dict[str, str]) -> str:
    query = urlencode({**order, "timestamp": time.time_ns() // 1_000_000})
    digest = hmac.new(PAPER_API_SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={digest}"


async def test_the_exchange_is_started_as_configured(tmp_path: Path) -> None:
    paper = {
        "start": "2026-01-05",
        "balances": {"USDT": 1_000, "BNB": 1},
        "burn_bnb": True,
        "bnb_price": 500,
        "depth": {"spread": 0.01, "levels": 4, "size": 300},
        "events": "last",
    }
    settings = Settings.from_dict({"paper": paper, "data_directory": str(tmp_path)})
    service = PaperService(settings)
    await service.start()
    try:
        api = f"{service.url}/api/v3"
        async with aiohttp.ClientSession(headers={"X-MBX-APIKEY": PAPER_API_KEY}) as session:
            async with session.get(f"{api}/depth?symbol=BTCUSDT") as answer:
                book = await answer.json()
            async with session.post(f"{api}/order?{signed(ORDER)}") as answer:
                order = await answer.json()
    finally:
        await service.stop()
    assert (len(book["bids"]), len(book["asks"])) == (4, 4)
    fill = order["fills"][0]
    cost = Decimal(fill["price"]) * Decimal(fill["qty"])
    assert fill["commissionAsset"] == "BNB"
    wanted = cost * Decimal("0.001") * Decimal("0.75") / 500
    assert abs(Decimal(fill["commission"]) - wanted) < Decimal("0.00000002")
    bid, ask = (float(book[side][0][0]) for side in ("bids", "asks"))
    assert 0.009 < (ask - bid) / bid < 0.011
    assert all(float(price) * float(amount) < 500 for price, amount in book["asks"])
