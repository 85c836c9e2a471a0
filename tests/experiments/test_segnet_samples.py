"""Rows and scores of SegNet's family on real sites."""

from pathlib import Path

import isprs_segnet
import pytest
import segnet_samples
from score_table import BenchmarkScenes, Outcome

from deepnets4eo.files import read_json
from deepnets4eo.training import load_recipe


def rows_at(name: str) -> list[isprs_segnet.NetworkRow]:
    second = segnet_samples.SITES[name]
    site = segnet_samples.SampleSite(name, segnet_samples.DUBAI, (), "", second)
    every = isprs_segnet.rows(
        True, segnet_samples.EPOCHS, width=segnet_samples.WIDTH, heights=second or (isprs_segnet.NDSM, 1)
    )
    return segnet_samples.site_rows([one for one in every if one.row.name not in segnet_samples.LEFT_OUT], site)


@pytest.mark.parametrize("name", list(segnet_samples.SITES))
def test_all_networks_take_the_same_steps_but_the_correction_and_its_controls(name: str) -> None:
    of_others = {
        isprs_segnet.CORRECTION: segnet_samples.MORE_STEPS,
        segnet_samples.AVERAGE_TRAINED: segnet_samples.MORE_STEPS,
        **dict.fromkeys(segnet_samples.LONGER, segnet_samples.STEPS + segnet_samples.MORE_STEPS),
    }
    for one in rows_at(name):
        recipe, _ = load_recipe(one.row.recipe, overrides=one.row.overrides)
        expected = of_others.get(one.row.name, segnet_samples.STEPS)
        assert segnet_samples.steps_of(one.row) == expected, one.row.name
        assert recipe.data.val_share == 0, one.row.name
        assert recipe.data.tile_px == segnet_samples.WINDOWS_PX[name], one.row.name


def test_two_streams_run_where_there_is_a_second_layer() -> None:
    names = {one.row.name for one in rows_at("vegas")}
    assert {isprs_segnet.AVERAGE, isprs_segnet.FUSE, isprs_segnet.VIRTUAL, segnet_samples.EARLY} <= names
    assert isprs_segnet.AVERAGE not in {one.row.name for one in rows_at("dubai")}
    layers = {
        one.row.name: load_recipe(one.row.recipe, overrides=one.row.overrides)[0].model.layers
        for one in rows_at("houston")
    }
    assert list(layers[isprs_segnet.FUSE]) == ["image", "cube"]
    assert list(layers[isprs_segnet.HEIGHTS]) == ["cube"]


def test_the_average_is_trained_further_from_the_networks_that_the_correction_starts_from() -> None:
    rows = {one.row.name: one for one in rows_at("vegas")}
    trained, correction = rows[segnet_samples.AVERAGE_TRAINED], rows[isprs_segnet.CORRECTION]
    assert trained.streams == correction.streams == (isprs_segnet.IMAGE, isprs_segnet.HEIGHTS)
    of_average, of_correction = (
        load_recipe(one.row.recipe, overrides=one.row.overrides)[0] for one in (trained, correction)
    )
    assert of_average.model.options["frozen"] is False
    assert of_correction.model.options["frozen"] is True
    assert of_average.train == of_correction.train


def test_scores_are_in_percent_one_per_seed() -> None:
    scores = {
        "overall_accuracy": 0.5, "mean_f1": 0.25, "mean_iou": 0.125, "boundaries": {"mean_f1": 0.75},
        "f1": {"land": 0.5, "water": None}, "iou": {"land": 0.25, "water": None},
    }  # fmt: skip
    folds = [BenchmarkScenes({"a": {}}, {"b": {}}), BenchmarkScenes({"b": {}}, {"a": {}})]
    outcome = Outcome("SegNet", scores, train_seconds=2.0 * segnet_samples.STEPS)
    measured = segnet_samples.scores_by_seed([outcome, outcome], [0, 1], folds)
    assert measured["seeds"] == [0, 1]
    assert measured["overall_accuracy"] == [50, 50]
    assert measured["f1"] == {"land": [50, 50], "water": [None, None]}
    assert measured["boundary_f1"] == [75, 75]
    assert measured["wall_seconds_per_step"] == [1, 1]
    half = segnet_samples.scores_by_seed([outcome], [0], folds, segnet_samples.STEPS // 2)
    assert half["wall_seconds_per_step"] == [2]


def test_further_seeds_are_added_to_those_of_a_row_and_the_same_ones_replaced() -> None:
    before = {"seeds": [0, 2], "overall_accuracy": [50.0, 52.0], "f1": {"land": [10.0, None]}}
    after = {"seeds": [1, 2], "overall_accuracy": [61.0, 62.0], "f1": {"land": [11.0, 12.0]}}
    merged = segnet_samples.merge_seeds(before, after)
    assert merged == {
        "seeds": [0, 1, 2],
        "overall_accuracy": [50.0, 61.0, 62.0],
        "f1": {"land": [10.0, 11.0, 12.0]},
    }
    assert segnet_samples.merge_seeds(None, after) == after


def test_a_step_is_timed() -> None:
    (name,) = names = [f"FCN-8s, width {segnet_samples.WIDTH}"]
    assert 0 < segnet_samples.step_seconds(names)[name] < 60


@pytest.mark.real_data
def test_the_rows_run_on_a_real_place(real_data: Path, tmp_path: Path) -> None:
    text = isprs_segnet.on_samples(real_data, tmp_path, [0], ["vaihingen"], [isprs_segnet.IMAGE], smoke=True)
    assert "these figures mean NOTHING" in text
    results = read_json(tmp_path / "results.json")
    assert results["smoke"] is True
    assert list(results["sites"]["vaihingen"]) == [isprs_segnet.IMAGE]
