"""Describes hyperspectral cubes and files of arrays: wavelengths, range, bands that serve no purpose, the arrays of a file.

Each band is measured in evenly spread windows. Memory: some 200 MB, whatever the size of the cube.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import EmbeddingCard
from deepnets4eo.display import count_text
from deepnets4eo.errors import InputError
from deepnets4eo.formats import ArrayReference, list_arrays, marked_bands, open_array
from deepnets4eo.rasters import Layer, find_outliers, is_nodata, to_physical
from deepnets4eo.tiling import spread_windows

MAX_NAMED = 6  # bands in a sentence
MARKED = "called bad by the header"

WATER_VAPOUR_NM = ((1350.0, 1430.0), (1800.0, 1950.0))  # the air lets no sunlight through there
MIN_AUTOCORRELATION = 0.3  # of neighbouring pixels; below it a band is mostly noise
WINDOWS_PER_AXIS = 4
WINDOW_VALUES = 1 << 23  # of all bands together
WINDOW_SAMPLES = 2000  # pixels of a window that are kept
FLAT = 1e-12
UNIT_TOLERANCE = 0.1  # of the length of vectors; rounding to 8 bits changes it by less than 0.02

Values = NDArray[np.float64]


class BandStatistics:
    """Statistics of windows per band (B,), in stored numbers: counts, range (NaN without values), shares, samples (B, n).

    `autocorrelation` of neighbours is 0 for noise; squares are about the first value, for precision.
    """

    def __init__(self, layer: Layer, wavelengths_nm: Values | None) -> None:
        self.numbers, self.scaling, self.wavelengths_nm = layer.bands, layer.scaling, wavelengths_nm
        self._pixels, self._all_pixels, self._samples = 0, 0, list[Values]()
        self.count, self._negative, self._pairs = (np.zeros(layer.count, np.int64) for _ in range(3))
        self._sum, self._squares, self._differences = (np.zeros(layer.count) for _ in range(3))
        self.low, self.high, self._origin = (np.full(layer.count, np.nan) for _ in range(3))

    @cached_property
    def samples(self) -> Values:
        """Return numbers of pixels spread over the windows, NaN if missing."""
        return np.concatenate(self._samples, axis=1)

    @property
    def missing(self) -> Values:
        """Share without a value, of the pixels with one in any band."""
        return np.asarray(1 - self.count / max(self._pixels, 1))

    @property
    def missing_pixels(self) -> float:
        """Share of the pixels that have a value in no band."""
        return 1 - self._pixels / max(self._all_pixels, 1)

    @property
    def negative(self) -> Values:
        """Share of the values below 0."""
        return np.asarray(self._negative / np.maximum(self.count, 1))

    @cached_property
    def autocorrelation(self) -> Values:
        """Return the correlation of neighbouring pixels; NaN if nothing varies."""
        count = np.maximum(self.count, 1)
        variance = self._squares / count - (self._sum / count) ** 2
        scale = np.nan_to_num(np.fmax(np.abs(self.high), np.abs(self.low)) ** 2, nan=1.0, posinf=1.0)
        steady = (variance <= FLAT * scale) | (self._pairs == 0)
        differences = self._differences / np.maximum(self._pairs, 1)
        return np.where(steady, np.nan, 1 - differences / (2 * np.where(steady, 1, variance)))

    def add(self, data: NDArray[np.generic], nodata: Sequence[float | None]) -> None:
        """Add a window.

        data : (B, h, w); nodata : the value of each band."""
        known = np.isfinite(data) if data.dtype.kind == "f" else np.ones(data.shape, bool)
        for band, value, mask in zip(data, nodata, known, strict=True):
            if value is not None:
                mask &= ~is_nodata(band, value)
        self._pixels += int(known.any(axis=0).sum())
        self._all_pixels += known[0].size
        flat = np.where(known, data, np.nan).reshape(len(data), -1)
        self._samples.append(flat[:, :: max(1, flat.shape[1] // WINDOW_SAMPLES)].astype(np.float32))
        for band, (plane, valid) in enumerate(zip(data, known, strict=True)):
            self._add_band(band, plane.astype(np.float64), valid)

    def _add_band(self, band: int, plane: Values, valid: NDArray[np.bool_]) -> None:
        values = plane[valid]
        if not values.size:
            return
        if np.isnan(self._origin[band]):
            self._origin[band] = values[0]
        plane = np.where(valid, plane - self._origin[band], 0)
        self.count[band] += values.size
        self._negative[band] += int((self.scaling[band].values(values) < 0).sum())
        self.low[band] = np.fmin(self.low[band], values.min())
        self.high[band] = np.fmax(self.high[band], values.max())
        self._sum[band] += plane.sum()
        self._squares[band] += np.square(plane).sum()
        for axis in (0, 1):
            ends = (slice(1, None), slice(None, -1))
            first, second = (valid[end] if axis == 0 else valid[:, end] for end in ends)
            both = first & second
            self._differences[band] += np.square(np.diff(plane, axis=axis)[both]).sum()
            self._pairs[band] += int(both.sum())

    def bad_bands(self) -> dict[int, str]:
        """Return band number (1-based, of the source) → reason why the band is unusable: empty, constant, noise, water vapour."""
        reasons, waves = dict[int, str](), self.wavelengths_nm
        for index, number in enumerate(self.numbers):
            if not self.count[index]:
                reasons[number] = "empty"
            elif self.low[index] == self.high[index]:
                reasons[number] = "constant"
            elif waves is not None and any(low <= waves[index] <= high for low, high in WATER_VAPOUR_NM):
                reasons[number] = "water vapour"
            elif self.autocorrelation[index] < MIN_AUTOCORRELATION:
                reasons[number] = "noise"
        return reasons


def measure_bands(layer: Layer, wavelengths_nm: Values | None = None) -> BandStatistics:
    """Read evenly spread windows (a small raster whole) and describe each band."""
    numbers = layer.as_stored()  # by the numbers values without data are known
    statistics = BandStatistics(layer, layer.wavelengths_nm if wavelengths_nm is None else wavelengths_nm)
    side_px = max(2, math.isqrt(WINDOW_VALUES // layer.count))
    per_axis = min(WINDOWS_PER_AXIS, math.ceil(max(layer.shape) / side_px))
    for window in spread_windows(layer.shape, (side_px, side_px), per_axis):
        statistics.add(numbers.read(window)[0], layer.band_nodata)
    return statistics


def describe_arrays(facts: dict[str, Any], problems: list[str], reference: ArrayReference) -> bool:
    """Add the arrays of a file; returns whether one of them is meant, so that it can be described."""
    arrays = list_arrays(reference.path)
    facts["arrays"] = ", ".join(map(str, arrays)) or "none"
    if reference.name:
        return True
    try:
        image = open_array(reference)
    except InputError:
        images = [
            info for info in arrays if info.dtype is not None and len(info.shape) in (2, 3) and max(info.shape) > 1
        ]
        if not images:
            problems.append("it holds no array of numbers with two or three axes.")
        else:
            facts["to open one"] = f"{reference.path}#{max(images, key=lambda info: len(info.shape)).name}"
        return False
    if image.guess:
        facts["axes"] = f"{image.axes} (b bands, h rows, w columns): {image.guess}"
    return True


def describe_cube(facts: dict[str, Any], problems: list[str], layer: Layer) -> None:
    """Add wavelengths, range and missing values of a cube, and what is wrong with its bands."""
    wavelengths = layer.wavelengths_nm
    facts["bands"] = f"{layer.bands[0]}–{layer.bands[-1]}"
    if wavelengths is None:
        facts["wavelengths"] = "not listed in the file"
    else:
        facts["wavelengths"] = f"{np.nanmin(wavelengths):.0f}–{np.nanmax(wavelengths):.0f} nm"
    if (statistics := _describe_range(facts, problems, layer)) is None:
        return
    if (card := EmbeddingCard.likely(layer.count, layer.dtype.name)) is not None:
        problems.append(
            f"it may be {card.title}, whose bands lost their names. If so, name the card: {layer.source}#{card.name}."
        )
        return
    _report_bad_bands(problems, bad_bands(layer, statistics))
    _report_missing(problems, layer, statistics)
    negative = [number for number, share in zip(statistics.numbers, statistics.negative, strict=True) if share > 0]
    if negative:
        problems.append(describe_negative(float(statistics.negative.mean()), negative))
    _report_outliers(problems, statistics)


def describe_embedding(facts: dict[str, Any], problems: list[str], layer: Layer, card: EmbeddingCard) -> None:
    """Add what vectors of a card are, their lengths, and what is wrong with them."""
    facts["embeddings"] = card.title
    facts["licence"] = card.licence
    if (statistics := _describe_range(facts, problems, layer)) is None:
        return
    samples = to_physical(statistics.samples[:, None], layer.scaling)[:, 0]
    lengths = np.linalg.norm(samples[:, np.isfinite(samples).all(axis=0)], axis=0)
    if lengths.size:
        low, middle, high = np.percentile(lengths, (1, 50, 99))
        facts["lengths of vectors"] = f"{low:.3g} to {high:.3g}, median {middle:.3g}"
        if card.unit_length and abs(middle - 1) > UNIT_TOLERANCE:
            problems.append(
                f"its vectors have lengths about {middle:.3g}, those of {card.name} have 1. The numbers were changed, or belong to "
                "another card. Fetch the file again, or name its card: FILE#CARD."
            )
    if bad := [number for number, why in statistics.bad_bands().items() if why in ("empty", "constant")]:
        problems.append(f"{_count(bad)} without use: empty or constant. Fetch the file again.")
    _report_missing(problems, layer, statistics)


def _describe_range(facts: dict[str, Any], problems: list[str], layer: Layer) -> BandStatistics | None:
    """Add missing values and the range; return None, and add a problem, if no pixel is valid."""
    statistics = measure_bands(layer)
    nodata = f" (nodata {layer.nodata:g})" if layer.nodata is not None else ""
    facts["not valid"] = f"{statistics.missing_pixels:.1%} of the pixels{nodata}"
    if not statistics.count.any():
        problems.append("no pixel is valid: all are nodata, masked or NaN. Check its nodata value.")
        return None
    ends = to_physical(np.stack([statistics.low, statistics.high], axis=1), layer.scaling)
    facts["values"] = f"{np.nanmin(ends):g} to {np.nanmax(ends):g}"
    return statistics


def bad_bands(layer: Layer, statistics: BandStatistics) -> dict[int, str]:
    """Return band number (1-based, of the source) → reason why the band is unusable, first by an ENVI header."""
    marked = set(marked_bands(Path(layer.paths[0]))) if len(layer.paths) == 1 else set()
    reasons = statistics.bad_bands() | dict.fromkeys(marked & set(layer.bands), MARKED)
    return dict(sorted(reasons.items()))


def _report_bad_bands(problems: list[str], bad: Mapping[int, str]) -> None:
    if bad:
        reasons = dict.fromkeys(bad.values())
        kinds = "; ".join(f"{why}: {number_ranges(band for band in bad if bad[band] == why)}" for why in reasons)
        problems.append(
            f"{count_text(len(bad), 'band')} without use ({kinds}). Leave them out: data.bands in a recipe, or "
            "hyperspectral.remove_bad_bands in Python."
        )


def _report_missing(problems: list[str], layer: Layer, statistics: BandStatistics) -> None:
    """Report missing values: a pixel with NaN in any band is invalid; nodata in only some bands is read as a value."""
    some = [
        number
        for number, count, missing in zip(statistics.numbers, statistics.count, statistics.missing, strict=True)
        if missing > 0 and count
    ]
    if some:
        most = float(max(statistics.missing[statistics.numbers.index(band)] for band in some))
        what = "NaN or infinite" if layer.nodata is None else "nodata, NaN or infinite"
        problems.append(
            f"{_count(some)}: {what} where others have values, in up to {_percent(most)} of the pixels. Set these pixels to nodata in all bands, or leave the bands out."
        )


def describe_negative(share: float, bands: Sequence[int]) -> str:
    """Return one sentence on the negative values of a cube: their share, and the numbers of the bands with any."""
    return (
        f"{_percent(share)} of the values are negative, in {_count(bands)}: no reflectance or radiance is. Noise and the "
        "correction of the atmosphere leave some; a large share is an undeclared nodata value or a wrong type."
    )


def _report_outliers(problems: list[str], statistics: BandStatistics) -> None:
    """Report all bands whose deviation is dominated by outliers, in one sentence."""
    far = []
    for index, number in enumerate(statistics.numbers):
        values = np.append(statistics.samples[index], [statistics.low[index], statistics.high[index]])
        values = values[np.isfinite(values)]
        outliers = find_outliers(values) if values.size > 2 else None
        if outliers is not None and outliers.dominates_std(float(values.std()), values):
            far.append((number, str(outliers)))
    if far:
        problems.append(
            f"values far from all others in {_count([number for number, _ in far])}, such as band "
            f"{far[0][0]}: {far[0][1]}. They would distort the scaling of a training; declare them as nodata, or cut them."
        )


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 1e-4 else "under 0.01%"


def _count(bands: Sequence[int]) -> str:
    return f"{count_text(len(bands), 'band')} ({number_ranges(bands)})"


def number_ranges(numbers: Iterable[int]) -> str:
    """Return numbers as ranges, the first six.

    >>> number_ranges([1, 2, 3, 7, 9, 10])
    '1–3, 7, 9–10'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(first) if first == last else f"{first}–{last}" for first, last in runs]
    return ", ".join(texts[:MAX_NAMED]) + (" …" if len(texts) > MAX_NAMED else "")
