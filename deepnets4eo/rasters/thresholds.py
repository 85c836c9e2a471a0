"""Thresholds between two classes from a histogram: Otsu 1979; Kittler and Illingworth 1986; two Gaussians; 2-means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError, name_hint

BINS = 4096
ONE_VALUE = (
    "all pixels have a single value, so that no threshold divides them into two classes. Give two different dates, "
    "or an image that shows both classes."
)
AT_ONCE = 1 << 20  # values that are counted at once
EM_STEPS = 200
EM_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Histogram:
    """Counts (n,) of a score, and the lower edge of the first and the upper edge of the last bin."""

    counts: Floats
    low: float
    high: float

    @property
    def centres(self) -> Floats:
        """Return (n,), the middle of each bin."""
        return np.asarray(self.low + self.bin_width * (np.arange(len(self.counts)) + 0.5))

    @property
    def bin_width(self) -> float:
        return (self.high - self.low) / len(self.counts)

    @classmethod
    def of(cls, scores: Iterable[NDArray[np.floating]], high: float, bins: int = BINS, low: float = 0.0) -> Histogram:
        """Count scores from `low` to `high` block by block; scores above `high` are counted in the last bin.

        Errors: InputError for scores of one value, or that are no numbers, between which there is no threshold.
        """
        if not high > low:
            raise InputError(ONE_VALUE)
        counts = np.zeros(bins)
        for block in scores:
            every = np.asarray(block).ravel()
            for start in range(0, every.size, AT_ONCE):
                some = (every[start : start + AT_ONCE] - low) * (bins / (high - low))
                counts += np.bincount(np.minimum(some, bins - 1).astype(np.intp), minlength=bins)
        return cls(counts, low, high)

    def threshold(self, method: str = "two-means") -> float:
        """Return the score from which a pixel counts as changed, by one of `THRESHOLDS`."""
        if method not in THRESHOLDS:
            raise InputError(f"threshold method {method!r} is unknown. {name_hint(method, list(THRESHOLDS))}")
        if np.count_nonzero(self.counts) < 2:
            raise InputError(ONE_VALUE)
        return float(THRESHOLDS[method](self))

    def separation(self, cut: float) -> tuple[float, float]:
        """Return the shares of pixels above a threshold and of the variance between both sides (Otsu 1979; one Gaussian: 2/π)."""
        values, weights = self.centres, self.counts / self.counts.sum()
        above = values >= cut
        share, mean = float(weights[above].sum()), float((weights * values).sum())
        if not 0 < share < 1:
            return share, 0.0
        apart = float((weights * values)[above].sum() / share - mean) / (1 - share)  # of the means of both sides
        variance = float((weights * (values - mean) ** 2).sum())
        return share, share * (1 - share) * apart**2 / variance

    def two_gaussians(self) -> TwoGaussians:
        """Fit two Gaussians by expectation maximisation from both sides of Otsu's threshold."""
        values, weights = self.centres, self.counts / self.counts.sum()
        below = values < _otsu(self)
        shares = np.stack([below, ~below]).astype(float)
        previous = -np.inf
        for _ in range(EM_STEPS):
            amounts = (shares * weights).sum(axis=1)
            means = (shares * weights * values).sum(axis=1) / amounts
            variances = (shares * weights * (values - means[:, None]) ** 2).sum(axis=1) / amounts + EM_TOLERANCE
            densities = (amounts / np.sqrt(2 * np.pi * variances))[:, None] * np.exp(
                -((values - means[:, None]) ** 2) / (2 * variances[:, None])
            )
            total = densities.sum(axis=0) + np.finfo(float).tiny
            shares = densities / total
            likelihood = float((weights * np.log(total)).sum())
            if likelihood - previous < EM_TOLERANCE:
                break
            previous = likelihood
        return TwoGaussians(amounts, means, variances, shares)


@dataclass(frozen=True)
class TwoGaussians:
    """Shares, means and variances (2,), the lower mean first, and the shares of each bin (2, n)."""

    amounts: Floats
    means: Floats
    variances: Floats
    shares: Floats

    @property
    def separation(self) -> float:
        """Ashman's D: the distance of the means in standard deviations; above 2 there are two modes (Ashman 1994)."""
        return float(np.sqrt(2) * abs(self.means[1] - self.means[0]) / np.sqrt(self.variances.sum()))


def _class_sums(histogram: Histogram) -> tuple[Floats, ...]:
    """For a cut after each bin but the last: shares, means and variances of both sides. Each (n − 1,)"""
    shares, values = histogram.counts / histogram.counts.sum(), histogram.centres
    share, first, second = (np.cumsum(shares * values**power) for power in range(3))
    below, above = share[:-1], 1 - share[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = first[:-1] / below, (first[-1] - first[:-1]) / above
        variances = second[:-1] / below - means[0] ** 2, (second[-1] - second[:-1]) / above - means[1] ** 2
    return below, above, *means, *variances


def _edge(histogram: Histogram, after: int) -> float:
    return histogram.low + histogram.bin_width * (after + 1)


def _otsu(histogram: Histogram) -> float:
    """Return the cut with the largest variance between both sides."""
    below, above, mean_below, mean_above, *_ = _class_sums(histogram)
    between = np.nan_to_num(below * above * (mean_above - mean_below) ** 2)
    best = np.flatnonzero(between == between.max())
    return _edge(histogram, int(best[len(best) // 2]))


def _kittler(histogram: Histogram) -> float:
    """Return the cut with the smallest error of two Gaussians, each fitted to one side."""
    below, above, _, _, variance_below, variance_above = _class_sums(histogram)
    smallest = histogram.bin_width**2 / 12
    usable = (below > 0) & (above > 0) & (variance_below > smallest) & (variance_above > smallest)
    if not usable.any():
        return _otsu(histogram)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = below * np.log(variance_below) + above * np.log(variance_above)
        error = 1 + spread - 2 * (below * np.log(below) + above * np.log(above))
    return _edge(histogram, int(np.argmin(np.where(usable, error, np.inf))))


def _two_means(histogram: Histogram) -> float:
    """Halfway between the means of both sides of itself; from the largest value's side, as few pixels change."""
    below, _, mean_below, mean_above, *_ = _class_sums(histogram)
    cut = _otsu(histogram)
    for _ in range(100):
        after = int(np.clip(np.searchsorted(histogram.centres, cut) - 1, 0, len(below) - 1))
        moved = (mean_below[after] + mean_above[after]) / 2
        if not np.isfinite(moved) or moved == cut:
            break
        cut = float(moved)
    return cut


def _em(histogram: Histogram) -> float:
    """Return the score where two Gaussians that share the histogram are equally probable."""
    fit, values = histogram.two_gaussians(), histogram.centres
    changed = (fit.shares[1] > fit.shares[0]) & (values > fit.means[0]) & (values <= max(fit.means[1], fit.means[0]))
    return float(values[np.argmax(changed)]) if changed.any() else _otsu(histogram)


THRESHOLDS: dict[str, Callable[[Histogram], float]] = {
    "two-means": _two_means, "otsu": _otsu, "kittler": _kittler, "em": _em,
}  # fmt: skip
