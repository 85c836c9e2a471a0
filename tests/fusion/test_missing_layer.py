"""A layer that is absent: learned without by modality dropout, predicted without in the open, refused otherwise."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from geotiff import write_geotiff
from refusals import raises_naming

import deepnets4eo
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, load_run
from deepnets4eo.training import Recipe
from deepnets4eo.training.augmentation import Augmentation, without_layers
from deepnets4eo.training.recipe import resolve

LEGEND = {
    "name": "three",
    "classes": [{"value": v, "name": n, "color": [v, 80 * v, 9]} for v, n in enumerate(("low", "middle", "high"))],
}
SIDE_PX = 96


def make_layers(seed):
    """Squares of three classes that both the colour and the height show, each with noise."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 3, (SIDE_PX // 16,) * 2), np.ones((16, 16), int))
    image = 60 + 60 * labels + rng.normal(0, 15, (3, SIDE_PX, SIDE_PX))
    dsm = 5.0 * labels + rng.normal(0, 1, (1, SIDE_PX, SIDE_PX))
    return {
        "image": image.clip(1, 255).astype("uint8"),
        "dsm": dsm.astype("float32"),
        "labels": labels[None].astype("uint8"),
    }


def write_layers(folder, layers):
    for name, array in layers.items():
        write_geotiff(folder / f"{name}.tif", array, gsd=0.5)


def make_recipe(*overrides):
    values = {
        "legend": LEGEND,
        "data": {
            "layers": {name: f"*/{name}.tif" for name in ("image", "dsm", "labels")},
            "tile_px": 32, "windows_per_epoch": 32, "num_workers": 0,
        },
        "model": {
            "network": "fusenet", "layers": ["image", "dsm"],
            "options": {"streams": [3, 1], "width": 4, "absent": "silent"},
        },
        "train": {"epochs": 3, "batch_size": 8, "lr": 0.02, "modality_dropout": {"dsm": 0.4}},
        "predict": {"tile_px": 96, "halo_px": 0},
    }  # fmt: skip
    return resolve(values, overrides, kind=Recipe)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two places to learn from."""
    folder = tmp_path_factory.mktemp("data")
    for seed in range(2):
        write_layers(folder / f"place{seed}", make_layers(seed))
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A FuseNet that learned with and without heights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepnets4eo.training.loop.draw_curves", lambda path, *_: path.touch())
        return deepnets4eo.train(make_recipe(), tmp_path_factory.mktemp("runs") / "run", data=data)


def labels_in(path):
    with rasterio.open(path) as file:
        return file.read(1)


def test_a_scene_without_the_layer_is_predicted_and_the_absence_is_said(run, tmp_path, caplog):
    place, options = make_layers(7), PredictOptions(device="cpu", precision="float32")
    with caplog.at_level(logging.WARNING):
        predict(run, Scene.open(image=place["image"]), tmp_path / "without.tif", options)
    assert "The scene has no layer 'dsm'; the run was trained to do without it" in caplog.text
    caplog.clear()
    scene = Scene.open(image=place["image"], dsm=place["dsm"])
    predict(run, scene, tmp_path / "with.tif", options)
    assert "no layer" not in caplog.text
    segmenter = load_run(run).segmenter
    batch = segmenter.inputs.prepare(scene.read())[None]
    for name, shown in (("with", batch), ("without", batch * np.array([1, 1, 1, 0], np.float32)[:, None, None])):
        expected = segmenter.predict_classes(shown)[0]  # one tile; threads may turn the last bit
        assert (labels_in(tmp_path / f"{name}.tif") == expected).mean() > 0.99


def test_a_run_knows_what_it_can_do_without_and_is_scored_without(run):
    loaded = load_run(run)
    assert [layer.optional for layer in loaded.inputs.layers.values()] == [False, True]
    scores = json.loads((run / "metrics.json").read_text())
    assert scores["without_layer"].keys() == {"dsm"}
    assert 0 <= scores["without_layer"]["dsm"]["overall_accuracy"] <= 1
    assert scores["without_layer"]["dsm"].keys() <= scores.keys()


def test_the_layer_that_was_always_there_must_be_there(run, tmp_path):
    with raises_naming(RunError, "'image'"):
        predict(run, Scene.open(dsm=make_layers(7)["dsm"]), tmp_path / "labels.tif")


SCENE = Scene.open(**{name: make_layers(0)[name] for name in ("image", "dsm")})
INPUTS = InputSpec.measure([SCENE], ["image", "dsm"])


def test_a_run_that_never_did_without_refuses_and_says_what_would_help():
    with raises_naming(RunError, "'dsm'", "FILE", "train.modality_dropout"):
        INPUTS.check(Scene.open(image=make_layers(0)["image"]))


def test_a_scene_without_any_layer_is_refused_whatever_is_optional():
    with raises_naming(RunError, "'image'", "'dsm'"):
        INPUTS.with_optional(["image", "dsm"]).check(Scene.open(photo=make_layers(0)["image"]))


def test_an_absent_layer_is_its_mean_and_the_others_are_as_ever():
    inputs = INPUTS.with_optional(["dsm"])
    scene = Scene.open(image=make_layers(0)["image"])
    assert inputs.present(scene) == ["image"]
    prepared = inputs.prepare(scene.read(names=inputs.present(scene)))
    np.testing.assert_array_equal(prepared[:3], INPUTS.prepare(SCENE.read())[:3])
    assert not prepared[3].any()
    with pytest.raises(KeyError, match="dsm"):
        INPUTS.prepare(scene.read())


def test_optional_layers_survive_the_card_and_older_cards_have_none():
    inputs = INPUTS.with_optional(["dsm"])
    assert InputSpec.from_dict(json.loads(json.dumps(inputs.to_dict()))) == inputs
    older = INPUTS.to_dict()
    for layer in older["layers"].values():
        del layer["optional"]
    assert InputSpec.from_dict(older) == INPUTS


def make_sample():
    ones = torch.ones(1, 4, 4)
    return {"image": ones.expand(3, 4, 4), "dsm": ones, "mask": ones[0].long(), "valid": ones[0].bool()}


def test_layers_are_left_out_as_often_as_asked():
    rng = np.random.default_rng(0)
    shown = [without_layers(make_sample(), {"dsm": 0.3}, rng) for _ in range(2000)]
    assert np.mean([not sample["dsm"].any() for sample in shown]) == pytest.approx(0.3, abs=0.03)
    assert all(sample[name].all() for sample in shown for name in ("image", "mask", "valid"))


def test_one_layer_always_stays():
    rng = np.random.default_rng(0)
    for _ in range(200):
        sample = without_layers(make_sample(), {"dsm": 0.9, "image": 0.9}, rng)
        assert sample["dsm"].any() or sample["image"].any()


def test_light_does_not_bring_a_missing_image_back():
    augment = Augmentation(photometric=0.5, missing={"image": 0.999})
    assert not augment(make_sample(), np.random.default_rng(0))["image"].any()


def test_augmentation_that_leaves_nothing_out_draws_as_before():
    plain, none = Augmentation(photometric=0.2), replace(Augmentation(photometric=0.2), missing={})
    first, second = (augment(make_sample(), np.random.default_rng(3)) for augment in (plain, none))
    assert torch.equal(first["image"], second["image"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.modality_dropout={osm: 0.3}", r"expected shares between 0 and 1 of layers in model.layers=\['image', 'dsm'\]"),
        ("train.modality_dropout={dsm: 1.0}", "expected shares between 0 and 1"),
        ("task=baseline", "only networks of the task segmentation"),
        ("model.layers=[dsm]", "dsm is the only layer of the network"),
    ],
)  # fmt: skip
def test_dropout_that_means_nothing_is_refused(override, message):
    with pytest.raises(InputError, match=message):
        make_recipe(override)
