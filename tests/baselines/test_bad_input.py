"""What baselines do with scenes that nobody hopes for: each case has a defined result or a clear error."""

import logging

import numpy as np
import pytest
from refusals import raises_naming
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import ExpertRules, PixelClassifier, PostProcessed, SuperpixelClassifier
from deepnets4eo.baselines.rules import RuleTable
from deepnets4eo.baselines.superpixels import Superpixels
from deepnets4eo.cards import VOID, Legend, LegendClass
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.evaluation import evaluate
from deepnets4eo.grid import Grid, whole
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.segmenters.run import save_run

LEGEND = Legend("three", tuple(LegendClass(v, n, (80 * v, 9, 9)) for v, n in enumerate(("low", "middle", "high"))))
SIDE = 96
NAMES = ("red", "green", "blue")


def write(path, data, names=()):
    """A raster with named bands on a grid in metres."""
    bands = data if data.ndim == 3 else data[None]
    grid = Grid(bands.shape[1:], (1, 0, 0, 0, -1, SIDE), "EPSG:32631")
    nodata = np.nan if data.dtype == np.float32 else None
    with CogWriter(path, grid, count=len(bands), dtype=str(data.dtype), band_names=names, nodata=nodata) as cog:
        cog.write(whole(grid), bands)
    return str(path)


def make(folder, *, shown=(0, 1, 2), hole=False, seed=0):
    """Three brightnesses at three heights, on disk; `hole`: a part of the DSM is not known."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.choice(shown, (6, 6)), np.ones((16, 16), int)).astype(np.uint8)
    image = np.clip(60 + 60 * labels[None] + rng.normal(0, 5, (3, SIDE, SIDE)), 0, 255).astype(np.uint8)
    dsm = (20 + 4 * labels + rng.normal(0, 0.2, labels.shape)).astype(np.float32)
    if hole:
        dsm[10:30, 40:70] = np.nan
    folder.mkdir(exist_ok=True)
    paths = {"image": write(folder / "image.tif", image, NAMES), "dsm": write(folder / "dsm.tif", dsm, ["height"])}
    return paths | {"labels": write(folder / "labels.tif", labels)}


def table():
    rules = [{"class": "low", "height": {"below": 22}}, {"class": "high", "height": {"above": 26}}]
    return RuleTable.from_dict({"name": "t", "rules": rules, "otherwise": "middle"})


def pixels(inputs):
    return PixelClassifier(LogisticRegression(max_iter=2000), inputs, LEGEND)


def superpixels(inputs):
    return SuperpixelClassifier(LogisticRegression(max_iter=2000), inputs, LEGEND, superpixels=Superpixels(area_px=64))


def train(kind, scene):
    inputs = InputSpec.measure([scene], ("image", "dsm"))
    if kind == "rules":
        return ExpertRules(table(), inputs, LEGEND)
    segmenter = {"pixels": pixels, "superpixels": superpixels, "post": pixels}[kind](inputs).fit([scene])
    return PostProcessed(segmenter, [{"majority": {"radius_px": 1}}]) if kind == "post" else segmenter


KINDS = ["pixels", "superpixels", "rules", "post"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make(tmp_path_factory.mktemp("place"))


def labels_of(segmenter, paths, out):
    scene = Scene.open(None, image=paths["image"], dsm=paths["dsm"])
    predict(segmenter, scene, out, PredictOptions(overwrite=True))
    data, valid = Layer.open(out).read()
    return np.where(valid, data[0], VOID)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_in_the_dsm_is_void_in_the_map_and_never_learned_from(kind, tmp_path):
    paths = make(tmp_path / "a", hole=True)
    segmenter = train(kind, Scene.open(None, **paths))
    labels = labels_of(segmenter, paths, tmp_path / "map.tif")
    assert (labels[10:30, 40:70] == VOID).all()
    assert (labels == VOID).sum() == 20 * 30
    known = labels != VOID
    assert (labels[known] == Layer.open(paths["labels"]).read()[0][0][known]).mean() > 0.95
    assert evaluate(tmp_path / "map.tif", paths["labels"], LEGEND).to_dict()["pixels"] == known.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_of_one_class_is_mapped_and_its_other_scores_are_not_numbers(kind, place, tmp_path):
    segmenter = train(kind, Scene.open(None, **place))
    paths = make(tmp_path / "one", shown=(1,))
    labels = labels_of(segmenter, paths, tmp_path / "map.tif")
    assert (labels == 1).mean() > 0.99
    scores = evaluate(labels, Layer.open(paths["labels"]).read()[0][0], LEGEND).to_dict()
    assert scores["recall"]["middle"] > 0.99
    assert np.isnan(scores["recall"]["low"])


@pytest.mark.parametrize("kind", ["pixels", "superpixels"])
def test_a_training_place_of_one_class_is_refused(kind, tmp_path):
    scene = Scene.open(None, **make(tmp_path / "one", shown=(1,)))
    with raises_naming(InputError, "1", "'three'", "2"):
        train(kind, scene)


@pytest.mark.parametrize("kind", ["pixels", "superpixels"])
def test_a_class_that_training_lacks_is_named_and_scored_nan_where_it_is_nowhere(kind, tmp_path, caplog):
    paths = make(tmp_path / "two", shown=(0, 2))
    with caplog.at_level(logging.WARNING):
        segmenter = train(kind, Scene.open(None, **paths))
    assert "no sample is of middle: never predicted" in caplog.text
    labels = labels_of(segmenter, paths, tmp_path / "map.tif")
    scores = evaluate(labels, Layer.open(paths["labels"]).read()[0][0], LEGEND).to_dict()
    assert np.isnan(scores["f1"]["middle"])
    assert scores["absent_classes"] == ["middle"]
    assert scores["mean_f1"] > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_image_is_mapped_in_one_class(kind, place, tmp_path):
    segmenter = train(kind, Scene.open(None, **place))
    flat = {
        "image": write(tmp_path / "image.tif", np.full((3, SIDE, SIDE), 60, np.uint8), NAMES),
        "dsm": write(tmp_path / "dsm.tif", np.full((SIDE, SIDE), 20, np.float32), ["height"]),
    }
    assert set(np.unique(labels_of(segmenter, flat, tmp_path / "map.tif"))) == {0}


@pytest.mark.parametrize("kind", KINDS)
def test_bands_in_another_order_than_in_training_are_read_by_name_and_other_bands_refused(kind, place, tmp_path):
    run = save_run(train(kind, Scene.open(None, **place)), tmp_path / "run")
    image = Layer.open(place["image"]).read()[0]
    swapped = write(tmp_path / "swapped.tif", image[::-1], NAMES[::-1])
    layers = {"image": place["image"], "dsm": place["dsm"]}
    predict(run, layers, tmp_path / "map.tif")
    predict(run, layers | {"image": swapped}, tmp_path / "swapped_map.tif")
    ours, theirs = (Layer.open(tmp_path / name).read()[0] for name in ("map.tif", "swapped_map.tif"))
    np.testing.assert_array_equal(ours, theirs)
    others = write(tmp_path / "others.tif", image, ["nir", *NAMES[1:]])
    with pytest.raises(RunError, match=r"bands named \(nir, green, blue\), training had \(red, green, blue\)"):
        predict(run, {"image": others, "dsm": place["dsm"]}, tmp_path / "others_map.tif")
    with raises_naming(RunError, "'dsm'"):
        predict(run, {"image": place["image"]}, tmp_path / "alone_map.tif")
