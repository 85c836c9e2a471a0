"""The files of a rubble map: GeoPackage, CSV, points with classes, manifest.

All of them appear together, or none does; the manifest comes last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.files import check_overwrite, write_json, write_text
from deepnets4eo.jobs.scratch import hidden_folder, publish
from deepnets4eo.outputs.provenance import categories_qml, filled_qml, write_event, write_styles
from deepnets4eo.outputs.safe_text import csv_text
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.rubble.rubble_map import (
    MEANING,
    RUBBLE_CLASS,
    STATES,
    SUBJECT,
    VEGETATION_CLASSES,
    RubbleMap,
)
from deepnets4eo.points.rubble.surfaces import Heights, HeightSource, is_of_points
from deepnets4eo.polygons.vector_files import write_layers
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.points.files import CloudFile

OF_POINTS = {"laz": "points.laz"}  # --also → file
ALSO = tuple(OF_POINTS)
PRODUCTS = ("rubble.gpkg", "rubble.csv", *OF_POINTS.values(), "manifest.json")
STATE_COLOURS = dict(
    zip(STATES, ((90, 160, 255), (255, 214, 64), (255, 60, 60), (255, 130, 220), (160, 160, 160)), strict=True)
)
DEBRIS_COLOUR = (150, 90, 40)
SLACK_M = 0.5  # of points around the heights of a patch: terrain and heaps are not level


def check_products(also: Sequence[str]) -> tuple[str, ...]:
    """The names of further products. Errors: InputError for unknown ones, naming those there are."""
    unknown = [name for name in also if name not in ALSO]
    if unknown:
        raise InputError(f"--also names {', '.join(unknown)}; expected some of {', '.join(ALSO)}, or none.")
    return tuple(also)


def products_of_points(post: HeightSource, also: Sequence[str]) -> list[str]:
    """The files among further products that need points, where the heights are a surface model; none where they are points."""
    return [] if is_of_points(post) else [OF_POINTS[name] for name in also]


def save_rubble(
    rubble: RubbleMap, out_dir: str | Path, post: HeightSource, *, also: Sequence[str] = ALSO, overwrite: bool = False
) -> dict[str, Path]:
    """Write rubble.gpkg (layers buildings and rubble), rubble.csv, points and manifest.json to a folder.

    Parameters
    ----------
    rubble : what `debris_volumes` returned
    out_dir : the folder
    post : the heights after the event, as passed to `debris_volumes`
    also
        Further products: "laz" (points.laz, all points of a file with the class of rubble; surface models have none).
    overwrite : whether products that are there already are replaced

    Returns
    -------
    Name to path of what was written.

    Raises
    ------
    InputError
        For an unknown product.
    OutputError
        The folder holds something already, or cannot be written.
    """
    out_dir, also = Path(out_dir), check_products(also)
    check_overwrite(out_dir, overwrite=overwrite)
    heights = Heights.open(post)
    with hidden_folder(out_dir) as hidden:
        names = ["rubble.gpkg", "rubble.csv"]
        _write_gpkg(rubble, hidden / "rubble.gpkg")
        table = rubble.buildings.drop(columns="geometry").assign(**rubble.event.columns)
        rows = [list(table.columns), *table.astype(object).where(table.notna(), "").to_numpy().tolist()]
        write_text(hidden / "rubble.csv", csv_text(rows))
        if "laz" in also and heights.from_points and not isinstance(heights.cloud, PointCloud):
            about = [rubble.title, *rubble.event.lines] if rubble.event.lines else []
            write_rubble_points(heights.cloud, rubble.rubble, hidden / "points.laz", about)
            names.append("points.laz")
        write_json(hidden / "manifest.json", _manifest(rubble, names))
        names.append("manifest.json")
        publish(hidden, out_dir, names, obsolete=[name for name in PRODUCTS if name not in names])
    return {name: out_dir / name for name in names}


def _write_gpkg(rubble: RubbleMap, path: Path) -> None:
    """Two layers: buildings, and patches of rubble."""
    write_layers({"buildings": rubble.buildings, "rubble": rubble.rubble}, path)
    write_event(path, rubble.event, SUBJECT, "buildings")
    styles = {"buildings": categories_qml("state", STATE_COLOURS), "rubble": filled_qml(DEBRIS_COLOUR)}
    write_styles(path, [(layer, layer, qml, SUBJECT) for layer, qml in styles.items()])


def _manifest(rubble: RubbleMap, names: list[str]) -> dict[str, Any]:
    return {
        "version": __version__,
        "synthetic": rubble.synthetic,
        "event": rubble.event.to_dict(),
        "inputs": rubble.inputs,
        "parameters": rubble.parameters,
        "totals": rubble.totals(),
        "fits": rubble.fits,
        "findings": [finding.to_dict() for finding in rubble.findings],
        "columns": MEANING,
        "products": names,
    }


def rubble_classes(cloud: PointCloud, rubble: gpd.GeoDataFrame) -> NDArray[np.uint8]:
    """Return the classes (N,) of points with rubble among them; points without classes count as 1, unclassified. The
    polygons have terrain_m and highest_m, as in `RubbleMap.rubble`."""
    classes = np.ones(len(cloud), np.uint8) if cloud.classification is None else cloud.classification.copy()
    if not len(rubble):
        return classes
    left, bottom, right, top = rubble.total_bounds
    x, y, z = cloud.xyz.T
    near = np.flatnonzero((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
    near = near[(cloud.counted & ~np.isin(classes, VEGETATION_CLASSES))[near]]
    tree = shapely.STRtree(rubble.geometry.to_numpy())
    point, patch = tree.query(shapely.points(cloud.xyz[near, :2]), predicate="intersects")
    terrain, highest = (rubble[name].to_numpy(float)[patch] for name in ("terrain_m", "highest_m"))
    height = z[near[point]] - terrain
    classes[near[point[(height >= -SLACK_M) & (height <= highest + SLACK_M)]]] = RUBBLE_CLASS
    return classes


def write_rubble_points(file: CloudFile, rubble: gpd.GeoDataFrame, out: Path, about: Sequence[str] = ()) -> Path:
    """Write the points of a file again with the class of rubble inside polygons in metres; all else stays. Raises
    OutputError where it cannot be written. Memory: one chunk."""
    from deepnets4eo.points.files.las_writer import Additions, write_points

    def values(_: slice, cloud: PointCloud | None) -> dict[str, NDArray[Any]]:
        assert cloud is not None, "points are passed with_clouds"
        return {"classification": rubble_classes(cloud, rubble)}

    write_points(file, out, values, Additions(highest_code=RUBBLE_CLASS, text=tuple(about)), with_clouds=True)
    return out
