"""The one way in for files of points, by the suffix."""

from __future__ import annotations

from pathlib import Path

from pyproj import CRS

from deepnets4eo.errors import InputError, Reading
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.points.files.cloud_file import CloudFile, parse_crs

LAS_SUFFIXES = (".las", ".laz")
TEXT_SUFFIXES = (".txt", ".xyz", ".pts")
NORMALS, FRACTIONS = ".xyzn", ".xyzrgb"  # of Open3D
CLOUD_SUFFIXES = (*LAS_SUFFIXES, ".ply", ".pcd", *TEXT_SUFFIXES, NORMALS, FRACTIONS, ".e57")


def is_cloud_path(path: str | Path) -> bool:
    """Return True if the suffix of a path is of a file of points."""
    return Path(path).suffix.lower() in CLOUD_SUFFIXES


@Reading.of_source("Is it whole? Copy it again.")
def open_cloud(
    path: str | Path, *, crs: str | CRS | None = None, classes: str | None = None, columns: str | None = None
) -> CloudFile:
    """Open a file of points, which are read when they are needed.

    Parameters
    ----------
    path : LAS, LAZ or COPC; PLY; PCD; text with one point per line; XYZN and XYZRGB, whose colours are 0–1
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
    path, own = Path(path), parse_crs(crs)
    suffix = path.suffix.lower()
    if suffix in CLOUD_SUFFIXES and not path.is_file():
        raise InputError(f"{path} does not exist as a file. Check the path.")
    with name_missing_extra():
        if suffix in LAS_SUFFIXES:
            from deepnets4eo.points.files.las import CLASSIFICATION, LasFile

            return LasFile(path, own, classes or CLASSIFICATION)
    if suffix == ".ply":
        from deepnets4eo.points.files.ply import PlyFile

        return PlyFile(path, own)
    if suffix == ".pcd":
        from deepnets4eo.points.files.pcd import PcdFile

        return PcdFile(path, own)
    if suffix in (*TEXT_SUFFIXES, NORMALS):
        from deepnets4eo.points.files.text import TextFile

        return TextFile(path, own, columns or ("x y z nx ny nz" if suffix == NORMALS else None))
    if suffix == FRACTIONS:
        from deepnets4eo.points.files.text import FractionFile

        return FractionFile(path, own, columns or "x y z red green blue")
    if suffix == ".e57":
        raise InputError(
            f"{path} is an E57 file, which is not read here. Convert it: pdal translate {path} {path.with_suffix('.laz')}"
        )
    raise InputError(f"{path} is no file of points that is known here. Known are {', '.join(CLOUD_SUFFIXES[:-1])}.")
