"""A made-up damage map on a made-up pair of images, for the tests of the products and of the report page."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
import shapely.affinity
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox

from deepnets4eo.damage import GRADES, DamageMap
from deepnets4eo.rasters import Layer

MEANING = {
    "ev_similarity": "structural similarity of the roof before and after, −1 to 1; low where the roof changed",
    "ev_edge_loss": "share of the outline's edges that are gone after, 0 to 1",
    "ev_texture": "ratio of fine texture after to before, 1 = unchanged",
}
REASONS = ("outside the post image", "under cloud", "smaller than 20 px")


def make_grid(size_px: int = 256, epsg: int | None = 32615, gsd_m: float = 0.5) -> GeoBox:
    if epsg == 4326:
        step = gsd_m / 111_320
        return GeoBox((size_px, size_px), Affine(step, 0, -94.5, 0, -step, 37.05), "EPSG:4326")
    crs = None if epsg is None else f"EPSG:{epsg}"
    return GeoBox((size_px, size_px), Affine(gsd_m, 0, 360_000, 0, -gsd_m, 4_100_000), crs)


def make_map(number: int = 60, *, grid: GeoBox | None = None, assessed: float = 0.9, seed: int = 0) -> DamageMap:
    """`number` houses on the grid, more damage in the middle; every third grade of reason is used in turn."""
    grid = grid or make_grid()
    rng = np.random.default_rng(seed)
    prob = rng.beta(0.4, 1.2, number)
    grade = np.digitize(prob, [0.25, 0.5, 0.75])
    status = np.where(rng.random(number) < assessed, "assessed", "not_assessed")
    seen = status == "assessed"
    frame = gpd.GeoDataFrame(
        {
            "id": [f"way/{1000 + k}" for k in range(number)],
            "damage": [GRADES[g] if s else None for g, s in zip(grade, seen, strict=True)],
            "damage_prob": np.where(seen, prob, np.nan),
            "confidence": np.where(seen, rng.uniform(0.5, 1, number), np.nan),
            "damage_set": [
                ",".join(GRADES[max(g - k % 2, 0) : g + 1]) if s else None
                for k, (g, s) in enumerate(zip(grade, seen, strict=True))
            ],
            "status": status,
            "reason": ["" if s else REASONS[k % 3] for k, s in enumerate(seen)],
            "method": np.where(seen, np.where(rng.random(number) < 0.9, "pre_post", "post_only"), ""),
            "dx_px": np.where(seen, rng.normal(2, 0.5, number), np.nan),
            "dy_px": np.where(seen, rng.normal(-1, 0.5, number), np.nan),
            "ev_similarity": np.where(seen, 0.9 - prob + rng.normal(0, 0.1, number), np.nan),
            "ev_edge_loss": np.where(seen, np.clip(prob + rng.normal(0, 0.1, number), 0, 1), np.nan),
            "ev_texture": np.where(seen, np.exp(prob * 2 + rng.normal(0, 0.2, number)), np.nan),
        },
        geometry=_houses(grid, number, rng),
        crs=grid.crs,
    )
    margin = shapely.box(4, 4, grid.shape[1] - 4, grid.shape[0] - 4)
    extent = gpd.GeoDataFrame(geometry=[_on_ground(margin, grid)], crs=grid.crs)
    registration = {
        "status": "ok",
        "model": "similarity",
        "reason": "",
        "residual_m": 0.42,
        "shift_m": 3.1,
        "matrix": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    }
    return DamageMap(frame, extent, registration, dict(MEANING), parameters={"seed": seed})


def make_images(grid: GeoBox, damage_map: DamageMap, seed: int = 0) -> tuple[Layer, Layer]:
    """Pre and post layers: noise with bright roofs, the damaged ones torn after."""
    from rasterio.features import rasterize

    rng = np.random.default_rng(seed)
    background = rng.normal(90, 12, (3, *grid.shape))
    frame = damage_map.buildings
    shapes = zip(frame.geometry, range(1, len(frame) + 1), strict=True)
    numbers = rasterize(shapes, out_shape=grid.shape, transform=grid.affine)
    prob = np.concatenate([[0], frame["damage_prob"].fillna(0)])[numbers]
    roof = np.where(numbers > 0, 90.0, 0.0)
    pre = np.clip(background + roof, 1, 255).astype("uint8")
    post = np.clip(background * 0.8 + roof * (1 - prob) + rng.normal(0, 60, grid.shape) * prob, 1, 255).astype("uint8")
    return Layer.open(pre, grid=grid), Layer.open(post, grid=grid)


def make_map_of_files(folder: Path, assessed: float) -> tuple[DamageMap, dict[str, Layer]]:
    """A map of 40 buildings whose inputs are files in a folder, and its images by date."""
    grid = make_grid(96)
    damage_map = make_map(40, grid=grid, assessed=assessed)
    images = dict(zip(("pre", "post"), make_images(grid, damage_map), strict=True))
    for role, image in images.items():
        path = write_geotiff(folder / f"{role}.tif", image.read()[0], crs=grid.crs, transform=grid.affine)
        damage_map.inputs[role] = str(path)
    damage_map.parameters["gsd_m"] = None
    return damage_map, images


def _houses(grid: GeoBox, number: int, rng: np.random.Generator) -> list[shapely.Geometry]:
    columns = int(np.ceil(np.sqrt(number)))
    step = grid.shape[1] / columns
    houses = []
    for k in range(number):
        x, y = (k % columns + 0.5) * step, (k // columns + 0.5) * step
        w, h = rng.uniform(0.2, 0.35, 2) * step
        house = shapely.box(x - w, y - h, x + w, y + h)
        houses.append(_on_ground(shapely.affinity.rotate(house, rng.uniform(-10, 10)), grid))
    return houses


def _on_ground(shape: shapely.Geometry, grid: GeoBox) -> shapely.Geometry:
    a = grid.affine
    return shapely.affinity.affine_transform(shape, [a.a, a.b, a.d, a.e, a.c, a.f])
