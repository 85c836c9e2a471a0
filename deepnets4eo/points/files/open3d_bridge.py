"""Clouds for Open3D and back (extra `open3d`): its meshes, registration, filters and windows on the points that are read here.

Open3D is imported when a cloud is converted, never before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.files.cloud_file import BYTE, as_bytes, as_intensity
from deepnets4eo.points.files.ply import Columns
from deepnets4eo.points.meshes import import_open3d

if TYPE_CHECKING:
    from pyproj import CRS

POSITIONS, COLOURS = "positions", "colors"  # names of Open3D
COUNTED = ("return_number", "number_of_returns", "near_infrared")


def to_open3d(cloud: PointCloud) -> Any:
    """Return a cloud as `open3d.t.geometry.PointCloud` on the CPU, with all its measurements.

    Parameters
    ----------
    cloud : points; the arrays are copied

    Returns
    -------
    Positions in float64, colours in uint8 as `colors`, other measurements under their names in this package. `.to_legacy()` makes the
    older kind, which keeps only positions and colours. Open3D has no CRS. Its windows and meshes compute in float32: subtract the
    centre first.

    Raises
    ------
    MissingExtraError
        Open3D or a system library that it needs is not installed.
    """
    o3d = import_open3d()
    points = o3d.t.geometry.PointCloud(o3d.core.Tensor(cloud.xyz))
    columns = cloud.measurements() | ({} if cloud.withheld is None else {"withheld": cloud.withheld})
    for name, values in columns.items():
        key = COLOURS if name == "colour" else name
        points.point[key] = o3d.core.Tensor(np.ascontiguousarray(values.reshape(len(cloud), -1)))
    return points


def from_open3d(points: Any, crs: CRS | None = None, source: str = "points of Open3D") -> PointCloud:
    """Return a cloud of Open3D as ours.

    Parameters
    ----------
    points : `open3d.t.geometry.PointCloud` or `open3d.geometry.PointCloud`
    crs : CRS of the positions, in metres; Open3D has none
    source : where the points are from, for messages

    Returns
    -------
    What `to_open3d` writes, and intensities and classes as PLY files name them; normals and other attributes are left out, and
    so are points without position (NaN).

    Raises
    ------
    InputError
        No points, or classes that are not whole numbers 0–255.
    MissingExtraError
        Open3D or a system library that it needs is not installed.
    """
    o3d = import_open3d()
    if isinstance(points, o3d.geometry.PointCloud):
        points = o3d.t.geometry.PointCloud.from_legacy(points, o3d.core.float64)
    columns: dict[str, NDArray[Any]] = {name: values.cpu().numpy() for name, values in points.point.items()}
    if POSITIONS not in columns:
        raise InputError(f"{source}: no points. Expected a cloud of at least one point.")
    known = ~np.isnan(columns[POSITIONS]).any(axis=1)
    columns = {name: values[known] for name, values in columns.items()}
    beside: dict[str, Any] = {
        name: as_bytes(columns[name].ravel(), name, source) for name in COUNTED if name in columns
    }
    classes = _first(columns, (*Columns.classes, *Columns.labels))
    return PointCloud(
        columns[POSITIONS].astype(np.float64),
        colour=_colour(columns[COLOURS], source) if COLOURS in columns else None,
        intensity=as_intensity(_first(columns, Columns.intensities)),
        classification=None if classes is None else as_bytes(classes, "classes", source),
        withheld=columns["withheld"].ravel() if "withheld" in columns else None,
        asprs=any(name in columns for name in Columns.classes),
        crs=crs,
        source=source,
        **beside,
    )


def _colour(values: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """Colours as 8 bit; floats are 0–1 in Open3D."""
    return as_bytes(np.round(values * BYTE) if values.dtype.kind == "f" else values, "colours", source)


def _first(columns: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any] | None:
    return next((columns[name].ravel() for name in names if name in columns), None)
