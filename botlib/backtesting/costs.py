"""`Costs`: what a fill costs beside the price of the market, and how much of a candle it can take.

The defaults are those of a large market, measured on recorded trades and books and rounded up
(the capabilities of its venue say which): a fee of 0.1 % for makers and takers, a spread of 1 bp,
of which an order at the market pays half, and a slippage of 1 bp. A fill takes at most a tenth of
its candle's volume, the limit of zipline's model of fixed slippage.

Small markets cost more: ``Costs(spread=0.0015, slippage=0.0003)`` is the middle of those measured.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np

from botlib.backtesting.metrics import Floats
from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.received import short
from botlib.venues.registry import DEFAULT_VENUE, capabilities

_USUAL: Final = capabilities(DEFAULT_VENUE)
FEE: Final = float(_USUAL.standard_fee)
SPREAD: Final = float(_USUAL.spread)
SLIPPAGE: Final = float(_USUAL.slippage)
VOLUME_SHARE: Final = 0.1

_WORST: Final = 0.99
"""Most a price can be worse by; a model may say more for a wild candle."""


class CandleLiquidity(NamedTuple):
    """What a candle offers to a fill: its range, a fraction of its open, and its volume."""

    swing: float
    volume: float


@dataclass(frozen=True, slots=True)
class RangeSlippage:
    """Slippage that is a share of the range of the candle in which an order is filled.

    Args:
        share: of high minus low: 0.05 pays a twentieth of the range.
    """

    share: float = 0.05

    def __post_init__(self) -> None:
        _check_number("RangeSlippage.share", self.share, 0, 1)


@dataclass(frozen=True, slots=True)
class VolumeSlippage:
    """Slippage that grows with the share of the candle's volume that a fill takes.

    The price is worse by ``impact * share ** 2``, the model of zipline's ``VolumeShareSlippage``.

    Args:
        impact: fraction of the price that a fill of the whole volume would pay.
    """

    impact: float = 0.1

    def __post_init__(self) -> None:
        _check_number("VolumeSlippage.impact", self.impact, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The costs of fills. All but ``volume_share`` and the assets are fractions of the value.

    Attributes:
        maker: fee of a resting order that is filled, such as a target; a negative one is a rebate.
        taker: fee of every other fill.
        paid_in: asset in which fees are paid, such as ``"BNB"``, so that what is bought stays
            whole; None takes them from what a fill receives.
        spread: distance between the best prices; an order at the market pays half of it.
        slippage: what an order at the market pays beyond that: a fraction, `RangeSlippage` or
            `VolumeSlippage`.
        volume_share: largest share of a candle's volume that one fill takes; None is no limit. An
            entry buys that much; what an exit cannot sell is sold at the next opens.

    Raises:
        InvalidInput: a number is out of range.
    """

    maker: float = FEE
    taker: float = FEE
    paid_in: str | None = None
    spread: float = SPREAD
    slippage: float | RangeSlippage | VolumeSlippage = SLIPPAGE
    volume_share: float | None = VOLUME_SHARE

    def __post_init__(self) -> None:
        _check_number("maker", self.maker, -1, 1, what="a fraction above -1 and below 1")
        for name in ("taker", "spread"):
            _check_number(name, getattr(self, name), 0, 1)
        if not isinstance(self.slippage, (RangeSlippage, VolumeSlippage)):
            _check_number(
                "slippage",
                self.slippage,
                0,
                1,
                what="a fraction from 0 to below 1, bl.RangeSlippage() or bl.VolumeSlippage()",
            )
        if self.volume_share is not None and not 0 < _number(self.volume_share) <= 1:
            raise InvalidInput(
                f"volume_share is a fraction above 0 up to 1, or None for no limit, "
                f"not {short(self.volume_share)}."
            )

    @classmethod
    def of_tier(cls, tier: str, *, paid_in: str | None = None, venue: str = DEFAULT_VENUE) -> Self:
        """Return the costs of an account of a fee tier; spread and slippage are the defaults.

        Args:
            tier: such as ``"VIP 1"``, a name of the venue's schedule of fees.
            paid_in: the venue's own asset, with which it grants a discount.

        Raises:
            InvalidInput: the tier is not known, or the venue grants no discount with the asset.
        """
        known = capabilities(venue)
        if tier not in known.fee_tiers:
            raise InvalidInput(
                f"{known.title} has no fee tier {tier!r} that is known here. Accepted: "
                f"{', '.join(known.fee_tiers)}; of others give maker= and taker=."
                f"{did_you_mean(tier, known.fee_tiers)}"
            )
        if paid_in not in (None, known.fee_asset):
            raise InvalidInput(
                f"{known.title} grants its discount for fees in {known.fee_asset}, "
                f"not in {paid_in!r}."
            )
        maker, taker = map(float, known.fee_tiers[tier])
        costs = cls(maker=maker, taker=taker)
        return costs if paid_in is None else costs.discounted(float(known.fee_discount), paid_in)

    @classmethod
    def none(cls, *, fee: float = 0.0) -> Self:
        """Return costs of a fee alone: no spread, no slippage, no limit by volume."""
        return cls(maker=fee, taker=fee, spread=0.0, slippage=0.0, volume_share=None)

    def changed(
        self,
        *,
        fee: float | None = None,
        slippage: float | RangeSlippage | VolumeSlippage | None = None,
    ) -> Costs:
        """Return these costs with another fee of makers and takers, or another slippage.

        Args:
            slippage: everything that an order at the market pays: with a number or a model here
                the spread is 0.
        """
        found = self
        if fee is not None:
            _check_number("fee", fee, 0, 1)
            found = replace(found, maker=fee, taker=fee)
        if slippage is not None:
            found = replace(found, slippage=slippage, spread=0.0)
        return found

    def discounted(self, discount: float, paid_in: str) -> Self:
        """Return these costs with lower fees that are paid in another asset; rebates stay."""
        rest = 1 - discount
        maker = self.maker if self.maker < 0 else round(self.maker * rest, 12)
        return replace(self, maker=maker, taker=round(self.taker * rest, 12), paid_in=paid_in)

    @property
    def fixed(self) -> float | None:
        """Fraction by which orders at the market fill worse; None if it depends on the candle."""
        return _fixed(self.spread, self.slippage)

    @property
    def by_amount(self) -> bool:
        """Whether the slippage depends on the amount."""
        return isinstance(self.slippage, VolumeSlippage)

    def of_rows(self, swing: Floats | float, share: Floats | float = 0.0) -> Floats | float:
        """Return how much worse market orders fill on each of some candles, or on all of them.

        Args:
            swing: range of each candle as a fraction of its open.
            share: share of each candle's volume that is taken.
        """
        if self.fixed is not None:
            return self.fixed
        if isinstance(self.slippage, RangeSlippage):
            model = self.slippage.share * swing
        else:
            assert isinstance(self.slippage, VolumeSlippage)
            model = self.slippage.impact * np.minimum(share, 1.0) ** 2 + 0.0 * swing
        worse: Floats = np.minimum(self.spread / 2 + model, _WORST)
        return worse

    def worse_by(self, amount: float, candle: CandleLiquidity) -> float:
        """Return the fraction by which an order at the market fills worse than the price.

        Args:
            amount: base units that are wanted; no more than the candle's `room` are filled.
        """
        if self.fixed is not None:
            return self.fixed
        filled = min(amount, self.room(candle.volume))
        share = filled / candle.volume if candle.volume else 1.0
        return float(self.of_rows(candle.swing, share))

    def room(self, volume: float) -> float:
        """Return the most base units that one fill can have in a candle of a volume."""
        return math.inf if self.volume_share is None else self.volume_share * volume

    def fee(self, *, resting: bool) -> float:
        """Return the fee of a fill, a fraction of its value."""
        return self.maker if resting else self.taker

    def __str__(self) -> str:
        fees = f"fee {self.taker:g}"
        if self.maker != self.taker:
            fees = f"maker {self.maker:g}, taker {self.taker:g}"
        if self.paid_in:
            fees += f" in {self.paid_in}"
        share = "no limit by volume"
        if self.volume_share is not None:
            share = f"at most {self.volume_share:g} of a candle's volume"
        slippage = self.slippage if self.fixed is None else f"{self.slippage:g}"
        return f"{fees}, spread {self.spread:g}, slippage {slippage}, {share}"


@functools.cache
def _fixed(spread: float, slippage: float | RangeSlippage | VolumeSlippage) -> float | None:
    # Asked at every fill.
    if isinstance(slippage, (RangeSlippage, VolumeSlippage)):
        return None
    return round(spread / 2 + slippage, 12)


def _check_number(name: str, value: object, low: float, high: float, *, what: str = "") -> None:
    number = _number(value)
    fits = low < number < high if low < 0 else low <= number < high
    if not fits:
        accepted = what or "a fraction from 0 to below 1"
        raise InvalidInput(f"{name} is {accepted}, not {short(value)}.")


def _number(value: object) -> float:
    """Return a value as a number, NaN for what is none."""
    try:
        return math.nan if isinstance(value, (bool, str)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
