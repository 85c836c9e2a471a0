"""The one CRS of a LAS file whose records state it several times: text and GeoTIFF keys complete each other, or are refused.

LAS 1.4 allows both. Files of some programs have a horizontal text, and the unit of heights only in the keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyproj import CRS, Transformer
from pyproj.crs import CompoundCRS

from deepnets4eo.errors import InputError

MAX_APART_M = 10.0  # between the same point in two records: another realisation of a datum, and no other zone


def one_crs(stated: Sequence[tuple[str, CRS]], point: tuple[float, float], source: str) -> CRS | None:
    """Return the CRS of all records of a file, the first with the heights of another record if it has none; None without records.

    stated : the kind of each record and its CRS; point : x and y of the file. Raises InputError for records that contradict each other.
    """
    if not stated:
        return None
    first, crs = stated[0]
    for kind, other in stated[1:]:
        crs = _with(crs, other, point, f"{source}: its {first} and its {kind}")
    return crs


def _with(crs: CRS, other: CRS, point: tuple[float, float], records: str) -> CRS:
    """Return a CRS completed by another one."""
    (horizontal, vertical), (other_horizontal, other_vertical) = _parts(crs), _parts(other)
    units = _unit_m(horizontal), _unit_m(other_horizontal)
    if horizontal.is_geographic != other_horizontal.is_geographic:
        raise _contradiction(records, "the CRS", horizontal.name, other_horizontal.name)
    if not math.isclose(*units, rel_tol=1e-9):
        raise _contradiction(records, "the unit of x and y", f"{units[0]:.10g} m", f"{units[1]:.10g} m")
    if _is_elsewhere(horizontal, other_horizontal, point):
        raise _contradiction(records, "the CRS", horizontal.name, other_horizontal.name)
    if vertical is not None and other_vertical is not None:
        heights = _unit_m(vertical), _unit_m(other_vertical)
        if not math.isclose(*heights, rel_tol=1e-9):
            raise _contradiction(records, "the unit of heights", f"{heights[0]:.10g} m", f"{heights[1]:.10g} m")
    if horizontal.is_engineering and not other_horizontal.is_engineering:  # units without a place
        horizontal = other_horizontal
    if vertical is None and other_vertical is not None:
        adds = other_vertical.to_epsg() is not None or _unit_m(other_vertical) != _unit_m(horizontal)
        vertical = other_vertical if adds else None  # without it, heights have the unit of x and y
    if vertical is None:
        return horizontal
    return CompoundCRS(f"{horizontal.name} + {vertical.name}", [horizontal, vertical])


def _contradiction(records: str, what: str, one: str, other: str) -> InputError:
    return InputError(
        f"{records} contradict each other in {what}: {one} and {other}. Name the right CRS with --crs (crs=), or remove the wrong record: "
        "pdal translate IN OUT --writers.las.a_srs=EPSG:…"
    )


def _parts(crs: CRS) -> tuple[CRS, CRS | None]:
    """Return the horizontal and the vertical part."""
    if crs.is_bound and crs.source_crs is not None:
        return _parts(crs.source_crs)
    if crs.is_compound:
        horizontal, vertical = crs.sub_crs_list[:2]
        return _parts(horizontal)[0], vertical
    return crs, None


def _unit_m(crs: CRS) -> float:
    return float(crs.axis_info[0].unit_conversion_factor)


def _is_elsewhere(crs: CRS, other: CRS, point: tuple[float, float]) -> bool:
    """Return whether two horizontal CRSs put a point at two places, more apart than realisations of a datum are."""
    if crs.is_engineering or other.is_engineering or crs.equals(other, ignore_axis_order=True):
        return False
    x, y = Transformer.from_crs(other, crs, always_xy=True).transform(*point)
    degree_m = 111_320.0 if crs.is_geographic else _unit_m(crs)
    apart_m = math.hypot(x - point[0], y - point[1]) * degree_m
    return math.isfinite(apart_m) and apart_m > MAX_APART_M  # headers have any bounds
