"""Units of the coordinates of a cloud: metres for the work, whatever the unit of its coordinate reference system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from deepnets4eo.errors import InputError

METRE = "metre"
MOST_DEGREES = (180.0, 90.0)  # longitude, latitude
# times as high as wide: no scene in metres is, nearly all in degrees are, as 1 m is about 0.00001°
MOST_SLENDER = 100.0
NEAR_ORIGIN = 10.0  # widths: objects in coordinates of their own lie within


@dataclass(frozen=True)
class CloudUnits:
    """Metres of one unit of x and y, and of z, and the CRS with metres as its unit; None where the file has none."""

    horizontal_m: float = 1.0
    vertical_m: float = 1.0
    crs: CRS | None = None

    @property
    def are_metres(self) -> bool:
        """Whether the file's coordinates are metres already."""
        return self.horizontal_m == self.vertical_m == 1.0


def cloud_units(crs: CRS | None, source: str) -> CloudUnits:
    """Returns the units of coordinates in a CRS; without a CRS they are taken for metres.

    A CRS without a vertical part is taken to have its heights in its horizontal unit, as files in feet mostly do.

    Parameters
    ----------
    crs
        CRS of the file.
    source
        The file, for the message.

    Returns
    -------
    CloudUnits
        Metres of one unit, and the CRS in metres; none of a local (engineering) one, which has no place on the earth.

    Raises
    ------
    InputError
        The CRS has degrees (longitude and latitude), or is geocentric.
    """
    if crs is None:
        return CloudUnits()
    horizontal, vertical = _split(crs)
    if not (horizontal.is_projected or horizontal.is_engineering):
        kind = "geocentric" if horizontal.is_geocentric else "in degrees, or of no known kind"
        raise InputError(
            f"{source} has the CRS {crs.name}, which is {kind}; expected a projected CRS, whose coordinates are lengths. "
            "Name the right one with --crs (crs=), or reproject it: "
            f"pdal translate {source} projected.laz reprojection --filters.reprojection.out_srs=EPSG:…"
        )
    horizontal_m = float(horizontal.axis_info[0].unit_conversion_factor)
    vertical_m = float(vertical.axis_info[0].unit_conversion_factor) if vertical is not None else horizontal_m
    if horizontal.is_engineering:  # says units, but no place on the earth
        return CloudUnits(horizontal_m, vertical_m)
    if horizontal_m == vertical_m == 1.0:
        return CloudUnits(crs=crs)
    return CloudUnits(horizontal_m, vertical_m, _in_metres(crs))


def check_no_degrees(bounds: NDArray[np.float64], source: str) -> None:
    """Raise InputError where coordinates without CRS, with (2, 3) bounds, can only be degrees: x and y within ±180 and
    ±90, and heights more than 100 times as far apart. Objects in coordinates of their own and poles pass."""
    size, farthest = bounds[1] - bounds[0], np.abs(bounds[:, :2]).max(axis=0)
    width = size[:2].max()
    if not (width > 0 and width * MOST_SLENDER < size[2] < np.inf):
        return
    if (farthest <= MOST_DEGREES).all() and farthest.max() > NEAR_ORIGIN * width:
        (x0, y0, z0), (x1, y1, z1) = bounds
        raise InputError(
            f"{source} has no CRS, and its coordinates look like degrees: x {x0:.7g} to {x1:.7g}, y {y0:.7g} to {y1:.7g}, "
            f"at heights of {z0:,.1f} to {z1:,.1f}; expected metres. Reproject it: pdal translate {source} projected.laz "
            "reprojection --filters.reprojection.in_srs=EPSG:4326 --filters.reprojection.out_srs=EPSG:…; where they are "
            "metres, name their CRS: --crs (crs=) of label-points, or --writers.las.a_srs=EPSG:… of pdal translate."
        )


def parse_crs(text: str | CRS | None) -> CRS | None:
    """Return the CRS of a text such as EPSG:2154, None for None. Raises InputError where the text is no CRS."""
    try:
        return None if text is None else CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"{text} is no coordinate reference system. Write it like EPSG:2154.") from error


def _split(crs: CRS) -> tuple[CRS, CRS | None]:
    """Returns the horizontal and the vertical part of a CRS."""
    if crs.is_bound and crs.source_crs is not None:
        return _split(crs.source_crs)
    if crs.is_compound:
        horizontal, vertical = crs.sub_crs_list[:2]
        return _split(horizontal)[0], vertical
    return crs, None


def _in_metres(crs: CRS) -> CRS:
    """Returns the CRS with metres on all axes; false origins keep their own units, so that places stay the same."""
    return CRS.from_json_dict(_with_metres(crs.to_json_dict()))


def _with_metres(node: dict[str, Any]) -> dict[str, Any]:
    changed = {key: value for key, value in node.items() if key != "id"}
    if "coordinate_system" in node:
        axes = [dict(axis, unit=METRE) for axis in node["coordinate_system"]["axis"]]
        changed["coordinate_system"] = dict(node["coordinate_system"], axis=axes)
        changed["name"] = f"{node['name']} in metres"
    if "source_crs" in node:
        changed["source_crs"] = _with_metres(node["source_crs"])
    if "components" in node:
        changed["components"] = [_with_metres(part) for part in node["components"]]
    return changed
