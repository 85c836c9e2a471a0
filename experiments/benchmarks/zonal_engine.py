"""Zonal engine against a rasterio.mask loop and exactextract, on one made-up city; every ratio from one run.

Run: python experiments/benchmarks/zonal_engine.py [--polygons 447000 --side 20000 --sample 4000]
The plain ways are timed on a sample of the polygons and compared per polygon; counts of the sample must be identical.
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
import rasterio.mask
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.grid import blocks
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.zonal import class_counts

NUM_CLASSES = 5
GSD_M = 0.5


def make_labels(path: Path, side: int, rng: np.random.Generator) -> None:
    """A damage-like label raster: patches of one class with speckle, so that it compresses as a prediction does."""
    grid = GeoBox((side, side), Affine(GSD_M, 0, 500_000, 0, -GSD_M, 4_100_000), "EPSG:32615")
    with CogWriter(path, grid, count=1, dtype="uint8", nodata=255) as writer:
        for window in blocks((side, side), 1024):
            coarse = rng.integers(0, NUM_CLASSES, (window.height // 16 + 1, window.width // 16 + 1), np.uint8)
            labels = np.kron(coarse, np.ones((16, 16), np.uint8))[: window.height, : window.width]
            labels[rng.random(labels.shape) < 0.01] = 255
            writer.write(window, labels[None])


def make_footprints(count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Rotated houses of 6 to 16 m, a third of them L-shaped, some overlapping, some over the edge."""
    house = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1], [-1, -1], [-1, -1]], float)
    ell = np.array([[-1, -1], [1, -1], [1, 0], [0, 0], [0, 1], [-1, 1], [-1, -1]], float)
    shape = np.where((rng.random(count) < 1 / 3)[:, None, None], ell, house)
    shape = shape * rng.uniform(3, 8, (count, 1, 2))
    angle = rng.uniform(0, np.pi, count)
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], 1)
    centre = np.column_stack(
        [500_000 + rng.uniform(0, side * GSD_M, count), 4_100_000 - rng.uniform(0, side * GSD_M, count)]
    )
    return shapely.polygons(shape @ turn.transpose(0, 2, 1) + centre[:, None])


def by_mask(path: Path, polygons: np.ndarray) -> np.ndarray:
    """The plain way: one masked read per polygon."""
    counts = np.zeros((len(polygons), NUM_CLASSES), np.int64)
    with rasterio.open(path) as raster:
        for row, polygon in enumerate(polygons):
            data, _ = rasterio.mask.mask(raster, [polygon], crop=True, filled=False)
            counts[row] = np.bincount(data.compressed(), minlength=NUM_CLASSES)[:NUM_CLASSES]
    return counts


def by_exactextract(path: Path, polygons: np.ndarray) -> None:
    """exactextract's class fractions, in its faster strategy for many small polygons."""
    from exactextract import exact_extract

    frame = gpd.GeoDataFrame(geometry=polygons, crs="EPSG:32615")
    exact_extract(str(path), frame, ["unique", "frac", "count"], strategy="raster-sequential", output="pandas")


def main() -> None:
    """Build the city, time the three ways, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--polygons", type=int, default=447_000)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=4_000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.tif"
        make_labels(path, options.side, rng)
        polygons = make_footprints(options.polygons, options.side, rng)
        start = time.perf_counter()
        class_table = class_counts(Layer.open(path), polygons, NUM_CLASSES)
        ours = (time.perf_counter() - start) / len(polygons)
        sample = rng.choice(len(polygons), min(options.sample, len(polygons)), replace=False)
        inside = sample[class_table.pixels[sample] > 0]
        start = time.perf_counter()
        counts = by_mask(path, polygons[inside])
        mask = (time.perf_counter() - start) / len(inside)
        # Raster-sequential shares block reads between neighbours: a spatially whole sample is the fair one.
        centre = shapely.get_coordinates(shapely.centroid(polygons))
        corner = options.side * GSD_M * np.sqrt(10 * options.sample / options.polygons)
        whole = (centre[:, 0] < 500_000 + corner) & (centre[:, 1] > 4_100_000 - corner)
        start = time.perf_counter()
        by_exactextract(path, polygons[whole])
        exact = (time.perf_counter() - start) / whole.sum()
    identical = np.array_equal(counts, class_table.counts[inside])
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"zonal engine    {1 / ours:12,.0f} polygons/s   all {len(polygons):,} in {ours * len(polygons):.2f} s")
    print(f"rasterio.mask   {1 / mask:12,.0f} polygons/s   on {len(inside):,}   ratio {mask / ours:.1f}x")
    print(f"exactextract    {1 / exact:12,.0f} polygons/s   on {whole.sum():,}   ratio {exact / ours:.1f}x")
    print(f"counts identical to rasterio.mask: {identical}   peak memory of the whole run {peak_mib:,.0f} MiB")


if __name__ == "__main__":
    main()
