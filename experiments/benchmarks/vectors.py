"""Speed of what lies between pixels and outlines, each beside the plain ways.

Run: python experiments/benchmarks/vectors.py zonal|osm|outlines [options, see --help of each]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.features
import rasterio.mask
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.osm import OsmRules, rasterize_osm
from deepnets4eo.polygons import polygonize
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.zonal import class_counts

NUM_CLASSES = 5
GSD_M_ZONAL = 0.5


def make_labels(path: Path, side: int, rng: np.random.Generator) -> None:
    """A damage-like label raster: patches of one class with speckle, so that it compresses as a prediction does."""
    grid = GeoBox((side, side), Affine(GSD_M_ZONAL, 0, 500_000, 0, -GSD_M_ZONAL, 4_100_000), "EPSG:32615")
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
        [500_000 + rng.uniform(0, side * GSD_M_ZONAL, count), 4_100_000 - rng.uniform(0, side * GSD_M_ZONAL, count)]
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


def zonal(words: list[str]) -> None:
    """Zonal engine against a rasterio.mask loop and exactextract, on one made-up city; every ratio from one run.

    Run: python experiments/benchmarks/vectors.py zonal [--polygons 447000 --side 20000 --sample 4000]
    The plain ways are timed on a sample of the polygons and compared per polygon; counts of the sample must be identical.
    """
    parser = argparse.ArgumentParser(
        "vectors.py zonal", description=zonal.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--polygons", type=int, default=447_000)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=4_000)
    options = parser.parse_args(words)
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
        corner = options.side * GSD_M_ZONAL * np.sqrt(10 * options.sample / options.polygons)
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


CRS = "EPSG:32633"
GSD_M_OSM = 0.5
HIGHWAYS = ("primary", "residential", "service", "footway")


def made_up_features(side: int, count: int, seed: int = 0) -> dict[str, gpd.GeoDataFrame]:
    """Four tables: 70 % buildings of 8 corners, 20 % roads of 6 points, 8 % woods and 2 % ponds."""
    import geopandas as gpd

    rng = np.random.default_rng(seed)
    extent_m = side * GSD_M_OSM
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
    grid = Grid((side, side), Affine(GSD_M_OSM, 0, 0, 0, -GSD_M_OSM, side * GSD_M_OSM), CRS)
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


def osm(words: list[str]) -> None:
    """Half a million OpenStreetMap features onto 20,000² pixels: time and memory beside rasterio drawing all at once.

    Run: python experiments/benchmarks/vectors.py osm [--side 20000 --features 500000 --encoding binary]
    Buildings, roads, woods and ponds are drawn by chance; both ways start from the same tables in memory and end with the
    same compressed file. rasterio's way buffers the lines, draws each class into one array of the whole raster and writes
    it; pixels of both are compared. Memory is the process's peak above what it held before, each way in its own process.
    """
    parser = argparse.ArgumentParser(
        "vectors.py osm", description=osm.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=500_000)
    parser.add_argument("--encoding", choices=("binary", "distance"), default="binary")
    arguments = parser.parse_args(words)
    print(f"{arguments.features} features onto {arguments.side}² pixels of {GSD_M_OSM} m, {arguments.encoding}")
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "ours.tif", Path(folder) / "plain.tif"
        seconds = run(ours, arguments, paths[0])
        if arguments.encoding == "binary":  # rasterio has no distances to compare with
            ratio = run(plain, arguments, paths[1]) / seconds
            print(f"ratio of speed: {ratio:.2f}; {agreement(*paths):.6%} of values are the same")


SALT = 0.05  # share of pixels with a class of their own: some 40,000 regions a million pixels


def noisy_cover(side_px: int, patch_px: int = 40) -> np.ndarray:
    """Patches of six classes with salt noise."""
    random = np.random.default_rng(0)
    cover = np.kron(random.integers(0, 6, (side_px // patch_px,) * 2), np.ones((patch_px,) * 2, int)).astype(np.uint8)
    salt = random.random(cover.shape) < SALT
    cover[salt] = random.integers(0, 6, np.count_nonzero(salt))
    return cover


def processor_s(work: Callable[[], object]) -> float:
    """Processor time of a run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def outlines(words: list[str]) -> None:
    """How fast label rasters become polygons: `polygonize` against `rasterio.features.shapes`, in the same run.

    Prints the processor time of both on noisy land cover of several sizes, and their ratio. `shapes` leaves dictionaries of
    coordinates in pixels; `polygonize` valid polygons on the ground with areas, in a table.
    """
    parser = argparse.ArgumentParser(
        "vectors.py outlines", description=outlines.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[1000, 4000], help="sides of the rasters in px")
    options = parser.parse_args(words)
    polygonize(Layer.open(noisy_cover(80)))  # loads what it needs
    for side in options.sides:
        cover = noisy_cover(side)
        plain = processor_s(lambda: list(rasterio.features.shapes(cover, connectivity=4)))  # noqa: B023
        ours = processor_s(lambda: polygonize(Layer.open(cover)))  # noqa: B023
        print(f"{side} px: shapes {plain:.2f} s, polygonize {ours:.2f} s, ratio {ours / plain:.2f}")


PARTS = {"zonal": zonal, "osm": osm, "outlines": outlines}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"Name what is measured: {', '.join(PARTS)}.")
    PARTS[sys.argv[1]](sys.argv[2:])
