"""PLY and PCD files through open3d, read whole: some 100 bytes a point."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import open3d
from numpy.typing import NDArray
from pyproj import CRS

from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.files.cloud_file import CloudFile
from deepnets4eo.points.files.measured import as_bytes, as_intensity

MAGIC = {".ply": (b"ply",), ".pcd": (b"# .PCD", b"VERSION", b"#")}
INTENSITIES = ("intensity", "intensities", "scalar_intensity", "reflectance")
CLASSES = ("classification", "class", "label", "labels", "scalar_classification", "scalar_label")


class Open3dFile(CloudFile):
    """A PLY or PCD file.

    Parameters
    ----------
    path
        The file.
    crs
        Its CRS, which these formats do not hold.

    Raises
    ------
    InputError
        The file is of another format.
    """

    def __init__(self, path: Path, crs: CRS | None = None) -> None:
        super().__init__(path, crs)
        suffix = path.suffix.lower()
        self.point_format = suffix[1:].upper()
        with path.open("rb") as file:
            begins = file.read(16)
        if not begins.startswith(MAGIC[suffix]):
            raise InputError(f"{path} is no {self.point_format} file: it begins with {begins[:8]!r}. Check the file.")

    @property
    def point_count(self) -> int:
        """Number of points."""
        return len(self._cloud.xyz) if self._cloud is not None else 0

    @property
    def measurements(self) -> tuple[str, ...]:
        """What the file holds beside the coordinates."""
        return tuple(self._cloud.measurements()) if self._cloud is not None else ()

    @property
    def file_bounds(self) -> NDArray[np.float64]:
        """(2, 3) least and greatest coordinates."""
        if self._cloud is None:
            return np.array([[np.inf] * 3, [-np.inf] * 3])
        return np.array([self._cloud.xyz.min(axis=0), self._cloud.xyz.max(axis=0)])

    def stored_chunks(self, points: int) -> Iterator[PointCloud]:
        """Yields chunks with the coordinates of the file."""
        assert self._cloud is not None  # `chunks` has refused files without points
        for start in range(0, len(self._cloud), points):
            yield self._cloud.subset(np.arange(start, min(start + points, len(self._cloud))))

    @cached_property
    def _cloud(self) -> PointCloud | None:
        """All points in the units of the file; None without any."""
        try:
            with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
                tensors = open3d.t.io.read_point_cloud(self.path).point
        except (RuntimeError, MemoryError) as error:
            raise InputError(f"{self.path} cannot be read ({' '.join(str(error).split())[:200]}).") from error
        values = {str(name).lower(): tensors[name].numpy() for name in tensors}
        positions = values.pop("positions", np.zeros((0, 3)))
        if not len(positions):
            return None
        colours, source = values.get("colors"), str(self.path)
        return PointCloud(
            positions.astype(np.float64),
            colour=None if colours is None else _colour_bytes(colours, source),
            intensity=as_intensity(_first(values, INTENSITIES)),
            classification=None
            if (classes := _first(values, CLASSES)) is None
            else as_bytes(classes, "classes", source),
            source=source,
        )


def _first(values: dict[str, NDArray[Any]], names: tuple[str, ...]) -> NDArray[Any] | None:
    return next((values[name].reshape(len(values[name]), -1)[:, 0] for name in names if name in values), None)


def _colour_bytes(colours: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """Returns colours as 8 bit; floats are 0–1 in these formats."""
    if colours.dtype.kind == "f":
        colours = np.round(np.nan_to_num(colours) * 255)
    return as_bytes(colours[:, :3], "colours", source)
