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
def test_all_networks_take_the_same_steps(name: str) -> None:
    for one in rows_at(name):
        recipe, _ = load_recipe(one.row.recipe, overrides=one.row.overrides)
        expected = segnet_samples.STEPS // (2 if one.row.name == isprs_segnet.CORRECTION else 1)
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


def test_scores_are_in_percent_one_per_seed() -> None:
    scores = {
        "overall_accuracy": 0.5, "mean_f1": 0.25, "mean_iou": 0.125, "boundaries": {"mean_f1": 0.75},
        "f1": {"land": 0.5, "water": None}, "iou": {"land": 0.25, "water": None},
    }  # fmt: skip
    folds = [BenchmarkScenes({"a": {}}, {"b": {}}), BenchmarkScenes({"b": {}}, {"a": {}})]
    outcome = Outcome("SegNet", scores, train_seconds=2.0 * segnet_samples.STEPS)
    measured = segnet_samples.scores_by_seed([outcome, outcome], folds)
    assert measured["overall_accuracy"] == [50, 50]
    assert measured["f1"] == {"land": [50, 50], "water": [None, None]}
    assert measured["boundary_f1"] == [75, 75]
    assert measured["wall_seconds_per_step"] == [1, 1]
    half = segnet_samples.scores_by_seed([outcome], folds, segnet_samples.STEPS // 2)
    assert half["wall_seconds_per_step"] == [2]


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
