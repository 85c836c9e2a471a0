"""Spectra reduced to fewer numbers: principal components, minimum noise fraction. They come in physical scale, not standardised
band by band."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Mask, Vectors
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.rasters import MomentSums

NOISE_FLOOR = 1e-10  # of the largest noise variance: directions without any noise would count infinitely


@dataclass(frozen=True, eq=False)
class SpectralReduction:
    """A fitted reduction: the scores of a spectrum x are (x − mean) · basisᵀ.

    Parameters
    ----------
    kind : "pca" or "mnf"
    mean : (B,) float32, subtracted first
    basis : (n, B) float32, one row per component in descending importance
        The entry with the largest absolute value in each row is positive.
    importance : (n,) float32
        "pca": share of the variance. "mnf": variance in units of the noise.

    Examples
    --------
    >>> cube = np.random.default_rng(0).random((6, 9, 9)).astype(np.float32)
    >>> reduction = fit_reduction("pca", [(cube, np.ones((9, 9), bool))], 2)
    >>> reduction.transform(cube.reshape(6, -1).T).shape
    (81, 2)
    """

    kind: str
    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    importance: NDArray[np.float32]

    @property
    def components(self) -> int:
        """Numbers a spectrum is reduced to."""
        return len(self.basis)

    def transform(self, spectra: NDArray[Any]) -> NDArray[np.float32]:
        """Scores. spectra : (…, B) → (…, n) float32"""
        rows = np.asarray(spectra, np.float32).reshape(-1, self.basis.shape[1])
        scores = np.asarray((rows - self.mean) @ self.basis.T, np.float32)
        return scores.reshape(*spectra.shape[:-1], self.components)


def fit_reduction(
    kind: str, windows: Iterable[tuple[FloatImage, Mask]], components: int, *, whiten: bool = False
) -> SpectralReduction:
    """Fit on training pixels, window by window. Memory: O(B²).

    Parameters
    ----------
    kind
        "pca"; "mnf": the noise is half the mean square of the differences between neighbouring training pixels of a
        window (Green et al. 1988)
    windows : pairs of a cube's window, (B, h, w) float, and its training pixels, (h, w) bool, which are read once
    components : n, 1 … B
    whiten : scale scores to unit variance over the training pixels

    Returns
    -------
    SpectralReduction

    Raises
    ------
    InputError
        For an unknown kind, more components than bands, values that are not finite, and too few training pixels or
        neighbours.
    """
    check_kind(kind)
    signal, noise = MomentSums(), MomentSums()
    for cube, mask in windows:
        signal.add(_spectra(cube, mask).T)
        if kind == "mnf":
            noise.add(neighbour_differences(cube, mask).T)
    _check_count(kind, signal.count, signal.bands, components)
    moments = signal.moments()
    covariance = moments.covariance * (signal.count / max(signal.count - 1, 1))  # of a sample
    if kind == "pca":
        values, basis = _principal_axes(covariance)
        importance = values / max(float(np.trace(covariance)), np.finfo(np.float64).tiny)
    else:
        _check_neighbours(noise.count, signal.bands)
        values, basis = _noise_axes(covariance, noise.moments().mean_square / 2)
        importance = values
    if whiten:
        basis = basis / np.sqrt(np.maximum(values, np.finfo(np.float32).eps * values[0]))[:, None]
    chosen = slice(components)
    return SpectralReduction(
        kind, *(np.ascontiguousarray(array, np.float32) for array in (moments.mean, basis[chosen], importance[chosen]))
    )


def check_kind(kind: str) -> None:
    """Refuse unknown reductions. Errors: InputError."""
    if kind not in REDUCTIONS:
        raise InputError(f"reduction {kind!r} is unknown. {name_hint(kind, REDUCTIONS)}")


def _principal_axes(covariance: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues, falling, and eigenvectors as rows, their entry of the largest size positive."""
    values, vectors = np.linalg.eigh(covariance)
    return np.maximum(values[::-1], 0), _with_sign(vectors.T[::-1])


def _noise_axes(covariance: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Principal axes where the noise has unit variance in all directions, expressed in bands."""
    values, vectors = np.linalg.eigh(noise)
    floor = max(values[-1] * NOISE_FLOOR, np.finfo(np.float64).tiny)
    whitening = vectors / np.sqrt(np.maximum(values, floor))
    ratios, rotation = _principal_axes(whitening.T @ covariance @ whitening)
    return ratios, _with_sign(rotation @ whitening.T)


def _with_sign(rows: Floats) -> Floats:
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return rows * np.where(largest < 0, -1.0, 1.0)


def _spectra(cube: FloatImage, mask: Mask) -> Vectors:
    spectra = np.asarray(cube[:, mask].T, np.float32)
    if not np.isfinite(spectra).all():
        raise InputError(
            f"{int((~np.isfinite(spectra)).any(axis=1).sum())} training pixels have bands that are not finite. Mask them, "
            "or leave these bands out."
        )
    return spectra


def _check_count(kind: str, count: int, bands: int, components: int) -> None:
    if count == 0:
        raise InputError(f"{kind} was to be fitted without a training pixel. Check the mask and the split.")
    if not 1 <= components <= bands:
        raise InputError(f"{components} components were requested of {bands} bands. Choose 1 to {bands}.")
    if count <= components:
        raise InputError(
            f"{kind} was to be fitted on {count} training pixels; {components} components need more than {components}. "
            "Label more pixels or request fewer components."
        )


def _check_neighbours(pairs: int, bands: int) -> None:
    if pairs <= bands:
        raise InputError(
            f"the noise of mnf comes from neighbouring training pixels, of which there are {pairs} pairs for {bands} "
            "bands; at least one more than bands are needed. Split by blocks, so that training pixels touch, or use pca."
        )


REDUCTIONS = ("pca", "mnf")


def neighbour_differences(cube: FloatImage, mask: Mask) -> Vectors:
    """Differences between pixels of the mask and their right and lower neighbours in it. (B, h, w), (h, w) → (pairs, B)"""
    right = (cube[:, :, 1:] - cube[:, :, :-1])[:, mask[:, 1:] & mask[:, :-1]]
    lower = (cube[:, 1:] - cube[:, :-1])[:, mask[1:] & mask[:-1]]
    return np.concatenate([right, lower], axis=1).T
