"""Files of a rubble map; either all of them appear together, or none.

Buildings become CityJSON 2.0 (OGC, https://www.cityjson.org/specs/2.0.1/), with vertices in whole millimetres from a
corner.

They are prisms of their outlines (LoD 1) from the terrain to their height before the event, without geometry if this
height is unknown.

On demand their roofs are added as triangles (LoD 2).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.files import plain, write_json, write_text
from deepnets4eo.jobs import JobOutput
from deepnets4eo.outputs import categories_qml, filled_qml, iso_day, table_csv, write_event, write_styles
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.meshes import import_open3d
from deepnets4eo.points.rubble.history import write_history_page
from deepnets4eo.points.rubble.roofs import Roof, roofs_before
from deepnets4eo.points.rubble.rubble_map import MEANING, RUBBLE_CLASS, SUBJECT, BuildingState, RubbleMap
from deepnets4eo.points.rubble.surfaces import Heights, HeightSource, is_of_points
from deepnets4eo.polygons import write_layers
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    import geopandas as gpd

HISTORY_MEANING = {"first_loss": "the first date at which the state is partly-collapsed, collapsed or cleared"}

POINTS, CITY = "points.laz", "buildings.city.json"
FURTHER = {"laz": POINTS, "cityjson": CITY}  # --also → file
ALSO = tuple(FURTHER)
ROOFS = "roofs"  # of --also: needs Open3D, and is not written by default
PRODUCTS = ("rubble.gpkg", "rubble.csv", *FURTHER.values(), "history.csv", "history.html", "manifest.json")
DEBRIS_COLOUR = (150, 90, 40)
SLACK_M = 0.5  # of points around the heights of a patch: terrain and heaps are not level

STEP_M = 0.001
MIN_HEIGHT_M = 0.5  # of a prism
CONDITIONS = {
    BuildingState.standing: "functional",
    BuildingState.collapsed: "ruin",
    BuildingState.cleared: "demolished",
}  # conditionOfConstruction of CityJSON
REFERENCE = "https://www.opengis.net/def/crs/EPSG/0/{}"


def check_products(also: Sequence[str] | None, pre: HeightSource | None = None) -> tuple[str, ...]:
    """Check the names of further products, by default the usual ones, and return them.

    Errors: InputError for unknown products, and for roofs without points before the event; MissingExtraError for roofs without Open3D."""
    also = ALSO if also is None else also
    unknown = [name for name in also if name not in (*ALSO, ROOFS)]
    if unknown:
        raise InputError(f"--also names {', '.join(unknown)}; expected some of {', '.join((*ALSO, ROOFS))}, or none.")
    if ROOFS in also:
        import_open3d()
        if pre is None or not is_of_points(pre):
            raise InputError("roofs need points before the event. Give them (--pre), or leave roofs out of --also.")
    return tuple(also)


def products_of_points(post: HeightSource, also: Sequence[str]) -> list[str]:
    """Return the further products that need points, if the heights are a surface model."""
    return [POINTS] if "laz" in also and not is_of_points(post) else []


def save_rubble(
    rubble: RubbleMap,
    out_dir: str | Path,
    post: HeightSource,
    *,
    also: Sequence[str] = ALSO,
    pre: HeightSource | None = None,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Write rubble.gpkg (layers buildings and rubble), rubble.csv, manifest.json and further products to a folder.

    Parameters
    ----------
    rubble, post : what `debris_volumes` returned and took
    out_dir : the folder
    also
        "laz" (points.laz, all points of a file with the class of rubble), "cityjson" (buildings.city.json, prisms of the
        height before the event with the columns as attributes), "roofs" (in the same file the roof before the event as
        triangles, where at least 4 points a square metre show it; needs the extra `open3d`)
    pre : heights before the event, of the first of several dates, for "roofs"
    overwrite : whether products that exist are replaced

    Returns
    -------
    Name to path of what was written.

    Raises
    ------
    InputError
        For an unknown product, and roofs without points before the event.
    OutputError
        The folder holds something already, or cannot be written.
    """
    out_dir, also = Path(out_dir), check_products(also, pre)
    heights = Heights.open(post)
    if rubble.registrations:
        heights = replace(heights, motion=rubble.registrations[-1].applied)
    with JobOutput(out_dir, overwrite=overwrite).products() as products:
        hidden = products.folder
        names = ["rubble.gpkg", "rubble.csv"]
        _write_gpkg(rubble, hidden / "rubble.gpkg")
        table = rubble.buildings.drop(columns="geometry").assign(**rubble.event.columns)
        write_text(hidden / "rubble.csv", table_csv(table))
        if "laz" in also and heights.from_points and not isinstance(heights.cloud, PointCloud):
            about = [rubble.title, *rubble.event.lines] if rubble.event.lines else []
            names.append(write_rubble_points(heights, rubble.rubble, hidden / POINTS, about).name)
        if "cityjson" in also or ROOFS in also:
            title = f"SYNTHETIC {rubble.title}" if rubble.synthetic else rubble.title
            buildings = rubble.buildings
            if rubble.history is not None:
                heights_m = rubble.history.groupby("id").apply(
                    lambda rows: dict(zip(rows["date"], rows["height_m"], strict=True))
                )
                buildings = buildings.assign(heights_m=buildings["id"].map(heights_m))
            day = iso_day(rubble.event.date_post)
            roofs = roofs_before(Heights.open(pre), buildings) if ROOFS in also and pre is not None else {}
            names.append(
                write_cityjson(buildings, hidden / CITY, title, None if day is None else day.isoformat(), roofs).name
            )
        if rubble.history is not None:
            write_text(hidden / "history.csv", table_csv(rubble.history))
            write_history_page(rubble, hidden / "history.html")
            names += ["history.csv", "history.html"]
        write_json(hidden / "manifest.json", _manifest(rubble, names))
        names.append("manifest.json")
        return products.publish(names, known=PRODUCTS)


def _write_gpkg(rubble: RubbleMap, path: Path) -> None:
    """Two layers: buildings, and patches of rubble."""
    write_layers({"buildings": rubble.buildings, "rubble": rubble.rubble}, path)
    write_event(path, rubble.event, SUBJECT, "buildings")
    styles = {"buildings": categories_qml("state", BuildingState.colours), "rubble": filled_qml(DEBRIS_COLOUR)}
    write_styles(path, [(layer, layer, qml, SUBJECT) for layer, qml in styles.items()])


def _manifest(rubble: RubbleMap, names: list[str]) -> dict[str, Any]:
    return {
        "version": __version__,
        "synthetic": rubble.synthetic,
        "event": rubble.event.to_dict(),
        "inputs": rubble.inputs,
        "parameters": rubble.parameters,
        "totals": rubble.totals(),
        "registrations": [fit.to_dict() for fit in rubble.registrations],
        "fits": [fit | {"unaligned": fit["unaligned"] and fit["unaligned"].text()} for fit in rubble.fits],
        "findings": [finding.to_dict() for finding in rubble.findings],
        "columns": MEANING if rubble.history is None else MEANING | HISTORY_MEANING,
        "products": names,
    }


def rubble_classes(cloud: PointCloud, rubble: gpd.GeoDataFrame) -> NDArray[np.uint8]:
    """Return the classes (N,) of points with rubble among them, 1 without; polygons as in `RubbleMap.rubble`."""
    classes = np.ones(len(cloud), np.uint8) if cloud.classification is None else cloud.classification.copy()
    if not len(rubble):
        return classes
    left, bottom, right, top = rubble.total_bounds
    x, y, z = cloud.xyz.T
    near = np.flatnonzero((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
    near = near[(cloud.counted & ~np.isin(classes, PointCloud.vegetation_codes))[near]]
    tree = shapely.STRtree(rubble.geometry.to_numpy())
    point, patch = tree.query(shapely.points(cloud.xyz[near, :2]), predicate="intersects")
    terrain, highest = (rubble[name].to_numpy(float)[patch] for name in ("terrain_m", "highest_m"))
    height = z[near[point]] - terrain
    classes[near[point[(height >= -SLACK_M) & (height <= highest + SLACK_M)]]] = RUBBLE_CLASS
    return classes


def write_rubble_points(heights: Heights, rubble: gpd.GeoDataFrame, out: Path, about: Sequence[str] = ()) -> Path:
    """Copy the points of a file, unmoved, with the class of rubble inside polygons of the other date.

    Raises OutputError. Memory: one chunk."""
    from deepnets4eo.points.files.las_writer import Additions

    def values(_: slice, cloud: PointCloud | None) -> dict[str, NDArray[Any]]:
        assert cloud is not None, "points are passed with_clouds"
        return {"classification": rubble_classes(heights.lay(cloud), rubble)}

    Additions(highest_code=RUBBLE_CLASS, text=tuple(about)).write(heights.cloud, out, values, with_clouds=True)
    return out


def write_cityjson(
    buildings: gpd.GeoDataFrame,
    path: Path,
    title: str,
    day: str | None = None,
    roofs: Mapping[str, Roof] = MappingProxyType({}),
) -> Path:
    """Write buildings in metres with the columns of `MEANING`, of a day (YYYY-MM-DD), and roofs by id. Raises OutputError."""
    corner = np.floor(np.nan_to_num([*buildings.total_bounds[:2], buildings["terrain_m"].min()]))
    vertices: dict[tuple[int, int, int], int] = {}
    objects = {}
    columns = [name for name in buildings.columns if name not in ("id", buildings.geometry.name)]
    outlines = shapely.orient_polygons(buildings.geometry.to_numpy())
    for row, outline in zip(buildings.to_dict("records"), outlines, strict=True):
        attributes = {name: row[name] for name in columns}
        if (condition := CONDITIONS.get(row["state"])) is not None:
            attributes["conditionOfConstruction"] = condition
        solids = _solids(outline, row["terrain_m"], row["height_pre_m"], corner, vertices)
        geometry: list[dict[str, Any]] = [{"type": "Solid", "lod": "1", "boundaries": [shell]} for shell in solids]
        if (roof := roofs.get(str(row["id"]))) is not None:
            geometry.append(_roof_surface(roof, corner, vertices))
            attributes["roof_area_m2"] = round(roof.area_m2, 2)
        objects[str(row["id"])] = {"type": "Building", "attributes": attributes, "geometry": geometry}
    metadata = {"title": title} | ({"referenceDate": day} if day else {})
    if buildings.crs is not None and (code := buildings.crs.to_epsg()) is not None:
        metadata["referenceSystem"] = REFERENCE.format(code)
    document = {
        "type": "CityJSON", "version": "2.0", "metadata": metadata,
        "transform": {"scale": [STEP_M] * 3, "translate": corner.tolist()}, "CityObjects": objects, "vertices": [*vertices],
    }  # fmt: skip
    return write_text(path, json.dumps(plain(document), separators=(",", ":"), allow_nan=False) + "\n")


def _roof_surface(roof: Roof, corner: NDArray[Any], vertices: dict[tuple[int, int, int], int]) -> dict[str, Any]:
    """Return a roof as a surface of triangles."""
    triangles = []
    for face in np.rint((roof.corners - corner) / STEP_M).astype(int)[roof.faces].tolist():
        steps = [(x, y, z) for x, y, z in face]
        if len(set(steps)) == 3:
            triangles.append([[vertices.setdefault(step, len(vertices)) for step in steps]])
    semantics = {"surfaces": [{"type": "RoofSurface"}], "values": [0] * len(triangles)}
    return {"type": "MultiSurface", "lod": "2", "boundaries": triangles, "semantics": semantics}


def _solids(
    outline: Any, terrain_m: float, height_m: float, corner: NDArray[Any], vertices: dict[tuple[int, int, int], int]
) -> list[list[list[list[int]]]]:
    """Return the outer shell of each polygon: ground, roof and walls, counterclockwise from outside."""
    if not math.isfinite(terrain_m + height_m) or not height_m >= MIN_HEIGHT_M:
        return []
    shells = []
    for polygon in shapely.get_parts(outline):
        low: list[list[int]] = []
        high: list[list[int]] = []
        for ring in shapely.get_rings(polygon):
            steps = [
                tuple(step)
                for step in np.rint((shapely.get_coordinates(ring) - corner[:2]) / STEP_M).astype(int).tolist()
            ]
            steps = [step for step, before in zip(steps[1:], steps, strict=False) if step != before]
            if len(steps) > 2:
                for level, z in ((low, terrain_m), (high, terrain_m + height_m)):
                    step_z = round((z - corner[2]) / STEP_M)
                    level.append([vertices.setdefault((*xy, step_z), len(vertices)) for xy in steps])
        if low:
            walls = [
                [[foot[index - 1], foot[index], top[index], top[index - 1]]]
                for foot, top in zip(low, high, strict=True) for index in range(len(foot))
            ]  # fmt: skip
            shells.append([[foot[::-1] for foot in low], high, *walls])
    return shells
