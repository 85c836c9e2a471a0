"""Independent looks of a window of speckle, and the bias of coherence that is estimated from few of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from deepnets4eo.arrays import FloatImage, Floats, Mask
from deepnets4eo.errors import InputError

MIN_LOOKS = 2.0  # of one look every coherence is 1
STEPS = 200  # of the table of a bias
FULL = 0.99  # coherence up to which the bias is computed; above it, it falls linearly to 0 at 1
SPREAD = 10.0  # standard deviations of the negative binomial distribution that are summed
BRIGHTEST = 3.0  # times the root mean square: brighter pixels are dimmed, or one roof would be all of the correlation


@dataclass(frozen=True)
class CoherenceBias:
    """The bias of sample coherence of a number of independent looks (Touzi et al. 1999).

    Parameters
    ----------
    looks : number of independent samples of the window, at least 2

    Raises
    ------
    InputError
        Fewer than 2 looks.

    Examples
    --------
    >>> bias = CoherenceBias(25.0)
    >>> float(bias.mean_sample(np.array([0.0, 0.5])).round(3)[0])
    0.178
    >>> bias.correct(bias.mean_sample(np.array([0.3, 0.8]))).astype(float).round(2).tolist()
    [0.3, 0.8]
    """

    looks: float

    def __post_init__(self) -> None:
        if not self.looks >= MIN_LOOKS:
            raise InputError(
                f"a window has {self.looks:.2f} independent looks, expected at least {MIN_LOOKS:g}. Give a larger window."
            )

    def mean_sample(self, coherence: NDArray[Any]) -> Floats:
        """Return the mean of sample coherence for true coherence of any shape, 0–1."""
        true, mean = _table(round(self.looks, 2))
        return np.interp(coherence, true, mean)

    def correct(self, sample: NDArray[Any]) -> FloatImage:
        """Return the true coherence, 0–1, whose mean sample coherence is `sample`, of any shape; NaN stays.

        Samples below the mean of coherence 0 become 0. The mean over many pixels without coherence therefore stays above 0.
        """
        true, mean = _table(round(self.looks, 2))
        return np.interp(sample, mean, true).astype(np.float32)


@lru_cache(maxsize=64)
def _table(looks: float) -> tuple[Floats, Floats]:
    """Return true coherence (K,) and the mean of sample coherence.

    The square of sample coherence follows Beta(k + 1, looks − 1), with k negative binomial of `looks` and the squared coherence.
    """
    true = np.linspace(0, FULL, STEPS)
    square = true**2
    middle, width = looks * square[-1] / (1 - square[-1]), np.sqrt(looks * square[-1]) / (1 - square[-1])
    k = np.arange(int(middle + SPREAD * width) + 2)[None]
    root = gammaln(k + 1.5) + gammaln(looks + k) - gammaln(k + 1) - gammaln(looks + k + 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(k == 0, 0.0, k * np.log(square)[:, None])
    share = gammaln(looks + k) - gammaln(looks) - gammaln(k + 1) + powers + looks * np.log1p(-square)[:, None]
    mean = np.exp(share + root).sum(axis=1)
    return np.append(true, 1.0), np.append(mean, 1.0)


class Correlation:
    """Correlation of neighbouring samples of two images along rows and columns, summed over tiles.

    Oversampled images have fewer independent samples than pixels.
    """

    def __init__(self, window: tuple[int, int]) -> None:
        self._window = window
        self._sums = [np.zeros((2, size), np.complex128) for size in window]  # image, lag

    def add(self, images: tuple[NDArray[np.complex64], NDArray[np.complex64]], valid: Mask) -> None:
        """Add a tile of both images (h, w) with its valid pixels."""
        if not valid.any():
            return
        for number, image in enumerate(images):
            size = np.abs(image)
            level = BRIGHTEST * float(np.sqrt(np.mean(size[valid] ** 2)))
            dimmed = np.where(valid, image * np.minimum(1, level / np.maximum(size, 1e-30)) / level, 0)
            for axis, lags in enumerate(self._window):
                moved = np.moveaxis(dimmed, axis, 0)
                for lag in range(min(lags, len(moved))):
                    self._sums[axis][number, lag] += np.vdot(moved[lag:], moved[: len(moved) - lag])

    def independent_looks(self) -> float:
        """Return the number of independent looks of the window, at most its pixels."""
        # The bias depends on independent samples, and single-look images have fewer of them than pixels: they are oversampled and weighted.
        # Files do not state how, and resampling changes it, so it is measured: N² / Σ (N − |lag|) r₁ r₂ along each axis, by the correlations of
        # both images. With the pixels themselves as looks, too little bias would be taken out everywhere.
        looks = 1.0
        for size, sums in zip(self._window, self._sums, strict=True):
            lags = np.abs(sums) / np.maximum(np.abs(sums[:, :1]), 1e-30)
            pairs = size - np.arange(size)
            product = lags[0] * lags[1]
            looks *= size**2 / float(size + 2 * (pairs[1:] * product[1:]).sum())
        return looks
