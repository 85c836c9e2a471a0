"""One conformance test over every segmenter, and what is particular to each."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.cards.legend import Legend, LegendClass
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.inspection.files import inspect
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import load_run, save_run
from deepnets4eo.segmenters.segmenter import NetworkSegmenter, Segmenter, value_to_index
from deepnets4eo.tiling import Tiling

LEGEND = Legend("three", tuple(LegendClass(v, n, (v, v, 1)) for v, n in [(2, "low"), (5, "middle"), (9, "high")]))
NETWORK = {"name": "unet", "encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}


def make_scene():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (3, 90, 70), dtype=np.uint8)
    dsm = rng.normal(20, 5, (1, 90, 70)).astype(np.float32)
    labels = np.array([2, 5, 9], np.uint8)[np.minimum(image[0] // 86, 2)]
    return Scene.open(image=image, dsm=dsm, labels=labels)


SCENE = make_scene()
INPUTS = InputSpec.measure([SCENE], ("image", "dsm"))


def estimator(model, features):
    return PixelClassifier(model, INPUTS, LEGEND, features=features).fit([SCENE], max_pixels=2000)


def network(name):
    torch.manual_seed(0)
    return NetworkSegmenter(NETWORK | {"name": name}, INPUTS, LEGEND, tiling=Tiling(64, 8))


MAKERS = {
    "forest": lambda: estimator(RandomForestClassifier(8, n_jobs=2, random_state=0), ["pixels"]),
    "extra trees": lambda: estimator(ExtraTreesClassifier(8, random_state=0), ["pixels", "neighbourhood"]),
    "logistic": lambda: estimator(make_pipeline(StandardScaler(), LogisticRegression()), ["neighbourhood"]),
    "unet": lambda: network("unet"),
    "unetplusplus": lambda: network("unetplusplus"),
}


@pytest.fixture(scope="module", params=MAKERS)
def segmenter(request):
    """Each kind of segmenter, fitted or with arbitrary weights."""
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def batch():
    """Two prepared tiles of odd size."""
    prepared = INPUTS.prepare(SCENE.read())
    return np.ascontiguousarray(np.stack([prepared[:, :45, :37], prepared[:, 45:, 33:]]))


def test_it_is_a_segmenter(segmenter):
    assert isinstance(segmenter, Segmenter)
    assert segmenter.halo_px == segmenter.tiling.halo_px


def test_probabilities_sum_to_one_over_the_legends_classes(segmenter, batch):
    proba = segmenter.predict_proba(batch)
    assert proba.shape == (2, 3, 45, 37)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)


def test_raw_scores_soften_to_probabilities_and_classes_are_the_best(segmenter, batch):
    raw, proba = segmenter.predict_raw(batch), segmenter.predict_proba(batch)
    exponential = np.exp(raw.astype(np.float64) - raw.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exponential / exponential.sum(axis=1, keepdims=True), proba, atol=1e-5)
    np.testing.assert_array_equal(segmenter.predict_classes(batch), raw.argmax(axis=1))


def test_margin_is_cut_off_and_changes_nothing_else(segmenter, batch):
    for method in (segmenter.predict_raw, segmenter.predict_proba):
        np.testing.assert_array_equal(method(batch, margin_px=6), method(batch)[:, :, 6:-6, 6:-6])
    np.testing.assert_array_equal(
        segmenter.predict_classes(batch, margin_px=6), segmenter.predict_classes(batch)[:, 6:-6, 6:-6]
    )


def test_a_tile_in_its_place_does_not_depend_on_what_else_is_in_the_batch(segmenter, batch):
    torch.set_num_threads(1)
    alone = np.stack([batch[0], np.zeros_like(batch[0])])
    np.testing.assert_array_equal(segmenter.predict_raw(batch)[0], segmenter.predict_raw(alone)[0])


def test_estimators_give_the_same_bits_with_any_number_of_threads(batch, monkeypatch):
    monkeypatch.setattr("deepnets4eo.baselines.feature_classifier.CHUNK_PIXELS", 100)
    for name in ("forest", "logistic"):
        segmenter = MAKERS[name]()
        alone = segmenter.predict_raw(batch)
        segmenter.to(Compute(threads=4))
        np.testing.assert_array_equal(segmenter.predict_raw(batch), alone)


def test_a_run_is_described_without_empty_units(tmp_path):
    run = save_run(MAKERS["logistic"](), tmp_path / "run")
    layers = INPUTS.layers.items()
    assert inspect(str(run)).facts["inputs"] == "; ".join(f"{name}: {', '.join(item.bands)}" for name, item in layers)


def test_saved_and_loaded_it_gives_the_same_bits(segmenter, batch, tmp_path):
    loaded = load_run(save_run(segmenter, tmp_path / "run")).segmenter
    assert type(loaded) is type(segmenter)
    assert (loaded.inputs, loaded.legend, loaded.tiling) == (segmenter.inputs, segmenter.legend, segmenter.tiling)
    np.testing.assert_array_equal(loaded.predict_raw(batch), segmenter.predict_raw(batch))


def test_forest_learns_what_the_pixels_show():
    forest = MAKERS["forest"]()
    places = forest.predict_classes(INPUTS.prepare(SCENE.read())[None])[0]
    labels = value_to_index(LEGEND)[SCENE.read()["labels"]]
    assert (places == labels).mean() > 0.95


def test_classes_that_training_did_not_show_get_no_probability(batch):
    labels = np.where(SCENE.read()["labels"] == 5, 255, SCENE.read()["labels"])
    scene = Scene({**SCENE.layers, **Scene.open(labels=labels).layers})
    segmenter = PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([scene], max_pixels=1000)
    proba = segmenter.predict_proba(batch)
    assert (proba[:, 1] == 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)


def test_bfloat16_changes_few_labels(batch):
    segmenter = network("unet")
    plain = segmenter.predict_classes(batch)
    segmenter.to(Compute(precision="bfloat16"))
    assert (segmenter.predict_classes(batch) == plain).mean() > 0.9  # arbitrary weights, so classes are close


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NetworkSegmenter(NETWORK | {"in_channels": 3}, INPUTS, LEGEND), r"'in_channels': 3.*'in_channels': 4"),
        (lambda: PixelClassifier(LogisticRegression(), INPUTS, LEGEND, features=["pixel"]), "Did you mean 'pixels'"),
        (lambda: PixelClassifier(LogisticRegression(), INPUTS, LEGEND, features=[]), "no feature was named"),
    ],
)  # fmt: skip
def test_segmenters_that_cannot_be_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_labels_of_one_class_are_nothing_to_learn_from():
    scene = Scene({**SCENE.layers, **Scene.open(labels=np.full((90, 70), 2, np.uint8)).layers})
    with pytest.raises(InputError, match="show 1 classes of legend 'three'; at least 2"):
        PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([scene])


@pytest.mark.parametrize(
    ("node", "message"),
    [({"left_child": 10**6}, "nodes that lead nowhere"), ({"feature": 99}, "features it does not have")],
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
    with pytest.raises(RunError, match=r"types that are not known to be safe: \['foreign\.Foreign'\]"):
        load_run(folder)
