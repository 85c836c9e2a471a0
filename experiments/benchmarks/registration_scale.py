"""Time and memory of registering a large pair and of aligning many footprints, on made-up images in a temporary folder.

One block of a made-up suburb is repeated over the image; pre is the same file placed 3.5 m east and 2 m south, so
the true motion is known, and the footprints are 2.4 m west and 1.2 m north of their roofs.
Run: python experiments/benchmarks/registration_scale.py [--side 20000 --houses 100000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.transform import from_origin
from scipy import ndimage

from deepnets4eo.footprints import align_footprints
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.registration import register

GSD_M, BLOCK_PX, CRS = 0.5, 2500, "EPSG:32615"
WEST, NORTH = 500_000.0, 4_100_000.0
PRE_OFF_M = (3.5, -2.0)
FOOTPRINTS_OFF_M = (-2.4, 1.2)


def block_houses(count: int, rng: np.random.Generator) -> np.ndarray:
    """Turned boxes on a jittered lattice over one block, metres from its upper left, y up."""
    per_side = int(np.ceil(np.sqrt(count)))
    step = BLOCK_PX * GSD_M / per_side
    index = np.arange(count)
    middle = (np.column_stack((index % per_side, index // per_side)) + 0.5) * step + rng.uniform(-2, 2, (count, 2))
    half = rng.uniform(4, 7, (count, 2))
    angle = rng.uniform(0, np.pi / 2, count)
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])[None] * half[:, None, :]
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    rings = np.einsum("nij,nkj->nki", turn, corners) + middle[:, None, :] * (1, -1)
    return np.asarray(shapely.polygons(rings))


def block_image(houses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One block with its roofs, (3, h, w) uint8."""
    ground = 95 + 12 * ndimage.gaussian_filter(rng.standard_normal((BLOCK_PX, BLOCK_PX)), 3) * 6
    values = rng.choice([45.0, 165.0, 205.0], len(houses))
    roofs = rasterize(
        zip(houses, values, strict=True), ground.shape, transform=from_origin(0, 0, GSD_M, GSD_M), dtype="float32"
    )
    grey = ndimage.gaussian_filter(np.where(roofs > 0, roofs, ground), 0.6)
    noise = 5 * rng.standard_normal((3, BLOCK_PX, BLOCK_PX))
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def make_pair(folder: Path, side: int, count: int) -> tuple[Path, Path, gpd.GeoDataFrame]:
    """post.tif, pre.vrt and the displaced footprints."""
    rng = np.random.default_rng(0)
    blocks = side // BLOCK_PX
    houses = block_houses(count // blocks**2, rng)
    image = block_image(houses, rng)
    post = folder / "post.tif"
    transform = from_origin(WEST, NORTH, GSD_M, GSD_M)
    profile = dict(driver="GTiff", count=3, dtype="uint8", height=side, width=side, crs=CRS, transform=transform)
    with rasterio.open(post, "w", tiled=True, blockxsize=512, blockysize=512, **profile) as target:
        for row in range(blocks):
            line = np.concatenate([image] * blocks, axis=2)
            target.write(line, window=rasterio.windows.Window(0, row * BLOCK_PX, side, BLOCK_PX))
    offsets = np.stack(np.meshgrid(np.arange(blocks), -np.arange(blocks)), -1).reshape(-1, 1, 2) * BLOCK_PX * GSD_M
    coords = shapely.get_coordinates(houses).reshape(-1, 5, 2)
    rings = (coords[None] + offsets[:, None]).reshape(-1, 5, 2) + (WEST, NORTH) + FOOTPRINTS_OFF_M
    pre = folder / "pre.vrt"
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename relativeToVRT="1">post.tif'
        f"</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    west, north = WEST + PRE_OFF_M[0], NORTH + PRE_OFF_M[1]
    pre.write_text(
        f'<VRTDataset rasterXSize="{side}" rasterYSize="{side}"><SRS>{CRS}</SRS>'
        f"<GeoTransform>{west}, {GSD_M}, 0, {north}, 0, -{GSD_M}</GeoTransform>{bands}</VRTDataset>"
    )
    return (
        pre,
        post,
        gpd.GeoDataFrame({"id": np.arange(len(rings)).astype(str)}, geometry=shapely.polygons(rings), crs=CRS),
    )


def main() -> None:
    """Print seconds, processor seconds, peak memory and the errors of both steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--houses", type=int, default=100_000)
    options = parser.parse_args()
    side = options.side // BLOCK_PX * BLOCK_PX
    with tempfile.TemporaryDirectory() as folder:
        pre, post, footprints = make_pair(Path(folder), side, options.houses)
        before, start, clock = _peak_mb(), time.perf_counter(), time.process_time()
        registration = register(Layer.open(pre), Layer.open(post))
        error = np.hypot(registration.dx_m - PRE_OFF_M[0], registration.dy_m + PRE_OFF_M[1])
        print(
            f"register {side}²: {time.perf_counter() - start:.1f} s, {time.process_time() - clock:.1f} processor s, "
            f"{registration.status}, {registration.model}, error {error:.3f} m, residual {registration.residual_m:.3f} m, "
            f"peak {before:.0f} → {_peak_mb():.0f} MB"
        )
        start, clock = time.perf_counter(), time.process_time()
        aligned = align_footprints(Layer.open(post), footprints)
        off = np.hypot(*(aligned.offsets_m - (-FOOTPRINTS_OFF_M[0], FOOTPRINTS_OFF_M[1])).T)
        print(
            f"align {len(footprints)} footprints: {time.perf_counter() - start:.1f} s, "
            f"{time.process_time() - clock:.1f} processor s, {aligned.status}, error median {np.median(off):.3f} m, "
            f"95 % {np.quantile(off, 0.95):.3f} m, peak {_peak_mb():.0f} MB"
        )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
