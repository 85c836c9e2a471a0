"""The vector layers of a city (truth, footprints with errors, a shifted OSM), and how all layers are written, as synthetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from affine import Affine
from shapely import affinity
from shapely.geometry import LineString, Point, Polygon, box
from shapely.ops import unary_union

from deepnets4eo.cards import Legend
from deepnets4eo.damage import GRADES
from deepnets4eo.files import atomic_write, check_overwrite, write_json
from deepnets4eo.formats import write_frame
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.jobs import output_lock
from deepnets4eo.polygons import set_fixed_times
from deepnets4eo.rasters import CogWriter
from deepnets4eo.synthetic.event import EventOutcome
from deepnets4eo.synthetic.plan import Building, CityPlan

BAND_NAMES = ("red", "green", "blue", "near infrared")
DESCRIPTION = "city.json"


@dataclass(frozen=True)
class RasterLayer:
    """One raster of a city: file name without suffix, grid, (H, W) or (C, H, W) values, legend of labels."""

    name: str
    grid: Grid
    data: np.ndarray
    legend: Legend | None = None


def write_layers(
    folder: Path,
    rasters: Iterable[RasterLayer],
    vectors: Mapping[str, Mapping[str, gpd.GeoDataFrame]],
    description: Mapping[str, Any],
    tags: dict[str, str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write rasters, GeoPackages (file → layer → geometries) and `city.json`; a new folder appears when all is written."""
    with output_lock(folder):
        check_overwrite(folder / DESCRIPTION, overwrite=overwrite)
        if folder.exists():
            _write(folder, rasters, vectors, description, tags)
        else:
            with atomic_write(folder) as partial:
                partial.mkdir()
                _write(partial, rasters, vectors, description, tags)
    return folder


def _write(
    folder: Path,
    rasters: Iterable[RasterLayer],
    vectors: Mapping[str, Mapping[str, gpd.GeoDataFrame]],
    description: Mapping[str, Any],
    tags: dict[str, str],
) -> None:
    for raster in rasters:
        write_raster(folder / f"{raster.name}.tif", raster.grid, raster.data, tags, raster.legend)
    for name, layers in vectors.items():
        _write_vectors(folder / f"{name}.gpkg", layers, tags)
    write_json(folder / DESCRIPTION, description)


def write_raster(
    path: Path,
    grid: Grid,
    data: np.ndarray,
    tags: dict[str, str],
    legend: Legend | None = None,
    *,
    wavelengths_nm: Sequence[float] = (),
) -> None:
    """Write a raster; bands of an image (C, H, W) get names, bands of a cube are named by their wavelength."""
    layers = data if data.ndim == 3 else data[None]
    names = BAND_NAMES[: len(layers)] if data.ndim == 3 else ()
    names = tuple(f"{nm:.1f} nm" for nm in wavelengths_nm) or names
    dtype = str(data.dtype)
    with CogWriter(
        path, grid, count=len(layers), dtype=dtype, legend=legend, band_names=names, tags=tags,
        wavelengths_nm=wavelengths_nm,
    ) as cog:  # fmt: skip
        for window in cog.windows:
            cog.write(window, layers[:, window.slices[0], window.slices[1]])


def _write_vectors(path: Path, layers: Mapping[str, gpd.GeoDataFrame], tags: dict[str, str]) -> None:
    """Write a GeoPackage with the layers that are not empty."""
    with atomic_write(path) as partial:
        first = True
        for name, frame in layers.items():
            if len(frame):
                write_frame(
                    frame,
                    partial,
                    layer=name,
                    driver="GPKG",
                    append=not first,
                    layer_metadata=tags,
                    dataset_metadata=tags,
                )
                first = False
        if not first:
            set_fixed_times(partial)


def to_ground(shape: Polygon | LineString, canvas: Grid, gsd_m: float) -> Polygon | LineString:
    """From local metres to ground coordinates."""
    a = canvas.affine
    scaled = Affine(a.a / gsd_m, a.b / gsd_m, a.c, a.d / gsd_m, a.e / gsd_m, a.f)
    return transform_shapes(scaled, shape)


def building_frame(plan: CityPlan, outcome: EventOutcome, canvas: Grid, gsd_m: float) -> gpd.GeoDataFrame:
    """All planned buildings with their true outline and damage, in plan order."""
    rows: list[Building] = plan.buildings
    return gpd.GeoDataFrame(
        {
            "id": [f"b{index:05d}" for index in range(len(rows))],
            "height_m": [round(building.ridge_m, 2) for building in rows],
            "roof": [building.roof for building in rows],
            "covering": [building.covering for building in rows],
            "use": [building.use for building in rows],
            "damage": [GRADES[grade] for grade in outcome.grades],
            "look": outcome.modes,
            "change": outcome.changes,
        },
        geometry=[to_ground(building.outline, canvas, gsd_m) for building in rows],
        crs=canvas.crs,
    )


def footprint_layer(
    buildings: gpd.GeoDataFrame, rng: np.random.Generator, offset_m: float, missing_share: float, extra_share: float
) -> gpd.GeoDataFrame:
    """Footprints as mapped by others: shifted, some turned, simplified, missing or invented (ids "x…")."""
    heading = rng.uniform(0, 2 * np.pi)
    common = offset_m * np.array([np.cos(heading), np.sin(heading)])
    keep = rng.random(len(buildings)) >= missing_share
    ids, shapes = [], []
    for name, shape in zip(buildings.loc[keep, "id"], buildings.geometry[keep], strict=True):
        east, north = common + rng.normal(0, offset_m / 3, 2)
        mapped = shape.minimum_rotated_rectangle if rng.random() < 0.12 else shape
        mapped = affinity.rotate(mapped, rng.normal(0, 1.2))
        mapped = affinity.scale(mapped, *(1 + rng.normal(0, 0.03, 2)))
        ids.append(name)
        shapes.append(affinity.translate(mapped, east, north))
    left, bottom, right, top = buildings.total_bounds if len(buildings) else (0, 0, 1, 1)
    taken = unary_union([shape.buffer(1.0) for shape in buildings.geometry])
    for number in range(int(round(extra_share * len(buildings)))):
        x, y, turn = rng.uniform(left, right), rng.uniform(bottom, top), rng.uniform(0, 90)
        half = rng.uniform(3, 8, 2)
        ghost = affinity.rotate(box(x - half[0], y - half[1], x + half[0], y + half[1]), turn)
        if not ghost.intersects(taken):
            ids.append(f"x{number:05d}")
            shapes.append(ghost)
    return gpd.GeoDataFrame({"id": ids}, geometry=shapes, crs=buildings.crs)


def road_frame(plan: CityPlan, canvas: Grid, gsd_m: float, extent: Polygon) -> gpd.GeoDataFrame:
    """Centre lines of the streets within the extent, with width and surface."""
    rows = [(to_ground(LineString(points), canvas, gsd_m), width, paved) for points, width, paved in plan.roads]
    frame = gpd.GeoDataFrame(
        {
            "width_m": [round(width, 1) for _, width, _ in rows],
            "highway": ["primary" if width >= 14 else "residential" for _, width, _ in rows],
            "surface": ["asphalt" if paved else "concrete" for _, _, paved in rows],
        },
        geometry=[line.intersection(extent) for line, _, _ in rows],
        crs=canvas.crs,
    )
    frame = frame[~frame.geometry.is_empty].explode(index_parts=False)
    return frame[frame.geom_type == "LineString"].reset_index(drop=True)


def water_frame(plan: CityPlan, canvas: Grid, gsd_m: float, extent: Polygon) -> gpd.GeoDataFrame:
    """Ponds and pools as ellipses."""
    shapes, kinds = [], []
    for x, y, radius_x, radius_y, angle, name in plan.ponds:
        disc = affinity.scale(Point(0, 0).buffer(1.0), radius_x, radius_y)
        shape = affinity.translate(affinity.rotate(disc, angle, origin=(0, 0), use_radians=True), x, y)
        outline = to_ground(shape, canvas, gsd_m)
        if outline.intersects(extent):
            shapes.append(outline)
            kinds.append("water" if name == "water" else "swimming_pool")
    return gpd.GeoDataFrame({"natural": kinds}, geometry=shapes, crs=canvas.crs)


def osm_layers(
    layers: dict[str, gpd.GeoDataFrame], rng: np.random.Generator, offset_m: float, missing_share: float
) -> dict[str, gpd.GeoDataFrame]:
    """Return the layers as volunteers mapped them: each shifted, each with gaps."""
    out = {}
    for name, frame in layers.items():
        keep = rng.random(len(frame)) >= missing_share
        east, north = rng.normal(0, offset_m / np.sqrt(2), 2)
        out[name] = frame[keep].set_geometry(frame.geometry[keep].translate(east, north)).reset_index(drop=True)
    return out
