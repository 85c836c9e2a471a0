"""Speed of what lies between pixels and outlines, each beside the plain ways.

Run: python experiments/benchmarks/vectors.py zonal|osm|outlines [options, see --help of each]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import rasterio.features
import rasterio.mask
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

sys.path.insert(0, str(Path(__file__).parents[1]))
from script import add_json, store_part, time_of

from deepnets4eo.grid import Grid, Window, blocks
from deepnets4eo.osm import OsmRules, rasterize_osm
from deepnets4eo.polygons import polygonize
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.system import peak_bytes
from deepnets4eo.zonal import class_counts

NUM_CLASSES = 5
GSD_M_ZONAL = 0.5


def apart(measure: Callable[..., tuple[float, float]], *arguments: object) -> tuple[float, float]:
    """Return what a function measures in a process of its own: processor seconds and megabytes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, arguments)


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
    The plain ways are timed on a sample of the polygons and compared per polygon, in processor seconds; counts of the sample must be
    identical.
    """
    parser = argparse.ArgumentParser(
        "vectors.py zonal", description=zonal.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--polygons", type=int, default=447_000)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=4_000)
    add_json(parser)
    options = parser.parse_args(words)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.tif"
        make_labels(path, options.side, rng)
        polygons = make_footprints(options.polygons, options.side, rng)
        class_table, ours_s = time_of(lambda: class_counts(Layer.open(path), polygons, NUM_CLASSES))
        ours = ours_s / len(polygons)
        sample = rng.choice(len(polygons), min(options.sample, len(polygons)), replace=False)
        inside = sample[class_table.pixels[sample] > 0]
        counts, mask_s = time_of(lambda: by_mask(path, polygons[inside]))
        mask = mask_s / len(inside)
        # Raster-sequential shares block reads between neighbours: a spatially whole sample is the fair one.
        centre = shapely.get_coordinates(shapely.centroid(polygons))
        corner = options.side * GSD_M_ZONAL * np.sqrt(10 * options.sample / options.polygons)
        whole = (centre[:, 0] < 500_000 + corner) & (centre[:, 1] > 4_100_000 - corner)
        exact = time_of(lambda: by_exactextract(path, polygons[whole]))[1] / whole.sum()
    identical = np.array_equal(counts, class_table.counts[inside])
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"zonal engine    {1 / ours:12,.0f} polygons/s   all {len(polygons):,} in {ours_s:.2f} processor s")
    print(f"rasterio.mask   {1 / mask:12,.0f} polygons/s   on {len(inside):,}   ratio {mask / ours:.1f}x")
    print(f"exactextract    {1 / exact:12,.0f} polygons/s   on {whole.sum():,}   ratio {exact / ours:.1f}x")
    print(f"counts identical to rasterio.mask: {identical}   peak memory of the whole run {peak_mib:,.0f} MiB")
    store_part(
        options.json, "zonal", synthetic=True, polygons=len(polygons), side_px=options.side, ours_s=ours_s,
        mask_ratio=mask / ours, exactextract_ratio=exact / ours, identical=identical,
    )  # fmt: skip


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


def measure(way: Callable[..., None], side: int, count: int, out: Path, encoding: str) -> tuple[float, float]:
    """Return the processor seconds of a way, and its peak memory in MB above what the process held with the tables."""
    tables = made_up_features(side, count)
    grid = Grid((side, side), Affine(GSD_M_OSM, 0, 0, 0, -GSD_M_OSM, side * GSD_M_OSM), CRS)
    before = peak_bytes()
    seconds = time_of(lambda: way(tables, grid, out, encoding))[1]
    return seconds, (peak_bytes() - before) / 1e6


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
    add_json(parser)
    arguments = parser.parse_args(words)
    print(f"{arguments.features} features onto {arguments.side}² pixels of {GSD_M_OSM} m, {arguments.encoding}")
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "ours.tif", Path(folder) / "plain.tif"
        made = arguments.side, arguments.features
        seconds, megabytes = apart(measure, ours, *made, paths[0], arguments.encoding)
        print(f"ours: {seconds:.1f} processor s, peak {megabytes:.0f} MB more", flush=True)
        if arguments.encoding == "distance":  # rasterio has none to compare with
            return
        plain_s, plain_mb = apart(measure, plain, *made, paths[1], arguments.encoding)
        same = agreement(*paths)
    print(f"plain: {plain_s:.1f} processor s, peak {plain_mb:.0f} MB more")
    print(f"ratio of speed: {plain_s / seconds:.2f}; {same:.6%} of values are the same")
    store_part(
        arguments.json, "osm", synthetic=True, features=arguments.features, side_px=arguments.side, ours_s=seconds,
        ratio=plain_s / seconds, ours_mb=megabytes, plain_mb=plain_mb, same_values=same,
    )  # fmt: skip


SALT = 0.05  # share of pixels with a class of their own: some 40,000 regions a million pixels


def noisy_cover(side_px: int, patch_px: int = 40) -> np.ndarray:
    """Patches of six classes with salt noise."""
    random = np.random.default_rng(0)
    cover = np.kron(random.integers(0, 6, (side_px // patch_px,) * 2), np.ones((patch_px,) * 2, int)).astype(np.uint8)
    salt = random.random(cover.shape) < SALT
    cover[salt] = random.integers(0, 6, np.count_nonzero(salt))
    return cover


def by_shapes(path: Path) -> list[Any]:
    """The plain way: coordinates of all regions in pixels."""
    with rasterio.open(path) as raster:
        return list(rasterio.features.shapes(raster.read(1), connectivity=4))


def by_polygonize(path: Path) -> gpd.GeoDataFrame:
    """The toolbox's way."""
    return polygonize(Layer.open(path))


def trace(way: Callable[[Path], object], path: Path) -> tuple[float, float]:
    """Return the processor seconds that a way took for its polygons, and the peak memory of the process in MB."""
    polygonize(Layer.open(noisy_cover(80)))  # loads what it needs
    return time_of(lambda: way(path))[1], peak_bytes() / 1e6


def outlines(words: list[str]) -> None:
    """How fast label rasters become polygons: `polygonize` against `rasterio.features.shapes`, from the same GeoTIFF.

    Run: python experiments/benchmarks/vectors.py outlines [--sides 1000 4000 8000]
    Prints the processor time and the peak memory of both on noisy land cover, each in a process of its own, and how many times as fast
    `polygonize` is. `shapes` leaves dictionaries of coordinates in pixels; `polygonize` valid polygons on the ground with areas, in a table.
    """
    parser = argparse.ArgumentParser(
        "vectors.py outlines", description=outlines.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[1000, 4000, 8000], help="sides of the rasters in px")
    add_json(parser)
    options = parser.parse_args(words)
    figures = {}
    for side in options.sides:
        with tempfile.TemporaryDirectory() as folder:
            grid = GeoBox((side, side), Affine(10, 0, 500_000, 0, -10, 4_100_000), "EPSG:32615")
            path = Path(folder) / "cover.tif"
            with CogWriter(path, grid, count=1, dtype="uint8") as writer:
                writer.write(Window(0, 0, side, side), noisy_cover(side)[None])
            (plain_s, plain_mb), (ours_s, ours_mb) = apart(trace, by_shapes, path), apart(trace, by_polygonize, path)
        print(
            f"{side} px: shapes {plain_s:.2f} s, {plain_mb:.0f} MB; polygonize {ours_s:.2f} s, {ours_mb:.0f} MB; "
            f"ratio of speed {plain_s / ours_s:.2f}",
            flush=True,
        )
        figures[f"{side}"] = {
            "ours_s": round(ours_s, 3), "ratio": round(plain_s / ours_s, 4), "ours_mb": round(ours_mb), "plain_mb": round(plain_mb),
        }  # fmt: skip
    store_part(options.json, "outlines", synthetic=True, sides_px=figures)


PARTS = {"zonal": zonal, "osm": osm, "outlines": outlines}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"Name what is measured: {', '.join(PARTS)}.")
    PARTS[sys.argv[1]](sys.argv[2:])
