"""What is particular to networks and to classifiers of pixels; what all segmenters share is in test_conformance."""

import numpy as np
import pytest
from refusals import raises_naming
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from small_segmenters import INPUTS, LEGEND, RECIPES, SCENE, deep_network

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import NetworkSegmenter, load_run
from deepnets4eo.segmenters.run import save_run

PREPARED = INPUTS.prepare(SCENE.read())[None]


def test_a_run_is_described_without_empty_units(tmp_path):
    run = save_run(RECIPES["logistic"].make(), tmp_path / "run")
    layers = INPUTS.layers.items()
    assert inspect(str(run)).facts["inputs"] == "; ".join(f"{name}: {', '.join(item.bands)}" for name, item in layers)


def test_forest_learns_what_the_pixels_show():
    forest = RECIPES["forest"].make()
    class_indices = forest.predict_classes(PREPARED)[0]
    labels = LEGEND.to_index()[SCENE.read()["labels"]]
    assert (class_indices == labels).mean() > 0.95


def test_classes_that_training_did_not_show_get_no_probability():
    labels = np.where(SCENE.read()["labels"] == 5, 255, SCENE.read()["labels"])
    scene = Scene({**SCENE.layers, **Scene.open(labels=labels).layers})
    segmenter = PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([scene], max_pixels=1000)
    proba = segmenter.predict_proba(PREPARED)
    assert (proba[:, 1] == 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)


def test_bfloat16_changes_few_labels():
    segmenter = deep_network("unet")
    plain = segmenter.predict_classes(PREPARED)
    segmenter.to(Compute(precision="bfloat16"))
    assert (segmenter.predict_classes(PREPARED) == plain).mean() > 0.9  # arbitrary weights, so classes are close


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NetworkSegmenter({"name": "osmnet", "in_channels": 3}, INPUTS, LEGEND), r"'in_channels': 3.*'in_channels': 4"),
        (lambda: PixelClassifier(LogisticRegression(), INPUTS, LEGEND, features=["pixel"]), "Did you mean 'pixels'"),
        (lambda: PixelClassifier(LogisticRegression(), INPUTS, LEGEND, features=[]), "no feature was named"),
    ],
)  # fmt: skip
def test_segmenters_that_cannot_be_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_labels_of_one_class_are_nothing_to_learn_from():
    scene = Scene({**SCENE.layers, **Scene.open(labels=np.full(SCENE.shape, 2, np.uint8)).layers})
    with raises_naming(InputError, "1", "'three'", "2"):
        PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([scene])


@pytest.mark.parametrize(
    ("node", "message"),
    [({"left_child": 10**6}, "children that do not exist"), ({"feature": 99}, "features that do not exist")],
)
def test_forests_that_point_outside_themselves_are_not_loaded(tmp_path, node, message):
    segmenter = PixelClassifier(RandomForestClassifier(2), INPUTS, LEGEND).fit([SCENE], max_pixels=300)
    tree = segmenter.estimator.estimators_[0].tree_
    state = tree.__getstate__()
    for key, value in node.items():
        state["nodes"][key][0] = value
    tree.__setstate__(state)
    with pytest.raises(RunError, match=message):
        load_run(save_run(segmenter, tmp_path / "run"))


def test_estimators_of_unknown_types_are_not_loaded(tmp_path):
    class Foreign(LogisticRegression):
        """A type that skops cannot know."""

    Foreign.__module__, Foreign.__qualname__ = "foreign", "Foreign"
    segmenter = PixelClassifier(Foreign(), INPUTS, LEGEND).fit([SCENE], max_pixels=500)
    folder = save_run(segmenter, tmp_path / "run")
    with raises_naming(RunError, "foreign.Foreign"):
        load_run(folder)
