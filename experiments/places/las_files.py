"""Made-up or cut clouds as LAS files, for what learns from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.points import PointCloud
from deepnets4eo.points.files.las import SYNTHETIC

LAS_FORMAT = 7  # coordinates, returns and colours
SCALE_M = 0.001


def write_las(cloud: PointCloud, path: Path) -> Path:
    """Write coordinates, classes, what was measured of colours, intensity and returns, and whether it is made up."""
    with name_missing_extra():
        import laspy

    las = laspy.create(point_format=LAS_FORMAT, file_version="1.4")
    las.header.offsets, las.header.scales = np.floor(cloud.xyz.min(axis=0)), np.full(3, SCALE_M)
    if cloud.synthetic:
        las.header.system_identifier = SYNTHETIC
    las.x, las.y, las.z = cloud.xyz.T
    for name in ("classification", "intensity", "return_number", "number_of_returns"):
        if getattr(cloud, name) is not None:
            las[name] = getattr(cloud, name)
    if cloud.colour is not None:
        las.red, las.green, las.blue = cloud.colour.T.astype(np.uint16) * 257
    path.parent.mkdir(parents=True, exist_ok=True)
    las.write(path)
    return path
