"""Buildings as CityJSON 2.0: prisms of their outlines (LoD 1) from the terrain to their height before the event.

Buildings without a known height have no geometry. Vertices are whole millimetres from a corner. Source: OGC CityJSON 2.0, https://www.cityjson.org/specs/2.0.1/."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.files import plain, write_text
from deepnets4eo.points.rubble.rubble_map import CLEARED, COLLAPSED, STANDING

if TYPE_CHECKING:
    import geopandas as gpd

STEP_M = 0.001
LEAST_HEIGHT_M = 0.5  # of a prism
CONDITIONS = {STANDING: "functional", COLLAPSED: "ruin", CLEARED: "demolished"}  # conditionOfConstruction of CityJSON
REFERENCE = "https://www.opengis.net/def/crs/EPSG/0/{}"


def write_cityjson(buildings: gpd.GeoDataFrame, path: Path, title: str, day: str | None = None) -> Path:
    """Write buildings in metres with the columns of `MEANING`, of a day (YYYY-MM-DD). Raises OutputError."""
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
        geometry = [{"type": "Solid", "lod": "1", "boundaries": [shell]} for shell in solids]
        objects[str(row["id"])] = {"type": "Building", "attributes": attributes, "geometry": geometry}
    metadata = {"title": title} | ({"referenceDate": day} if day else {})
    if buildings.crs is not None and (code := buildings.crs.to_epsg()) is not None:
        metadata["referenceSystem"] = REFERENCE.format(code)
    document = {
        "type": "CityJSON", "version": "2.0", "metadata": metadata,
        "transform": {"scale": [STEP_M] * 3, "translate": corner.tolist()}, "CityObjects": objects, "vertices": [*vertices],
    }  # fmt: skip
    return write_text(path, json.dumps(plain(document), separators=(",", ":"), allow_nan=False) + "\n")


def _solids(
    outline: Any, terrain_m: float, height_m: float, corner: NDArray[Any], vertices: dict[tuple[int, int, int], int]
) -> list[list[list[list[int]]]]:
    """The outer shell of each polygon: ground, roof and walls, counterclockwise from outside."""
    if not math.isfinite(terrain_m + height_m) or not height_m >= LEAST_HEIGHT_M:
        return []
    shells = []
    for polygon in shapely.get_parts(outline):
        low, high = [], []
        for ring in shapely.get_rings(polygon):
            steps = [
                tuple(step)
                for step in np.rint((shapely.get_coordinates(ring) - corner[:2]) / STEP_M).astype(int).tolist()
            ]
            steps = [one for one, before in zip(steps[1:], steps, strict=False) if one != before]
            levels = [round((z - corner[2]) / STEP_M) for z in (terrain_m, terrain_m + height_m)]
            foot, top = ([vertices.setdefault((*xy, z), len(vertices)) for xy in steps] for z in levels)
            if len(steps) > 2:
                low.append(foot)
                high.append(top)
        if low:
            walls = [
                [[foot[at - 1], foot[at], top[at], top[at - 1]]]
                for foot, top in zip(low, high, strict=True) for at in range(len(foot))
            ]  # fmt: skip
            shells.append([[foot[::-1] for foot in low], high, *walls])
    return shells
