"""What was found, with how far off it may be: 95 % intervals of shares, means and rates. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959964  # 95 % of a normal distribution lie within so many deviations
RESAMPLES = 4000  # of a bootstrap: its quantiles are then known to a hundredth of the interval or so
SEED = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the ends of its 95 % interval; the ends are NaN where there is no telling."""

    value: float
    low: float = math.nan
    high: float = math.nan


def share(right: int, count: int) -> Interval:
    """Return a share with Wilson's interval (1927), which is sound near 0 and 1, too.

    Raises:
        ValueError: there is nothing to take a share of.
    """
    if count < 1:
        raise ValueError("a share of nothing")
    found, weight = right / count, Z**2 / count
    centre = (found + weight / 2) / (1 + weight)
    reach = Z * math.sqrt(found * (1 - found) / count + weight / (4 * count)) / (1 + weight)
    return Interval(found, max(0.0, centre - reach), min(1.0, centre + reach))


def mean(values: Sequence[float]) -> Interval:
    """Return a mean, its interval by bootstrap over the values."""
    return rate(values, [1.0] * len(values))


def rate(amounts: Sequence[float], sizes: Sequence[float]) -> Interval:
    """Return all amounts by all sizes (errors by words), its interval by bootstrap over the pairs.

    Raises:
        ValueError: there are no pairs.
    """
    if not len(amounts) == len(sizes) > 0:
        raise ValueError(f"{len(amounts)} amounts, {len(sizes)} sizes")
    above, below = np.asarray(amounts, np.float64), np.asarray(sizes, np.float64)
    drawn: NDArray[np.int64] = np.random.default_rng(SEED).integers(0, len(above), (RESAMPLES, len(above)))
    low, high = np.quantile(above[drawn].sum(1) / below[drawn].sum(1), (0.025, 0.975))
    return Interval(float(above.sum() / below.sum()), float(low), float(high))
