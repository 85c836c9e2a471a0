"""Counts of buildings by grade with 95 % intervals that say what they cover.

Takes grades, probabilities and positions. `expected_count` takes buildings for independent, so its interval is a lower
bound; `block_bootstrap` draws neighbours together and returns None where there are too few blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
REPLICATES = 1000
MIN_BLOCKS = 12  # fewer blocks than this say too little about the spread between them


def expected_count(prob: NDArray[np.floating]) -> dict[str, Any]:
    """Expected number of positives and its interval, from calibrated independent probabilities.

    E = Σp, variance = Σp(1−p): only the doubt about each building, so a lower bound of the doubt about the sum.

    >>> expected_count(np.repeat([0.9, 0.05], [100, 900]))["sd"].round(2)
    np.float64(7.19)
    """
    total, sd = float(prob.sum()), np.sqrt((prob * (1 - prob)).sum())
    bounds = [max(total - Z95 * sd, 0.0), min(total + Z95 * sd, float(len(prob)))]
    return {"expected": total, "sd": sd, "interval_95": bounds}


def blocks_of(xy_m: NDArray[np.floating], block_m: float = 500.0) -> tuple[NDArray[np.intp], float]:
    """Number of the square block each building lies in, and the side used.

    xy_m : (N, 2) float64, metres. The side is halved (to no less than 50 m) until MIN_BLOCKS blocks are occupied.
    """
    while True:
        cells = np.floor((xy_m - xy_m.min(axis=0)) / block_m).astype(np.int64)
        _, block = np.unique(cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1], return_inverse=True)
        if block.max() + 1 >= MIN_BLOCKS or block_m / 2 < 50.0:
            return block, block_m
        block_m /= 2


def block_bootstrap(
    flags: NDArray[np.bool_] | NDArray[np.floating], block: NDArray[np.intp], rng: np.random.Generator
) -> list[float] | None:
    """95 % percentile interval of a count when whole blocks are drawn with replacement, scaled to all buildings.

    flags : (N,) 0/1 grades, or probabilities (then each building's own doubt is added as Σp(1−p) noise).
    None when fewer than MIN_BLOCKS blocks are occupied.
    """
    number = int(block.max()) + 1
    if number < MIN_BLOCKS:
        return None
    weights = flags.astype(float)
    sums = np.bincount(block, weights, number)
    sizes = np.bincount(block, minlength=number)
    noise = np.bincount(block, weights * (1 - weights), number)
    draws = rng.multinomial(number, np.full(number, 1 / number), size=REPLICATES)
    totals = draws @ sums + rng.standard_normal(REPLICATES) * np.sqrt(draws @ noise)
    shares = np.clip(totals / (draws @ sizes), 0, 1)
    low, high = np.quantile(shares, [0.025, 0.975]) * len(flags)
    return [float(low), float(high)]


def widest(*intervals: list[float] | tuple[float, float] | None) -> list[float]:
    """The interval from the lowest to the highest bound given; None is passed over."""
    known = [interval for interval in intervals if interval is not None]
    return [min(low for low, _ in known), max(high for _, high in known)]
