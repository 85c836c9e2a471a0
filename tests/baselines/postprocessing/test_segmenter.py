"""Post-processing behind a segmenter: margins, tilings, saving, and inputs that do not suit a step."""

import numpy as np
import pytest
import torch
from PIL import Image
from refusals import raises_naming
from sklearn.ensemble import ExtraTreesClassifier

from deepnets4eo.baselines import ExpertRules, PixelClassifier, PostProcessed
from deepnets4eo.baselines.bands import unstandardise
from deepnets4eo.baselines.postprocessing import build_steps
from deepnets4eo.baselines.rules import RuleTable
from deepnets4eo.cards import Legend
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, Segmenter, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.synthetic import City
from deepnets4eo.tiling import Tiling

LEGEND = Legend.load("isprs")
CITY = City(seed=2, size_px=(150, 170))
SCENE = Scene.open(CITY.grid, image=CITY.image, dsm=CITY.dsm[None], dtm=CITY.dtm[None])
INPUTS = InputSpec.measure([SCENE], ("image", "dsm", "dtm"))
BATCH = INPUTS.prepare(SCENE.read())[None]
STEPS = [{"majority": {"radius_px": 1}}, {"crf": {"radius_px": 2, "iterations": 3}}]


def rules(tiling=None):
    return ExpertRules(RuleTable.load("rules-ndsm.yaml"), INPUTS, LEGEND, tiling=tiling)


def network():
    torch.manual_seed(0)
    described = {"name": "unet", "encoder": "resnet18", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
    return NetworkSegmenter(described, INPUTS, LEGEND, tiling=Tiling(64, 8))


@pytest.fixture(params=[rules, network])
def segmenter(request):
    """Steps behind rules and behind a network."""
    return PostProcessed(request.param(), STEPS)


def test_it_is_a_segmenter_whose_halo_holds_both(segmenter):
    assert isinstance(segmenter, Segmenter)
    inner = segmenter.segmenter.tiling
    assert segmenter.reach_px == 1 + 8
    assert segmenter.halo_px == inner.halo_px + 32  # the poolings' grid
    assert segmenter.tiling.core_px == inner.core_px


def test_it_is_the_steps_applied_to_the_probabilities(segmenter):
    expected, bands = segmenter.segmenter.predict_proba(BATCH)[0], unstandardise(BATCH[0], INPUTS, segmenter.band_names)
    for step in build_steps(STEPS):
        expected = step.apply(expected, bands)
    found = segmenter.predict_proba(BATCH)
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(segmenter.predict_classes(BATCH), found.argmax(axis=1))
    np.testing.assert_allclose(np.exp(segmenter.predict_raw(BATCH)), found, atol=1e-6)


@pytest.mark.parametrize(
    "step", [{"majority": {"radius_px": 2}}, {"crf": {"radius_px": 2}}, {"minimum_area": {"area_px": 9}}]
)
def test_pixels_without_data_have_no_vote_and_keep_their_probabilities(step):
    inner, batch = rules(), BATCH.copy()
    batch[:, :, :60], batch[:, :, 40:, 90:] = 0, 0
    known = (batch[0] != 0).any(axis=0)
    before = inner.predict_proba(batch)
    found = PostProcessed(inner, [step]).predict_proba(batch)
    np.testing.assert_array_equal(found[0][:, ~known], before[0][:, ~known])
    bands = unstandardise(batch[0], INPUTS, PostProcessed(inner, [step]).band_names)
    expected = build_steps([step])[0].apply(np.where(known, before[0], np.float32(np.nan)), bands)
    np.testing.assert_array_equal(found[0][:, known], expected[:, known])
    assert np.isfinite(found).all()
    without = build_steps([step])[0].apply(before[0], bands)
    assert "minimum_area" in step or (found[0][:, known] != without[:, known]).any()


@pytest.mark.parametrize("margin", [3, 9, 30])
def test_margin_is_cut_off_and_changes_nothing_else(margin):
    segmenter = PostProcessed(rules(), STEPS)
    cut = segmenter.predict_proba(BATCH, margin_px=margin)
    np.testing.assert_array_equal(cut, segmenter.predict_proba(BATCH)[:, :, margin:-margin, margin:-margin])


def test_a_scene_has_the_same_bits_however_it_is_tiled(tmp_path):
    maps = []
    for number, side in enumerate((32, 48, 200)):
        segmenter = PostProcessed(rules(Tiling(side, 0)), STEPS)
        out = tmp_path / f"{number}.tif"
        predict(segmenter, SCENE, out, PredictOptions(device="cpu", probabilities=tmp_path / f"p{number}.tif"))
        maps.append((Layer.open(out).read()[0], Layer.open(tmp_path / f"p{number}.tif").read()[0]))
    assert len(np.unique(maps[0][0])) > 1
    for labels, proba in maps[1:]:
        np.testing.assert_array_equal(labels, maps[0][0])
        np.testing.assert_array_equal(proba, maps[0][1])


def test_it_cleans_what_rules_say_of_a_city():
    reference = CITY.labels("isprs")
    before = rules().predict_classes(BATCH)[0]
    after = PostProcessed(rules(), [{"majority": {"radius_px": 2}}, {"minimum_area": {"area_m2": 3}}]).predict_classes(BATCH)[0]  # fmt: skip
    assert (after[:-1] != after[1:]).sum() < (before[:-1] != before[1:]).sum()
    assert (after == reference).mean() > (before == reference).mean() - 0.02


def test_saved_and_loaded_it_gives_the_same_bits_with_the_segmenter_inside(segmenter, tmp_path):
    loaded = load_run(save_run(segmenter, tmp_path / "run")).segmenter
    assert isinstance(loaded, PostProcessed)
    assert type(loaded.segmenter) is type(segmenter.segmenter)
    assert (loaded.tiling, loaded.segmenter.tiling, loaded.steps) == (
        segmenter.tiling, segmenter.segmenter.tiling, segmenter.steps,
    )  # fmt: skip
    np.testing.assert_array_equal(loaded.predict_raw(BATCH), segmenter.predict_raw(BATCH))


def test_it_nests_and_hands_the_device_on(tmp_path):
    twice = PostProcessed(PostProcessed(network(), ["majority"]), [{"superpixel_vote": {"area_px": 64}}])
    twice.to(Compute(threads=2))
    assert twice.segmenter.segmenter.compute == Compute(threads=2)
    loaded = load_run(save_run(twice, tmp_path / "run")).segmenter
    np.testing.assert_array_equal(loaded.predict_classes(BATCH), twice.predict_classes(BATCH))


def test_steps_that_the_inputs_do_not_suit_are_named_beforehand():
    with raises_naming(InputError, "step 2"):
        PostProcessed(rules(), ["majority", {"crf": {"guide": ["intensity"]}}])
    bare = InputSpec.measure([Scene.open(image=CITY.image)], ("image",))
    inner = ExpertRules(
        RuleTable.from_dict({"rules": [{"class": "tree", "ndvi": {"above": 0}}], "otherwise": "clutter"}), bare, LEGEND
    )
    with raises_naming(InputError, "1", "minimum_area", "area_px"):
        PostProcessed(inner, [{"minimum_area": {"area_m2": 4}}])


@pytest.mark.real_data
def test_smoothing_raises_the_accuracy_of_single_pixels_on_a_real_image(real_data):
    """Left half of a crop of Vaihingen for training, right half for the score."""
    folder = real_data / "isprs_vaihingen_crop"
    image, ids = (np.array(Image.open(next((folder / kind).rglob("*.png")))) for kind in ("img_dir", "ann_dir"))
    image = np.ascontiguousarray(np.moveaxis(image[..., :3], -1, 0))
    labels = np.where(ids == 0, 255, ids - 1).astype(np.uint8)
    left = Scene.open(image=image[..., :256].copy(), labels=labels[:, :256].copy())
    inputs = InputSpec.measure([left], ("image",))
    trees = ExtraTreesClassifier(20, min_samples_leaf=3, random_state=0)
    inner = PixelClassifier(trees, inputs, LEGEND, features=["pixels"], bands={"image": ["nir", "red", "green"]})
    inner.fit([left], max_pixels=4000, seed=0)
    right, reference = inputs.prepare(Scene.open(image=image[..., 256:].copy()).read())[None], labels[:, 256:]
    known = reference != 255
    right_share = {"nothing": (inner.predict_classes(right)[0] == reference)[known].mean()}
    for name in ("majority", "superpixel_vote", "crf"):
        found = PostProcessed(inner, [name]).predict_classes(right)[0]
        right_share[name] = (found == reference)[known].mean()
    assert min(right_share[name] for name in right_share if name != "nothing") > right_share["nothing"] + 0.005, (
        right_share
    )
