"""The experiment with labellers side by side: rows that resolve, clouds that it writes, counts that are kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_field import make_cloud

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"

import aerial_lidar as experiment  # noqa: E402
from places.view_rows import (  # noqa: E402
    AERIAL,
    SMOKE,
    row_overrides,
    write_las,
)

from deepnets4eo.points import open_cloud  # noqa: E402
from deepnets4eo.training import load_recipe  # noqa: E402


class Blind:
    """Knows the classes of the first half of the points, and takes the last point for the class after its own."""

    def __init__(self, legend):
        self.legend = legend

    def scores(self, cloud):
        best = experiment.class_indices(cloud, self.legend).astype(int)
        best[0] = (best[0] + 1) % self.legend.num_classes
        scores = np.eye(self.legend.num_classes, dtype=np.float32)[best]
        scores[len(cloud) // 2 :] = np.nan
        return scores


@pytest.mark.parametrize("name", ["ign_lidar_hd", "ahn3_delft", "minicity"])
@pytest.mark.parametrize("few", [[], SMOKE])
def test_rows_of_snapnet_resolve_with_the_classes_of_each_set(name, few):
    legend = experiment.make_legend(name)
    recipe, _ = load_recipe(AERIAL, overrides=row_overrides(legend, 7, few))
    assert (recipe.train.seed, recipe.train.keep, recipe.data.val_share) == (7, "last", 0)
    assert recipe.views.third == "height_root"  # the settings of the recipe, but for size and length


def test_a_written_cloud_holds_what_was_measured(tmp_path):
    returns = np.arange(1, 4, dtype=np.uint8)
    field = make_cloud()
    cloud = replace(
        field, return_number=np.resize(returns, len(field)), number_of_returns=np.full(len(field), 3, np.uint8)
    )
    again = open_cloud(write_las(cloud, tmp_path / "folder" / "a.las")).read()
    np.testing.assert_allclose(again.xyz, cloud.xyz, atol=6e-4)
    for name in ("classification", "colour", "return_number", "number_of_returns"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cloud, name))
    made_up = write_las(replace(cloud, synthetic=True), tmp_path / "made-up.las")
    assert (again.synthetic, open_cloud(made_up).synthetic) == (False, True)


def test_points_that_a_labeller_does_not_know_count_with_the_nearest_label_and_a_fold_is_counted_once(tmp_path):
    legend = experiment.make_legend("minicity")
    xyz = np.column_stack([np.arange(8.0), np.zeros(8), np.zeros(8)])
    cloud = replace(make_cloud().subset(np.arange(8)), xyz=xyz, classification=np.repeat([2, 6], 4).astype(np.uint8))
    fold, made = experiment.Fold([], cloud, 3), []

    def make(fold, legend, folder):
        made.append(folder)
        return Blind(legend)

    row = experiment.Row("blind", make)
    scores = [experiment.score_row(row, [fold], legend, tmp_path) for _ in range(2)]
    ground, building = legend.index("ground"), legend.index("building")
    matrix = np.array(scores[0]["confusion"])
    assert matrix[ground, ground] == 3
    assert matrix[ground].sum() == matrix[building].sum() == 4
    assert matrix[building, ground] == 4  # the last point that is known is ground
    assert scores[0]["known_share"] == 0.5
    assert made == [tmp_path]
    assert scores[1]["confusion"] == scores[0]["confusion"]
