"""A classifier of superpixels: trained, saved, mapped, and its errors."""

import logging

import numpy as np
import pytest
from refusals import raises_naming
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deepnets4eo.baselines import SuperpixelClassifier
from deepnets4eo.baselines.superpixels import Superpixels
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling

LEGEND = Legend("three", tuple(LegendClass(v, n, (v, v, 1)) for v, n in [(2, "low"), (5, "middle"), (9, "high")]))


def made_up(seed=0, side=240):
    """Squares of 12 pixels of one class each, with noise, beside heights that tell nothing."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, (side // 12, side // 12)).repeat(12, axis=0).repeat(12, axis=1)
    image = np.clip(40 + 80 * classes + rng.normal(0, 6, (3, side, side)), 0, 255).astype(np.uint8)
    dsm = rng.normal(20, 5, (1, side, side)).astype(np.float32)
    return Scene.open(image=image, dsm=dsm, labels=np.array([2, 5, 9], np.uint8)[classes])


SCENE = made_up()
INPUTS = InputSpec.measure([SCENE], ("image", "dsm"))
CUT = Superpixels("slic", area_px=36)


def make(model=None, **given):
    model = model if model is not None else make_pipeline(StandardScaler(), LogisticRegression())
    return SuperpixelClassifier(model, INPUTS, LEGEND, **{"superpixels": CUT, "tiling": Tiling(128, 16)} | given)


def with_labels(labels):
    return Scene({**SCENE.layers, **Scene.open(labels=labels).layers})


MAKERS = {
    "linear": lambda: make().fit([SCENE], max_regions=600),
    "forest": lambda: make(RandomForestClassifier(8, n_jobs=2, random_state=0)).fit([SCENE], max_regions=600),
    "felzenszwalb": lambda: make(superpixels=Superpixels(area_px=36), features=["pixels", "neighbourhood"]).fit(
        [SCENE]
    ),
}


@pytest.fixture(scope="module", params=MAKERS)
def segmenter(request):
    return MAKERS[request.param]()


@pytest.fixture(scope="module")
def batch():
    """Two prepared tiles of odd size."""
    prepared = INPUTS.prepare(SCENE.read())
    return np.ascontiguousarray(np.stack([prepared[:, :75, :57], prepared[:, 45:120, 63:120]]))


def test_each_region_has_one_label(segmenter, batch):
    ids = segmenter.superpixels.segment(segmenter.to_physical_units(batch[0]))
    classes = segmenter.predict_classes(batch)[0]
    assert all(np.unique(classes[ids == region]).size == 1 for region in range(ids.max() + 1))


def test_it_learns_what_regions_show(segmenter):
    unseen = made_up(seed=1)
    classes = segmenter.predict_classes(INPUTS.prepare(unseen.read())[None])[0]
    assert (classes == LEGEND.to_index()[unseen.read()["labels"]]).mean() > 0.93


def test_saved_and_loaded_it_gives_the_same_bits(segmenter, batch, tmp_path):
    loaded = load_run(save_run(segmenter, tmp_path / "run")).segmenter
    assert isinstance(loaded, SuperpixelClassifier)
    assert loaded.superpixels == segmenter.superpixels
    assert loaded.columns == segmenter.columns
    np.testing.assert_array_equal(loaded.predict_raw(batch), segmenter.predict_raw(batch))


def test_superpixels_of_an_earlier_version_are_made_again_but_not_by_quickshift():
    kept = {"superpixels": CUT.to_dict() | {"colour_weight": 0.5}}
    assert SuperpixelClassifier.extra_init_kwargs(kept) == {"superpixels": CUT}
    kept["superpixels"]["method"] = "quickshift"
    with raises_naming(InputError, "'quickshift'"):
        SuperpixelClassifier.extra_init_kwargs(kept)


def test_a_scene_gives_the_same_bits_however_it_is_cut_up(segmenter, tmp_path):
    """Narrow strips, more readers and threads; and each tile is what the segmenter makes of the tile alone."""
    one = predict(segmenter, SCENE, tmp_path / "one.tif", PredictOptions(threads=1, workers=1))
    two = predict(segmenter, SCENE, tmp_path / "two.tif", PredictOptions(threads=3, workers=3))
    labels = Layer.open(one.paths["labels"]).read()[0]
    np.testing.assert_array_equal(labels, Layer.open(two.paths["labels"]).read()[0])
    tile = INPUTS.prepare(SCENE.read())[None, :, 80:208, 80:208]  # of the lattice's second row and column
    classes = segmenter.predict_classes(np.ascontiguousarray(tile), margin_px=16)[0]
    np.testing.assert_array_equal(labels[0, 96:192, 96:192], np.array(LEGEND.values, np.uint8)[classes])


def test_threads_change_nothing(segmenter, batch):
    vectors = np.random.default_rng(0).normal(size=(500, len(segmenter.columns))).astype(np.float32)
    alone = segmenter.predict_raw(batch), segmenter.predict_vectors(vectors, chunk_pixels=10)
    segmenter.to(Compute(threads=4))
    np.testing.assert_array_equal(segmenter.predict_raw(batch), alone[0])
    np.testing.assert_array_equal(segmenter.predict_vectors(vectors, chunk_pixels=10), alone[1])


class Remembering(LogisticRegression):
    """Keeps what it was shown."""

    def fit(self, vectors, places):
        self.shown_ = np.bincount(places, minlength=3), vectors
        return super().fit(vectors, places)


def test_classes_are_balanced_and_at_most_so_many_regions_are_drawn():
    found = make(Remembering()).fit([SCENE], max_regions=90).estimator.shown_[0]
    np.testing.assert_array_equal(found, [30, 30, 30])


def test_regions_at_random_keep_the_shares_of_the_classes():
    every = make(Remembering()).fit([SCENE], max_regions=10**6).estimator.shown_[0]
    some = make(Remembering()).fit([SCENE], max_regions=600, balanced=False).estimator.shown_[0]
    assert some.sum() == 600
    np.testing.assert_allclose(some / 600, every / every.sum(), atol=0.06)
    assert 1.2 * every.min() < every.max(), "equal numbers would differ"


def test_regions_at_random_come_from_all_windows(monkeypatch):
    origins = []
    monkeypatch.setattr(SuperpixelClassifier, "fit_samples", lambda self, _, __, numbers: origins.extend(numbers))
    make().fit([SCENE] * 5, max_regions=1500, balanced=False)
    assert np.bincount(origins).tolist() == [300] * 5


def test_the_seed_decides_which_regions_are_drawn():
    drawn = [make(Remembering()).fit([SCENE], max_regions=90, seed=seed).estimator.shown_[1] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_regions_labelled_by_less_than_half_are_not_drawn():
    labels = np.full((240, 240), 255, np.uint8)
    labels[::5] = SCENE.read()["labels"][::5]
    with pytest.raises(InputError, match="no superpixel of which half is valid and labelled"):
        make(superpixels=Superpixels("slic", area_px=400)).fit([with_labels(labels)])


def test_labels_of_one_class_are_nothing_to_learn_from():
    with raises_naming(InputError, "1", "'three'", "2"):
        make().fit([with_labels(np.full((240, 240), 2, np.uint8))])


def test_classes_that_training_did_not_show_are_named_and_get_no_probability(batch, caplog):
    labels = SCENE.read()["labels"]
    with caplog.at_level(logging.WARNING):
        segmenter = make().fit([with_labels(np.where(labels == 5, 255, labels).astype(np.uint8))])
    assert "no sample is of middle" in caplog.text
    assert (segmenter.predict_proba(batch)[:, 1] == 0).all()


def test_fewer_samples_than_features_are_said_and_work(batch, caplog):
    with caplog.at_level(logging.WARNING):
        segmenter = make(features=["neighbourhood"]).fit([SCENE], max_regions=9)
    assert "9 samples for 20 features" in caplog.text
    assert np.isfinite(segmenter.predict_proba(batch)).all()


def test_constant_images_and_nan_in_the_dsm_give_finite_probabilities(segmenter):
    flat = np.zeros((1, 4, 64, 64), np.float32)
    proba = segmenter.predict_proba(flat)
    assert np.isfinite(proba).all()
    holes = SCENE.read()["dsm"].copy()
    holes[:, 30:90, 30:90] = np.nan
    scene = Scene({**SCENE.layers, **Scene.open(dsm=holes).layers})
    made = make().fit([scene], max_regions=300)
    assert np.isfinite(made.predict_proba(INPUTS.prepare(scene.read())[None])).all()


def test_constant_training_images_are_learned_from_without_an_error():
    image = np.full((3, 240, 240), 90, np.uint8)
    scene = Scene({**SCENE.layers, **Scene.open(image=image).layers})
    inputs = InputSpec.measure([scene], ("image",))
    made = SuperpixelClassifier(LogisticRegression(), inputs, LEGEND, superpixels=CUT).fit([scene], max_regions=90)
    assert np.isfinite(made.predict_proba(np.zeros((1, 3, 40, 40), np.float32))).all()


def test_columns_that_differ_between_fit_and_use_are_refused(segmenter, tmp_path):
    segmenter.save(tmp_path)
    described = segmenter.describe()
    described["columns"] = [described["columns"][1], described["columns"][0], *described["columns"][2:]]
    with pytest.raises(RunError, match="was trained on the columns in another order"):
        SuperpixelClassifier.restore(tmp_path, described, INPUTS, LEGEND, Tiling(128, 16))


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: make(features=["pixel"]), "Did you mean 'pixels'"),
        (lambda: make(features=[]), "no feature was named"),
        (lambda: make(bands={"image": ["red"]}), "3 bands, but 1 names"),
        (
            lambda: SuperpixelClassifier(
                LogisticRegression(), InputSpec.measure([SCENE]), LEGEND, superpixels=Superpixels(height_weight=1)
            ),
            "no band shows height",
        ),
    ],
)
def test_what_cannot_be_is_refused(make_it, message):
    with pytest.raises(InputError, match=message):
        make_it()


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["isprs_vaihingen_crop", "isprs_potsdam_crop"])
def test_real_crops_are_learned_on_one_half_and_mapped_on_the_other(real_data, folder):
    """Better than the most frequent class, and about as good as on what it has seen; colours alone, so no more."""
    image, _ = Layer.open(next((real_data / folder / "img_dir").glob("*.png"))).read()
    labels, _ = Layer.open(next((real_data / folder / "ann_dir").glob("*.png"))).read()
    labels = np.where(labels == 0, 255, labels).astype(np.uint8)
    classes = np.unique(labels[labels != 255])
    legend = Legend("isprs", tuple(LegendClass(int(v), f"class {v}", (int(v), 1, 1)) for v in classes))
    halves = [Scene.open(image=image[:3, :, half], labels=labels[:, :, half]) for half in np.s_[:256, 256:]]
    inputs = InputSpec.measure(halves[:1])
    made = SuperpixelClassifier(
        RandomForestClassifier(50, random_state=0), inputs, legend, features=["pixels", "neighbourhood"],
        superpixels=Superpixels("slic", area_px=100),
    ).fit(halves[:1], max_regions=3000)  # fmt: skip
    found = made.predict_classes(inputs.prepare(halves[1].read())[None])[0]
    reference = legend.to_index()[labels[0, :, 256:]]
    known = reference != 255
    assert (found == reference)[known].mean() > 0.5
