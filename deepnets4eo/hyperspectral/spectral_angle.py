"""The angle between spectra (Kruse et al. 1993, spectral angle mapper), which does not change with brightness.

Radians, 0 for the same shape up to π/2 for nothing in common (π with negative values). Zeros have an angle of π/2 to
any other; what is not a number stays NaN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window, blocks
from deepnets4eo.hyperspectral.cube import Cube
from deepnets4eo.hyperspectral.library import SpectralLibrary

BLOCK_VALUES = 1 << 24  # of a cube read at a time: 128 MB as float64
NO_SPECTRUM = 65535


class AngleMap(NamedTuple):
    """The nearest spectrum of each pixel: index (H, W) uint16, 65535 where not valid; angle (H, W) float32 radians, NaN
    there."""

    nearest: NDArray[np.uint16]
    angle: NDArray[np.float32]


def spectral_angles(pixels: NDArray[Any], spectra: NDArray[Any]) -> NDArray[np.float64]:
    """Return angles between pixels and spectra.

    Parameters
    ----------
    pixels : (B, …) of any number of axes
    spectra : (S, B); bands where a spectrum is NaN do not enter its angles

    Returns
    -------
    (S, …) radians, 0–π; NaN for spectra of which nothing is known

    Raises
    ------
    InputError
        For pixels and spectra of another number of bands.

    Examples
    --------
    >>> spectral_angles(np.array([2.0, 0.0]), np.array([[1.0, 0.0], [0.0, 5.0], [0.0, 0.0]])).round(3).tolist()
    [0.0, 1.571, 1.571]
    """
    spectra = np.asarray(spectra, np.float64)
    if spectra.ndim != 2 or spectra.shape[1] != len(pixels):
        raise InputError(
            f"the spectra have the shape {spectra.shape} and the pixels {len(pixels)} bands; expected (S, {len(pixels)}). "
            "Resample the library to the wavelengths of the cube: SpectralLibrary.resample."
        )
    flat = np.asarray(pixels, np.float64).reshape(len(pixels), -1)
    known = np.isfinite(spectra)
    if known.all():
        angles = _angles_of_units(_to_units(flat, 0), _to_units(spectra, 1))
    else:
        lengths = np.sqrt(known.astype(np.float64) @ flat**2)  # (S, N), over the bands that each spectrum has
        cosines = _to_units(np.where(known, spectra, 0), 1) @ flat / np.where(lengths == 0, 1, lengths)
        angles = np.where(known.any(axis=1)[:, None], np.arccos(np.clip(cosines, -1, 1)), np.nan)
    return angles.reshape(len(spectra), *np.shape(pixels)[1:])


def angle_windows(cube: Cube, library: SpectralLibrary) -> Iterator[tuple[Window, NDArray[np.float32]]]:
    """Yield the angles to all spectra, window by window. Peak memory: some 300 MB, whatever the size of the cube.

    Parameters
    ----------
    cube
        The cube.
    library
        Spectra of the same bands, or with wavelengths, to which the cube's belong: they are resampled.

    Yields
    ------
    Window and (S, h, w) float32 radians, NaN where not valid

    Raises
    ------
    InputError
        For spectra that cannot be brought to the bands of the cube.
    """
    spectra = _spectra_for(cube, library)
    bands, height, width = cube.shape
    side_px = max(1, int((BLOCK_VALUES / (bands + len(spectra))) ** 0.5))
    for window in blocks((height, width), side_px):
        data, valid = cube.read(window)
        angles = spectral_angles(data, spectra).astype(np.float32)
        angles[:, ~valid] = np.nan
        yield window, angles


def spectral_angle_map(cube: Cube, library: SpectralLibrary, *, most_angle: float = np.pi) -> AngleMap:
    """Find the spectrum with the smallest angle to each pixel; the first of several with the same.

    Parameters
    ----------
    cube, library
        The same as in `angle_windows`.
    most_angle
        Pixels with a larger angle to every spectrum, radians, have no nearest spectrum.

    Returns
    -------
    AngleMap
        Index of the spectrum and angle of each pixel, 6 bytes a pixel.

    Raises
    ------
    InputError
        For spectra that cannot be brought to the bands of the cube.
    """
    _, height, width = cube.shape
    nearest = np.full((height, width), NO_SPECTRUM, np.uint16)
    angle = np.full((height, width), np.nan, np.float32)
    for window, angles in angle_windows(cube, library):
        known = np.isfinite(angles).any(axis=0)
        best = np.where(np.isnan(angles), np.inf, angles).argmin(axis=0)
        smallest = np.take_along_axis(angles, best[None], axis=0)[0]
        angle[window.slices] = np.where(known, smallest, np.nan)
        nearest[window.slices] = np.where(known & (smallest <= most_angle), best, NO_SPECTRUM)
    return AngleMap(nearest, angle)


def _spectra_for(cube: Cube, library: SpectralLibrary) -> NDArray[np.float64]:
    """(S, B) spectra at the bands of the cube."""
    if cube.wavelengths_nm is not None and library.wavelengths_nm is not None:
        same = len(library.wavelengths_nm) == len(cube.wavelengths_nm)
        if not (same and np.allclose(library.wavelengths_nm, cube.wavelengths_nm, atol=0.01)):
            return library.resample(cube.wavelengths_nm).spectra
    if library.spectra.shape[1] != cube.shape[0]:
        raise InputError(
            f"the library has {library.spectra.shape[1]} bands and {cube.layer.source} {cube.shape[0]}, and not both have "
            "wavelengths. Give them, so that the library can be resampled."
        )
    return library.spectra


def _to_units(spectra: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    length = np.linalg.norm(spectra, axis=axis, keepdims=True)
    return spectra / np.where(length == 0, 1, length)


def _angles_of_units(pixels: NDArray[np.float64], spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = np.clip(spectra @ pixels, -1, 1)
    return np.arccos(cosines)
