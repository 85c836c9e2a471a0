"""Entrances by which layers come into jobs, each opening the inputs of a verb and no more; and the files that the guards are for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import rioxarray
import shapely
from geotiff import write_geotiff
from onnx_networks import small, write_onnx
from scipy.ndimage import gaussian_filter, uniform_filter
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import BaselineRecipe, PixelClassifier, SuperpixelClassifier
from deepnets4eo.baselines.superpixels.scene import SceneBands
from deepnets4eo.cards import Legend, Quantity
from deepnets4eo.change import ChangeDetector, ChangeOptions
from deepnets4eo.change.cover_table import compare_covers
from deepnets4eo.change.options import RefineOptions
from deepnets4eo.change.pair import open_pair
from deepnets4eo.change.refinement import refine_raster
from deepnets4eo.change.series.stack import ImageSeries
from deepnets4eo.classification.image_files import open_image
from deepnets4eo.damage.evidences.priors import open_priors
from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.images.checks import check_images
from deepnets4eo.evaluation import evaluate, evaluate_values
from deepnets4eo.evaluation.sampled import page as review_page
from deepnets4eo.evaluation.sampled.classes import ClassMap
from deepnets4eo.evaluation.sampled.draw import draw_pixels
from deepnets4eo.evaluation.sampled.zones import Zones
from deepnets4eo.evaluation.suspects import find_wrong_labels
from deepnets4eo.floods import FloodOptions, WaterMapper
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
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.read_as import open_cloud_mask
from deepnets4eo.registration import ImagePair
from deepnets4eo.segmenters import InputSpec, OnnxFacts, load_run
from deepnets4eo.sharpening.pansharpening import pansharpen_raster
from deepnets4eo.terrain import composite_raster, open_further
from deepnets4eo.training import DataSection, ImageMaskFolders, SceneDataset, open_layers
from deepnets4eo.training.scenes import open_scenes

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


def _write_half(path: Path, out: Path, number: int) -> None:
    """Write the left (0) or right (1) half of a file with all that it states."""
    with rasterio.open(path) as file:
        window = rasterio.windows.Window(number * SIDE // 2, 0, SIDE // 2, SIDE)
        profile = file.profile | {"width": SIDE // 2, "transform": file.window_transform(window)}
        colours = file.colorinterp
        if rasterio.enums.ColorInterp.red in colours:
            profile |= {"photometric": "RGB"}
        with rasterio.open(out, "w", **profile) as half:
            half.write(file.read(window=window))
            half.descriptions, half.units = file.descriptions, tuple(unit or "" for unit in file.units)
            half.scales, half.offsets = file.scales, file.offsets
            for band in file.indexes:
                half.update_tags(band, **file.tags(band))
            half.update_tags(**{key: text for key, text in file.tags().items() if key != "AREA_OR_POINT"})
            if rasterio.enums.ColorInterp.palette in colours:
                half.write_colormap(1, file.colormap(1))


def _write_vrt(path: Path, tiles: Path) -> Path:
    """Write a VRT of two halves as gdalbuildvrt does: without tags and units."""
    gdal_type = {"uint8": "Byte", "int16": "Int16", "float32": "Float32"}
    with rasterio.open(path) as file:
        bands = []
        for number, kind in enumerate(file.dtypes, start=1):
            nodata = "" if file.nodata is None else f"<NoDataValue>{file.nodata}</NoDataValue>"
            halves = "".join(
                f'<SimpleSource><SourceFilename relativeToVRT="1">{tiles.name}/{half}.tif</SourceFilename><SourceBand>{number}</SourceBand>'
                f'<SrcRect xOff="0" yOff="0" xSize="{SIDE // 2}" ySize="{SIDE}"/><DstRect xOff="{half * SIDE // 2}" yOff="0" xSize="{SIDE // 2}" ySize="{SIDE}"/></SimpleSource>'
                for half in range(2)
            )
            colour = file.colorinterp[number - 1].name.capitalize()
            bands.append(
                f'<VRTRasterBand dataType="{gdal_type[kind]}" band="{number}">{nodata}<ColorInterp>{colour}</ColorInterp>{halves}</VRTRasterBand>'
            )
        place = ", ".join(map(repr, file.transform.to_gdal()))
        text = f"<SRS>{file.crs.to_wkt()}</SRS><GeoTransform>{place}</GeoTransform>{''.join(bands)}"
    out = path.with_suffix(".vrt")
    out.write_text(f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}">{text}</VRTDataset>', encoding="utf-8")
    return out


@dataclass(frozen=True)
class Place:
    """Folder with the usual files of a site, and a run that learnt from them."""

    folder: Path
    run: PixelClassifier

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def in_form(self, name: str, form: str) -> Any:
        """Return a file as it is, as a folder of two tiles or a VRT of them, or as an array with its coordinates and attributes."""
        path = self.folder / name
        if form == "file":
            return str(path)
        if form == "array":
            return rioxarray.open_rasterio(path).load()
        tiles = self.folder / f"{path.stem}_tiles"
        if not tiles.exists():
            tiles.mkdir()
            for number in range(2):
                _write_half(path, tiles / f"{number}.tif", number)
        if form == "vrt":
            return str(_write_vrt(path, tiles))
        return str(tiles)

    def data(self, **layers: object) -> DataSection:
        return DataSection(scenes=({name: str(file) for name, file in layers.items()},))


def make_place(folder: Path) -> Place:
    """Write the files of a site, usual and for each guard, and fit a run."""

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
    unknown = _smooth(3, 1)[0].astype(np.float32)
    unknown[:40] = -9999
    write("unknown_scores.tif", unknown)
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
    write("interpreted_before.tif", _image(0)[[2, 1, 0, 3]], photometric="RGB")
    for name, values in (("by_wavelength.tif", usual), ("by_wavelength_before.tif", _image(0))):
        with rasterio.open(write(name, values[[2, 1, 0, 3]], photometric="MINISBLACK"), "r+") as file:
            for band, length in enumerate((665, 560, 490, 842), start=1):
                file.update_tags(band, wavelength=str(length), wavelength_units="nm")
    height_band = np.concatenate([usual[:3].astype(np.float32), HEIGHTS[None] / 0.3048])
    with rasterio.open(write("height_band.tif", height_band, ("blue", "green", "red", "height")), "r+") as file:
        file.units = ("", "", "", "ft")
    write("height_image.tif", HEIGHTS, ("dsm",)), write("unnamed_heights.tif", HEIGHTS)
    # heights
    with rasterio.open(write("feet.tif", HEIGHTS / 0.3048), "r+") as file:
        file.units = ("ft",)
    write("centimetres.tif", HEIGHTS * 100)
    write("coordinates_in_feet.tif", HEIGHTS, crs="EPSG:2263")
    write("unplaced_heights.tif", HEIGHTS, **unplaced)
    sentinel = HEIGHTS.copy()
    sentinel[:, :40] = -9999
    write("sentinel.tif", sentinel)
    empty = HEIGHTS + np.float32(250)
    empty[:, :40] = 0
    write("empty.tif", empty), write("empty_and_nodata.tif", empty, nodata=-9999)
    (
        write("empty_metres.tif", empty.astype(np.int16)),
        write("minus_one.tif", np.where(empty == 0, np.float32(-1), empty)),
    )
    # labels and masks
    depth = np.where(CLASSES == 1, HEIGHTS + np.float32(0.3), np.float32(np.nan))
    write("dry_gaps.tif", np.where(CLASSES == 1, 1, 255).astype(np.uint8), nodata=255)
    write("depth_gaps.tif", depth, nodata=np.nan)
    write("resampled.tif", uniform_filter(CLASSES.astype(np.float32), 3))
    write("unplaced_labels.tif", CLASSES, tags=TAGS, **unplaced)
    write("hidden.tif", CLASSES, nodata=0, tags=TAGS)
    write("other_order.tif", CLASSES, tags={"LEGEND": json.dumps(OTHER.to_dict())})
    write("unplaced_mask.tif", (CLASSES == 1).astype(np.uint8), **unplaced)
    write("zero_is_nodata.tif", (CLASSES == 1).astype(np.uint8), nodata=0)
    for name, values in (("scaled_labels.tif", CLASSES), ("scaled_mask.tif", (CLASSES == 1).astype(np.uint8))):
        with rasterio.open(write(name, values, tags=TAGS if "labels" in name else None), "r+") as file:
            file.scales, file.offsets = (0.5,), (0.25,)
    write("classes_as_mask.tif", CLASSES + 3 * (CLASSES > 0).astype(np.uint8))
    scene = Scene.open(image=folder / "image.tif", dsm=folder / "dsm.tif", labels=folder / "labels.tif")
    inputs = InputSpec.measure([scene], ["image", "dsm"])
    run = PixelClassifier(LogisticRegression(max_iter=20), inputs, LEGEND).fit([scene], max_pixels=300)
    return Place(folder, run)


# what opens each input --------------------------------------------------------------------------------------------------


def _damage(place: Place, pre: object, post: object, role: str) -> Opened:
    pair = check_images(ImagePair.open(pre, post, as_shown=True, by_camera=True))
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


def _predict_foreign(place: Place, file: object) -> Opened:
    path = Path(place.path("network.onnx"))
    if not path.is_file():
        layer = place.run.inputs.layers["image"]
        write_onnx(path, small(len(layer.bands), place.run.legend.num_classes), bands=len(layer.bands))
    names = ",".join(place.run.inputs.layers["image"].bands)
    facts = OnnxFacts(legend=",".join(place.run.legend.names), bands=names, normalisation="none", activation="logits")
    return Opened(open_scene({"image": file}, load_run(path, facts=facts).segmenter).layers["image"])


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


def _superpixels(place: Place, file: object, *, layer: str = "image") -> Opened:
    scene = _scene(place, file, layer=layer)
    classifier = SuperpixelClassifier(LogisticRegression(max_iter=5), InputSpec.measure([scene], ["image"]), LEGEND)
    classifier.fit([scene])
    return Opened()


def _two_dates(place: Place, file: object, *, of: Any, pre: str, post: str) -> Opened:
    of.of_scene(Scene.open(**{pre: place.path("pre.tif"), post: file}))
    return Opened()


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


def _evaluate(place: Place, prediction: object, reference: object) -> Opened:
    return Opened(None, evaluate(prediction, reference, LEGEND).notes)


def _values(place: Place, prediction: object, reference: object) -> Opened:
    return Opened(None, evaluate_values([(prediction, reference)], Quantity.from_name("height"))["notes"])


def _classes_of_values(place: Place, classes: object) -> Opened:
    heights = place.path("dsm.tif")
    report = evaluate_values([(heights, heights)], Quantity.from_name("height"), class_map=classes)
    assert all(report["by_class"][name]["pixels"] > 0 for name in ("wood", "town")), report["by_class"]
    return Opened(None, report["notes"])


def _zones(place: Place, confidence: object) -> Opened:
    classes = ClassMap.open(place.path("labels.tif"))
    sample = draw_pixels(classes.read, classes.grid, classes.windows, 3, lambda pixels: np.full(3, 5), 0)
    Zones.measure(confidence, classes, sample)
    return Opened()


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
    pair = open_pair(place.path("pre.tif"), place.path("image.tif"), options)
    assert pair.covers is not None
    return Opened(pair.covers[0], [finding.whole for finding in pair.findings])


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
    "series": _door("image", _series, "series", "layers embeddings"),
    "train": _door("image", _train, "train"),
    "train, values": _door("image", _train_values, "train"),
    "predict": _door("image", _predict, "predict", "clicks"),
    "predict, Scene": _door("image", _predict, scene=True),
    "predict FILE.onnx": _door("image", _predict_foreign, "predict"),
    "PixelClassifier.fit": _door("image", _fit),
    "SuperpixelClassifier.fit": _door("image", _superpixels),
    "ChangeDetector.of_scene": _door("image", _two_dates, of=ChangeDetector, pre="image_pre", post="image_post"),
    "WaterMapper.of_scene": _door("image", _two_dates, of=WaterMapper, pre="pre_1", post="post"),
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
    "coherence": _door("image", lambda place, file: Opened(ComplexImage(file) and None), "layers coherence"),
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
    "damage, prior of depths": _door(
        "depths",
        lambda place, file: Opened(open_priors([f"flood:m={file}"], Layer.open(place.path("image.tif")))[0].layer),
        "damage",
    ),
    "damage --water, depths": _door(
        "depths",
        lambda place, file: Opened(open_new_water(str(file), Layer.open(place.path("image.tif")).grid)),
        "damage",
    ),
    "refine, scores": _pair("scores", _refine, "layers refine", other="image.tif", first=True),
    "review --confidence": _door("scores", _zones, "review"),
    "suspects, probabilities": _door(
        "scores",
        lambda place, file: Opened(None, [str(find_wrong_labels(file, place.path("labels.tif"), LEGEND))]),
        "suspects",
    ),
    "train, labels": _door("labels", _train, "train", layer="labels"),
    "train, masks": _door("labels", _masks, "train"),
    "PixelClassifier.fit, labels": _door("labels", _fit, layer="labels"),
    "SuperpixelClassifier.fit, labels": _door("labels", _superpixels, layer="labels"),
    "SceneDataset, labels": _door("labels", _samples, layer="labels"),
    "evaluate, prediction": _pair("labels", _evaluate, "evaluate", "compare", other="labels.tif", first=True),
    "evaluate, reference": _pair("labels", _evaluate, "evaluate", other="labels.tif", first=False),
    "evaluate, classes of values": _door("labels", _classes_of_values, "evaluate"),
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
    "flood, cover": _door(
        "labels", lambda place, file: Opened(open_cover(str(file), Layer.open(place.path("image.tif")).grid)), "flood"
    ),
    "damage --cloud-mask": _door(
        "mask",
        lambda place, file: Opened(open_cloud_mask(file, Layer.open(place.path("image.tif")), "--cloud-mask")),
        "damage",
        "flood",
        "change",
        "series",
    ),
    "damage --water": _door(
        "mask",
        lambda place, file: Opened(open_new_water(str(file), Layer.open(place.path("image.tif")).grid)),
        "damage",
    ),
    "flood --permanent-water": _door(
        "mask",
        lambda place, file: Opened(
            open_water_mask(str(file), Layer.open(place.path("image.tif")).grid, "--permanent-water", ["water"])
        ),
        "flood",
    ),
}
WITHOUT_RASTERS = {
    "find": "catalogues and plans", "models": "lists", "datasets": "lists", "export": "runs", "check": "describes every file, and refuses none",
    "layers footprints": "outlines; the image gives its box", "layers clouds": "needs an extra; its image is assessed in `write_cloud_mask`",
    "layers": "see its parts",
}  # fmt: skip
