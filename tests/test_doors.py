"""Every guard at every door: a small file for each guard, opened at each entrance of verbs and of Python that takes such a layer.

A cell opens the inputs of a job, and no more. It is refused with the reason, or accepted with what was put right and named. A file
and a door of one kind always have a cell; what is no cell has its reason in `NO_CELL`. A new guard needs a file, a new verb a door.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from geotiff import write_geotiff
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import BaselineRecipe, PixelClassifier
from deepnets4eo.baselines.superpixels.scene import SceneBands
from deepnets4eo.cards import Legend, Quantity
from deepnets4eo.change import ChangeOptions
from deepnets4eo.change.cover_table import compare_covers
from deepnets4eo.change.options import RefineOptions
from deepnets4eo.change.pair import open_pair
from deepnets4eo.change.refinement import refine_raster
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.classification.image_files import open_image
from deepnets4eo.damage.evidences.priors import open_priors
from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.input_checks import check_images
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import evaluate, evaluate_values
from deepnets4eo.evaluation.sampled import page as review_page
from deepnets4eo.evaluation.sampled.classes import ClassMap
from deepnets4eo.evaluation.suspects import find_wrong_labels
from deepnets4eo.floods import FloodOptions
from deepnets4eo.floods.date_images import open_images
from deepnets4eo.floods.ground import open_cover
from deepnets4eo.floods.water_masks import open_new_water, open_water_mask
from deepnets4eo.hyperspectral import Cube
from deepnets4eo.interferometry.complex_image import ComplexImage
from deepnets4eo.objects import extract_objects
from deepnets4eo.osm import rasterize
from deepnets4eo.points.colourise import Orthophoto
from deepnets4eo.polygons import polygonize
from deepnets4eo.prediction import open_scene
from deepnets4eo.rasters import Layer, Scene, open_cloud_mask
from deepnets4eo.registration import ImagePair
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.sharpening.pansharpening import pansharpen_raster
from deepnets4eo.terrain import composite_raster, open_further
from deepnets4eo.training import DataSection, ImageMaskFolders, SceneDataset, open_layers
from deepnets4eo.training.scenes import open_scenes

pytestmark = pytest.mark.core("every guard at every door")

SIDE, GSD = 128, 0.5
LEGEND = Legend.from_dict(
    {
        "name": "three",
        "classes": [
            {"value": 0, "name": "field", "color": [10, 200, 10]},
            {"value": 1, "name": "wood", "color": [0, 90, 0]},
            {"value": 2, "name": "town", "color": [200, 60, 60]},
        ],
    }
)
OTHER = Legend.from_dict(LEGEND.to_dict() | {
    "name": "other",
    "classes": [entry | {"value": 2 - entry["value"]} for entry in LEGEND.to_dict()["classes"]],
})  # fmt: skip
TAGS = {"LEGEND": json.dumps(LEGEND.to_dict())}
NAMES = ("blue", "green", "red", "nir")
COLLAR = np.s_[:, :, :40]


def _smooth(seed: int, count: int, sigma: float = 6.0) -> np.ndarray:
    values = gaussian_filter(np.random.default_rng(seed).normal(size=(count, SIDE, SIDE)), (0, sigma, sigma))
    return (values - values.min()) / np.ptp(values)


CLASSES = _smooth(0, 3).argmax(0).astype(np.uint8)
HEIGHTS = (2 + 7 * _smooth(1, 1)[0]).astype(np.float32)


def _image(seed: int) -> np.ndarray:
    """Four bands of bytes with structure, of the same ground for every seed."""
    ground = 0.6 * _smooth(2, 4, 3.0) + 0.3 * np.stack([CLASSES / 2] * 4)
    noise = np.random.default_rng(seed).normal(0, 0.02, ground.shape)
    return (30 + 200 * np.clip(ground + noise, 0, 1)).astype(np.uint8)


@dataclass
class Opened:
    """Opened inputs: the layer that came through the door, and findings."""

    layer: Layer | None = None
    texts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Folder with the usual files of a site, and a run that learnt from them."""

    folder: Path
    run: PixelClassifier

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def data(self, **layers: object) -> DataSection:
        return DataSection(scenes=({name: str(file) for name, file in layers.items()},))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("doors")

    def write(name: str, values: np.ndarray, names: tuple[str, ...] = (), **profile: Any) -> Path:
        path = write_geotiff(folder / name, values, gsd=GSD, **profile)
        with rasterio.open(path, "r+") as file:
            for band, text in enumerate(names, start=1):
                file.set_band_description(band, text)
        return path

    usual, unplaced = _image(1), {"transform": rasterio.Affine.identity()}
    write("pre.tif", _image(0), NAMES), write("image.tif", usual, NAMES), write("dsm.tif", HEIGHTS, ("height",))
    write("dtm.tif", np.zeros_like(HEIGHTS), ("ground",)), write("labels.tif", CLASSES, tags=TAGS)
    write("mask.tif", (CLASSES == 1).astype(np.uint8)), write("rgb.tif", usual[:3])
    write("scores.tif", _smooth(3, 1)[0].astype(np.float32))
    coarse = usual.reshape(4, SIDE // 4, 4, SIDE // 4, 4).mean(axis=(2, 4)).astype(np.uint8)
    write_geotiff(folder / "coarse.tif", coarse, gsd=4 * GSD)
    write("pan.tif", usual[:1])
    # image files
    write("palette.tif", usual[0])
    with rasterio.open(folder / "palette.tif", "r+") as file:
        file.write_colormap(1, {number: (number, 255 - number, number // 2) for number in range(256)})
    write("unplaced.tif", usual, NAMES, **unplaced)
    collar = _image(5)
    collar[COLLAR] = 0
    write("collar.tif", collar, NAMES)
    write("interpreted.tif", usual[[2, 1, 0, 3]], photometric="RGB")
    height_band = np.concatenate([usual[:3].astype(np.float32), HEIGHTS[None] / 0.3048])
    with rasterio.open(write("height_band.tif", height_band, ("blue", "green", "red", "height")), "r+") as file:
        file.units = ("", "", "", "ft")
    # heights
    with rasterio.open(write("feet.tif", HEIGHTS / 0.3048), "r+") as file:
        file.units = ("ft",)
    write("coordinates_in_feet.tif", HEIGHTS, crs="EPSG:2263")
    write("unplaced_heights.tif", HEIGHTS, **unplaced)
    sentinel = HEIGHTS.copy()
    sentinel[:, :40] = -9999
    write("sentinel.tif", sentinel)
    # labels and masks
    write("unplaced_labels.tif", CLASSES, tags=TAGS, **unplaced)
    write("hidden.tif", CLASSES, nodata=0, tags=TAGS)
    write("other_order.tif", CLASSES, tags={"LEGEND": json.dumps(OTHER.to_dict())})
    write("unplaced_mask.tif", (CLASSES == 1).astype(np.uint8), **unplaced)
    write("zero_is_nodata.tif", (CLASSES == 1).astype(np.uint8), nodata=0)
    write("classes_as_mask.tif", CLASSES + 3 * (CLASSES > 0).astype(np.uint8))
    scene = Scene.open(image=folder / "image.tif", dsm=folder / "dsm.tif", labels=folder / "labels.tif")
    inputs = InputSpec.measure([scene], ["image", "dsm"])
    run = PixelClassifier(LogisticRegression(max_iter=20), inputs, LEGEND).fit([scene], max_pixels=300)
    return Place(folder, run)


# what opens each input --------------------------------------------------------------------------------------------------


def _damage(place: Place, pre: object, post: object, role: str) -> Opened:
    pair = check_images(ImagePair.open(pre, post, as_shown=True))
    return Opened(getattr(pair, role), [finding.whole for finding in pair.findings])


def _flood(place: Place, pre: object, post: object, name: str) -> Opened:
    findings: list[Any] = []
    images = open_images([pre], post, FloodOptions(), findings)
    return Opened(images[name].image, [finding.whole for finding in findings])


def _change(place: Place, pre: object, post: object, name: str) -> Opened:
    pair = open_pair(pre, post, ChangeOptions(assume_registered=True))
    return Opened(pair.scene.layers[name], [finding.whole for finding in pair.findings])


def _register(place: Place, pre: object, post: object, role: str) -> Opened:
    pair = (
        ImagePair.open(pre, post).declare_nodata("pre", hides_collars=False).declare_nodata("post", hides_collars=False)
    )
    return Opened(getattr(pair, role), [finding.whole for finding in pair.findings])


def _series(place: Place, file: object) -> Opened:
    images = [place.path("image.tif"), file]
    series = ImageSeries.open(images, dates=["2020-01-01", "2021-01-01"])
    return Opened(series.layers[1])


def _train(place: Place, file: object, *, layer: str = "image") -> Opened:
    files = {"image": place.path("image.tif"), "labels": place.path("labels.tif"), layer: file}
    scene = open_scenes(place.data(**files), [name for name in files if name != "labels"], LEGEND)[0].scene
    return Opened(scene.layers[layer])


def _train_values(place: Place, file: object) -> Opened:
    data = place.data(image=file, height=place.path("dsm.tif"))
    return Opened(open_layers(data, ["image"], ["height"])[0].scene.layers["image"])


def _masks(place: Place, file: object) -> Opened:
    for name, source in (("images", place.path("image.tif")), ("masks", str(file))):
        (place.folder / name).mkdir(exist_ok=True)
        shutil.copy(source, place.folder / name / "one.tif")
    folders = ImageMaskFolders(place.folder / "images", place.folder / "masks")
    overrides = folders.overrides(BaselineRecipe(), set(), place.folder / "run")
    return Opened(None, overrides)


def _predict(place: Place, file: object, *, layer: str = "image", scene: bool = False) -> Opened:
    files: dict[str, Any] = {"image": place.path("image.tif"), "dsm": place.path("dsm.tif"), layer: file}
    opened = open_scene(Scene.open(**files) if scene else files, place.run)
    return Opened(opened.layers[layer])


def _scene(place: Place, file: object, *, layer: str = "image") -> Scene:
    files: dict[str, Any] = {"image": place.path("image.tif"), "labels": place.path("labels.tif"), layer: file}
    return Scene.open(**files)


def _fit(place: Place, file: object, *, layer: str = "image") -> Opened:
    scene = _scene(place, file, layer=layer)
    inputs = InputSpec.measure([scene], ["image"])
    PixelClassifier(LogisticRegression(max_iter=5), inputs, LEGEND).fit([scene], max_pixels=200)
    return Opened()


def _samples(place: Place, file: object, *, layer: str = "image") -> Opened:
    dataset = SceneDataset([_scene(place, file, layer=layer)], LEGEND, tile_px=SIDE)
    return Opened(dataset.scenes[0].layers[layer])


def _measure(place: Place, file: object) -> Opened:
    InputSpec.measure([Scene.open(image=file)], ["image"])
    return Opened()


def _review_page(place: Place, file: object) -> Opened:
    points = gpd.GeoDataFrame(geometry=[shapely.Point(500_010, 4_999_990)], crs="EPSG:32631")
    return Opened(next(iter(review_page._open_images([file], points).values())))


def _pansharpen(place: Place, image: object, pan: object) -> Opened:
    quality = pansharpen_raster(image, pan, place.folder / "sharp.tif", overwrite=True)
    return Opened(None, [str(finding) for finding in quality.findings])


def _heights(place: Place, file: object, *, slot: str) -> Opened:
    files = {"dsm": place.path("dsm.tif"), "dtm": place.path("dtm.tif"), slot: file}
    out = composite_raster(
        files["dsm"], place.folder / "heights.tif", dtm=files["dtm"], channels=["ndsm"], overwrite=True
    )
    return Opened(Layer.open(out))


def _vegetation(place: Place, file: object) -> Opened:
    out = place.folder / "ndvi.tif"
    composite_raster(place.path("dsm.tif"), out, image=file, channels=["ndvi"], overwrite=True)
    return Opened()


def _osm(place: Place, file: object) -> Opened:
    return Opened(Layer.open(file)) if rasterize._grid_and_tags(file) else Opened()


def _refine(place: Place, scores: object, image: object) -> Opened:
    options = RefineOptions(steps=1)
    refine_raster(
        str(scores), [str(image)], place.folder / "refined.tif", options, device="cpu", workers=1, resume=False,
        overwrite=True, progress=lambda _: None,
    )  # fmt: skip
    return Opened()


def _coherence(place: Place, file: object) -> Opened:
    ComplexImage(file)
    return Opened()


def _grid_of(place: Place) -> Any:
    return Layer.open(place.path("image.tif")).grid


def _evaluate(place: Place, prediction: object, reference: object) -> Opened:
    return Opened(None, evaluate(prediction, reference, LEGEND).notes)


def _values(place: Place, prediction: object, reference: object) -> Opened:
    return Opened(None, evaluate_values([(prediction, reference)], Quantity.from_name("height"))["notes"])


def _suspects(place: Place, labels: object) -> Opened:
    probabilities = write_geotiff(
        place.folder / "probabilities.tif", np.stack([np.where(k == CLASSES, 200, 27) for k in range(3)]).astype(np.uint8),
        gsd=GSD,
    )  # fmt: skip
    with rasterio.open(probabilities, "r+") as file:
        file.descriptions = LEGEND.names
    find_wrong_labels(probabilities, labels, LEGEND)
    return Opened()


def _covers(place: Place, pre: object, post: object) -> Opened:
    compare_covers(pre, post)
    return Opened()


def _change_cover(place: Place, file: object) -> Opened:
    options = ChangeOptions(assume_registered=True, cover_pre=str(file), cover_post=place.path("labels.tif"))
    return Opened(
        None, [finding.whole for finding in open_pair(place.path("pre.tif"), place.path("image.tif"), options).findings]
    )


@dataclass(frozen=True)
class Entrance:
    """An entrance of a verb or of Python. kind : what it reads the layer as; verbs : of the command line that use it."""

    kind: str
    open: Callable[[Place, Any], Opened]
    verbs: tuple[str, ...] = ()


def _door(kind: str, opening: Callable[..., Opened], *verbs: str, **how: Any) -> Entrance:
    return Entrance(kind, lambda place, file: opening(place, file, **how), verbs)


def _pair(kind: str, opening: Callable[..., Opened], *verbs: str, other: str, first: bool, **how: Any) -> Entrance:
    def opened(place: Place, file: Any) -> Opened:
        files = (file, place.path(other)) if first else (place.path(other), file)
        return opening(place, *files, **how)

    return Entrance(kind, opened, verbs)


DOORS: dict[str, Entrance] = {
    "damage, pre": _pair(
        "image", _damage, "damage", "review", "demo", "mcp", other="image.tif", first=True, role="pre"
    ),
    "damage, post": _pair("image", _damage, "damage", other="pre.tif", first=False, role="post"),
    "flood, pre": _pair("image", _flood, "flood", other="image.tif", first=True, name="pre_1"),
    "flood, post": _pair("image", _flood, "flood", other="pre.tif", first=False, name="post"),
    "change, pre": _pair("image", _change, "change", other="image.tif", first=True, name="image_pre"),
    "change, post": _pair("image", _change, "change", other="pre.tif", first=False, name="image_post"),
    "register, pre": _pair("image", _register, "register", other="image.tif", first=True, role="pre"),
    "register, post": _pair("image", _register, "register", other="pre.tif", first=False, role="post"),
    "series": _door("image", _series, "series"),
    "train": _door("image", _train, "train"),
    "train, values": _door("image", _train_values, "train"),
    "predict": _door("image", _predict, "predict", "clicks"),
    "predict, Scene": _door("image", _predict, scene=True),
    "PixelClassifier.fit": _door("image", _fit),
    "SceneDataset": _door("image", _samples),
    "InputSpec.measure": _door("image", _measure),
    "superpixels": _door("image", lambda place, file: Opened(SceneBands.open(Layer.open(file)).scene.layers["image"])),
    "label-points --colour": _door("image", lambda place, file: Opened(Orthophoto(file).layers[0]), "label-points"),
    "label-points --infrared": _door(
        "image", lambda place, file: Opened(Orthophoto(place.path("rgb.tif"), file).layers[1]), "label-points"
    ),
    "whole images": _door("image", lambda place, file: Opened(open_image(Path(file))), "train", "predict"),
    "cube": _door("image", lambda place, file: Opened(Cube.open(file).layer)),
    "review, image": _door("image", _review_page, "review"),
    "pansharpen, image": _pair("image", _pansharpen, "layers pansharpen", other="pan.tif", first=True),
    "pansharpen, pan": _pair("image", _pansharpen, "layers pansharpen", other="coarse.tif", first=False),
    "heights, image": _door("image", _vegetation, "layers heights"),
    "osm, target": _door("image", _osm, "layers osm"),
    "refine, image": _pair("image", _refine, "layers refine", other="scores.tif", first=False),
    "coherence": _door("image", _coherence, "layers coherence"),
    "heights, dsm": _door("heights", _heights, "layers heights", slot="dsm"),
    "heights, dtm": _door("heights", _heights, "layers heights", slot="dtm"),
    "train, dsm": _door("heights", _train, "train", layer="dsm"),
    "predict, dsm": _door("heights", _predict, "predict", "clicks", layer="dsm"),
    "predict, dsm of a Scene": _door("heights", _predict, layer="dsm", scene=True),
    "further rasters": _door(
        "heights", lambda place, file: Opened(open_further(file, "--dsm-pre", "metres")), "damage", "flood", "rubble"
    ),
    "evaluate, values": _pair("heights", _values, "evaluate", other="dsm.tif", first=True),
    "evaluate, true values": _pair("heights", _values, "evaluate", other="dsm.tif", first=False),
    "damage, evidence": _door(
        "scores",
        lambda place, file: Opened(RasterEvidence("x", file).open(Layer.open(place.path("image.tif"))).layer),
        "damage",
    ),
    "damage, prior": _door(
        "scores",
        lambda place, file: Opened(open_priors([f"dpm:share={file}"], Layer.open(place.path("image.tif")))[0].layer),
        "damage",
    ),
    "refine, scores": _pair("scores", _refine, "layers refine", other="image.tif", first=True),
    "train, labels": _door("labels", _train, "train", layer="labels"),
    "train, masks": _door("labels", _masks, "train"),
    "PixelClassifier.fit, labels": _door("labels", _fit, layer="labels"),
    "SceneDataset, labels": _door("labels", _samples, layer="labels"),
    "evaluate, prediction": _pair("labels", _evaluate, "evaluate", "compare", other="labels.tif", first=True),
    "evaluate, reference": _pair("labels", _evaluate, "evaluate", other="labels.tif", first=False),
    "polygons": _door(
        "labels", lambda place, file: Opened(None, [str(polygonize(file, {0: "field"}, legend=LEGEND))]), "polygons"
    ),
    "objects": _door(
        "labels", lambda place, file: Opened(None, [str(extract_objects(file, "field", LEGEND))]), "objects"
    ),
    "suspects": _door("labels", _suspects, "suspects"),
    "review, labels": _door("labels", lambda place, file: Opened(None, [ClassMap.open(file).source]), "review"),
    "covers, before": _pair("labels", _covers, "layers transitions", other="labels.tif", first=True),
    "covers, after": _pair("labels", _covers, "layers transitions", other="labels.tif", first=False),
    "change, cover": _door("labels", _change_cover, "change"),
    "flood, cover": _door("labels", lambda place, file: Opened(open_cover(str(file), _grid_of(place))), "flood"),
    "damage --cloud-mask": _door(
        "mask",
        lambda place, file: Opened(open_cloud_mask(file, Layer.open(place.path("image.tif")), "--cloud-mask")),
        "damage",
        "flood",
        "change",
        "series",
    ),
    "damage --water": _door("mask", lambda place, file: Opened(open_new_water(str(file), _grid_of(place))), "damage"),
    "flood --permanent-water": _door(
        "mask",
        lambda place, file: Opened(open_water_mask(str(file), _grid_of(place), "--permanent-water", ["water"])),
        "flood",
    ),
}
WITHOUT_RASTERS = {
    "find": "catalogues and plans", "models": "lists", "datasets": "lists", "export": "runs", "check": "describes every file, and refuses none",
    "layers footprints": "outlines; the image gives its box", "layers clouds": "needs an extra; its image is assessed in `write_cloud_mask`",
    "layers": "see its parts",
}  # fmt: skip

# files ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A file. kind : what it is read as; guards : of `read_as.kinds` or others; words : of the message; refused : by most doors."""

    kind: str
    file: str
    guards: tuple[str, ...]
    words: tuple[str, ...]
    refused: bool = False
    mended: Callable[[Layer], bool] | None = None
    doors: tuple[str, ...] = ()


READ_ALL_BANDS = (
    "train", "train, values", "PixelClassifier.fit", "SceneDataset", "InputSpec.measure", "superpixels", "cube",
)  # fmt: skip
GIVEN_LEGENDS = ("polygons", "objects", "train, labels", "PixelClassifier.fit, labels", "SceneDataset, labels")
CASES = {
    "colour table": Case("image", "palette.tif", ("check_colour_table",), ("colour table",), refused=True),
    "no position": Case("image", "unplaced.tif", ("check_position",), ("not placed on the ground",), refused=True),
    "collar": Case(
        "image", "collar.tif", ("declare_nodata",), ("where it has no data",),
        mended=lambda layer: not layer.read()[1][:, :40].any() and layer.read()[1][:, 44:].mean() > 0.99,
    ),
    "band of heights in feet": Case(
        "image", "height_band.tif", ("convert_height_bands",), ("converted to metres",),
        mended=lambda layer: bool(layer.read()[0][3].max() < 10), doors=READ_ALL_BANDS,
    ),
    "feet": Case(
        "heights", "feet.tif", ("convert_to_metres",), ("converted to metres",),
        mended=lambda layer: bool(np.nanmax(layer.read()[0]) < 10),
    ),
    "coordinates in feet": Case(
        "heights", "coordinates_in_feet.tif", ("convert_to_metres",), ("may have its heights in", "heights in metres"), refused=True
    ),
    "heights without position": Case("heights", "unplaced_heights.tif", ("check_position",), ("not placed",), refused=True),
    "heights with a colour table": Case("heights", "palette.tif", ("check_colour_table",), ("colour table",), refused=True),
    "-9999": Case(
        "heights", "sentinel.tif", ("declare_usual_nodata",), ("-9999 in every band",),
        mended=lambda layer: not layer.read()[1][:, :38].any() or bool(np.isnan(layer.read()[0][0, :, :38]).all()),
    ),
    "scores with a colour table": Case("scores", "palette.tif", ("check_colour_table",), ("colour table",), refused=True),
    "scores without position": Case("scores", "unplaced_heights.tif", ("check_position",), ("not placed",), refused=True),
    "labels without position": Case("labels", "unplaced_labels.tif", ("check_position",), ("not placed",), refused=True),
    "a class that is nodata": Case("labels", "hidden.tif", ("hidden_class",), ("as nodata",)),
    "another order of classes": Case("labels", "other_order.tif", ("other_legend_note",), ("its own legend",), doors=GIVEN_LEGENDS),
    "mask without position": Case("mask", "unplaced_mask.tif", ("check_position",), ("not placed",), refused=True),
    "0 is nodata": Case("mask", "zero_is_nodata.tif", ("check_zero_is_value",), ("declares 0 as nodata",), refused=True),
    "classes as a mask": Case("mask", "classes_as_mask.tif", ("check_mask_values",), ("holds the values", "values"), refused=True),
}  # fmt: skip
PLAIN = ("has a CRS, but no position",)
NAMED = {
    ("no position", door): PLAIN
    for door in ("train", "train, values", "InputSpec.measure", "superpixels", "cube")
} | {
    ("labels without position", door): PLAIN
    for door in ("train, labels", "evaluate, prediction", "evaluate, reference")
} | {
    ("heights without position", door): PLAIN
    for door in ("train, dsm", "evaluate, values", "evaluate, true values")
}  # fmt: skip
REFUSED = {
    ("feet", "evaluate, values"): ("expected metres",),
    ("feet", "evaluate, true values"): ("expected metres",),
    ("coordinates in feet", "predict, dsm"): ("does not overlap",),  # of another site
    ("coordinates in feet", "predict, dsm of a Scene"): ("does not overlap",),
}
NO_CELL = {
    ("no position", "whole images"): "whole images have one label, and no place",
    ("collar", "whole images"): "no pixel of whole images is left out",
    ("collar", "cube"): "its value without data is an argument of `Cube.open`; trainings look at cubes as at images",
    ("collar", "pansharpen, image"): "the pair is checked first, and the file has pixels as fine as the band",
    ("collar", "pansharpen, pan"): "one band is read, and the file has four",
    ("collar", "osm, target"): "only the grid is read",
    ("colour table", "osm, target"): "only the grid is read",
    ("collar", "coherence"): "complex images have no such collar",
    (
        "labels without position",
        "train, masks",
    ): "the folders are read before scenes are made of them, see `train, labels`",
}


MISSING = {("classes as a mask", "damage --cloud-mask"): "masks of clouds take any value"}


def cells() -> Iterator[Any]:
    for name, case in CASES.items():
        for entrance, door in DOORS.items():
            reads = door.kind == case.kind and (not case.doors or entrance in case.doors)
            if reads and (name, entrance) not in NO_CELL:
                missing = MISSING.get((name, entrance))
                marks = [] if missing is None else [pytest.mark.xfail(strict=True, reason=missing)]
                yield pytest.param(name, entrance, id=f"{name}-{entrance}", marks=marks)


def _open_or_refuse(door: Entrance, place: Place, case: Case) -> tuple[Opened | None, str]:
    """Return what was opened, or the reason why it was refused."""
    try:
        return door.open(place, place.path(case.file)), ""
    except InputError as error:
        return None, str(error)


@pytest.mark.parametrize(("name", "entrance"), cells())
def test_a_cell(name: str, entrance: str, place: Place, caplog: pytest.LogCaptureFixture) -> None:
    case, cell = CASES[name], (name, entrance)
    refused = (case.refused and cell not in NAMED) or cell in REFUSED
    words = NAMED.get(cell) or REFUSED.get(cell) or case.words
    with caplog.at_level(logging.WARNING):
        opened, reason = _open_or_refuse(DOORS[entrance], place, case)
    if refused or reason:
        assert refused, f"refused: {reason}"
        assert any(word in reason for word in words), reason or "accepted"
        return
    assert opened is not None
    text = "\n".join([caplog.text, *opened.texts])
    assert any(word in text for word in words), text
    if case.mended is not None and opened.layer is not None:
        assert case.mended(opened.layer)


def test_every_verb_has_a_door_or_a_reason_to_have_none() -> None:
    verbs = {*VERBS} | {f"layers {part}" for part in PARTS["layers"]}
    used = {verb for door in DOORS.values() for verb in door.verbs}
    assert used <= verbs
    assert verbs - used == {*WITHOUT_RASTERS}


def test_every_guard_has_a_file_and_every_file_a_door() -> None:
    guards = {
        guard.__name__
        for kind in vars(kinds).values()
        if isinstance(kind, ReadAs)
        for guard in (*kind.stated, *kind.seen)
    }
    tested = {guard for case in CASES.values() for guard in case.guards}
    assert guards <= tested
    opened = {cell.values[0] for cell in cells()}
    assert opened == {*CASES}
    assert not NO_CELL.keys() & (NAMED.keys() | REFUSED.keys())
