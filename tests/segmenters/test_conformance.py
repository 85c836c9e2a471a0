"""What every kind of segmenter does alike; a kind without a recipe in `small_segmenters` fails here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_segmenters import RECIPES, SIDE_PX, Recipe, make_scene, network

from deepnets4eo.cards import VOID
from deepnets4eo.device import Compute
from deepnets4eo.grid import Window
from deepnets4eo.plugins import plugins_of
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import NetworkSegmenter, Segmenter, load_run
from deepnets4eo.segmenters.run import save_run, segmenter_kind

CORE_PX, BEYOND_PX = 24, 16


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def segmenter(recipe: Recipe) -> Segmenter:
    segmenter = recipe.make()
    segmenter.to(Compute())
    return segmenter


@pytest.fixture(scope="module")
def batch(recipe: Recipe, segmenter: Segmenter) -> np.ndarray:
    """Two prepared tiles of odd size."""
    prepared = segmenter.inputs.prepare(recipe.scene(0, SIDE_PX).read())
    return np.ascontiguousarray(np.stack([prepared[:, :75, :57], prepared[:, 45:120, 63:120]]))


def test_every_kind_has_a_recipe() -> None:
    assert {recipe.kind for recipe in RECIPES.values()} == {NetworkSegmenter.kind, *plugins_of("segmenters")}


def test_it_follows_the_protocol_and_a_run_finds_its_class_by_kind(recipe: Recipe, segmenter: Segmenter) -> None:
    assert isinstance(segmenter, Segmenter)
    assert segmenter.kind == recipe.kind
    assert segmenter_kind(recipe.kind) is type(segmenter)
    assert segmenter.halo_px == segmenter.tiling.halo_px


def test_probabilities_of_odd_sizes_sum_to_one_over_the_legends_classes(
    segmenter: Segmenter, batch: np.ndarray
) -> None:
    proba = segmenter.predict_proba(batch)
    assert proba.shape == (2, segmenter.legend.num_classes, 75, 57)
    assert proba.dtype == np.float32
    assert proba.min() >= 0
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert len(np.unique(segmenter.predict_classes(batch))) > 1


def test_the_softmax_of_raw_scores_are_the_probabilities_and_classes_are_the_best(
    segmenter: Segmenter, batch: np.ndarray
) -> None:
    raw, proba = segmenter.predict_raw(batch), segmenter.predict_proba(batch)
    assert raw.dtype == np.float32
    assert np.isfinite(raw).all()
    exponential = np.exp(raw.astype(np.float64) - raw.max(axis=1, keepdims=True))
    np.testing.assert_allclose(exponential / exponential.sum(axis=1, keepdims=True), proba, atol=1e-5)
    classes = segmenter.predict_classes(batch)
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, raw.argmax(axis=1))


def test_a_margin_is_cut_off_and_changes_nothing_else(segmenter: Segmenter, batch: np.ndarray) -> None:
    for method in (segmenter.predict_raw, segmenter.predict_proba):
        np.testing.assert_array_equal(method(batch, margin_px=7), method(batch)[:, :, 7:-7, 7:-7])
    whole = segmenter.predict_classes(batch)
    np.testing.assert_array_equal(segmenter.predict_classes(batch, margin_px=7), whole[:, 7:-7, 7:-7])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, and afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_tile_does_not_depend_on_what_else_is_in_the_batch(segmenter: Segmenter, batch: np.ndarray) -> None:
    alone = np.stack([batch[0], np.zeros_like(batch[0])])
    np.testing.assert_array_equal(segmenter.predict_raw(batch)[0], segmenter.predict_raw(alone)[0])


def share_unchanged(segmenter: Segmenter, halo_px: int, make: Callable[[int, int], Scene] = make_scene) -> float:
    """Share of a core's pixels whose probabilities stay the same when all beyond the halo is replaced.

    The same but for rounding: running sums over windows carry last digits along.
    """
    side_px = -(-(CORE_PX + 2 * (halo_px + BEYOND_PX)) // 32) * 32
    first = (side_px - CORE_PX) // 2
    core = Window(first, first, CORE_PX, CORE_PX)
    rows, cols = core.grow(halo_px).slices
    scene, other = (segmenter.inputs.prepare(make(seed, side_px).read()) for seed in (3, 4))
    other[:, rows, cols] = scene[:, rows, cols]
    rows, cols = core.slices
    before, after = (segmenter.predict_proba(image[None])[:, :, rows, cols] for image in (scene, other))
    return float((np.abs(before - after) < 1e-6).all(axis=1).mean())


def test_the_halo_is_true(recipe: Recipe, segmenter: Segmenter) -> None:
    if recipe.halo_share is None:
        assert share_unchanged(segmenter, segmenter.halo_px, recipe.scene) < 1  # else the recipe could promise more
    else:
        assert share_unchanged(segmenter, segmenter.halo_px, recipe.scene) >= recipe.halo_share


def test_a_halo_one_pixel_too_narrow_is_noticed() -> None:
    assert share_unchanged(network(), 2) < 1


def test_saved_and_loaded_it_returns_the_same_bits(segmenter: Segmenter, batch: np.ndarray, tmp_path: Path) -> None:
    folder = save_run(segmenter, tmp_path / "run")
    assert [path for path in folder.iterdir() if path.is_dir()] == []
    loaded = load_run(folder).segmenter
    assert type(loaded) is type(segmenter)
    assert (loaded.inputs, loaded.legend, loaded.tiling) == (segmenter.inputs, segmenter.legend, segmenter.tiling)
    assert loaded.describe() == segmenter.describe()
    np.testing.assert_array_equal(loaded.predict_raw(batch), segmenter.predict_raw(batch))


def test_a_scene_of_odd_size_with_a_hole_is_void_there_and_nowhere_else(
    recipe: Recipe, segmenter: Segmenter, tmp_path: Path
) -> None:
    read = recipe.scene(5, SIDE_PX).read()
    data = {name: read[name][:, :75, :57] for name in segmenter.inputs.names}
    last = data[segmenter.inputs.names[-1]] = data[segmenter.inputs.names[-1]].copy()
    last[0, 10:30, 40:50] = np.nan
    scene = Scene.open(**data)
    options = PredictOptions(device="cpu", precision="float32", threads=1, workers=1)
    labels = Layer.open(predict(segmenter, scene, tmp_path / "labels.tif", options).paths["labels"])
    np.testing.assert_array_equal(labels.read()[0][0] == VOID, np.isnan(last[0]))


@pytest.mark.parametrize("fill", [np.zeros_like, np.ones_like], ids=["void", "constant"])
def test_a_tile_without_any_content_has_finite_probabilities(
    segmenter: Segmenter, batch: np.ndarray, fill: Callable[[np.ndarray], np.ndarray]
) -> None:
    np.testing.assert_allclose(segmenter.predict_proba(fill(batch)).sum(axis=1), 1, atol=1e-5)


def test_the_number_of_threads_changes_no_bit(recipe: Recipe, segmenter: Segmenter) -> None:
    scene = segmenter.inputs.prepare(recipe.scene(0, SIDE_PX).read())[None]  # more pixels than estimators take at once
    segmenter.to(Compute(threads=1))
    alone = segmenter.predict_raw(scene)
    segmenter.to(Compute(threads=4))
    np.testing.assert_array_equal(segmenter.predict_raw(scene), alone)
