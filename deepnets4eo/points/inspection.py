"""Description of a file of points and its problems, for the verb `check`: points, density, CRS, classes, colours.

Reads the file twice, as bounds of headers are not trusted. Memory: one chunk, and one bit per square metre of the file's bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pyproj import Transformer

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.inspection import Inspection
from deepnets4eo.points.cloud import MAX_NAMED, PointCloud
from deepnets4eo.points.files import CloudFile, open_cloud

CELL_M = 1.0
MAX_CELLS = 100_000_000
MAX_HEIGHT_M, MIN_HEIGHT_M = 9_000.0, -500.0
NOISE = {7: "low noise", 18: "high noise"}
NEAR = 0.02  # by which bounds of a header may differ, in the unit of the file
STEP_M = 1e-3  # points in one cube of that side are duplicates
PRIMES = np.array([73_856_093, 19_349_663, 83_492_791])  # Teschner et al. 2003: mix three whole numbers into one


@dataclass
class _CloudCounts:
    """Counts from one pass over the points."""

    points: int = 0
    withheld: int = 0
    classes: Indices = field(default_factory=lambda: np.zeros(256, np.int64))
    low: Floats = field(default_factory=lambda: np.full(3, np.inf))
    high: Floats = field(default_factory=lambda: np.full(3, -np.inf))
    duplicates: int = 0
    wrong_returns: int = 0
    intensity_high: float = -np.inf
    coloured: int = 0


def inspect_cloud(path: str, legend: Legend | None = None) -> Inspection:
    """Describe a file of points, with a remedy for each problem; codes are compared with the legend, by default of ASPRS.

    Raises InputError if the file cannot be read."""
    file = open_cloud(path)
    result = Inspection(path, "points")
    result.facts["format"] = file.point_format
    result.facts["points"] = f"{file.point_count:,}"
    if not file.point_count:
        result.problems.append("it has no points.")
        return result
    result.facts["measured"] = ", ".join(name.replace("_", " ") for name in file.measurements) or "coordinates only"
    extra = getattr(file, "extra_dimensions", ())
    if extra:
        result.facts["extra dimensions"] = ", ".join(extra)
    lengths = _describe_crs(result, file)
    try:
        cells = _Cells(file.bounds if lengths else np.zeros((2, 3)))
    except InputError as error:  # all points are withheld
        result.problems.append(str(error).removeprefix(f"{file.path} "))
        return result
    sums = _CloudCounts()
    for cloud in file.whole_chunks() if lengths else file.stored_chunks():
        used = cloud.without_withheld()
        sums.withheld += 0 if cloud.withheld is None else int(cloud.withheld.sum())
        if used is not None:
            _add(sums, used, lengths=lengths)
            cells.add(used.xyz)
    if not sums.points:
        return result
    if sums.withheld:
        result.facts["withheld"] = f"{sums.withheld:,} of the points, which take no part in anything"
    _describe_extent(result, file, sums, cells, lengths=lengths)
    _describe_measurements(result, file, sums)
    _describe_classes(result, sums, legend)
    return result


def _describe_crs(result: Inspection, file: CloudFile) -> bool:
    """Add CRS and unit; return whether the coordinates are lengths."""
    try:
        crs = file.file_crs
        units = file.units
    except InputError as error:
        result.problems.append(str(error).removeprefix(f"{file.path} "))
        return False
    if crs is None:
        result.facts["CRS"] = "none"
        if file.point_format != "PLY":
            result.problems.append(
                "it has no CRS; coordinates are read as metres. Name it where it is known: --crs EPSG:…"
            )
        return True
    epsg = crs.to_epsg()
    result.facts["CRS"] = f"EPSG:{epsg} {crs.name}" if epsg else crs.name
    if not units.are_metres:
        result.facts["unit"] = (
            f"{units.horizontal_m:.6g} m in x and y, {units.vertical_m:.6g} m in z (converted to metres for the work)"
        )
    return True


class _Cells:
    """Square metres that have a point, for the density in occupied cells."""

    def __init__(self, bounds: Floats) -> None:
        self._low = bounds[0, :2]
        size = bounds[1, :2] - self._low
        known = np.isfinite(size).all() and (size >= 0).all()
        self._shape = np.floor(size / CELL_M).astype(np.int64) + 1 if known else np.zeros(2, np.int64)
        counted = 0 < int(self._shape[0]) * int(self._shape[1]) <= MAX_CELLS
        self.has_point = np.zeros(int(self._shape.prod()) if counted else 0, bool)

    def add(self, xyz: Floats) -> None:
        """Mark the cells of points (N, 3)."""
        if len(self.has_point):
            cells = np.clip(((xyz[:, :2] - self._low) / CELL_M).astype(np.int64), 0, self._shape - 1)
            self.has_point[cells[:, 0] * self._shape[1] + cells[:, 1]] = True


def _add(sums: _CloudCounts, cloud: PointCloud, *, lengths: bool) -> None:
    sums.points += len(cloud)
    sums.low = np.minimum(sums.low, cloud.xyz.min(axis=0))
    sums.high = np.maximum(sums.high, cloud.xyz.max(axis=0))
    if lengths:  # a step of 1 mm means nothing in degrees
        sums.duplicates += _count_duplicates(cloud.xyz)
    if cloud.classification is not None:
        sums.classes += np.bincount(cloud.classification, minlength=256)
    if cloud.intensity is not None:
        sums.intensity_high = max(sums.intensity_high, float(cloud.intensity.max()))
    if cloud.return_number is not None and cloud.number_of_returns is not None:
        sums.wrong_returns += int(((cloud.return_number > cloud.number_of_returns) | (cloud.return_number < 1)).sum())
    if cloud.colour is not None:
        sums.coloured += int(cloud.colour.any(axis=1).sum())


def _count_duplicates(xyz: Floats) -> int:
    """Return how many points (N, 3) coincide with another point."""
    steps = np.round((xyz - xyz[0]) / STEP_M)
    keys = np.bitwise_xor.reduce(np.where(np.abs(steps) < 1e15, steps, 0).astype(np.int64) * PRIMES, axis=1)
    keys.sort()
    return int((keys[1:] == keys[:-1]).sum())


def _describe_extent(result: Inspection, file: CloudFile, sums: _CloudCounts, cells: _Cells, *, lengths: bool) -> None:
    size = sums.high - sums.low
    unit, digits = (" m", ",.2f") if lengths else ("", ".8g")  # 0.01° are 1 km
    result.facts["bounds"] = ", ".join(
        f"{axis} {low:{digits}} to {high:{digits}}{unit}"
        for axis, low, high in zip("xyz", sums.low, sums.high, strict=True)
    )
    if lengths and cells.has_point.any():
        area = float(cells.has_point.sum()) * CELL_M**2
        result.facts["density"] = f"{sums.points / area:,.1f} points/m² on {area:,.0f} m² with points"
        if sums.points / area < 1.5:
            result.problems.append(
                "it has about one point a square metre: small objects do not show, and features need larger scales."
            )
    if _is_stale(getattr(file, "header_bounds", None), file.file_bounds, sums.withheld):
        result.problems.append("the bounds in its header are not those of its points. Write it again: pdal translate")
    if lengths and (size[:2] > file.max_extent_m).any():
        result.problems.append("its points lie more than 1,000 km apart. Remove stray points, and check its unit.")
    if lengths and (sums.high[2] > MAX_HEIGHT_M or sums.low[2] < MIN_HEIGHT_M):
        result.problems.append("heights leave −500 to 9,000 m. Remove noise, and check the unit of the heights.")
    _describe_area_of_use(result, file, sums)


def _is_stale(header: Floats | None, points: Floats, withheld: int) -> bool:
    """Return whether the bounds (2, 3) of a header differ from the bounds of its points; withheld points may be outside."""
    if header is None:
        return False
    beyond = (points - header) * np.array([[1], [-1]])  # below 0: points outside; above: a header that is too wide
    return bool((beyond < -NEAR).any() or (not withheld and (beyond > NEAR).any()) or not np.isfinite(header).all())


def _describe_area_of_use(result: Inspection, file: CloudFile, sums: _CloudCounts) -> None:
    try:
        crs = file.crs
        area = crs.area_of_use if crs is not None else None
    except InputError:
        return
    if crs is None:
        return
    centre = (sums.low + sums.high) / 2
    longitude, latitude = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(centre[0], centre[1])
    if not np.isfinite([longitude, latitude]).all():
        result.problems.append(f"its coordinates lie nowhere on Earth in {crs.name}. Name the right CRS with --crs.")
        return
    result.facts["centre"] = f"longitude {longitude:.6f}, latitude {latitude:.6f}"
    if area is not None and not (
        area.south - 1 <= latitude <= area.north + 1
        and (area.west > area.east or area.west - 1 <= longitude <= area.east + 1)
    ):
        result.problems.append(f"it lies outside the area of {crs.name} ({area.name}). Name the right CRS with --crs.")


def _describe_measurements(result: Inspection, file: CloudFile, sums: _CloudCounts) -> None:
    if "colour" not in file.measurements:
        result.facts["colours"] = "none (an orthophoto gives them: label-points --colour)"
    else:
        stored = getattr(file, "colour_bits", 16)
        bits = "" if stored == 16 else f", {stored}-bit values in 16-bit fields"
        result.facts["colours"] = f"{sums.coloured / sums.points:.1%} of the points{bits}"
    zero = list(file.not_measured) + (["intensity"] if sums.intensity_high == 0 else [])
    for name in (name.replace("_", " ") for name in zero):
        result.problems.append(f"its {name} is 0 everywhere: choose a model without {name}.")
    if sums.duplicates:
        result.problems.append(
            f"{sums.duplicates:,} points lie where another one does. Remove them where they are no copies of overlapping "
            "files on purpose: pdal translate in.laz out.laz sample --filters.sample.radius=0.001"
        )
    if sums.wrong_returns:
        result.problems.append(
            f"{sums.wrong_returns:,} points have a return number that is 0 or above their number of returns: "
            "features of returns are wrong there."
        )


def _describe_classes(result: Inspection, sums: _CloudCounts, legend: Legend | None) -> None:
    if not sums.classes.any():
        return
    codes = [int(code) for code in np.flatnonzero(sums.classes)]
    known = legend or Legend.load("asprs_las")
    names = {entry.value: entry.name for entry in known.classes}
    names |= {code: names[value] for code, value in known.file_values.items() if value in names}
    names |= dict.fromkeys(known.void_values, "void")
    result.facts["classes"] = ", ".join(
        f"{code} {names.get(code, 'unknown')} {sums.classes[code] / sums.points:.1%}" for code in codes
    )
    if codes in ([0], [1]):
        result.problems.append("all points are unclassified: it cannot serve as a reference.")
    strange = [code for code in codes if code not in {*names, *known.file_values}]
    if strange:
        remedy = "Choose the legend that has them (--legend)" if legend is None else "Choose another legend"
        result.problems.append(
            f"codes {', '.join(map(str, strange[:MAX_NAMED]))} are not in the legend {known.name}. {remedy}."
        )
    noise = sum(int(sums.classes[code]) for code in NOISE)
    if noise and legend is None:
        result.problems.append(
            f"{noise:,} points are classified as noise (7, 18): they take no part in ground, features, surfaces and rubble. "
            "Check that no others are among them."
        )
