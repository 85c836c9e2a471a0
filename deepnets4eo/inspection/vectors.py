"""Contents of a vector file: layers, features, extent and areas, and its problems as footprints. Memory: all features of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from deepnets4eo.arrays import Floats
from deepnets4eo.degree_boxes import Box
from deepnets4eo.errors import InputError
from deepnets4eo.formats import (
    Coordinates,
    choose_layers,
    coordinate_columns,
    is_parquet,
    is_undefined,
    read_ogr,
    split_layer,
    vector_errors,
    vector_file,
)
from deepnets4eo.grid import FARTHEST_DEGREES, Grid
from deepnets4eo.osm.elements import no_buildings
from deepnets4eo.polygons import off_the_earth
from deepnets4eo.reprojection import lonlat_box, lonlat_text, to_crs

EQUAL_AREA = "EPSG:6933"
AREAS = ("Polygon", "MultiPolygon")
IN_PIXELS = "On an image without CRS, they are read as its pixels, or as coordinates of its world file. "
TRUE_CRS = "Or write the true CRS into a copy: ogr2ogr -a_srs EPSG:… OUT.gpkg IN"


class PixelOutlines(NamedTuple):
    """Outlines that jobs read in the pixels of an image without CRS. box : left, top, right, bottom; problem : of them on any other image."""

    box: Box
    problem: str


Described: TypeAlias = tuple[Grid | None, Floats | None, PixelOutlines | None]


def describe_vector(facts: dict[str, Any], problems: list[str], path: str) -> Described:
    """Add what the first layer of polygons holds, and what is wrong.

    Returns a grid over its extent and the areas of its polygons, if known; and outlines that are in pixels of an image without CRS."""
    import geopandas as gpd
    import pyogrio

    file, layer = split_layer(path)
    if not Path(file).exists():
        raise InputError(f"{path} does not exist. Check the path.")
    if Path(file).is_file() and (columns := coordinate_columns(Path(file))):
        return _describe_points(facts, problems, Path(file), columns)
    with vector_file(file) as inner, vector_errors(path):
        if is_parquet(inner):
            frame = gpd.read_parquet(inner)
        else:
            layers = {str(name): str(kind) for name, kind in pyogrio.list_layers(inner)}
            if not layers:
                raise InputError(f"{path} has no layer. Give a file with polygons.")
            facts["layers"] = ", ".join(layers)
            polygons = [name for name, kind in layers.items() if "Polygon" in kind or "Surface" in kind]
            (chosen,) = [next(iter(polygons or layers))] if layer is None else choose_layers(inner, file, layer)
            if len(layers) > 1:
                facts["layer described"] = chosen
            if len(polygons) > 1 and layer is None:
                problems.append(
                    f"it has several layers of polygons: {', '.join(polygons)}. Name one as {path}#{chosen}."
                )
            frame = read_ogr(inner, path, problems.append, layer=chosen, on_invalid="fix")
        if not isinstance(frame, gpd.GeoDataFrame):
            raise InputError(f"{path} has a table but no geometry. Give a layer with polygons.")
        if frame.crs is not None and is_undefined(frame.crs):  # GeoPackages with the SRS −1
            frame = frame.set_crs(None, allow_override=True)
        return _describe_features(facts, problems, frame, path)


def _describe_points(facts: dict[str, Any], problems: list[str], path: Path, columns: Sequence[str]) -> Described:
    """Add what a table of points holds, such as our damage.csv."""
    import pandas as pd

    cells = pd.read_csv(path, sep=None, engine="python")
    y, x = (pd.to_numeric(cells[name], errors="coerce") for name in columns)
    facts["features"] = f"{len(cells)}: {int((x.notna() & y.notna()).sum())} with a position, Point"
    facts["columns"] = ", ".join(map(str, cells.columns))
    if len(cells):
        facts["extent"] = f"{columns[1]} {x.min():.6f} to {x.max():.6f}, {columns[0]} {y.min():.6f} to {y.max():.6f}"
    problems.append(
        "it holds points: `compare` reads them if they are grades of buildings; footprints and areas need polygons."
    )
    return None, None, None


def _describe_features(facts: dict[str, Any], problems: list[str], frame: Any, path: str) -> Described:
    types = frame.geometry.geom_type
    kinds, areas = types.value_counts(dropna=False).to_dict(), types.isin(AREAS)
    facts["features"] = f"{len(frame)}: " + ", ".join(
        f"{n} {kind if isinstance(kind, str) else 'without geometry'}" for kind, n in kinds.items()
    )
    facts["columns"] = ", ".join(str(name) for name in frame.columns if name != frame.geometry.name) or "none"
    if not len(frame):
        problems.append("it has no feature.")
        return None, None, None
    grid, polygon_areas, doubt = None, None, ""
    if frame.crs is not None:
        epsg = frame.crs.to_epsg()
        facts["CRS"] = f"EPSG:{epsg} {frame.crs.name}" if epsg else frame.crs.name
    coordinates = Coordinates(frame, path)
    remedy = f"{IN_PIXELS if coordinates.are_pixels else ''}{coordinates.remedy} {TRUE_CRS}"
    if frame.crs is None:
        doubt = f"it has no CRS. {remedy}"
    elif problem := coordinates.problem(remedy):
        doubt = f"its coordinates {problem}"
    else:
        grid, polygon_areas = _describe_extent(facts, problems, frame)
    problems += [doubt] if doubt else []
    box = frame.total_bounds
    has_area = np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]
    in_pixels = PixelOutlines(tuple(box), doubt) if has_area and coordinates.are_pixels else None
    without = frame.geometry.is_empty | frame.geometry.isna()
    invalid, empty = int((~frame.geometry.is_valid & ~without).sum()), int(without.sum())
    if invalid:
        problems.append(f"{invalid} geometries are invalid (they are repaired when read as footprints).")
    if empty:
        problems.append(f"{empty} features have no geometry (they are dropped when read as footprints).")
    if others := int((no_buildings(frame) & areas).sum()):
        problems.append(f"{others} areas have no building tag (they are left out when read as footprints).")
    if not areas.any():
        problems.append("it holds no polygons: it cannot serve as footprints.")
    if frame.geometry.has_z.any():
        facts["dimensions"] = "3D (heights are dropped where footprints are needed)"
    return grid, polygon_areas, in_pixels


def _describe_extent(facts: dict[str, Any], problems: list[str], frame: Any) -> tuple[Grid | None, Floats | None]:
    from odc.geo.geobox import GeoBox
    from odc.geo.geom import BoundingBox

    frame = _on_the_earth(problems, frame)
    if frame.empty:
        return None, None
    grid, areas_m2 = None, None
    degrees = to_crs(frame.geometry, "EPSG:4326").to_numpy()
    facts["extent"] = lonlat_text(box := lonlat_box(degrees))
    bounds = frame.total_bounds
    if np.isfinite(bounds).all() and bounds[2] > bounds[0] and bounds[3] > bounds[1]:
        grid = GeoBox.from_bbox(
            BoundingBox(bounds[0], bounds[1], bounds[2], bounds[3], frame.crs.to_wkt()), shape=(256, 256), tight=True
        )
    polygons = frame[frame.geometry.geom_type.isin(AREAS)]
    if len(polygons):
        areas_m2 = to_crs(polygons, EQUAL_AREA).area.to_numpy(float)
        facts["area"] = f"median {np.median(areas_m2):.1f} m², {areas_m2.min():.1f} to {areas_m2.max():.1f} m²"
    if box[2] - box[0] > 180:
        problems.append("it spans more than 180° of longitude: it may cross the antimeridian.")
    return grid, areas_m2


def _on_the_earth(problems: list[str], frame: Any) -> Any:
    """Return the features whose coordinates fit the CRS, none if most do not fit; the others are added as a problem."""
    if frame.crs.is_geographic:
        beyond = (np.abs(frame.bounds.to_numpy()) > FARTHEST_DEGREES * 2).any(axis=1)
    else:
        beyond = off_the_earth(frame.geometry.to_numpy(), frame.crs)
    if not beyond.any():
        return frame
    if beyond.sum() * 2 <= len(frame):
        problems.append(
            f"{beyond.sum()} features have coordinates beyond the Earth (they are dropped when read as footprints)."
        )
        return frame[~beyond]
    west, south, east, north = frame.total_bounds
    problems.append(
        f"its CRS has no place for its coordinates: they reach from ({west:.6g}, {south:.6g}) to ({east:.6g}, {north:.6g}). {Coordinates.remedy} "
        f"{TRUE_CRS}"
    )
    return frame[:0]
