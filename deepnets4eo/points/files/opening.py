"""The one way in for files of points: a table from suffix to reader, and the readers of other packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pyproj import CRS

from deepnets4eo.errors import InputError, Reading
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.points.files.cloud_file import CloudFile, parse_crs


@dataclass(frozen=True)
class CloudRequest:
    """Values that a caller states for a file of points; None if the file decides.

    Parameters
    ----------
    crs : instead of the CRS of the file
    classes : dimension of LAS that is read as the classification
    columns : names of the columns of a text file
    """

    crs: CRS | None = None
    classes: str | None = None
    columns: str | None = None


class CloudReader(Protocol):
    """Opens files of one kind, whose points are read when they are needed."""

    def __call__(self, path: Path, request: CloudRequest) -> CloudFile:
        """Open a file that exists. Errors: InputError for a damaged file."""


def read_las(path: Path, request: CloudRequest) -> CloudFile:
    """Open LAS, LAZ or COPC."""
    from deepnets4eo.points.files.las import CLASSIFICATION, LasFile

    return LasFile(path, request.crs, request.classes or CLASSIFICATION)


def read_ply(path: Path, request: CloudRequest) -> CloudFile:
    """Open PLY."""
    from deepnets4eo.points.files.ply import PlyFile

    return PlyFile(path, request.crs)


def read_pcd(path: Path, request: CloudRequest) -> CloudFile:
    """Open PCD."""
    from deepnets4eo.points.files.pcd import PcdFile

    return PcdFile(path, request.crs)


def read_text(path: Path, request: CloudRequest) -> CloudFile:
    """Open text with one point per line."""
    from deepnets4eo.points.files.text import TextFile

    return TextFile(path, request.crs, request.columns)


def read_normals(path: Path, request: CloudRequest) -> CloudFile:
    """Open text of Open3D with a normal per point."""
    from deepnets4eo.points.files.text import TextFile

    return TextFile(path, request.crs, request.columns or "x y z nx ny nz")


def read_fractions(path: Path, request: CloudRequest) -> CloudFile:
    """Open text of Open3D whose colours are 0–1."""
    from deepnets4eo.points.files.text import FractionFile

    return FractionFile(path, request.crs, request.columns or "x y z red green blue")


def refuse_e57(path: Path, request: CloudRequest) -> CloudFile:
    """Refuse E57 with the command that converts it. Raises InputError."""
    raise InputError(
        f"{path} is an E57 file, which is not read here. Convert it: pdal translate {path} {path.with_suffix('.laz')}"
    )


READERS: Mapping[str, CloudReader] = {
    ".las": read_las, ".laz": read_las, ".ply": read_ply, ".pcd": read_pcd, ".txt": read_text, ".xyz": read_text,
    ".pts": read_text, ".xyzn": read_normals, ".xyzrgb": read_fractions, ".e57": refuse_e57,
}  # fmt: skip


def is_cloud_path(path: str | Path) -> bool:
    """Return True if the suffix of a path is of a file of points."""
    suffix = Path(path).suffix.lower()
    return suffix in READERS or suffix.removeprefix(".") in plugins_of("point_readers")


@Reading.of_source("Is it whole? Copy it again.")
def open_cloud(
    path: str | Path, *, crs: str | CRS | None = None, classes: str | None = None, columns: str | None = None
) -> CloudFile:
    """Open a file of points, which are read when they are needed.

    Parameters
    ----------
    path : LAS, LAZ or COPC; PLY; PCD; text with one point per line; XYZN and XYZRGB, whose colours are 0–1; or a format of another package
    crs : instead of the CRS of the file
    classes : for LAS, the dimension that is read as the classification; by default `classification`
    columns
        For text, the names of the columns, e.g. "x y z intensity red green blue"; by default the names in the first line, or
        known orders (see `points.files.text`).

    Returns
    -------
    Point count, bounds, CRS and measurements; `.chunks()` and `.read()`.

    Raises
    ------
    InputError
        The file is missing, of another format or damaged.
    MissingExtraError
        laspy is not installed.
    """
    path, request = Path(path), CloudRequest(parse_crs(crs), classes, columns)
    if is_cloud_path(path) and not path.is_file():
        raise InputError(f"{path} does not exist as a file. Check the path.")
    suffix = path.suffix.lower()
    if suffix in READERS:
        with name_missing_extra():
            return READERS[suffix](path, request)
    entry = plugins_of("point_readers").get(suffix.removeprefix("."))
    if entry is None:
        known = ", ".join(suffix for suffix, reader in READERS.items() if reader is not refuse_e57)
        raise InputError(f"{path} is no file of points that is known here. Known are {known}.")
    remedy = f"Its reader is {entry.value}: report it to the authors of that package."
    with Reading(path, remedy):
        cloud = load_plugin(entry)(path, request)
        if not isinstance(cloud, CloudFile):
            raise InputError(f"{path} was read as {type(cloud).__name__}; expected a points.CloudFile. {remedy}")
        cloud.check_not_empty()  # reads what a damaged file lacks
    return cloud
