"""Unsupervised change detection from the statistics of a pair itself: one class per method, fitted block by block,
applied tile by tile.

Takes standardised pairs (2 p, h, w), pre before post. Returns a score (h, w) from 0; larger scores are likelier
changes.

MAD and its re-weighted form IR-MAD (Nielsen et al. 1998, Nielsen 2007) do not depend on affine changes of one date's
values.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.special import erfc

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Matrix, Moments, MomentSums, Vector, valid_pixels
from deepnets4eo.tiling import Tiling

PENALTY = 1e-9  # of each variance; keeps bands that repeat others from making the problem singular
SMALLEST = 1e-12

Blocks = Callable[[], Iterable[tuple[FloatImage, Mask]]]  # each call goes over the pair again: values, and where valid
Score = NDArray[np.float32]

MAX_ITERATIONS, TOLERANCE = 50, 1e-3  # of IR-MAD; the tolerance is of its correlations
SMALL_VALUES = 4_000_000  # of a pair that costs seconds to iterate until it has converged
FINE_ITERATIONS, FINE_TOLERANCE = 200, 1e-6  # of such a pair; one of Landsat takes 50
BLOCK_PX = 4  # side of a block of PCA-k-means (Celik 2009)
COMPONENTS = 3
KMEANS_STEPS = 100
# Unchanged pixels per band of both dates, counted by their weights. With fewer, IR-MAD keeps the estimate before: a covariance of few
# pixels follows them. On 20 made-up pairs of 24² pixels and 10 bands the lowest AUC of change was .87 without this limit, 1.00 with it.
MIN_WEIGHT_PER_BAND = 2
# A rounded number is off by a twelfth of the squared step: one less the cosine is then (p - 1) / 24 of it over the squared length
MAX_ROUNDING, LEAST_ANGLE = 8.0, 1e-12  # times that value; of numbers of 32 bits that are not rounded


class PairScore(ABC):
    """A method without training data.

    `threshold` is the score from which a pixel counts as changed, if the method itself defines it."""

    name: ClassVar[str]
    side_px: ClassVar[int] = 512  # of the cores of tiles, and of the windows that statistics are measured on
    threshold: float | None = None
    standardised: ClassVar[bool] = True  # else bands of both dates are divided by one number alone

    @classmethod
    def of_bands(cls, names: Sequence[str]) -> PairScore:
        """Return the method for dates whose bands have these names."""
        return cls()

    @property
    def halo_px(self) -> int:
        """Context that each pixel needs on each side."""
        return 0

    def tiling(self, shape: tuple[int, int] | None = None) -> Tiling:
        """Return the tiling of scenes; for scenes of `shape`, little is computed twice if the computation is expensive."""
        return Tiling(self.side_px + 2 * self.halo_px, self.halo_px)

    @abstractmethod
    def fit(self, blocks: Blocks) -> None:
        """Measure what `measure` needs on the pair."""

    @abstractmethod
    def measure(self, pair: FloatImage) -> Score:
        """Compute the scores (h, w) float32, at least 0, of a pair (2 p, h, w) float32, standardised."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain values of what `fit` measured."""

    @abstractmethod
    def take(self, values: Mapping[str, Any]) -> None:
        """Take back what `to_dict` returned."""


class Difference(PairScore):
    """Image differencing: the mean size of the differences of standardised bands (Singh 1989)."""

    name = "difference"

    def fit(self, blocks: Blocks) -> None:
        """Measure nothing: the bands are standardised already."""

    def measure(self, pair: FloatImage) -> Score:
        """Compute the scores (h, w) of a pair (2 p, h, w)."""
        pre, post = np.split(pair, 2)
        return np.asarray(np.abs(post - pre).mean(axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Return no values."""
        return {}

    def take(self, values: Mapping[str, Any]) -> None:
        """Take nothing back."""


class ChangeVector(Difference):
    """Change vector analysis: the length of the difference of standardised bands (Malila 1980)."""

    name = "cva"

    def measure(self, pair: FloatImage) -> Score:
        """Compute the scores (h, w) of a pair (2 p, h, w)."""
        pre, post = np.split(pair, 2)
        return np.asarray(np.sqrt(np.square(post - pre).sum(axis=0)))


class CosineDistance(Difference):
    """One less the cosine between the vectors of both dates, 0 to 2: the measure of embeddings, whose bands keep their values.

    Vectors that only differ in length, such as pixels of a brighter image, have the score 0: angles that rounding to whole
    numbers explains count as none.

    Parameters
    ----------
    steps : difference of neighbouring values at both dates, 0 for values that are not rounded
    """

    name = "cosine"
    standardised = False

    def __init__(self) -> None:
        self.steps = (0.0, 0.0)

    def with_steps(self, steps: tuple[float, float]) -> None:
        """Take the difference of neighbouring values at both dates."""
        self.steps = steps

    def measure(self, pair: FloatImage) -> Score:
        """Compute the scores (h, w) of a pair (2 p, h, w); 0 where a date has a vector of zeros."""
        pre, post = np.split(pair.astype(np.float64), 2)
        squares = np.square(pre).sum(axis=0), np.square(post).sum(axis=0)
        both = np.sqrt(squares[0] * squares[1])
        angle = np.clip(1 - (pre * post).sum(axis=0) / np.maximum(both, SMALLEST), 0, 2)
        parts = [step**2 / np.maximum(square, SMALLEST) for step, square in zip(self.steps, squares, strict=True)]
        rounding = LEAST_ANGLE + MAX_ROUNDING * (len(pre) - 1) / 24 * (parts[0] + parts[1])
        return np.asarray(np.where((both > 0) & (angle > rounding), angle, 0), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the steps of both dates."""
        return {"steps": list(self.steps)}

    def take(self, values: Mapping[str, Any]) -> None:
        """Take the steps of both dates back."""
        before, after = values["steps"]
        self.steps = float(before), float(after)


class VariateScore(PairScore):
    """Base of methods whose score is √χ² of variates."""

    def __init__(self, penalty: float = PENALTY) -> None:
        self.penalty = penalty
        self.variates: PairVariates | None = None

    def measure(self, pair: FloatImage) -> Score:
        """Compute the scores (h, w) of a pair (2 p, h, w)."""
        return chi_image(self.fitted, pair)

    @property
    def fitted(self) -> PairVariates:
        """The variates. Errors: InputError before `fit`."""
        if self.variates is None:
            raise InputError(f"{self.name} is not fitted yet. Call fit first.")
        return self.variates

    def to_dict(self) -> dict[str, Any]:
        """Return plain values of the variates."""
        return {key: np.asarray(value).tolist() for key, value in vars(self.fitted).items()}

    def take(self, values: Mapping[str, Any]) -> None:
        """Take back what `to_dict` returned."""
        arrays = {key: np.asarray(values[key], float) for key in PairVariates.__dataclass_fields__}
        self.variates = PairVariates(**arrays)


class Mad(VariateScore):
    """Multivariate alteration detection (Nielsen et al. 1998): one estimate, all pixels weighed alike."""

    name = "mad"

    def fit(self, blocks: Blocks) -> None:
        """Go over the pair once."""
        self._estimate(blocks)

    def _estimate(self, blocks: Blocks) -> int:
        """Estimate the variates, pixels weighed by those known so far; returns the number of values of valid pixels."""
        sums, count = MomentSums(), 0
        for values, valid in blocks():
            pixels = valid_pixels(values, valid)
            sums.add(pixels, None if self.variates is None else self.variates.no_change(pixels))
            count += pixels.size
        if self.variates is None or sums.weight >= MIN_WEIGHT_PER_BAND * sums.bands:
            self.variates = mad_variates(sums.moments(), self.penalty)
        return count


class IrMad(Mad):
    """Iteratively re-weighted MAD (Nielsen 2007): pixels count by their probability of no change."""

    name = "ir-mad"

    def fit(self, blocks: Blocks) -> None:
        """Iterate until no correlation moves by more than 0.001, of a small pair 0.000001. Each iteration goes over the pair once."""
        # Each round weighs pixels by their probability of no change under the last variates, so the covariances come to rest on unchanged ground.
        # A round of a large pair is a pass over the pair, which stops when no correlation moves by more than a thousandth; small pairs take
        # seconds and go on until they have converged. Converged weights are no level of significance: noise without change falls below 0.01
        # for 26 % of its pixels (1 % with MAD), so the score only ranks, and the threshold is found in its histogram.
        small = self._estimate(blocks) <= SMALL_VALUES
        most, tolerance = (FINE_ITERATIONS, FINE_TOLERANCE) if small else (MAX_ITERATIONS, TOLERANCE)
        for _ in range(most - 1):
            before = self.fitted.correlation
            self._estimate(blocks)
            if np.abs(self.fitted.correlation - before).max() < tolerance:
                break


class PcaKMeans(PairScore):
    """PCA and k-means (Celik 2009) on the length of the change vector: blocks of pixels in two clusters.

    The score is how much nearer a block is to the cluster of large differences: 1 at its centre, 0 at the centre of the
    other cluster.
    """

    name = "pca-kmeans"
    threshold = 0.5

    def __init__(self, block_px: int = BLOCK_PX, components: int = COMPONENTS) -> None:
        self.block_px, self.components = block_px, components
        self.basis = np.zeros((0, 0))
        self.centre = np.zeros(0)
        self.clusters = np.zeros((2, 0))

    @property
    def halo_px(self) -> int:
        """Context that each pixel needs on each side."""
        return self.block_px // 2

    def fit(self, blocks: Blocks) -> None:
        """Read the pair once for the components, and again for the clusters."""
        sums = MomentSums()
        for values, valid in blocks():
            sums.add(self._separate_blocks(values, valid))
        if not sums.count:
            raise InputError(
                f"{self.name} compares blocks of {self.block_px} × {self.block_px} pixels, and no such block is valid in both "
                "images. Give larger images, or choose another method."
            )
        moments = sums.moments()
        eigenvectors = np.linalg.eigh(moments.covariance)[1].T[::-1][: self.components]
        self.centre, self.basis = moments.mean, eigenvectors * np.sign(eigenvectors.sum(axis=1, keepdims=True) + 1e-300)
        samples = np.concatenate([
            self.basis @ (self._separate_blocks(values, valid) - self.centre[:, None]) for values, valid in blocks()
        ], axis=1)  # fmt: skip
        self.clusters = _two_clusters(samples)

    def measure(self, pair: FloatImage) -> Score:
        """Compute the scores (h, w) of a pair (2 p, h, w); beyond the edge the pair is mirrored."""
        length = ChangeVector().measure(pair)
        before, after = self.block_px // 2, (self.block_px - 1) // 2
        padded = np.pad(length, (before, after), mode="symmetric" if min(length.shape) >= before else "edge")
        height, width = length.shape
        projected = np.zeros((len(self.basis), height, width), np.float32)
        offset = (self.basis @ self.centre).astype(np.float32)
        for index in range(self.block_px**2):
            row, col = divmod(index, self.block_px)
            shifted = padded[row : row + height, col : col + width]
            for component, weights in enumerate(self.basis):
                projected[component] += np.float32(weights[index]) * shifted
        projected -= offset[:, None, None]
        low, high = (
            np.square(projected - cluster[:, None, None].astype(np.float32)).sum(axis=0) for cluster in self.clusters
        )
        return np.asarray(np.sqrt(low) / np.maximum(np.sqrt(low) + np.sqrt(high), 1e-12))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values of components and clusters."""
        arrays = {"basis": self.basis, "centre": self.centre, "clusters": self.clusters}
        return {"block_px": self.block_px} | {key: value.tolist() for key, value in arrays.items()}

    def take(self, values: Mapping[str, Any]) -> None:
        """Take back what `to_dict` returned."""
        self.block_px = int(values["block_px"])
        self.basis, self.centre, self.clusters = (
            np.asarray(values[key], float) for key in ("basis", "centre", "clusters")
        )

    def _separate_blocks(self, values: FloatImage, valid: Mask) -> NDArray[np.float64]:
        """Blocks of the change vector's length that do not overlap and are wholly valid, (pixels of a block, n)."""
        side = self.block_px
        height, width = (size // side * side for size in valid.shape)
        length = ChangeVector().measure(values)[:height, :width]
        shape = (height // side, side, width // side, side)
        inside = valid[:height, :width].reshape(shape).all(axis=(1, 3))
        return np.asarray(length.reshape(shape).transpose(1, 3, 0, 2)[:, :, inside].reshape(side**2, -1), float)


def _two_clusters(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centres of two clusters (2, C), smaller differences first; started at both ends of the first component."""
    first = samples[0]
    centres = np.stack([samples[:, first <= np.median(first)].mean(axis=1), samples[:, np.argmax(first)]])
    for _ in range(KMEANS_STEPS):
        distances = np.stack([np.square(samples - centre[:, None]).sum(axis=0) for centre in centres])
        nearest = distances.argmin(axis=0)
        moved = np.stack(
            [
                samples[:, nearest == cluster].mean(axis=1) if (nearest == cluster).any() else centres[cluster]
                for cluster in (0, 1)
            ]
        )
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres[np.argsort(centres[:, 0])]


SPECTRAL: dict[str, type[PairScore]] = {
    kind.name: kind for kind in (IrMad, Mad, ChangeVector, Difference, PcaKMeans, CosineDistance)
}


@dataclass(frozen=True)
class PairVariates:
    """p differences of linear combinations of two dates, the largest variance first: combinations (p, p) a row, mean and
    variance of each difference where nothing changed, and ascending correlations."""

    pre: Matrix
    post: Matrix
    offset: Vector
    variance: Vector
    correlation: Vector

    def differences(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the variates. values : (2 p, n), pre before post → (p, n)."""
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
        too low: a weight and a rank, but no level of significance."""
        return chi_square_tail(len(self.variance), self.chi_square(values))


def chi_square_tail(degrees: int, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the probability of more than `values` (n,) under χ² with `degrees` degrees of freedom.

    Its finite series takes a fifth of the time of `scipy.special.chdtrc`."""
    half = np.minimum(values, 2000.0, dtype=float) / 2  # farther out it is 0
    order, tail = (0.5, erfc(np.sqrt(half))) if degrees % 2 else (1.0, np.exp(-half))
    term = np.exp(-half) * half**order / math.gamma(order + 1)
    while order < degrees / 2:
        tail += term
        order += 1
        term *= half / order
    return np.asarray(tail)


def mad_variates(moments: Moments, penalty: float = PENALTY) -> PairVariates:
    """Return the p MAD variates: combinations of bands with maximal positive correlation between the dates.

    They come from canonical correlation analysis. Each has variance 1; they are sorted by increasing correlation.

    penalty : share of each band's variance that is added to it, up to 0.01 for many or collinear bands.

    Raises InputError for an odd number of bands, or a date of one value.
    """
    first, cross, second = _split(moments, penalty)
    # Both dates are whitened by Cholesky factors, and one SVD of what they share gives both sets of combinations with correlations between
    # 0 and 1. The eigenproblem of the textbook multiplies the cross covariance by itself, which squares its condition number: small
    # correlations, those of changed ground, lose their digits first.
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


def _split(moments: Moments, penalty: float) -> tuple[Matrix, Matrix, Matrix]:
    size, odd = divmod(len(moments.mean), 2)
    if odd or not size:
        raise InputError(f"a pair got {len(moments.mean)} bands for two dates; give both dates the same bands.")
    variances = np.diag(moments.covariance)
    for date, variance in (("pre", variances[:size]), ("post", variances[size:])):
        if not variance.max() > 0:
            raise InputError(
                f"the {date} image has one value everywhere; change cannot be measured. Check the file and its bands."
            )
    covariance = moments.covariance + np.diag(penalty * variances + SMALLEST * variances.max())
    return covariance[:size, :size], covariance[:size, size:], covariance[size:, size:]


def _fix_signs(pre: Matrix, post: Matrix) -> tuple[Matrix, Matrix]:
    """Each pair so that its weights for pre add up to a positive number: otherwise the sign would depend on the library."""
    signs = np.where(pre.sum(axis=1) < 0, -1.0, 1.0)[:, None]
    return pre * signs, post * signs


def chi_image(variates: PairVariates, batch: FloatImage) -> NDArray[np.float32]:
    """Return the square root of χ² of an image. batch : (2 p, h, w) → (h, w)."""
    bands, height, width = batch.shape
    return np.sqrt(variates.chi_square(batch.reshape(bands, -1))).reshape(height, width)
