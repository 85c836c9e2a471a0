"""Classifiers over pixel features: they learn, look as far as they say, and come back from a run as they were."""

import logging

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from deepnets4eo.baselines import PixelClassifier
from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.baselines.features import HOMES, DenseFeature, Feature, build_features, stack
from deepnets4eo.baselines.features.feature import FittedFeature
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import read_json
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, load_run, seal
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

LEGEND = Legend("three", tuple(LegendClass(v, n, (v, v, 1)) for v, n in [(2, "low"), (5, "middle"), (9, "high")]))


def make_scene(seed: int = 0) -> Scene:
    """Blocks of 16 px in three brightnesses, with noise, and a DSM."""
    rng = np.random.default_rng(seed)
    places = np.kron(rng.integers(0, 3, (8, 8)), np.ones((16, 16), int))
    image = np.clip(60 + 60 * places[None] + rng.normal(0, 6, (3, 128, 128)), 0, 255).astype(np.uint8)
    dsm = (20 + places + rng.normal(0, 0.2, places.shape)).astype(np.float32)
    return Scene.open(image=image, dsm=dsm, labels=np.array([2, 5, 9], np.uint8)[places])


SCENE = make_scene()
INPUTS = InputSpec.measure([SCENE], ("image", "dsm"))


def prepared(scene: Scene = SCENE) -> np.ndarray:
    return INPUTS.prepare(scene.read())[None]


def fit_if_it_learns(feature: Feature, bands: Bands) -> Feature:
    return feature.fit(bands) if isinstance(feature, FittedFeature) else feature


@pytest.mark.parametrize("name", sorted(HOMES))
def test_a_feature_looks_no_farther_than_its_halo_and_names_its_columns(name):
    feature = build_features([name])[0]
    rng = np.random.default_rng(3)
    side = -(-feature.halo_px // 4) * 8 + 64
    image = rng.integers(0, 256, (4, side, side)).astype(np.float32)
    heights = np.kron(rng.uniform(0, 12, (side // 16 + 1,) * 2), np.ones((16, 16)))[:side, :side].astype(np.float32)
    names = ("image.red", "image.green", "image.blue", "image.nir", "dsm.height")
    bands = Bands(np.concatenate([image, heights[None]]), names, 0.5)
    feature = fit_if_it_learns(feature, bands)
    everything = feature.compute(bands, 8)
    assert everything.shape == (len(feature.columns(bands)), side // 8, side // 8)
    assert everything.dtype == np.float32
    assert np.isfinite(everything).all()
    halo = -(-feature.halo_px // 8) * 8
    changed = bands.values.copy()
    changed[:, :8] = 255 - changed[:, :8]  # beyond the halo of all sites below
    again = feature.compute(Bands(changed, names, 0.5), 8)
    first = halo // 8 + 1
    np.testing.assert_allclose(again[:, first:], everything[:, first:], atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", sorted(HOMES))
def test_a_feature_of_a_constant_image_is_defined(name):
    names = ("image.red", "image.green", "image.blue", "image.nir", "dsm.height")
    bands = Bands(np.full((5, 64, 64), 7, np.float32), names, 0.5)
    feature = fit_if_it_learns(build_features([name])[0], bands)
    assert np.isfinite(feature.compute(bands, 4)).all()


def test_sites_are_classified_once_and_given_to_their_square():
    classifier = PixelClassifier(LogisticRegression(), INPUTS, LEGEND, stride_px=4).fit([SCENE], max_pixels=900)
    places = classifier.predict_classes(prepared())[0]
    np.testing.assert_array_equal(places, np.kron(places[2::4, 2::4], np.ones((4, 4), np.uint8)))
    labels = LEGEND.to_index()[SCENE.read()["labels"]]
    assert (places == labels).mean() > 0.97


@pytest.mark.parametrize("margin_px", [0, 3, 8, 10])
def test_a_margin_is_cut_off_with_any_stride(margin_px):
    classifier = PixelClassifier(LogisticRegression(), INPUTS, LEGEND, stride_px=4).fit([SCENE], max_pixels=900)
    batch = prepared()[:, :, :70, :61]
    whole = classifier.predict_proba(batch)
    inner = slice(margin_px, 70 - margin_px), slice(margin_px, 61 - margin_px)
    np.testing.assert_array_equal(classifier.predict_proba(batch, margin_px=margin_px), whole[:, :, inner[0], inner[1]])


def test_a_scene_is_labelled_alike_by_small_and_large_tiles(tmp_path):
    classifier = PixelClassifier(
        RandomForestClassifier(5, random_state=0), INPUTS, LEGEND, features=["neighbourhood"], stride_px=2
    )
    classifier.fit([SCENE], max_pixels=900)
    labels = []
    for side in (32, 64):
        classifier.tiling = Tiling(side + 2 * classifier.context_px, classifier.context_px)
        predict(classifier, SCENE, tmp_path / f"{side}.tif")
        labels.append(Layer.open(tmp_path / f"{side}.tif").read()[0])
    assert (labels[0] == labels[1]).mean() > 0.999  # sums in float32 over other tiles


def test_a_small_scene_is_cut_into_smaller_tiles_unless_a_side_is_set(tmp_path):
    classifier = PixelClassifier(RandomForestClassifier(5, random_state=0), INPUTS, LEGEND, features=["pixels"])
    classifier.fit([SCENE], max_pixels=900)
    sides, labels = [], []
    for name, options in {"own": PredictOptions(), "set": PredictOptions(tile_px=512)}.items():
        predict(classifier, SCENE, tmp_path / f"{name}.tif", options)
        made = Layer.open(tmp_path / f"{name}.tif")
        sides.append(made.tags["TILING"].split(",")[0])
        labels.append(made.read()[0])
    assert sides == ["tile_px=256", "tile_px=512"]
    np.testing.assert_array_equal(*labels)


def test_classes_that_training_does_not_show_are_named(caplog):
    labels = np.where(SCENE.read()["labels"] == 5, 255, SCENE.read()["labels"])
    scene = Scene({**SCENE.layers, **Scene.open(labels=labels).layers})
    with caplog.at_level(logging.WARNING):
        PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([scene], max_pixels=600)
    assert "no sample is of middle: never predicted" in caplog.text


def test_fewer_samples_than_features_are_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        PixelClassifier(LogisticRegression(), INPUTS, LEGEND, features=["neighbourhood"]).fit([SCENE], max_pixels=9)
    assert "9 samples for 20 features" in caplog.text


def test_a_run_whose_columns_are_computed_differently_is_refused(tmp_path):
    classifier = PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([SCENE], max_pixels=300)
    folder = save_run(classifier, tmp_path / "run")
    assert load_run(folder).segmenter.columns == ["pixels.image.red", "pixels.image.green", "pixels.image.blue", "pixels.dsm.height"]  # fmt: skip
    card = read_json(folder / "card.json")
    card["segmenter"]["columns"] = card["segmenter"]["columns"][::-1]
    del card["card_sha256"]
    seal(folder, card, card["files"])
    with pytest.raises(RunError, match="in another order, which this version computes differently"):
        load_run(folder)


def test_scenes_with_bands_in_another_order_are_refused(tmp_path):
    named = Layer.open(np.zeros((3, 40, 40), np.uint8))
    inputs = InputSpec.measure([SCENE], ("image",))
    assert inputs.layers["image"].bands == tuple(named.band_names)
    layer = inputs.layers["image"]
    renamed = InputSpec({"image": type(layer)(("red", "green", "blue"), layer.mean, layer.std, layer.low, layer.high)})
    swapped = InputSpec({"image": type(layer)(("blue", "green", "red"), layer.mean, layer.std, layer.low, layer.high)})
    assert band_names(renamed) == ("image.red", "image.green", "image.blue")
    assert band_names(swapped) == ("image.blue", "image.green", "image.red")
    red = unstandardise(inputs.prepare(SCENE.read()), swapped, band_names(swapped)).pick("red")
    np.testing.assert_allclose(red[0], SCENE.read()["image"][2], atol=1e-3)


def test_probabilities_follow_the_classes_shares_on_the_ground(tmp_path):
    even = PixelClassifier(LogisticRegression(), INPUTS, LEGEND).fit([SCENE], max_pixels=300)
    rare = PixelClassifier(even.estimator, INPUTS, LEGEND, shares=[0.98, 0.01, 0.01])
    plain, weighted = even.predict_proba(prepared())[0], rare.predict_proba(prepared())[0]
    expected = plain * np.array([0.98, 0.01, 0.01])[:, None, None]
    np.testing.assert_allclose(weighted, expected / expected.sum(axis=0), atol=1e-5)
    loaded = load_run(save_run(rare, tmp_path / "run")).segmenter
    np.testing.assert_array_equal(loaded.predict_proba(prepared())[0], weighted)


def test_strides_that_do_not_divide_a_tile_are_refused():
    with raises_naming(InputError, "stride_px", "3", "512"):
        PixelClassifier(LogisticRegression(), INPUTS, LEGEND, stride_px=3)


def test_a_feature_can_be_given_instead_of_its_name():
    double = DenseFeature("double", 0, lambda bands: list(bands.names), lambda bands: bands.values * 2)
    bands = unstandardise(prepared()[0], INPUTS, band_names(INPUTS))
    np.testing.assert_array_equal(stack([double], bands), bands.values * 2)
    classifier = PixelClassifier(LogisticRegression(), INPUTS, LEGEND, features=[double, "pixels"])
    assert classifier.columns[0] == "double.image.red"
    with pytest.raises(InputError, match="no feature was named"):
        PixelClassifier(LogisticRegression(), INPUTS, LEGEND, features=[])


@pytest.mark.parametrize("sampling", ["random", "balanced"])
@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_priors_are_those_that_are_wanted_however_samples_and_weights_are(sampling, weight, tmp_path):
    import deepnets4eo
    from deepnets4eo.baselines import BaselineRecipe
    from deepnets4eo.training.recipe import resolve

    rng = np.random.default_rng(0)
    labels = (rng.random((200, 200)) < 0.05).astype(np.uint8)
    image = (rng.normal(0, 1, labels.shape) + labels).astype(np.float32)
    files = {
        name: str(write_geotiff(tmp_path / f"{name}.tif", each))
        for name, each in (("image", image), ("labels", labels))
    }
    mean = {}
    for priors in ("observed", "equal"):
        values = {
            "task": "baseline",
            "legend": {
                "name": "two",
                "classes": [{"value": v, "name": f"c{v}", "color": [v + 1, 0, 0]} for v in (0, 1)],
            },
            "data": {"layers": files, "val_share": 0.0, "num_workers": 0},
            "model": {
                "method": "pixels",
                "features": ["pixels"],
                "sampling": sampling,
                "priors": priors,
                "max_samples": 1500,
            },
            "estimator": {"name": "lda", "class_weight": weight},
        }
        run = deepnets4eo.load_run(deepnets4eo.train(resolve(values, kind=BaselineRecipe), tmp_path / priors))
        batch = run.inputs.prepare({"image": image[None], "valid": np.ones(labels.shape, bool)})[None]
        mean[priors] = float(run.segmenter.predict_proba(batch)[0, 1].mean())
    assert mean["observed"] == pytest.approx(0.05, abs=0.015)
    assert mean["equal"] == pytest.approx(
        float(np.mean(1 / (1 + np.exp(0.5 - image)))), abs=0.03
    )  # the densities' ratio
