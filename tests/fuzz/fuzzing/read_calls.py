"""Readers that are functions of Python: each opens a (damaged) main file and uses all that it read.

They take the path of the main file, a folder to write to, and the sound seeds for other inputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fuzzing.reader import inside, verb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepnets4eo.points import PointCloud
    from fuzzing.reader import Seeds


def yaml(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.files import read_yaml

    return read_yaml(main)


def json(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.files import read_json

    return read_json(main)


def shakemap(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage.evidences.shakemap import ShakeMapGrid, inspect_grid

    grid = ShakeMapGrid.read(main)
    return inspect_grid(str(main)), [
        grid.layer(name).read() for name in grid.fields if grid.fields[name][0].size < 10**7
    ]


def curves(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage import open_priors
    from deepnets4eo.rasters import Layer

    (prior,) = open_priors([f"shakemap={sound['shakemap'][0].path}"], Layer.open(sound["raster"][0].path), main)
    return prior.curve.probability(np.array([0.0, 20.0, np.nan]))


def layer(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.grid import Window, gsd_m, overlap_share
    from deepnets4eo.rasters import Layer, Scene

    layer, other = Layer.open(main), Layer.open(sound["raster"][0].path)
    read: list[object] = [layer.read(Window(-3, 5, 20, 20)), layer.thumbnail(16)]
    if layer.shape[0] * layer.shape[1] * layer.count < 10**7:
        read.append(layer.read())
    read.append((gsd_m(layer.grid), overlap_share(other.grid, layer.grid) if layer.grid.crs else 0))
    return read, Scene({"image": other, "second": layer}).read(Window(0, 0, 16, 16)), layer.tags


def scene(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.grid import Window
    from deepnets4eo.rasters import Scene
    from deepnets4eo.segmenters import InputSpec

    scene = Scene.open(image=main, labels=sound["labels"][0].path)
    return scene.read(Window(0, 0, 20, 20)), InputSpec.measure([scene])


def cube(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.errors import InputError
    from deepnets4eo.grid import Window
    from deepnets4eo.hyperspectral import Cube
    from deepnets4eo.rasters import Scene

    cube = Cube.open(main)
    if cube.shape[0] * cube.shape[1] * cube.shape[2] > 10**7:
        return cube.read(Window(0, 0, 8, 8))
    read: list[object] = [cube.read(), cube.read(Window(-3, 5, 20, 20)), repr(cube)]
    try:
        read.append(cube.false_colour() if cube.wavelengths_nm is not None else cube.false_colour(bands=[1, 2, 3]))
        read.append(Scene.open(image=main, labels=main).read(Window(0, 0, 9, 9)))
    except InputError:  # fewer bands, or no labels; the cube itself was read
        pass
    return read


def frames(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.cards import Legend
    from deepnets4eo.points.rgbd import find_frames
    from deepnets4eo.points.rgbd.layouts import frame_classes
    from deepnets4eo.points.rgbd.recipe import FrameSection

    legend = Legend.load("nyuv2-40")
    data = FrameSection.model_validate({"folders": (str(main),), "layout": main.name})
    return [frame_classes(frame.read(), legend, unknown_is_void=True) for frame in find_frames(data, legend)]


def points(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.points import open_cloud

    file = open_cloud(main)
    whole = file.read()
    x, y, _ = whole.xyz[0]
    return file.bounds, file.crs, file.read((x, y, x + 5, y + 5)), [len(chunk) for chunk in file.chunks(150)]


class _OneClass:
    """Labels all points alike."""

    halo_m, needs = 2.0, ()

    def __init__(self) -> None:
        from deepnets4eo.cards import Legend, LegendClass

        self.legend = Legend("one", (LegendClass(64, "any", (1, 1, 1)),))

    def scores(self, cloud: PointCloud) -> NDArray[np.float32]:
        return np.ones((len(cloud), 1), np.float32)


def label_points(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.points import LabelOptions, label_cloud

    return label_cloud(main, _OneClass(), out / "a.laz", LabelOptions(replace=True))


def legend(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.cards import Legend

    legend = Legend.load(main)
    return legend.to_index(), legend.color_table(), legend.qml(), legend.remap_to(Legend.load("isprs"), missing="void")


def dataset_card(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.cards import DatasetCard, open_dataset
    from deepnets4eo.inspection import inspect_dataset

    card = DatasetCard.load(main)
    findings = inspect_dataset(str(main.parent), card) if main.parent.is_dir() else None
    return findings, open_dataset(card, main.parent, part="train")


def recipe(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.training import load_recipe

    recipe, _ = load_recipe(str(main), overrides=["train.epochs=1"])
    return recipe.hash, recipe.save(out / "recipe.yaml")


def rules(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.baselines.rules import RuleTable

    return RuleTable.load(main).to_dict()


def osm_rules(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.osm import OsmRules

    return OsmRules.load(main).keys


def damage_model(main: Path, out: Path, sound: Seeds) -> object:
    import pandas as pd

    from deepnets4eo.damage.decision.model import DamageModel
    from deepnets4eo.damage.table.columns import columns_of

    frame = pd.DataFrame({name: np.linspace(-1, 1, 4) for name in columns_of("structure")})
    frame["status"], frame["method"] = "assessed", ["pre_post", "post_only"] * 2
    return DamageModel.load(main).decide(frame)


def run(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.segmenters import load_run

    run = load_run(main)
    prepared = np.zeros((1, run.inputs.in_channels, 32, 32), np.float32)
    return run.segmenter.predict_proba(prepared), run.segmenter.describe()


def grader(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage.decision.decision import DecisionModel

    return DecisionModel.load(str(main), 0.5, 0.5)


def state(main: Path, out: Path, sound: Seeds) -> object:
    import torch

    from deepnets4eo.training.state import load_state, read_scalars

    network = torch.nn.Conv2d(3, 2, 1)
    return read_scalars(main), load_state(main, network, torch.optim.Adam(network.parameters()))


def journal(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.jobs import RowJournal

    ledger = RowJournal(main / "labels.tif")
    if not ledger.load():
        return None
    return ledger.counts, ledger.finished_rows(0), [list(ledger.replay(name)) for name in ("labels", "entropy")]


def resume(main: Path, out: Path, sound: Seeds) -> object:
    with inside(main):
        predict = verb("predict", "run", "image.tif", "--out", "labels.tif", "--set", "threads=1", "--resume")
        return predict(main, out, sound)


def bank(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.baselines.parts.detector import load_bank

    return load_bank(main)


def block(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage.structure.block import BlockSums, Table
    from deepnets4eo.jobs import Journal

    kept = Journal(main.parent, kinds=(BlockSums, Table)).recall("0-0")
    return isinstance(kept, BlockSums) and kept.fit


def weights(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.segmenters import read_tensors

    return read_tensors(main)


def first_weights(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.segmentation import SegNet

    return SegNet(3, 6, width=2, weights=str(main))


def footprints(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.footprints import read_footprints
    from deepnets4eo.rasters import Layer

    footprints = read_footprints(main)
    grid = Layer.open(sound["raster"][0].path).grid
    return footprints.in_pixels(grid) if footprints.crs is not None else footprints.attributes


def images(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.cards import Legend
    from deepnets4eo.classification import list_images
    from deepnets4eo.classification.images import read_pixels
    from deepnets4eo.classification.readers import ImageData

    published = next(main.rglob("*_B02.tif"), None) is not None if main.is_dir() else False
    data = ImageData(
        folders=(str(main),), bands=("B02",) if published else (), labels="several" if published else "one"
    )
    classes = [{"value": number, "name": name, "color": [number, 9, 9]} for number, name in enumerate("ab")]
    legend = Legend.load("bigearthnet-19") if published else Legend.from_dict({"name": "two", "classes": classes})
    listed, _ = list_images(data, legend)
    return read_pixels(listed, memory_bytes=1e9, folder=out, workers=1)


def outlines(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.footprints import find_buildings

    return find_buildings(main, (-180, -90, 180, 90))


def overpass(main: Path, out: Path, sound: Seeds) -> object:
    from unittest import mock

    from deepnets4eo.footprints import find_buildings
    from deepnets4eo.footprints.sources import OSM
    from deepnets4eo.formats import Session
    from deepnets4eo.formats.web import Answer

    answer = Answer(main.read_bytes() if main.is_file() else b"", "https://example.org", {})
    # no network, and no name is looked up
    with (
        mock.patch.object(Session, "__init__", return_value=None),
        mock.patch.object(Session, "read", return_value=answer),
    ):
        return find_buildings(OSM, (-94.59, 37.03, -94.56, 37.05), online=True)


def outcome(main: Path, out: Path, sound: Seeds) -> object:
    from score_table.rows import _read_outcome

    return _read_outcome(main, {}, {})


def xview2(main: Path, out: Path, sound: Seeds) -> object:
    from xview2 import score_folders

    return score_folders(main / "prediction", main / "target")


def pairs(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage.network import read_pairs
    from deepnets4eo.damage.network.recipe import DamageData

    return [(pair.scene, pair.grades) for pair in read_pairs(DamageData(folders=(str(main),)))]


def plain_layer(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.grid import Window
    from deepnets4eo.rasters import Layer

    layer = Layer.open(main)
    return layer.read(Window(-3, 5, 20, 20)), layer.thumbnail(16), layer.tags, layer.grid


def drawn(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.evaluation import MapReview

    review = MapReview.open(main)
    return review.page(), review.result()


def damage_map(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.damage import DamageMap
    from deepnets4eo.rasters import Layer

    found = DamageMap.load(main)
    return found.headline(), repr(found), found.save(out / "again", post=Layer.open(sound["raster"][0].path))


def assistant(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.assistant import Folders
    from deepnets4eo.assistant.tools import Tools

    tools = Tools(Folders([main.parent]))
    return tools.buildings_near(str(main), -94.56, 37.04, 4e4), tools.summary(str(main))


def encoder(main: Path, out: Path, sound: Seeds) -> object:
    from deepnets4eo.segmenters.encoder_files import TransformerSizes

    bands = ["red", "green", "blue"]
    sizes = TransformerSizes.of_file(main, bands)
    network = sizes.build(len(bands), 4 * sizes.patch_px)
    return TransformerSizes.load(network, main, bands, float(sizes.patch_px))
