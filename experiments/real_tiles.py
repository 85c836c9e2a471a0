"""Small benchmark scenes from the folder of real labelled samples: layers as GeoTIFF, cut in two for a fair test.

Each tile is cut across, where more classes lie on both sides, into two halves with 32 px between them that
are not used; each half trains in one fold and is tested on in the other. Absent samples are skipped with a warning, as are
clouds of points without the extra `points`.
Heights above ground are computed from the surface of the whole tile, without the labels.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from score_table import BenchmarkScenes, Row, contact_sheet, run_possible, write_table
from script import Folds, require_files

from deepnets4eo.cards import VOID, Legend, LegendClass, PublishedScores
from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.files import read_json
from deepnets4eo.grid import Grid, Window, apply_affine, crop, gsd_m
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.terrain import ndsm

EXPERT = "expert-rules"
SPLIT = ("data.block_px=32", "data.buffer_px=0", "data.num_workers=0")  # nothing is chosen on the validation part
HALF_METRE = ("vegas", "ign", "loveda", "delft")  # superpixels and patches of fewer pixels show as much ground
SITES = ("model.stride_px=8",)  # of patches that do not cover half of the tile, as those of 64 px would
FITTED: dict[str, tuple[str, ...]] = {
    "hog-svm": ("model.stride_px=4", "post=[{majority: {radius_px: 6}}]"),
    "hog32-svm": ("model.stride_px=4", "post=[{majority: {radius_px: 6}}]"),
    "deep-svm": (*SITES, "model.max_samples=3000", "estimator.search_samples=1000"),
    "patch-cnn": ("data.windows_per_epoch=96", "train.epochs=8", "predict.tile_px=208"),
    "som": ("model.max_samples=20000",),
    "dtmm": ("parts={max_windows: 16}",),
    "deformable-parts": ("parts={parts: 4, max_windows: 16}",),
}
COARSE = {"loveda": "model.stride_px=16"}  # tiles that are large enough for it
FINER = ("rgb-svm", "rgbd-svm", "rgbdi-svm", "hsv-svm", "hsvdgr-svm")  # on superpixels
TREE = {"class": "tree", "ndvi": {"above": 0.1}, "ndsm": {"above": 2}}
PLANTS = {"class": "low_vegetation", "ndvi": {"above": 0.1}}
BUILDING = {"class": "building", "ndsm": {"above": 2.5}}
RULES: dict[
    str, tuple[str, dict[str, Any]]
] = {  # tile → layers, rules as in rules-ndsm.yaml; Las Vegas' stretched bytes have no NDVI
    "ign": ("[image, nir, ndsm]", {"rules": [TREE, PLANTS, BUILDING], "otherwise": "ground"}),
    "delft": ("[ndsm]", {"rules": [BUILDING], "otherwise": "road"}),
}
ALSO: dict[str, tuple[Row, ...]] = {  # what a tile without colours allows
    "delft": (
        Row("dI/SVM", "baselines/rgbdi-svm", ("model.layers=[dsm, intensity]",)),
        Row("nDSM+I/SVM", "baselines/rgbdi-svm", ("model.layers=[ndsm, intensity]",)),
        Row(
            "nDSM+I forest",
            "baselines/random-forest",
            ("model.layers=[ndsm, intensity]", "model.features=[pixels, neighbourhood]", "model.max_samples=20000"),
        ),
    ),
}

NO_CLASS = 0

log = logging.getLogger(__name__)

GAP_PX = 32
SEEN_PX = 50  # a class counts for a half from this number of pixels on
REACH_PX = 3  # a pixel without point takes the class of one within this distance
RGB, IRRG = ("red", "green", "blue"), ("near infrared", "red", "green")

Array = NDArray[Any]


@dataclass(frozen=True)
class RealTile:
    """One labelled tile: its legend, its grid, and its layers, name → (bands (C, H, W), names of the bands)."""

    legend: Legend
    grid: Grid
    labels: Array
    layers: Mapping[str, tuple[Array, tuple[str, ...]]]


def tile_folds(
    data_root: str | Path, out: str | Path, names: Sequence[str] | None = None
) -> dict[str, tuple[Legend, Folds]]:
    """Tile → its legend and two folds, the halves swapped; files are written under `out/<tile>` once.

    names : tiles to use, all by default. Errors: InputError where no folder of them is there.
    """
    require_files(Path(data_root), *(READERS[name][0] if name in READERS else name for name in names or READERS))
    folds = {}
    for name, (folder, read) in READERS.items():
        if names and name not in names:
            continue
        if not (Path(data_root) / folder).is_dir():
            log.warning("%s is skipped: there is no folder %s in %s", name, folder, data_root)
            continue
        try:
            tile = read(Path(data_root) / folder)
        except MissingExtraError as error:
            log.warning("%s is skipped: %s", name, error)
            continue
        folds[name] = (tile.legend, folds_of_tile(tile, name, Path(out)))
    return folds


def folds_of_tile(tile: RealTile, name: str, out: Path) -> Folds:
    """Return the two folds of one tile, the halves swapped; files are written under `out/<name>` once."""
    first, second = (
        {f"{name}-{side}": _write_part(tile, window, out / name / side)} for side, window in halves(tile).items()
    )
    return BenchmarkScenes(first, second), BenchmarkScenes(second, first)


def folds_of_quarters(tile: RealTile, name: str, out: Path) -> Folds:
    """Return the two folds of one tile, each of two quarters that touch at a corner; `GAP_PX` between quarters are not used."""
    height, width = ((side - GAP_PX) // 2 for side in tile.labels.shape)
    rows, cols = {"upper": 0, "lower": height + GAP_PX}, {"left": 0, "right": width + GAP_PX}

    def diagonal(*corners: tuple[str, str]) -> dict[str, dict[str, str]]:
        windows = {f"{row}-{col}": Window(rows[row], cols[col], height, width) for row, col in corners}
        return {f"{name}-{at}": _write_part(tile, window, out / name / at) for at, window in windows.items()}

    first = diagonal(("upper", "left"), ("lower", "right"))
    second = diagonal(("upper", "right"), ("lower", "left"))
    return BenchmarkScenes(first, second), BenchmarkScenes(second, first)


def halves(tile: RealTile) -> dict[str, Window]:
    """Two windows with `GAP_PX` between them: left and right, or upper and lower where those share more classes."""
    height, width = tile.labels.shape
    left, top = (width - GAP_PX) // 2, (height - GAP_PX) // 2
    cuts = [
        {"left": Window(0, 0, height, left), "right": Window(0, left + GAP_PX, height, width - left - GAP_PX)},
        {"upper": Window(0, 0, top, width), "lower": Window(top + GAP_PX, 0, height - top - GAP_PX, width)},
    ]

    def shared_classes(cut: dict[str, Window]) -> int:
        counts = [np.bincount(tile.labels[window.slices].ravel(), minlength=256)[:VOID] for window in cut.values()]
        return int((np.min(counts, axis=0) >= SEEN_PX).sum())

    return max(cuts, key=shared_classes)


def vaihingen(folder: Path) -> RealTile:
    """A crop of area 1: infrared, red, green at 9 cm; labels without object borders, as published."""
    return _isprs(folder, IRRG)


def potsdam(folder: Path) -> RealTile:
    """A crop of tile 2_10: red, green, blue at 5 cm; labels without object borders, as published."""
    return _isprs(folder, RGB)


def loveda(folder: Path) -> RealTile:
    """A rural tile: red, green, blue at 30 cm (CC BY-NC-SA: no weights of it may be published for commercial use)."""
    legend = Legend.load("loveda")
    image, labels = _png(folder, "img_dir"), _png(folder, "ann_dir")[0]
    known = np.where(np.isin(labels, legend.values), labels, VOID).astype(np.uint8)
    return RealTile(legend, pixel_grid(known), known, {"image": (image, RGB)})


def vegas(folder: Path) -> RealTile:
    """WorldView-3 over Las Vegas, 30 cm: red, green, blue, and the first infrared band instead of an intensity."""
    layer = Layer.open(folder / "tiff_8channel_uint8.tif")
    bands, _ = layer.read()
    labels = _read_png(folder / "mask_tiff_3channel_uint8.png")[0].astype(np.uint8)
    layers = {"image": (bands[[4, 2, 1]], RGB), "intensity": (bands[6:7], ("near infrared",))}
    return RealTile(_legend("vegas", VEGAS), layer.grid, labels, layers)


def ign(folder: Path) -> RealTile:
    """IGN LiDAR HD and orthophoto, 50 m at 20 cm: colours, infrared, heights, intensity; labels are the points' classes."""
    image, irc = (Layer.open(folder / f"test_data_{name}.tif") for name in ("rgb", "irc"))
    grid = Grid(image.shape, image.grid.affine, "EPSG:2154")  # the file's own lacks a code
    colours, infrared = (_without_nodata(layer) for layer in (image, irc))
    points = grid_points([folder / "test_data_77055_627760_LA93_IGN69.laz"], grid)
    kinds = fill_classes(points.highest_class, REACH_PX)
    labels = np.full(grid.shape, VOID, np.uint8)
    for value, classes in enumerate(((2,), (3, 4), (5,), (6,))):
        labels[np.isin(kinds, classes)] = value
    layers = {"image": (colours, RGB), "nir": (infrared[:1], ("near infrared",)), **_from_points(points, grid)}
    return RealTile(_legend("ign", IGN), grid, labels, layers)


def delft(folder: Path) -> RealTile:
    """AHN3 over Delft at 50 cm: heights and intensity, no colours; labels are the polygons of the national map BGT."""
    import geopandas as gpd

    grid = Grid((456, 528), Affine(0.5, 0, 84808, 0, -0.5, 447641), "EPSG:28992")
    points = grid_points(sorted(folder.glob("*.laz")), grid)
    labels = np.full(grid.shape, VOID, np.uint8)
    for value, names in enumerate(DELFT_LAYERS):
        for name in names:
            frame = gpd.read_file(folder / f"bgt_{name}.sqlite")
            now = frame[frame["terminationdate"].isna() & (frame["relatievehoogteligging"].astype(int) == 0)]
            if len(now):
                shapes = [(geometry, value) for geometry in now.geometry]
                rasterize(shapes, out=labels, transform=grid.affine)
    return RealTile(_legend("delft", DELFT), grid, labels, _from_points(points, grid))


def _isprs(folder: Path, bands: tuple[str, ...]) -> RealTile:
    legend, stored = Legend.load("isprs"), Legend.load("isprs-mmseg")
    labels = stored.remap_to(legend)[_png(folder, "ann_dir")[0]]
    return RealTile(legend, pixel_grid(labels), labels, {"image": (_png(folder, "img_dir"), bands)})


def _from_points(points: Any, grid: Grid) -> dict[str, tuple[Array, tuple[str, ...]]]:
    """Layers of heights, heights above the ground that these contain, and intensity on eight bits."""
    dsm = fill_nearest(points.height)
    side_m = sum(gsd_m(grid)) / 2
    intensity = fill_nearest(points.intensity)
    low, high = np.nanpercentile(intensity, (1, 99))
    grey = (np.clip((intensity - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)
    above = ndsm(dsm, gsd_m=side_m)
    return {"dsm": (dsm[None], ("dsm",)), "ndsm": (above[None], ("ndsm",)), "intensity": (grey[None], ("intensity",))}


def _write_part(tile: RealTile, window: Window, folder: Path) -> dict[str, str]:
    """Paths by layer of one part of a tile; files that exist are not written again."""
    grid, slices = crop(tile.grid, window), window.slices
    paths = {}
    for name, (data, bands) in {**tile.layers, Scene.label_layer: (tile.labels[None], ("labels",))}.items():
        path = folder / f"{name}.tif"
        paths[name] = str(path)
        if path.exists():
            continue
        legend = tile.legend if name == Scene.label_layer else None
        nodata = VOID if name == Scene.label_layer else None
        with CogWriter(
            path, grid, count=len(data), dtype=str(data.dtype), nodata=nodata, legend=legend, band_names=bands
        ) as cog:
            cog.write(Window(0, 0, window.height, window.width), data[:, slices[0], slices[1]])
    return paths


def _without_nodata(layer: Layer) -> Array:
    """All bands as they are: the file calls its white pixels no data."""
    import rasterio

    with rasterio.open(layer.source) as dataset:
        return np.asarray(dataset.read())


def _png(folder: Path, kind: str) -> Array:
    return _read_png(next(iter(sorted((folder / kind).glob("*.png")))))


def _read_png(path: Path) -> Array:
    """(C, H, W) as stored."""
    from PIL import Image

    data = np.asarray(Image.open(path))
    return data[None] if data.ndim == 2 else np.ascontiguousarray(np.moveaxis(data, -1, 0))


def pixel_grid(labels: Array) -> Grid:
    """A grid of pixels, for tiles without georeference."""
    height, width = labels.shape
    return Grid((height, width), Affine(1, 0, 0, 0, -1, height), None)


def _legend(name: str, classes: Mapping[str, tuple[int, int, int]]) -> Legend:
    return Legend(name, tuple(LegendClass(value, one, color) for value, (one, color) in enumerate(classes.items())))


# what a reader of scores needs to know of the labels
ABOUT = {
    "vaihingen": "one crop of area 1, 512 px; reference without object borders (eroded), as it comes",
    "potsdam": "one crop of tile 2_10, 512 px; reference without object borders (eroded), as it comes",
    "loveda": "one rural tile, 1024 px; licence: not commercial",
    "vegas": "drawn by hand; the intensity is the first near infrared band",
    "ign": "classes of the highest LiDAR point of each pixel: heights and labels come from the same points",
    "delft": "polygons of the map BGT, of another date than the points; outside them void",
}
VEGAS = {"background": (200, 190, 170), "building": (220, 70, 50), "road": (90, 90, 100), "tree": (40, 140, 60)}
IGN = {"ground": (190, 160, 120), "low_vegetation": (170, 220, 110), "tree": (30, 130, 50), "building": (220, 70, 50)}
DELFT = {"plants": (110, 190, 80), "bare": (200, 180, 150), "road": (90, 90, 100), "water": (0, 110, 190),
         "building": (220, 70, 50)}  # fmt: skip
DELFT_LAYERS = (
    ("begroeidterreindeel",),
    ("onbegroeidterreindeel",),
    ("wegdeel",),
    ("waterdeel",),
    ("pand", "overigbouwwerk"),
)

READERS: dict[str, tuple[str, Callable[[Path], RealTile]]] = {
    "vaihingen": ("isprs_vaihingen_crop", vaihingen),
    "potsdam": ("isprs_potsdam_crop", potsdam),
    "loveda": ("loveda", loveda),
    "vegas": ("wv3_vegas", vegas),
    "ign": ("ign_lidar_hd", ign),
    "delft": ("ahn3_delft", delft),
}


@dataclass(frozen=True)
class PointRasters:
    """Rasters (H, W) of the highest point of each pixel.

    height : float32 metres, NaN without point. intensity : float32, mean over the pixel's points, NaN without.
    highest_class : uint8 ASPRS class, 0 without point.
    """

    height: NDArray[np.float32]
    intensity: NDArray[np.float32]
    highest_class: NDArray[np.uint8]


def grid_points(paths: Sequence[Path], grid: Grid) -> PointRasters:
    """The points of all files on the pixels of a grid. Memory: 40 bytes a point. Errors: InputError."""
    x, y, z, intensity, kind = _points(paths)
    cols, rows = apply_affine(~grid.affine, np.column_stack([x, y])).T
    inside = (rows >= 0) & (rows < grid.shape[0]) & (cols >= 0) & (cols < grid.shape[1])
    if not inside.any():
        raise InputError(
            f"no point of {', '.join(path.name for path in paths)} is on the grid {grid.extent.boundingbox}. "
            "Check the files and their CRS."
        )
    pixels = (rows[inside].astype(np.int64) * grid.shape[1]) + cols[inside].astype(np.int64)
    order = np.lexsort((z[inside], pixels))
    sorted_pixels = pixels[order]
    last = np.flatnonzero(np.append(np.diff(sorted_pixels) > 0, True))  # the highest of each pixel
    at = sorted_pixels[last]
    size = grid.shape[0] * grid.shape[1]
    height, classes = np.full(size, np.nan, np.float32), np.full(size, NO_CLASS, np.uint8)
    height[at] = z[inside][order][last]
    classes[at] = kind[inside][order][last]
    counts = np.bincount(pixels, minlength=size)
    sums = np.bincount(pixels, weights=intensity[inside], minlength=size)
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(np.float32)
    return PointRasters(height.reshape(grid.shape), mean.reshape(grid.shape), classes.reshape(grid.shape))


def fill_nearest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same raster (H, W) with the value of the nearest known pixel where it was NaN."""
    from scipy.ndimage import distance_transform_edt

    unknown = ~np.isfinite(values)
    if not unknown.any():
        return values
    rows, cols = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(values[rows, cols], np.float32)


def fill_classes(classes: NDArray[np.uint8], reach_px: float) -> NDArray[np.uint8]:
    """The same classes (H, W) with that of the nearest known pixel, at most `reach_px` away, where it was 0."""
    from scipy.ndimage import distance_transform_edt

    away, (rows, cols) = distance_transform_edt(classes == NO_CLASS, return_indices=True)
    return np.asarray(np.where(away <= reach_px, classes[rows, cols], NO_CLASS), np.uint8)


def _points(paths: Sequence[Path]) -> tuple[NDArray[Any], ...]:
    """x, y, z, intensity and class of all points of all files."""
    with name_missing_extra():
        import laspy

    columns = []
    for path in paths:
        cloud = laspy.read(path)
        columns.append([np.asarray(cloud[name]) for name in ("x", "y", "z", "intensity", "classification")])
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))


@dataclass(frozen=True)
class TableOf:
    """Title, classes and published scores of a table."""

    title: str
    published: Mapping[str, PublishedScores]
    notes: Mapping[str, Any]
    classes: tuple[str, ...] = ()


def tile_rows(tile: str, table: Sequence[Row]) -> list[Row]:
    """The rows of a table as a tile of this name gets them."""
    return [_fit_row_to_tile(tile, row) for row in (*table, *ALSO.get(tile, ()))]


def tile_table(tile: str, legend: Legend, folds: Folds, rows: Sequence[Row], out: Path, text: TableOf) -> str:
    """Run the rows on both halves of a tile and write its table and maps under `out`; returns the table as Markdown."""
    started = time.perf_counter()
    try:
        outcomes, left_out = run_possible(rows, folds, legend, out)
    except InputError as error:  # no row is possible; other tiles may have some
        return f"## {text.title}\n\n{error}\n"
    notes = {
        "folds": "; ".join(f"trained on {', '.join(fold.train)}, tested on {', '.join(fold.test)}" for fold in folds)
        + "; both scored as one, 32 px between the halves are not used",
        "labels": ABOUT.get(tile, "as given out"),
        "seed": 0,
        **text.notes,
        **{f"{name} is left out": reason for name, reason in left_out.items()},
    }
    both = {name: sources for fold in folds for name, sources in fold.test.items()}
    contact_sheet(outcomes, both, legend, out / "maps.png", title=text.title)
    print(f"{tile}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    classes = text.classes or legend.names
    return write_table(outcomes, classes, text.published, out, title=text.title, notes=notes, rest=True)


def tile_figures(folder: Path) -> dict[str, dict[str, Any]]:
    """Return scores in percent by row of the table that `tile_table` wrote in a folder; F1 also by class, None if it has none."""
    return {
        name: {
            **{one: round(100 * row["scores"][one], 2) for one in ("overall_accuracy", "mean_f1", "mean_iou")},
            "f1": {one: None if value is None else round(100 * value, 2) for one, value in row["scores"]["f1"].items()},
        }
        for name, row in read_json(folder / "table.json")["ours"].items()
    }


def _fit_row_to_tile(tile: str, row: Row) -> Row:
    kind = str(row.recipe).rpartition("/")[2]
    overrides = [*row.overrides, *SPLIT, *FITTED.get(kind, ())]
    if kind in FINER and tile in HALF_METRE:
        overrides.append("superpixels={method: felzenszwalb, area_px: 64}")
    if kind in ("hog-svm", "hog32-svm", "deep-svm") and tile in COARSE:
        overrides.append(COARSE[tile])
    if kind == "som":  # there are no boats: the map of all classes
        return Row("SOM, all classes", row.recipe, tuple(overrides))
    if kind == "patch-cnn" and tile != "ign":
        return Row("RGB trained AlexNet", row.recipe, (*overrides, "model.layers=[image]"))
    if kind == EXPERT and tile in RULES:
        layers, rules = RULES[tile]
        named = {"name": tile, "source": "this toolbox", "ndvi_band": ["nir", "intensity"], **rules}
        overrides = [f"model.layers={layers}", f"model.rules={json.dumps(named)}", *SPLIT]
    return replace(row, overrides=tuple(overrides))
