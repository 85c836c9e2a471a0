"""Errors of a continuous map, counted while streaming, and every score derived from them.

Median and percentiles are of a histogram with steps of 0.1 % of an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

# The histogram of errors: powers of two of the smallest and largest error, bins per power.
MIN_POWER, MAX_POWER, STEPS = -40, 40, 1024
BINS = (MAX_POWER - MIN_POWER) * STEPS  # for errors of either sign
MIN_RATIO = 1e-3  # of prediction and reference: lower ones, and those below 0, count as this
RATIO = 1.25
MAD_TO_STD = 1.4826  # of a normal distribution
SUMS = (
    "pixels", "unpredicted", "error", "absolute", "squared", "reference", "reference_squared",
    "positive", "ratio", "log_squared", "log10", "within_1", "within_2", "within_3",
)  # fmt: skip
SCORES = (
    "rmse", "mae", "bias", "nmad", "le90", "r2", "rel", "rms_log", "log10", "delta1", "delta2", "delta3",
)  # fmt: skip


@dataclass(eq=False)
class ValueScores:
    """Sums over pixels, and the scores derived from them.

    Pixels without a reference are ignored; pixels without a prediction are counted as `unpredicted`, and enter no score.

    `rel`, the logarithms and the deltas are of pixels whose reference is above 0, as is usual for depth.

    Parameters
    ----------
    sums : name of a sum → its value so far; by default zeros
    errors : (B,) counts of prediction − reference, from the largest negative to the largest positive; by default zeros

    Examples
    --------
    >>> scores = ValueScores().update(np.array([1.0, 2.0, np.nan]), np.array([1.5, 2.0, 7.0]))
    >>> scores.mae, scores.delta1
    (0.25, 0.5)
    """

    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))
    errors: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2 * BINS + 1, np.int64))

    def update(self, reference: NDArray[np.floating], prediction: NDArray[np.floating]) -> ValueScores:
        """Count pixels; both of one shape. Raises InputError for others."""
        if reference.shape != prediction.shape:
            raise InputError(
                f"the reference is {reference.shape}, the prediction {prediction.shape}; expected one shape."
            )
        known = np.isfinite(reference)
        both = known & np.isfinite(prediction)
        truth, value = reference[both].astype(np.float64), prediction[both].astype(np.float64)
        error, above = value - truth, truth > 0
        self.errors += np.bincount(_bins(error), minlength=len(self.errors))
        deep = truth[above]
        logs = np.log(np.maximum(value[above] / deep, MIN_RATIO))
        added = {
            "pixels": truth.size, "unpredicted": int(known.sum()) - truth.size, "error": error.sum(),
            "absolute": np.abs(error).sum(), "squared": np.square(error).sum(), "reference": truth.sum(),
            "reference_squared": np.square(truth).sum(), "positive": deep.size, "ratio": (np.abs(error[above]) / deep).sum(),
            "log_squared": np.square(logs).sum(), "log10": np.abs(logs).sum() / np.log(10),
        }  # fmt: skip
        added |= {f"within_{k}": (np.abs(logs) < k * np.log(RATIO)).sum() for k in (1, 2, 3)}
        for name, value_added in added.items():
            self.sums[name] += float(value_added)
        return self

    def __iadd__(self, other: ValueScores) -> ValueScores:
        for name, value in other.sums.items():
            self.sums[name] += value
        self.errors += other.errors
        return self

    @property
    def rmse(self) -> float:
        """Root of the mean squared error; known as rms of depth."""
        return self._mean("squared") ** 0.5

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return self._mean("absolute")

    @property
    def bias(self) -> float:
        """Mean of prediction − reference."""
        return self._mean("error")

    @property
    def nmad(self) -> float:
        """1.4826 × the median of |error − median error|: the standard deviation of normal errors, whatever the outliers."""
        if not self.errors.any():
            return float("nan")
        half = np.searchsorted(np.cumsum(self.errors), self.errors.sum() / 2)
        return MAD_TO_STD * self._within(0.5, float(EDGES[half : half + 2].mean()))

    @property
    def le90(self) -> float:
        """The absolute error that 90 % of the pixels stay within."""
        return self._within(0.9)

    @property
    def r2(self) -> float:
        """Share of the reference's variance that is explained; 0 for its mean, below 0 for worse."""
        spread = self.sums["reference_squared"] - self.sums["reference"] ** 2 / max(self.sums["pixels"], 1)
        return 1 - self.sums["squared"] / spread if spread > 0 else float("nan")

    @property
    def rel(self) -> float:
        """Mean of |error| / reference."""
        return self._mean("ratio", "positive")

    @property
    def rms_log(self) -> float:
        """Root of the mean squared difference of natural logarithms."""
        return self._mean("log_squared", "positive") ** 0.5

    @property
    def log10(self) -> float:
        """Mean absolute difference of decimal logarithms."""
        return self._mean("log10", "positive")

    @property
    def delta1(self) -> float:
        """Share of pixels whose ratio to the reference, or its inverse, is below 1.25."""
        return self._mean("within_1", "positive")

    @property
    def delta2(self) -> float:
        """Share of pixels within a ratio of 1.25²."""
        return self._mean("within_2", "positive")

    @property
    def delta3(self) -> float:
        """Share of pixels within a ratio of 1.25³."""
        return self._mean("within_3", "positive")

    def to_dict(self) -> dict[str, float]:
        """Return all scores by name, NaN if they are undefined, and the numbers of pixels."""
        counts = {name: int(self.sums[name]) for name in ("pixels", "positive", "unpredicted")}
        return {name: float(getattr(self, name)) for name in SCORES} | counts

    def _mean(self, name: str, count: str = "pixels") -> float:
        return self.sums[name] / self.sums[count] if self.sums[count] else float("nan")

    def _within(self, share: float, middle: float = 0.0) -> float:
        """Return the distance from `middle` that this share of the errors does not exceed; errors are spread evenly in bins."""
        if not self.errors.any():
            return float("nan")
        upto = np.append(0, np.cumsum(self.errors)).astype(float)
        distances = np.sort(np.abs(EDGES - middle))
        inside = np.interp(middle + distances, EDGES, upto) - np.interp(middle - distances, EDGES, upto)
        reached = float(np.interp(share * upto[-1], inside, distances))
        return reached if reached > 2.0**MIN_POWER else 0.0


def _bins(error: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each error: by sign, power of two and the next ten binary digits; the middle bin is for errors near 0."""
    mantissa, power = np.frexp(np.abs(error))
    position = (power - 1 - MIN_POWER) * STEPS + ((2 * mantissa - 1) * STEPS).astype(np.int64)
    position = np.where(error == 0, -1, np.clip(position, -1, BINS - 1))
    return np.asarray(BINS + np.sign(error) * (position + 1), np.int64)


_ABOVE = (2.0 ** np.arange(MIN_POWER, MAX_POWER)[:, None] * (1 + np.arange(STEPS) / STEPS)).ravel()
EDGES = np.concatenate([[-(2.0**MAX_POWER)], -_ABOVE[::-1], _ABOVE, [2.0**MAX_POWER]])  # of the bins
