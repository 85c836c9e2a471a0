"""Buildings out of one image by a run, and how well they agree with the reference: pixels and objects.

Takes a run that labels pixels and scenes on the working grid; returns counts that add up over the scenes of a site.
Refuses runs that do not read three bands of one layer, or have no class of buildings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas as gpd
import numpy as np
import real_tiles
import shapely
from numpy.typing import NDArray
from PIL import Image

from deepnets4eo.cards import VOID
from deepnets4eo.damage.network.find_buildings import (
    BORDER,
    BUILDING,
    MIN_PROBABILITY,
    join_outlines,
    outline_buildings,
    sure_buildings,
)
from deepnets4eo.device import INT8
from deepnets4eo.errors import InputError
from deepnets4eo.grid import gsd_m
from deepnets4eo.metrics import ConfusionMatrix, DetectionScores, evaluate_detections
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import Run, takes_any_size
from places.working_grid import BuildingScene, SourceImage, in_pixels_of, inside, mask_of

XBD_GSD_M = 0.5  # of the scenes that xBD gives out, about
DESTROYED = 4  # of the masks of xBD


@dataclass(frozen=True)
class BuildingSite:
    """One site: the name of its row, its folder among the samples, what limits the worth of its figures, and what reads its images."""

    name: str
    folder: str
    note: str
    read: Callable[[Path], Iterator[SourceImage]]


def _vegas(folder: Path) -> Iterator[SourceImage]:
    layer = Layer.open(folder / "tiff_3channel_uint8.tif")
    table = gpd.read_file(folder / "tiff_3channel_uint8.geojson")
    outlines = inside(in_pixels_of(table[table["label"] == 1], layer), layer.shape)
    labels = _png(folder / "mask_tiff_3channel_uint8.png")
    yield SourceImage(layer.read()[0], gsd_m(layer.grid), (labels == 1).astype(np.uint8), outlines)


def _kampala(folder: Path) -> Iterator[SourceImage]:
    layer = Layer.open(folder / "block0_image.tif")
    bands, valid = layer.read()
    outlines = inside(in_pixels_of(gpd.read_file(folder / "labels.geojson"), layer), layer.shape)
    mask = np.where(valid, mask_of(outlines, layer.shape), VOID).astype(np.uint8)
    yield SourceImage(bands, gsd_m(layer.grid), mask, outlines)


def _potsdam(folder: Path) -> Iterator[SourceImage]:
    yield _of_tile(real_tiles.potsdam(folder), 0.05)


def _vaihingen(folder: Path) -> Iterator[SourceImage]:
    tile = real_tiles.vaihingen(folder)
    source = _of_tile(tile, 0.09)
    yield SourceImage(natural_colours(source.bands), source.sides_m, source.mask)


def _ign(folder: Path) -> Iterator[SourceImage]:
    yield _of_tile(real_tiles.ign(folder), 0.2)


def _loveda(folder: Path) -> Iterator[SourceImage]:
    yield _of_tile(real_tiles.loveda(folder), 0.3)


def _joplin(folder: Path) -> Iterator[SourceImage]:
    from deepnets4eo.footprints import align_footprints, read_footprints

    layer = Layer.open(folder / "pre")
    footprints = read_footprints(folder / "joplin.geojson")
    alignment = align_footprints(layer, footprints.frame)
    rows_m, cols_m = gsd_m(layer.grid)
    pixels = in_pixels_of(footprints.frame, layer)
    moved = shapely.transform(pixels, lambda xy: xy + (alignment.dx_m / cols_m, alignment.dy_m / rows_m))
    bands, valid = layer.read()
    outlines_px = inside(moved, layer.shape)
    mask = np.where(valid, mask_of(outlines_px, layer.shape), VOID).astype(np.uint8)
    yield SourceImage(bands[:3], (rows_m, cols_m), mask, outlines_px)


def _xbd_midwest(folder: Path) -> Iterator[SourceImage]:
    yield _of_pngs(folder / "pre.png", folder / "mask.png", XBD_GSD_M)


def _xbd_post(folder: Path) -> Iterator[SourceImage]:
    for number in range(4):
        image, mask = folder / f"post_{number}_rgb500.png", folder / f"damage_{number}_500.png"
        source = _of_pngs(image, mask, 2 * XBD_GSD_M)
        source.mask[_png(mask) == DESTROYED] = VOID  # no roof is left to be seen
        yield source


def _la_palma(folder: Path) -> Iterator[SourceImage]:
    layer = Layer.open(folder / "la_palma-volcano_00000279_pre_disaster.tif")
    bands, valid = layer.read()
    labels = Layer.open(folder / "label_id_derived.tif").read()[0][0]
    yield SourceImage(bands, gsd_m(layer.grid), np.where(valid, labels > 0, VOID).astype(np.uint8))


SITES = (
    BuildingSite("wv3_vegas", "wv3_vegas", "hand-drawn mask and outlines", _vegas),
    BuildingSite("fair_kampala", "fair_kampala", "drone image averaged from 7.5 cm; outlines of OpenStreetMap", _kampala),
    BuildingSite("potsdam", "isprs_potsdam_crop", "26 m of ground; borders of objects void", _potsdam),
    BuildingSite(
        "vaihingen", "isprs_vaihingen_crop",
        "46 m of ground; infrared, red, green shown as red, (3 green + infrared) / 4, green; borders void", _vaihingen,
    ),
    BuildingSite("ign", "ign_lidar_hd", "50 m of ground; reference from LiDAR classes", _ign),
    BuildingSite("loveda", "loveda", "rural, 0.3 m", _loveda),
    BuildingSite("joplin", "joplin", "outlines of 2020 on an image of 2011: rebuilt and missing houses are errors", _joplin),
    BuildingSite("xbd_midwest", "xbd_midwest", "image before the flood; small roofs under trees", _xbd_midwest),
    BuildingSite("xbd_post_scenes", "xbd_post_scenes", "four images after the event at about 1 m, interpolated; destroyed ones void", _xbd_post),
    BuildingSite("bright_la_palma", "bright_la_palma", "rural, 0.3 m", _la_palma),
)  # fmt: skip


def natural_colours(bands: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Red, green, blue from near infrared, red, green (3, h, w): what SPOT's images without a blue band are shown as.

    Green is three quarters green and one quarter infrared, so that plants are green; blue is the green band.

    >>> natural_colours(np.array([200, 40, 60], np.uint8)[:, None, None]).ravel().tolist()
    [40, 95, 60]
    """
    infrared, red, green = bands.astype(np.float32)
    return np.stack([red, 0.75 * green + 0.25 * infrared, green]).round().astype(np.uint8)


def _of_tile(tile: real_tiles.RealTile, side_m: float) -> SourceImage:
    """A tile of `real_tiles`: its class building against all others, void where it is void."""
    bands = np.asarray(tile.layers["image"][0], np.uint8)
    mask = np.where(tile.labels == VOID, VOID, tile.labels == tile.legend.value("building")).astype(np.uint8)
    return SourceImage(bands, (side_m, side_m), mask)


def _of_pngs(image: Path, mask: Path, side_m: float) -> SourceImage:
    bands = np.ascontiguousarray(np.moveaxis(_png(image), -1, 0)[:3])
    return SourceImage(bands, (side_m, side_m), (_png(mask) > 0).astype(np.uint8))


def _png(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


WORKING_GSD_M = 0.5
FINEST_M, COARSEST_M = 0.3, 1.0
THRESHOLD = 0.5
PACKED_ONE = 254.0  # a probability of one in the raster of probabilities


@dataclass(frozen=True)
class BuildingMap:
    """What a run says about one scene.

    Parameters
    ----------
    probability
        (H, W) float32 of a building, borders between buildings included, 0–1.
    outlines
        As the damage job traces them, in the grid's CRS.
    network_s
        Seconds within the network.
    """

    probability: NDArray[np.float32]
    outlines: gpd.GeoDataFrame
    network_s: float = 0.0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W), True where a building is likelier than not."""
        return self.probability >= THRESHOLD


@dataclass(frozen=True)
class BuildingScores:
    """Agreement on a site, from counts of all its scenes.

    Parameters
    ----------
    pixels
        Confusion of not building (0) and building (1).
    hits, false_alarms, missed
        Objects at an intersection over union of more than one half.
    """

    pixels: ConfusionMatrix
    hits: int = 0
    false_alarms: int = 0
    missed: int = 0

    def __add__(self, other: BuildingScores) -> BuildingScores:
        """Counts of both."""
        return BuildingScores(
            self.pixels + other.pixels, self.hits + other.hits, self.false_alarms + other.false_alarms,
            self.missed + other.missed,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain values: IoU, precision and recall of pixels; F1, precision and recall of objects."""
        objects = 2 * self.hits + self.false_alarms + self.missed
        called, true = self.hits + self.false_alarms, self.hits + self.missed
        return {
            "iou": float(self.pixels.iou[1]),
            "precision": float(self.pixels.precision[1]),
            "recall": float(self.pixels.recall[1]),
            "object_f1": 2 * self.hits / objects if objects else float("nan"),
            "object_precision": self.hits / called if called else float("nan"),
            "object_recall": self.hits / true if true else float("nan"),
            "objects": true,
        }


def working_gsd_m(run: Run) -> float:
    """Pixel size to bring images to, metres: that of the training, between 0.3 and 1; 0.5 where it is not known."""
    return float(np.clip(run.inputs.gsd_m or WORKING_GSD_M, FINEST_M, COARSEST_M))


def check_reads_colours(run: Run) -> None:
    """Refuse a run that cannot label red, green and blue. Errors: InputError, LabelError without the class building."""
    run.legend.value(BUILDING)
    needed = {name: len(layer.bands) for name, layer in run.inputs.layers.items() if not layer.optional}
    if list(needed.values()) != [3]:
        raise InputError(
            f"{run.folder} takes {needed}, expected one layer of 3 bands: the real images have red, green and blue alone. "
            "Give a run of these."
        )


def find_buildings(
    run: Run, scene: BuildingScene, least: float = MIN_PROBABILITY, *, runtime: str = "auto"
) -> BuildingMap:
    """Label a scene as users do, by windows, and outline the regions that are likelier buildings than not.

    least : the probability as in `sure_buildings`, where the run is the default network for buildings or learnt like it.
    runtime : the same as in `PredictOptions`; "onnx-int8" computes by int8 weights, others compute in float32.
    """
    of_world = takes_any_size(run.recipe)
    layer = next(name for name, one in run.inputs.layers.items() if not one.optional)
    names = run.legend.names
    indices = [names.index(name) for name in (BUILDING, BORDER) if name in names]
    with TemporaryDirectory() as folder:
        probabilities = Path(folder) / "probabilities.tif"
        precision = "auto" if runtime == INT8 else "float32"
        options = PredictOptions(probabilities=probabilities, precision=precision, runtime=runtime)
        image = Layer.open(scene.image, grid=scene.grid)
        prediction = predict(run, Scene({layer: image}), Path(folder) / "labels.tif", options)
        packed, valid = Layer.open(probabilities).read()
        labels = Layer.open(Path(folder) / "labels.tif").read()[0][0]
        known = np.where(scene.reference != VOID, labels, VOID).astype(np.uint8)
        outlines = outline_buildings(Layer.open(known, grid=scene.grid), run.legend)
        if of_world:
            outlines = sure_buildings(outlines, Layer.open(probabilities), run.legend, least)[0]
        if BORDER in names:
            outlines = join_outlines(outlines, scene.grid)
    share = np.where(valid, packed[indices].sum(axis=0, dtype=np.float32) / PACKED_ONE, 0)
    return BuildingMap(share, outlines, prediction.network_s)


def score_buildings(scene: BuildingScene, result: BuildingMap) -> BuildingScores:
    """Pixels and objects of one scene against its reference; void pixels count neither way."""
    pixels = ConfusionMatrix(2).update(scene.reference, result.mask.astype(np.uint8))
    if not len(result.outlines) or not len(scene.objects):
        missed = int((~scene.objects["difficult"].to_numpy(bool)).sum()) if len(scene.objects) else 0
        return BuildingScores(pixels, 0, len(result.outlines), missed)
    matched: DetectionScores = evaluate_detections(result.outlines, scene.objects)
    return BuildingScores(pixels, matched.hits, matched.false_alarms, matched.missed)
