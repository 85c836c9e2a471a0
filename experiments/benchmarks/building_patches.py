"""Patches in block order against a random window read per building, on one made-up COG; the ratio from one run.

Run: python experiments/benchmarks/building_patches.py [--side 8000 --polygons 71500 --patch 64 --sample 3000]
The plain way reads a sample of the same patches in the order of the file, one window each, from an open dataset.
GDAL keeps decoded tiles in a cache (5 % of the memory by default): a scene that fits is decoded once by either way, a
real one does not fit. So both ways are timed with a cache of a tenth, a third, and more than all of the scene.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as RasterioWindow

from deepnets4eo.grid import blocks
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.zonal.patches import cut_patches

BANDS = 3


def make_image(path: Path, side: int, rng: np.random.Generator) -> None:
    """Smooth structure with sensor noise, so that the tiles compress as photographs do."""
    grid = GeoBox((side, side), Affine(0.5, 0, 500_000, 0, -0.5, 4_100_000), "EPSG:32615")
    with CogWriter(path, grid, count=BANDS, dtype="uint8") as writer:
        for window in blocks((side, side), 1024):
            coarse = rng.integers(40, 200, (BANDS, window.height // 8 + 1, window.width // 8 + 1))
            image = np.kron(coarse, np.ones((1, 8, 8), int))[:, : window.height, : window.width]
            writer.write(window, (image + rng.integers(0, 12, image.shape)).astype(np.uint8))


def in_block_order(path: Path, centres: np.ndarray, side_px: int, sample: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds per patch for all of them, and the patches of the sample."""
    row_of = np.full(len(centres), -1)
    row_of[sample] = np.arange(len(sample))
    kept = np.zeros((len(sample), BANDS, side_px, side_px), np.uint8)
    start = time.perf_counter()
    for batch in cut_patches(Layer.open(path), centres, side_px):
        has_row = row_of[batch.rows] >= 0
        kept[row_of[batch.rows[has_row]]] = batch.data[has_row]
    return (time.perf_counter() - start) / len(centres), kept


def by_window_reads(path: Path, centres: np.ndarray, side_px: int) -> tuple[float, np.ndarray]:
    """Seconds per patch with one window read each, and the patches."""
    kept = np.zeros((len(centres), BANDS, side_px, side_px), np.uint8)
    start = time.perf_counter()
    with rasterio.open(path) as raster:
        for row, centre in enumerate(centres):
            col, line = np.floor(centre - side_px / 2 + 0.5)
            kept[row] = raster.read(window=RasterioWindow(col, line, side_px, side_px))
    return (time.perf_counter() - start) / len(centres), kept


def main() -> None:
    """Make the image, cut the patches both ways, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8_000)
    parser.add_argument("--polygons", type=int, default=71_500)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--sample", type=int, default=2_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    scene_bytes = BANDS * options.side**2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tif"
        make_image(path, options.side, rng)
        centres = rng.uniform(options.patch, options.side - options.patch, (options.polygons, 2))
        sample = rng.choice(options.polygons, min(options.sample, options.polygons), replace=False)
        for share in (0.1, 0.33, 1.5):
            with rasterio.Env(GDAL_CACHEMAX=int(scene_bytes * share)):
                ours, cut = in_block_order(path, centres, options.patch, sample)
                plain, read = by_window_reads(path, centres[sample], options.patch)
            print(
                f"cache {share:4.0%} of the scene: block order {1 / ours:8,.0f} patches/s, window reads "
                f"{1 / plain:8,.0f}/s, ratio {plain / ours:6.1f}x, identical: {np.array_equal(cut, read)}"
            )
    print(f"{options.polygons:,} patches of {options.patch} px, {BANDS} bands; window reads on {len(sample):,} of them")


if __name__ == "__main__":
    main()
