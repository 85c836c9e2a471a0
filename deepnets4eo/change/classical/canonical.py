"""Multivariate alteration detection and slow features: linear combinations of two dates that agree, or differ, most.

MAD and its re-weighted form IR-MAD: Nielsen et al. 1998, Nielsen 2007. Slow feature analysis: Wu, Du and Zhang 2014.
Takes moments of the 2 p bands of a pair, pre before post; returns p pairs of combinations. Any affine change of one date's
values changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.stats import chi2

from deepnets4eo.arrays import FloatImage
from deepnets4eo.errors import InputError
from deepnets4eo.rasters.moments import Matrix, Moments, Vector

PENALTY = 1e-9  # of each variance; keeps bands that repeat others from making the problem singular
SMALLEST = 1e-12


@dataclass(frozen=True)
class PairVariates:
    """p differences of linear combinations of two dates, in order of their variance, the largest first: combinations
    (p, p) a row, mean and variance of each difference where nothing changed, and ascending correlations; where these
    are low, most has changed."""

    pre: Matrix
    post: Matrix
    offset: Vector
    variance: Vector
    correlation: Vector

    def differences(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """The variates. values : (2 p, n), pre before post → (p, n)"""
        weights = np.concatenate([self.pre, -self.post], axis=1).astype(np.float32)
        result: NDArray[np.float32] = weights @ np.asarray(values, np.float32)
        result -= self.offset.astype(np.float32)[:, None]
        return result

    def chi_square(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Sum of squared variates over their variance; without change it follows χ² with p degrees. → (n,)"""
        differences = self.differences(values)
        np.square(differences, out=differences)
        result: NDArray[np.float32] = (1 / self.variance).astype(np.float32) @ differences
        return result

    def no_change(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability (n,) of a larger χ² without change for values (2 p, n). After re-weighting it is far
        too low: a weight and a rank, but no level of significance (with p < 0.01 converged IR-MAD calls a quarter of
        unchanged noise changed)."""
        probabilities: NDArray[np.float64] = chi2.sf(self.chi_square(values), len(self.variance))
        return probabilities


def mad_variates(moments: Moments, penalty: float = PENALTY) -> PairVariates:
    """Return p combinations of maximal positive correlation between the dates (canonical correlation analysis), each of
    variance 1, the least correlated first. `penalty` is the share of each band's variance that is added to it, up to
    0.01 for many or collinear bands. Raises InputError for an odd number of bands, or a date of one value."""
    first, cross, second = _split(moments, penalty)
    root_first, root_second = np.linalg.cholesky(first), np.linalg.cholesky(second)
    whitened = scipy.linalg.solve_triangular(root_first, cross, lower=True)
    whitened = scipy.linalg.solve_triangular(root_second, whitened.T, lower=True).T
    left, correlation, right = np.linalg.svd(whitened)
    order = np.argsort(correlation)
    pre = scipy.linalg.solve_triangular(root_first, left, lower=True, trans="T").T[order]
    post = scipy.linalg.solve_triangular(root_second, right.T, lower=True, trans="T").T[order]
    pre, post = _fix_signs(pre, post)
    correlation = np.clip(correlation[order], 0, 1)
    size = len(correlation)
    offset = pre @ moments.mean[:size] - post @ moments.mean[size:]
    return PairVariates(pre, post, offset, np.maximum(2 * (1 - correlation), SMALLEST), correlation)


def slow_variates(moments: Moments, penalty: float = PENALTY) -> PairVariates:
    """Return p combinations, the same for both standardised dates, whose difference varies least against their own
    variance, the one that differs most first. Raises InputError for an odd number of bands, or a date of one value."""
    first, cross, second = _split(moments, penalty)
    common, difference = (first + second) / 2, first + second - cross - cross.T
    eigenvalues, vectors = scipy.linalg.eigh(difference, common)
    weights = vectors.T[::-1]
    weights = weights * np.where(weights.sum(axis=1) < 0, -1, 1)[:, None]
    size = len(eigenvalues)
    offset = weights @ (moments.mean[:size] - moments.mean[size:])
    variance = np.maximum(eigenvalues[::-1], SMALLEST)
    return PairVariates(weights, weights, offset, variance, 1 - variance / 2)


def _split(moments: Moments, penalty: float) -> tuple[Matrix, Matrix, Matrix]:
    size, odd = divmod(len(moments.mean), 2)
    if odd or not size:
        raise InputError(f"a pair got {len(moments.mean)} bands for two dates; give both dates the same bands.")
    variances = np.diag(moments.covariance)
    for date, own in (("pre", variances[:size]), ("post", variances[size:])):
        if not own.max() > 0:
            raise InputError(
                f"the {date} image has one value everywhere; change cannot be measured. Check the file and its bands."
            )
    covariance = moments.covariance + np.diag(penalty * variances + SMALLEST * variances.max())
    return covariance[:size, :size], covariance[:size, size:], covariance[size:, size:]


def _fix_signs(pre: Matrix, post: Matrix) -> tuple[Matrix, Matrix]:
    """Each pair so that its weights for pre add up to a positive number: a sign of its own would depend on the library."""
    signs = np.where(pre.sum(axis=1) < 0, -1.0, 1.0)[:, None]
    return pre * signs, post * signs


def chi_image(variates: PairVariates, batch: FloatImage) -> NDArray[np.float32]:
    """The square root of χ² of an image. batch : (2 p, h, w) → (h, w)"""
    bands, height, width = batch.shape
    return np.sqrt(variates.chi_square(batch.reshape(bands, -1))).reshape(height, width)
