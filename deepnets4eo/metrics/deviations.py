"""Scores of how well standard deviations indicate wrong estimates: sparsification and intervals, counted while streaming.

Curves are of histograms with steps of 1 % (Ilg et al., ECCV 2018: area under the sparsification error).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.errors import InputError

MIN_DEVIATION, MAX_DEVIATION, STEP = 1e-12, 1e12, 0.01  # of deviations and errors, in any unit, and of their ratio
BINS = int(np.log(MAX_DEVIATION / MIN_DEVIATION) / np.log1p(STEP)) + 2
INTERVALS = {50: 0.674490, 90: 1.644854}  # % of a normal distribution within so many standard deviations
REMOVED = np.arange(100) / 100  # shares of the pixels that are left out


def _zeros() -> Floats:
    return np.zeros(BINS)


@dataclass(eq=False)
class DeviationScores:
    """Histograms of deviations and errors, and scores derived from them. Pixels that lack any of the three values are ignored.

    Parameters
    ----------
    count, squared : (BINS,) pixels by their deviation, and the sums of their squared errors
    error_count, error_squared : (BINS,) pixels by their absolute error, and the sums of their squared errors
    ratio_count : (BINS,) pixels by absolute error / deviation
    within : % of a normal distribution → pixels whose error is within that interval

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> deviation = rng.uniform(0.5, 5, 40_000)
    >>> scores = DeviationScores().update(np.zeros(40_000), rng.normal(0, deviation), deviation)
    >>> abs(scores.coverage(90) - 0.9) < 0.01, scores.ause < 0.8 * scores.ause_of_random
    (True, True)
    """

    count: Floats = field(default_factory=_zeros)
    squared: Floats = field(default_factory=_zeros)
    error_count: Floats = field(default_factory=_zeros)
    error_squared: Floats = field(default_factory=_zeros)
    ratio_count: Floats = field(default_factory=_zeros)
    within: dict[int, int] = field(default_factory=lambda: dict.fromkeys(INTERVALS, 0))

    def update(
        self, reference: NDArray[np.floating], estimate: NDArray[np.floating], deviation: NDArray[np.floating]
    ) -> DeviationScores:
        """Count pixels of arrays of one shape and unit, NaN for missing values, and return itself.

        Errors: InputError (the shapes differ)."""
        if not reference.shape == estimate.shape == deviation.shape:
            raise InputError(
                f"the reference is {reference.shape}, the estimate {estimate.shape}, its deviation {deviation.shape}; expected one shape."
            )
        known = np.isfinite(reference) & np.isfinite(estimate) & np.isfinite(deviation)
        error = np.abs(estimate[known].astype(np.float64) - reference[known])
        sigma = np.maximum(deviation[known].astype(np.float64), MIN_DEVIATION)
        for name, size in (("", sigma), ("error_", error)):
            for sums, weights in (("count", None), ("squared", np.square(error))):
                getattr(self, name + sums).__iadd__(np.bincount(_bin(size), weights, minlength=BINS))
        self.ratio_count += np.bincount(_bin(error / sigma), minlength=BINS)
        for share, reach in INTERVALS.items():
            self.within[share] += int((error <= reach * sigma).sum())
        return self

    def __iadd__(self, other: DeviationScores) -> DeviationScores:
        for name in ("count", "squared", "error_count", "error_squared", "ratio_count"):
            getattr(self, name).__iadd__(getattr(other, name))
        for share, pixels in other.within.items():
            self.within[share] += pixels
        return self

    @property
    def pixels(self) -> int:
        """Pixels that were counted."""
        return int(self.count.sum())

    def coverage(self, share: int) -> float:
        """Return the share of pixels, 0–1, whose reference is in the interval that should contain `share` % of them, 50 or 90."""
        return self.within[share] / self.pixels if self.pixels else float("nan")

    @property
    def factor(self) -> float:
        """Return the factor that scales deviations so that 90 % of the references are in the 90 % intervals."""
        if not self.pixels:
            return float("nan")
        reached = np.cumsum(self.ratio_count) / self.pixels
        return float(MIN_DEVIATION * (1 + STEP) ** (np.searchsorted(reached, 0.9) + 0.5) / INTERVALS[90])

    @property
    def sparsification(self) -> Floats:
        """Return (100, 3): the share of pixels left out, 0–0.99, and the root mean squared error of the others in two orders.

        The first order leaves out the pixels with the greatest deviation first, the second the pixels with the greatest
        error.
        """
        return np.stack(
            [REMOVED, _kept_error(self.count, self.squared), _kept_error(self.error_count, self.error_squared)], axis=1
        )

    @property
    def ause(self) -> float:
        """Area between both curves of `sparsification`, as a share of the error of all pixels: 0 where deviations order as errors do."""
        curve = self.sparsification
        return float(np.mean(curve[:, 1] - curve[:, 2]) / curve[0, 1]) if self.pixels else float("nan")

    @property
    def ause_of_random(self) -> float:
        """Return the `ause` of pixels left out at random."""
        curve = self.sparsification
        return float(np.mean(curve[0, 2] - curve[:, 2]) / curve[0, 2]) if self.pixels else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return all scores by name, NaN if they are undefined, and the rows of `sparsification`."""
        scores = {f"coverage_{share}": self.coverage(share) for share in INTERVALS}
        scores |= {"factor": self.factor, "ause": self.ause, "ause_of_random": self.ause_of_random}
        return scores | {"sparsification": self.sparsification.tolist()}


def _bin(size: Floats) -> Indices:
    return (np.log(np.clip(size, MIN_DEVIATION, MAX_DEVIATION) / MIN_DEVIATION) / np.log1p(STEP)).astype(np.int64)


def _kept_error(count: Floats, squared: Floats) -> Floats:
    """Return (100,) root mean squared error of what is kept; a bin that is cut loses pixels of its mean error."""
    kept = (1 - REMOVED) * count.sum()
    sums = np.interp(kept, np.append(0, np.cumsum(count)), np.append(0, np.cumsum(squared)))
    return np.asarray(np.sqrt(sums / np.maximum(kept, 1e-12)))
