"""The experiment on cubes: all methods of a seed on the same pixels, disjoint blocks a patch apart, a table with spread."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_cube import BANDS, LEGEND, write_cube

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"

import hyperspectral_cubes as cubes  # noqa: E402
import hyperspectral_zoo as zoo  # noqa: E402

from deepnets4eo.cards import Legend, PublishedScores  # noqa: E402
from deepnets4eo.errors import InputError  # noqa: E402
from deepnets4eo.files import write_json  # noqa: E402
from deepnets4eo.hyperspectral.training import HyperspectralRecipe  # noqa: E402


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> cubes.RealCube:
    folder = write_cube(tmp_path_factory.mktemp("cube"))
    sources = {layer: str(folder / f"{layer}.tif") for layer in ("image", "labels")}
    legend, bands = Legend.from_dict(LEGEND, "fields"), tuple(range(1, BANDS + 1))
    published = {"Somebody": PublishedScores(protocol="10 %", overall_accuracy=91.25)}
    return cubes.RealCube("fields", "Fields", legend, {"fields": sources}, bands, (20, 10, 2), 16, published=published)


def outcome(accuracy: float, leakage: float = 0.0, mapped: float | None = None) -> dict[str, Any]:
    f1 = {"grass": accuracy, "soil": None, "water": 1.0}
    scores = {"overall_accuracy": accuracy, "average_accuracy": 0.5, "kappa": 0.25, "mean_f1": None, "f1": f1}
    return {
        "scores": scores,
        "leakage": leakage,
        "learnt": 10,
        "tested": 90,
        "train_seconds": 2,
        "map_seconds": mapped,
    }


def test_a_block_has_the_label_of_most_of_its_pixels() -> None:
    labels = np.array([[1, 1, 0, 0], [1, 2, 0, 3], [2, 2, 3, 3], [2, 1, 3, 0]], np.uint8)
    assert cubes.most_frequent(labels, 2, 3).tolist() == [[1, 0], [2, 3]]


def test_classes_of_few_pixels_are_void() -> None:
    labels = np.array([[1, 1, 1], [2, 0, 1]], np.uint8)
    assert cubes.without_small(labels, 2).tolist() == [[1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(("learnt", "epochs"), [(320, 20), (321, 18), (100_000, 1)])
def test_a_short_training_has_the_same_number_of_batches_on_any_number_of_pixels(learnt: int, epochs: int) -> None:
    assert zoo.short_epochs(learnt, 200) == epochs
    batches = epochs * -(-learnt // zoo.BATCH)
    assert batches == pytest.approx(200, rel=0.02) or epochs == 1


def test_all_methods_of_a_seed_learn_from_the_same_pixels(cube: cubes.RealCube) -> None:
    for split in (zoo.RANDOM, zoo.DISJOINT):
        of_methods = [zoo.split_masks(zoo.make_recipe(cube, method, split, 1))[0] for method in ("svm", "hybridsn")]
        np.testing.assert_array_equal(*of_methods)


def test_no_patch_of_the_disjoint_split_shares_a_pixel_with_a_training_patch(cube: cubes.RealCube) -> None:
    folds = []
    for seed in range(zoo.FOLDS):
        recipe = zoo.make_recipe(cube, "hybridsn", zoo.DISJOINT, seed)
        assert recipe.model.options == {"patch_px": zoo.SMALL_PATCH_PX}
        learnt, tested = zoo.split_masks(recipe)[0]
        apart = np.abs(np.argwhere(learnt)[:, None] - np.argwhere(tested)).max(axis=-1)
        assert apart.min() >= zoo.SMALL_PATCH_PX
        folds.append(tested)
    assert (np.sum(folds, axis=0) <= 1).all()  # each seed tests elsewhere


def test_random_pixels_are_a_tenth_and_others_with_each_seed(cube: cubes.RealCube) -> None:
    masks = [zoo.split_masks(zoo.make_recipe(cube, "svm", zoo.RANDOM, seed))[0] for seed in (0, 1)]
    for learnt, tested in masks:
        assert not (learnt & tested).any()
        assert learnt.sum() / (learnt | tested).sum() == pytest.approx(0.1, abs=0.01)
    assert (masks[0][0] != masks[1][0]).any()


def test_a_short_training_changes_networks_alone(cube: cubes.RealCube) -> None:
    network, forest = (zoo.make_recipe(cube, name, zoo.RANDOM, 0, steps=50) for name in ("hu", "random-forest"))
    assert (network.train.optimizer, network.train.lr) == ("adam", 3e-2)
    assert forest.train == zoo.make_recipe(cube, "random-forest", zoo.RANDOM, 0).train
    assert isinstance(network, HyperspectralRecipe)


def test_the_table_has_published_rows_means_and_spreads(cube: cubes.RealCube) -> None:
    outcomes = {
        ("svm", "random"): [outcome(0.9, 1.0, 3.25), outcome(0.8, 1.0)],
        ("svm", "disjoint"): [outcome(0.6), outcome(0.7)],
    }
    text = zoo.markdown(cube, outcomes, "Fields")
    assert "| Somebody | published: 10 % | 91.2 | – | – | – |" in text
    assert (
        "| svm | random | 85.0 ± 7.1 | 50.0 ± 0.0 | 25.0 ± 0.0 | – | 100.0 ± 0.0 | 10 ± 0 | 90 ± 0 | 2.0 ± 0.0 | 3.2 |"
        in text
    )
    assert zoo.leakage_worth(outcomes) == "- svm: 85.0 at random, 65.0 disjoint, +20.0 points\n"


def test_a_finished_run_is_read_and_what_does_not_fit_is_left_out(
    cube: cubes.RealCube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def train(recipe: HyperspectralRecipe, folder: Path, options: object) -> Path:
        trained.append((recipe.model.network, recipe.train.seed))
        if recipe.model.network:
            raise InputError("patches are larger than the scene")
        protocol = {"leakage": {"share_patch_overlaps": 0.25}, "pixels": {"grass": {"train": 3, "test": 4}}}
        write_json(folder / "metrics.json", {**outcome(0.5)["scores"], "protocol": protocol})
        return folder

    monkeypatch.setattr(zoo, "train", train)
    monkeypatch.setattr(zoo, "load_run", Path)
    monkeypatch.setattr(zoo, "predict", lambda run, scene, path, options: Namespace(paths={"labels": path}))
    trial = zoo.Trial(("svm", "sharma"), (zoo.DISJOINT,), (0, 1))
    outcomes, left_out = zoo.run_cube(cube, trial, tmp_path)
    assert list(left_out) == ["sharma, disjoint, seed 0", "sharma, disjoint, seed 1"]
    first, second = outcomes["svm", zoo.DISJOINT]
    assert (first["leakage"], first["learnt"], first["tested"]) == (0.25, 3, 4)
    assert list(first["maps"]) == ["fields"]
    assert second["maps"] == {}
    again = zoo.run_cube(cube, trial, tmp_path)[0]
    assert again["svm", zoo.DISJOINT] == [first, second]
    assert [seed for network, seed in trained if network is None] == [0, 1]


def test_scenes_of_many_tiles_are_of_one_part_each(cube: cubes.RealCube, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(5)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        write_cube(folder, number)
    scenes = {folder.name: {layer: str(folder / f"{layer}.tif") for layer in ("image", "labels")} for folder in folders}
    tiles = replace(cube, scenes=scenes, whole_scenes=True)
    masks = zoo.split_masks(zoo.make_recipe(tiles, "svm", zoo.DISJOINT, 0))
    assert sorted((learnt.any(), tested.any()) for learnt, tested in masks) == [(False, True)] + 4 * [(True, False)]


def test_fewer_epochs_where_more_pixels_would_be_presented(cube: cubes.RealCube) -> None:
    recipes = [zoo.make_recipe(cube, "hamida", split, 0) for split in (zoo.RANDOM, zoo.DISJOINT)]
    of_random, of_blocks = (int(zoo.split_masks(recipe)[0][0].sum()) for recipe in recipes)
    limit = 100 * of_random  # the epochs of the recipe
    lengths = [
        zoo.make_recipe(cube, "hamida", split, 0, presentations=limit).train.epochs
        for split in (zoo.RANDOM, zoo.DISJOINT)
    ]
    assert lengths == [100, round(limit / of_blocks)]
    assert of_blocks > 2 * of_random
    changed = zoo.make_recipe(cube, "hamida", zoo.DISJOINT, 0, presentations=limit).train.model_copy(
        update={"epochs": 100}
    )
    assert changed == recipes[1].train
