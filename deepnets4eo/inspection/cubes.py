"""Describes hyperspectral cubes and files of arrays: wavelengths, range, bands that serve no purpose, the arrays of a file.

Takes a layer of many bands, or a path; adds facts and problems. Memory: some 100 MB, whatever the size of the cube.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.display.summary import count_text
from deepnets4eo.errors import InputError
from deepnets4eo.formats.array_files import ArrayReference, list_arrays, open_array
from deepnets4eo.formats.envi import marked_bands
from deepnets4eo.inspection.band_statistics import BandStatistics, measure_bands
from deepnets4eo.rasters.outliers import find_outliers
from deepnets4eo.rasters.scene import Layer

LEAST_BANDS = 16  # of what is described as a cube
MOST_NAMED = 6  # bands in a sentence
MARKED = "called bad by the header"


def is_cube(layer: Layer) -> bool:
    """Whether a layer has so many bands that each by itself says little."""
    return layer.count >= LEAST_BANDS


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
    statistics = measure_bands(layer)
    nodata = f" (nodata {layer.nodata:g})" if layer.nodata is not None else ""
    facts["not valid"] = f"{statistics.missing_pixels:.1%} of the pixels{nodata}"
    if not statistics.count.any():
        problems.append("no pixel is valid: all are nodata, masked or NaN. Check its nodata value.")
        return
    scale, offset, _ = np.array(layer.scaling, object).T
    ends = np.stack([statistics.low, statistics.high]) * scale.astype(np.float64) + offset.astype(np.float64)
    facts["values"] = f"{np.nanmin(ends):g} to {np.nanmax(ends):g}"
    _report_bad_bands(problems, bad_bands(layer, statistics))
    _report_missing(problems, layer, statistics)
    _report_negative(problems, statistics)
    _report_outliers(problems, statistics)


def bad_bands(layer: Layer, statistics: BandStatistics) -> dict[int, str]:
    """Band number (1-based, of the source) → why it serves no purpose: what the header of an ENVI file says comes first."""
    marked = set(marked_bands(Path(layer.paths[0]))) if len(layer.paths) == 1 else set()
    reasons = statistics.bad_bands() | dict.fromkeys(marked & set(layer.bands), MARKED)
    return dict(sorted(reasons.items()))


def _report_bad_bands(problems: list[str], bad: Mapping[int, str]) -> None:
    by_reason: Mapping[str, list[int]] = {
        reason: [band for band, its in bad.items() if its == reason] for reason in dict.fromkeys(bad.values())
    }
    if bad:
        kinds = "; ".join(f"{reason}: {number_ranges(bands)}" for reason, bands in by_reason.items())
        problems.append(
            f"{count_text(len(bad), 'band')} without use ({kinds}). Leave them out: data.bands in a recipe, or "
            "hyperspectral.remove_bad_bands in Python."
        )


def _report_missing(problems: list[str], layer: Layer, statistics: BandStatistics) -> None:
    """A pixel with NaN in any band is not valid; nodata in some bands alone is read as a value."""
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


def _report_negative(problems: list[str], statistics: BandStatistics) -> None:
    bands = [number for number, share in zip(statistics.numbers, statistics.negative, strict=True) if share > 0]
    if bands:
        problems.append(describe_negative(float(statistics.negative.mean()), bands))


def describe_negative(share: float, bands: Sequence[int]) -> str:
    """One sentence on the negative values of a cube: their share of all values, and the numbers of the bands with any."""
    return (
        f"{_percent(share)} of the values are negative, in {_count(bands)}: no reflectance or radiance is. Noise and the "
        "correction of the atmosphere leave some; a large share is an undeclared nodata value or a wrong type."
    )


def _report_outliers(problems: list[str], statistics: BandStatistics) -> None:
    """One sentence for all bands in which far values decide the deviation."""
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
    """Numbers in ranges, the first six.

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
    return ", ".join(texts[:MOST_NAMED]) + (" …" if len(texts) > MOST_NAMED else "")
