"""Scores over seeds: mean and sample sd of each score, undefined ones left out, counts no scores."""

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import mean_scores, seeds_table, spread


def report(accuracy: float, water: float | None, overlap: float) -> dict[str, object]:
    return {
        "overall_accuracy": accuracy,
        "kappa": None,
        "f1": {"grass": accuracy, "water": water},
        "iou": {"grass": accuracy / 2, "water": water},
        "pixels": 40,
        "rmse_m": 10 * accuracy,
        "protocol": {"leakage": {"share_patch_overlaps": overlap}},
    }


REPORTS = {"seed-0": report(0.5, 0.25, 1.0), "seed-1": report(0.75, None, 0.5), "seed-2": report(0.25, 0.75, 0.0)}


def test_mean_and_sample_deviation_of_each_score() -> None:
    table = mean_scores(REPORTS)
    assert table["runs"] == ["seed-0", "seed-1", "seed-2"]
    scores = table["scores"]
    assert scores["overall_accuracy"]["values"] == [0.5, 0.75, 0.25]
    assert scores["overall_accuracy"]["mean"] == pytest.approx(0.5)
    assert scores["overall_accuracy"]["sd"] == pytest.approx(np.std([0.5, 0.75, 0.25], ddof=1))
    assert scores["leakage"]["mean"] == pytest.approx(0.5)
    assert "pixels" not in scores


def test_undefined_scores_are_left_out_of_the_mean() -> None:
    scores = mean_scores(REPORTS)["scores"]
    assert scores["f1 water"] == {"mean": 0.5, "sd": pytest.approx(np.sqrt(0.125)), "values": [0.25, None, 0.75]}
    assert scores["kappa"] == {"mean": None, "sd": None, "values": [None, None, None]}


def test_the_table_has_shares_in_percent_and_other_scores_as_they_are() -> None:
    rows = {line.split("  ")[0]: line for line in seeds_table(mean_scores(REPORTS)).splitlines()}
    assert "50.0 ± 25.0" in rows["overall accuracy"]
    assert "5.000 ± 2.500" in rows["rmse m"]
    assert rows["f1 water"].split()[-3:] == ["25.0", "–", "75.0"]
    assert not any(name.startswith("iou") for name in rows)


def test_runs_without_a_score_in_common_are_refused() -> None:
    with raises_naming(InputError, "seed-0", "seed-1"):
        mean_scores({"seed-0": {"overall_accuracy": 0.5}, "seed-1": {"r2": 0.5}})


def test_a_single_value_has_no_deviation() -> None:
    assert [spread([4.0]), spread([np.nan]), spread([1.0, np.nan, 3.0], 0, "+")] == ["4.0", "–", "+2 ± 1"]
