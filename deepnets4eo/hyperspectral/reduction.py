"""Spectra brought to other numbers: normalised one by one (unit length, standard normal variate, continuum removal, first
derivative), or reduced to fewer (principal components, minimum noise fraction).

Spectra come in physical scale, not standardised band by band. `spectral_input.SpectralInput` does the same in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Floats, Mask, Vectors
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.rasters.moments import MomentSums

NOISE_FLOOR = 1e-10  # of the largest noise variance: directions without any noise would count infinitely

FLAT = 1e-6  # spectra whose standard deviation is less than this share of their largest value are flat
CHUNK_HULL_VALUES = 2**19  # of continuum removal: what a processor's cache holds


def normalise(spectra: NDArray[Any], name: str, wavelengths_nm: Sequence[float] | None = None) -> NDArray[np.float32]:
    """Normalise each spectrum by itself.

    Parameters
    ----------
    spectra : (…, B) float, reflectance or radiance
    name
        "l2": divided by its length. "snv": less its mean, divided by its standard deviation (Barnes et al. 1989).
        "continuum": divided by its upper convex hull (Clark and Roush 1984). "derivative": differences of neighbouring
        bands divided by the distance of their wavelengths.
    wavelengths_nm : (B,), increasing; without them, bands are one unit apart
        "continuum" and "derivative" use them.

    Returns
    -------
    (…, B) float32, of "derivative" (…, B − 1)
        Spectra that are zero stay zero under "l2", flat ones become zero under "snv"; "continuum" is 1 where the hull
        is not positive.

    Raises
    ------
    InputError
        For an unknown name, and wavelengths that are not as many as bands or do not increase.

    Examples
    --------
    >>> normalise(np.array([[1.0, 1.0, 3.0]]), "continuum").round(2).tolist()
    [[1.0, 0.5, 1.0]]
    """
    check_normalisation(name)
    positions = band_positions(spectra.shape[-1], wavelengths_nm)
    rows = np.asarray(spectra, np.float32).reshape(-1, spectra.shape[-1])
    normalised = _FUNCTIONS[name](rows, positions)
    return normalised.reshape(*spectra.shape[:-1], normalised.shape[-1])


def check_normalisation(name: str) -> None:
    """Refuse unknown names. Errors: InputError."""
    if name not in _FUNCTIONS:
        raise InputError(f"normalisation {name!r} is unknown. {name_hint(name, NORMALISATIONS)}")


def band_positions(bands: int, wavelengths_nm: Sequence[float] | None) -> NDArray[np.float32]:
    """Wavelengths, or numbers of bands. Errors: InputError where they do not increase or are not as many as bands."""
    if wavelengths_nm is None:
        return np.arange(bands, dtype=np.float32)
    positions = np.asarray(wavelengths_nm, np.float32)
    if positions.shape != (bands,):
        raise InputError(
            f"{positions.size} wavelengths were given for spectra of {bands} bands. Give one each, in nanometres."
        )
    falling = np.flatnonzero(~(np.diff(positions) > 0))
    if falling.size:
        first = falling[0]
        raise InputError(
            f"wavelengths must increase, but band {first + 1} has {positions[first]:g} nm and band {first + 2} "
            f"{positions[first + 1]:g} nm. Sort the bands, or leave the wavelengths out."
        )
    return positions


def upper_hull(spectra: Vectors, positions: NDArray[np.float32]) -> Vectors:
    """Return the continuum (n, B) of spectra at positions (B,): the least concave curve that no band exceeds, from hull
    point to hull point for all spectra at once."""
    chunk = max(1, CHUNK_HULL_VALUES // spectra.shape[1])
    hulls = [_interpolate(part, positions, _hull_points(part, positions)) for part in _parts(spectra, chunk)]
    return np.concatenate(hulls) if hulls else spectra.copy()


def _parts(rows: Vectors, chunk: int) -> list[Vectors]:
    return [rows[start : start + chunk] for start in range(0, len(rows), chunk)]


def _hull_points(spectra: Vectors, positions: NDArray[np.float32]) -> Mask:
    """(n, B), True at bands on the hull. From each hull point the next is the one of the steepest ascent to the right."""
    count, bands = spectra.shape
    on_hull = np.zeros(spectra.shape, np.bool_)
    on_hull[:, [0, -1]] = True
    active, current = np.arange(count), np.zeros(count, np.intp)
    if bands < 3:
        return on_hull
    distance = positions[None] - positions[:, None]
    behind = np.tri(bands, dtype=np.bool_)
    inverse = np.divide(1, distance, out=np.zeros_like(distance), where=~behind)
    penalty = np.where(behind, np.float32(-np.inf), np.float32(0))
    while active.size:
        first = int(current.min())  # bands before it cannot be reached any more
        values = spectra[active]
        slope = values[:, first:] - np.take_along_axis(values, current[:, None], axis=1)
        slope *= inverse[current, first:]
        slope += penalty[current, first:]
        current = slope.argmax(axis=1) + first
        on_hull[active, current] = True
        going_on = current < bands - 1
        active, current = active[going_on], current[going_on]
    return on_hull


def _interpolate(spectra: Vectors, positions: NDArray[np.float32], on_hull: Mask) -> Vectors:
    bands = np.arange(spectra.shape[1])
    left = np.maximum.accumulate(np.where(on_hull, bands, 0), axis=1)
    right = np.minimum.accumulate(np.where(on_hull, bands, bands[-1])[:, ::-1], axis=1)[:, ::-1]
    start, stop = np.take_along_axis(spectra, left, axis=1), np.take_along_axis(spectra, right, axis=1)
    width = positions[right] - positions[left]
    share = np.divide(positions - positions[left], width, out=np.zeros_like(start), where=width > 0)
    return np.maximum(start + (stop - start) * share, spectra)


def _l2(spectra: Vectors, positions: NDArray[np.float32]) -> Vectors:
    length = np.sqrt(np.square(spectra).sum(axis=1, keepdims=True))
    return np.divide(spectra, length, out=np.zeros_like(spectra), where=length > 0)


def _snv(spectra: Vectors, positions: NDArray[np.float32]) -> Vectors:
    centred = spectra - spectra.mean(axis=1, keepdims=True)
    variance = np.square(centred).sum(axis=1, keepdims=True) / max(spectra.shape[1] - 1, 1)
    std, largest = np.sqrt(variance), np.abs(spectra).max(axis=1, keepdims=True)
    return np.divide(centred, std, out=np.zeros_like(centred), where=std > FLAT * largest)


def _continuum(spectra: Vectors, positions: NDArray[np.float32]) -> Vectors:
    hull = upper_hull(spectra, positions)
    return np.divide(spectra, hull, out=np.ones_like(spectra), where=hull > 0)


def _derivative(spectra: Vectors, positions: NDArray[np.float32]) -> Vectors:
    return np.diff(spectra, axis=1) / np.diff(positions)


_FUNCTIONS: dict[str, Callable[[Vectors, NDArray[np.float32]], Vectors]] = {
    "l2": _l2,
    "snv": _snv,
    "continuum": _continuum,
    "derivative": _derivative,
}
NORMALISATIONS = tuple(_FUNCTIONS)


@dataclass(frozen=True, eq=False)
class SpectralReduction:
    """What was fitted: the scores of a spectrum x are (x − mean) · basisᵀ.

    Parameters
    ----------
    kind : "pca" or "mnf"
    mean : (B,) float32, subtracted first
    basis : (n, B) float32, one row a component, the most important first
        The entry of the largest size in each is positive.
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
        return ((rows - self.mean) @ self.basis.T).reshape(*spectra.shape[:-1], self.components)


def fit_reduction(
    kind: str,
    windows: Iterable[tuple[FloatImage, Mask]],
    components: int,
    *,
    whiten: bool = False,
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
    return SpectralReduction(kind, *(_float32(one) for one in (moments.mean, basis[chosen], importance[chosen])))


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


def _float32(values: Floats) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, np.float32)


REDUCTIONS = ("pca", "mnf")


def neighbour_differences(cube: FloatImage, mask: Mask) -> Vectors:
    """Differences between pixels of the mask and their right and lower neighbours in it. (B, h, w), (h, w) → (pairs, B)"""
    right = (cube[:, :, 1:] - cube[:, :, :-1])[:, mask[:, 1:] & mask[:, :-1]]
    lower = (cube[:, 1:] - cube[:, :-1])[:, mask[1:] & mask[:-1]]
    return np.concatenate([right, lower], axis=1).T
