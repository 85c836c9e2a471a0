"""Spectral libraries: named spectra with their wavelengths, read and written as ENVI (.sli with .hdr) or CSV, resampled
to the bands of a cube; and the angle between spectra, which does not change with brightness (Kruse et al. 1993).

Radians, 0 for the same shape up to π/2 for nothing in common (π with negative values). Zeros have an angle of π/2 to
any other; what is not a number stays NaN."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.display.figures import make_axes
from deepnets4eo.display.summary import Summary, WithSummary, list_names
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.formats import envi
from deepnets4eo.formats.wavelengths import list_entries, to_nm
from deepnets4eo.grid import Window, blocks
from deepnets4eo.hyperspectral.cube import Cube
from deepnets4eo.outputs.safe_text import csv_text
from deepnets4eo.rasters.values import is_nodata

if TYPE_CHECKING:
    from matplotlib.axes import Axes


ENVI_TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
WAVELENGTH = "wavelength_nm"  # the first column of a CSV
DELETED = -1.23e34  # stands for deleted channels in libraries of the USGS, declared or not
LEAST_KNOWN = 0.5  # of the weight of a band, for its mean
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))

BLOCK_VALUES = 1 << 24  # of a cube read at a time: 128 MB as float64
NO_SPECTRUM = 65535


@dataclass(frozen=True, repr=False)
class SpectralLibrary(WithSummary):
    """Named spectra.

    Parameters
    ----------
    names : the name of each spectrum
    spectra : (S, B) float64, in the unit of their source, such as reflectance 0–1
        NaN where a channel was deleted or not measured.
    wavelengths_nm : (B,) ascending, nanometres; None where not known

    Raises
    ------
    InputError
        For sizes that do not agree, or wavelengths that do not ascend.

    Examples
    --------
    >>> library = SpectralLibrary(("soil",), np.array([[0.1, 0.3]]), np.array([400.0, 600.0]))
    >>> library.resample([500]).spectra.tolist()
    [[0.2]]
    """

    names: tuple[str, ...]
    spectra: NDArray[np.float64]
    wavelengths_nm: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.spectra.ndim != 2 or len(self.names) != len(self.spectra) or not self.spectra.size:
            raise InputError(f"{len(self.names)} names and spectra of the shape {self.spectra.shape}; expected (S, B).")
        if self.wavelengths_nm is not None:
            if len(self.wavelengths_nm) != self.spectra.shape[1]:
                raise InputError(
                    f"{len(self.wavelengths_nm)} wavelengths for spectra of {self.spectra.shape[1]} bands. Give one a band."
                )
            if not (np.diff(self.wavelengths_nm) > 0).all():
                raise InputError("the wavelengths do not ascend. Sort the bands of the library by wavelength.")

    @classmethod
    def open(cls, path: str | Path) -> SpectralLibrary:
        """Read an ENVI spectral library, by its header or its file of numbers, or a CSV whose first column has the
        wavelengths (nanometres or micrometres) and whose others are spectra. Errors: InputError for what is neither, or
        damaged."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path} does not exist. Check the path.")
        if path.suffix.lower() in (".csv", ".txt"):
            return _read_csv(path)
        header = path if path.suffix.lower() == envi.SUFFIX else envi.header_of(path)
        return _read_envi(header)

    def write(self, path: str | Path) -> None:
        """Write a `.csv`, or a `.sli`, ENVI as float64, with its header. Errors: InputError for another suffix, or a
        CSV without wavelengths."""
        path = Path(path)
        if path.suffix.lower() == ".csv":
            self._write_csv(path)
        elif path.suffix.lower() == ".sli":
            self._write_envi(path)
        else:
            raise InputError(f"{path} should end with .csv or .sli.")

    def resample(
        self, wavelengths_nm: Sequence[float] | NDArray[Any], fwhm_nm: Sequence[float] | NDArray[Any] | None = None
    ) -> SpectralLibrary:
        """Return the spectra at other wavelengths (B,), within those of the library; NaN where a neighbour, or more
        than half of the weight, is NaN.

        fwhm_nm : (B,) widths of the bands at half of their maximum: means weighted by a Gaussian. Without, linear
        interpolation. Errors: InputError where the library has no wavelengths, or these lie outside of them."""
        target = np.asarray(wavelengths_nm, np.float64)
        if self.wavelengths_nm is None:
            raise InputError("the library has no wavelengths, so it cannot be resampled. Give them.")
        low, high = self.wavelengths_nm[0], self.wavelengths_nm[-1]
        outside = target[~((target >= low) & (target <= high))]
        if outside.size:
            raise InputError(
                f"{outside.size} of {target.size} wavelengths, such as {outside[0]:g} nm, lie outside those of the library "
                f"({low:g}–{high:g} nm). Leave out these bands."
            )
        if fwhm_nm is None:
            spectra = np.stack([np.interp(target, self.wavelengths_nm, spectrum) for spectrum in self.spectra])
        else:
            weights = _gaussian_weights(self.wavelengths_nm, target, np.asarray(fwhm_nm, np.float64))
            spectra = self.spectra @ weights
            known = np.isfinite(self.spectra)
            if not known.all():
                share = known @ weights
                means = np.where(known, self.spectra, 0) @ weights / np.maximum(share, LEAST_KNOWN)
                spectra = np.where(share >= LEAST_KNOWN, means, np.nan)
        return SpectralLibrary(self.names, spectra, target if (np.diff(target) > 0).all() else None)

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draw the spectra; returns the Axes, by default those of a new figure."""
        axes = make_axes(axes)
        x = self.wavelengths_nm if self.wavelengths_nm is not None else np.arange(1, self.spectra.shape[1] + 1)
        for name, spectrum in zip(self.names, self.spectra, strict=True):
            axes.plot(x, spectrum, label=name, linewidth=1)
        axes.set_xlabel("wavelength, nm" if self.wavelengths_nm is not None else "band")
        axes.legend(fontsize="x-small")
        return axes

    def _write_csv(self, path: Path) -> None:
        if self.wavelengths_nm is None:
            raise InputError("the library has no wavelengths, which a CSV needs. Write it as .sli.")
        spectra = [["" if math.isnan(value) else value for value in spectrum] for spectrum in self.spectra.tolist()]
        columns = zip(self.wavelengths_nm.tolist(), *spectra, strict=True)
        with atomic_write(path) as partial:
            partial.write_text(csv_text([[WAVELENGTH, *self.names], *columns]), encoding="utf-8")

    def _write_envi(self, path: Path) -> None:
        lines = [
            "ENVI",
            f"samples = {self.spectra.shape[1]}",
            f"lines = {len(self.spectra)}",
            "bands = 1",
            "header offset = 0",
        ]
        lines += ["file type = ENVI Spectral Library", "data type = 5", "interleave = bsq", "byte order = 0"]
        names = [name.translate({ord(mark): "_" for mark in ",{}\r\n"}) for name in self.names]
        lines.append(f"spectra names = {{{', '.join(names)}}}")
        if self.wavelengths_nm is not None:
            lines.append("wavelength units = Nanometers")
            lines.append(f"wavelength = {{{', '.join(map(repr, self.wavelengths_nm.tolist()))}}}")
        with atomic_write(path.with_suffix(envi.SUFFIX)) as partial:
            partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with atomic_write(path) as partial:
            partial.write_bytes(self.spectra.astype("<f8").tobytes())

    def _summary(self) -> Summary:
        head = {"spectra": str(len(self.names)), "bands": str(self.spectra.shape[1])}
        if self.wavelengths_nm is not None:
            head["wavelengths"] = f"{self.wavelengths_nm[0]:.0f}–{self.wavelengths_nm[-1]:.0f} nm"
        return Summary("SpectralLibrary", head, {"names": list_names(self.names)})


def _gaussian_weights(own: NDArray[Any], target: NDArray[Any], fwhm: NDArray[Any]) -> NDArray[np.float64]:
    """(own, target) weights that sum to 1 over the library's own bands, each as wide as its share of the axis."""
    if fwhm.shape != target.shape or not (fwhm > 0).all():
        raise InputError(f"{fwhm.size} widths for {target.size} wavelengths. Give one a band, above 0.")
    spacing = np.gradient(own) if len(own) > 1 else np.ones(1)
    exponents = -0.5 * ((own[:, None] - target) / (fwhm / FWHM_PER_SIGMA)) ** 2
    weights = np.exp(exponents - exponents.max(axis=0)) * spacing[:, None]
    normalised: NDArray[np.float64] = weights / weights.sum(axis=0)
    return normalised


def _read_envi(header: Path) -> SpectralLibrary:
    entries = envi.read_header(header)
    try:
        bands, count = int(entries["samples"]), int(entries["lines"])
        dtype = np.dtype(ENVI_TYPES[int(entries["data type"])]).newbyteorder(
            ">" if entries.get("byte order") == "1" else "<"
        )
        offset = int(entries.get("header offset", "0"))
        scale = float(entries.get("reflectance scale factor", "1"))
        ignored = float(entries.get("data ignore value", "nan"))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{header} lacks, or does not state plainly, {error}. It is no header of a spectral library."
        ) from error
    data = envi.data_file(header)
    if min(bands, count, offset + 1) < 1 or data.stat().st_size < offset + bands * count * dtype.itemsize:
        raise InputError(f"{data} is too small for {count} spectra of {bands} bands. The file is truncated or damaged.")
    spectra = np.fromfile(data, dtype, bands * count, offset=offset).reshape(count, bands)
    spectra = np.where(is_nodata(spectra, ignored), np.nan, _measured(spectra.astype(np.float64)))
    names = list_entries(entries["spectra names"]) if "spectra names" in entries else []
    if len(names) != count:
        names = [f"spectrum {number + 1}" for number in range(count)]
    wavelengths = to_nm(_numbers(entries.get("wavelength", ""), header), entries.get("wavelength units", ""))
    return SpectralLibrary(tuple(names), spectra / (scale or 1.0), wavelengths)


def _measured(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spectra, NaN where their channel was deleted."""
    return np.where(is_nodata(spectra, DELETED), np.nan, spectra)


def _numbers(text: str, header: Path) -> list[float]:
    try:
        return [float(entry) for entry in list_entries(text) if entry]
    except ValueError as error:
        raise InputError(f"{header} has a wavelength that is no number: {error}. Correct it.") from error


def _read_csv(path: Path) -> SpectralLibrary:
    try:
        rows = [
            row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if any(map(str.strip, row))
        ]
        names = tuple(name.strip().removeprefix("'") for name in rows[0][1:])
        cells = [[row[0], *(cell.strip() or "nan" for cell in row[1:])] for row in rows[1:]]  # empty: not measured
        table = np.array([[float(cell) for cell in row] for row in cells], np.float64)
        if table.ndim != 2 or table.shape[1] != len(names) + 1:
            raise ValueError(f"its rows do not all have {len(names) + 1} columns")
    except (csv.Error, IndexError, ValueError) as error:
        raise InputError(
            f"{path} is no spectral library: {error}. Expected a row of names, then wavelength and values in each row."
        ) from error
    units = "micrometers" if rows[0][0].strip().lower().endswith(("um", "µm", "micrometers")) else ""
    return SpectralLibrary(names, _measured(table[:, 1:].T.copy()), to_nm(table[:, 0], units))


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
    cube : the cube
    library : spectra of the same bands, or with wavelengths, to which the cube's belong: they are resampled

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
    cube, library : the same as in `angle_windows`
    most_angle : pixels with a larger angle to every spectrum, radians, have no nearest spectrum

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
