"""Half a million OpenStreetMap features onto 20,000² pixels: time and memory beside rasterio drawing all at once.

Run: python experiments/benchmarks/osm_rasterisation.py [--side 20000 --features 500000 --encoding binary]
Buildings, roads, woods and ponds are drawn by chance; both ways start from the same tables in memory and end with the
same compressed file. rasterio's way buffers the lines, draws each class into one array of the whole raster and writes
it; pixels of both are compared. Memory is the process's peak above what it held before, each way in its own process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
import rasterio.features
import shapely
from affine import Affine

from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.osm import OsmRules, rasterize_osm
from deepnets4eo.rasters.cog import CogWriter

if TYPE_CHECKING:
    import geopandas as gpd

CRS = "EPSG:32633"
GSD_M = 0.5
HIGHWAYS = ("primary", "residential", "service", "footway")


def made_up_features(side: int, count: int, seed: int = 0) -> dict[str, gpd.GeoDataFrame]:
    """Four tables: 70 % buildings of 8 corners, 20 % roads of 6 points, 8 % woods and 2 % ponds."""
    import geopandas as gpd

    rng = np.random.default_rng(seed)
    extent_m = side * GSD_M
    numbers = {name: int(share * count) for name, share in (("buildings", 0.7), ("vegetation", 0.08), ("water", 0.02))}
    radii = {"buildings": (3, 9), "vegetation": (10, 40), "water": (5, 30)}
    corners = {"buildings": 8, "vegetation": 16, "water": 16}
    tables = {
        name: gpd.GeoDataFrame(geometry=blobs(rng, number, radii[name], corners[name], extent_m), crs=CRS)
        for name, number in numbers.items()
    }
    number = count - sum(numbers.values())
    steps = rng.normal(0, 20, (number, 6, 2)).cumsum(axis=1) + rng.uniform(0, extent_m, (number, 1, 2))
    kinds = rng.choice(HIGHWAYS, number, p=(0.05, 0.35, 0.3, 0.3))
    tables["roads"] = gpd.GeoDataFrame({"highway": kinds}, geometry=shapely.linestrings(steps), crs=CRS)
    return tables


def blobs(
    rng: np.random.Generator, number: int, radius_m: tuple[int, int], corners: int, extent_m: float
) -> np.ndarray:
    """Star-shaped polygons (number,) about points of the extent."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, np.pi, (number, 1))
    radii = rng.uniform(*radius_m, (number, 1)) * rng.uniform(0.7, 1, (number, corners))
    around = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * radii[..., None]
    return shapely.polygons(around + rng.uniform(0, extent_m, (number, 1, 2)))


def ours(tables: dict[str, gpd.GeoDataFrame], grid: Grid, out: Path, encoding: str) -> None:
    """The toolbox's way."""
    rasterize_osm(tables, grid, out, encoding=encoding, coverage="everywhere")


def plain(tables: dict[str, gpd.GeoDataFrame], grid: Grid, out: Path, encoding: str) -> None:
    """rasterio's way: each class at once."""
    rules = OsmRules.load()
    shape = grid.shape[0], grid.shape[1]
    above, bands = np.zeros(shape, bool), {}
    for name in reversed(rules.priority):
        table = tables[name]
        shapes = table.geometry.to_numpy()
        if name == "roads":
            shapes = shapely.buffer(shapes, rules.match(table, name)[name].line_m / 2, quad_segs=4)
        mask = rasterio.features.rasterize(shapes, shape, transform=grid.affine, dtype="uint8").astype(bool)
        bands[name] = np.where(mask & ~above, np.int8(1), np.int8(-1))
        above |= mask
    with CogWriter(out, grid, count=len(bands), dtype="int8", categorical=True) as writer:
        for window in blocks(shape, 1024):
            rows, cols = window.slices
            writer.write(window, np.stack([bands[name][rows, cols] for name in rules.names]))


def measure(
    way: Callable[..., None], side: int, count: int, out: Path, encoding: str, results: multiprocessing.Queue
) -> None:
    """Seconds and peak memory in MB above the tables' own, put into the queue."""
    tables = made_up_features(side, count)
    grid = Grid((side, side), Affine(GSD_M, 0, 0, 0, -GSD_M, side * GSD_M), CRS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, worked = time.perf_counter(), time.process_time()
    way(tables, grid, out, encoding)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    results.put((seconds, cpu, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


def run(way: Callable[..., None], arguments: argparse.Namespace, out: Path) -> float:
    """One way in a process of its own; prints what it took, returns seconds."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    settings = (way, arguments.side, arguments.features, out, arguments.encoding, results)
    process = context.Process(target=measure, args=settings)
    process.start()
    process.join()
    seconds, cpu, megabytes = results.get(timeout=10)
    print(f"{way.__name__:>6}: {seconds:6.1f} s ({cpu:.1f} s of processor), peak {megabytes:6.0f} MB more", flush=True)
    return float(seconds)


def agreement(first: Path, second: Path) -> float:
    """Share of values that are the same."""
    with rasterio.open(first) as a, rasterio.open(second) as b:
        windows = blocks((a.height, a.width), 2048)
        same = sum(int((_read(a, window) == _read(b, window)).sum()) for window in windows)
        return same / (a.count * a.height * a.width)


def _read(file: rasterio.DatasetReader, window: Window) -> np.ndarray:
    return file.read(window=rasterio.windows.Window(window.col, window.row, window.width, window.height))


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=500_000)
    parser.add_argument("--encoding", choices=("binary", "distance"), default="binary")
    arguments = parser.parse_args()
    print(f"{arguments.features} features onto {arguments.side}² pixels of {GSD_M} m, {arguments.encoding}")
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "ours.tif", Path(folder) / "plain.tif"
        seconds = run(ours, arguments, paths[0])
        if arguments.encoding == "binary":  # rasterio has no distances to compare with
            ratio = run(plain, arguments, paths[1]) / seconds
            print(f"ratio of speed: {ratio:.2f}; {agreement(*paths):.6%} of values are the same")


if __name__ == "__main__":
    main()
