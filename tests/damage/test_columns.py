"""The registry of the columns of evidence: what shapes grades, what answers give a weight, and which names are taken."""

import numpy as np
import pandas as pd
import pytest
from refusals import raises_naming

from deepnets4eo.damage import RasterEvidence
from deepnets4eo.damage.decision.model import DamageModel
from deepnets4eo.damage.decision.two_views import COLUMNS as TWO_VIEWS
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.columns import COLUMNS, PREFIX, Column, columns_of, teaching_names
from deepnets4eo.errors import InputError


def test_columns_of_structure_decide_if_a_model_or_two_views_weigh_them_or_they_limit_buildings() -> None:
    variants = DamageModel.load().variants.values()
    used = {name for variant in variants for name in variant.columns}
    limits = {name for variant in variants if variant.known is not None for name in variant.known.limits}
    deciding = {name for name in columns_of("structure") if COLUMNS[name].use == "decides"}
    assert limits
    assert deciding == used | limits | {name for name in TWO_VIEWS if name in COLUMNS}


def test_columns_point_up_or_down_as_the_fitted_weights_do() -> None:
    pointing = {name: column.points for name, column in COLUMNS.items()}
    assert {*pointing.values()} == {-1, 0, 1}
    for variant in DamageModel.load().variants.values():
        for name, weight in zip(variant.columns, variant.weights[0], strict=True):
            assert weight == 0 or not pointing[name] or np.sign(weight) == pointing[name], name


def test_answers_teach_by_all_evidence_but_what_is_only_shown_and_what_teaches_as_log_odds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["id", "ev_texture", *columns_of("network"), "ev_foreign", "prior_probability", "ev_look", "dx_px"]
    assert teaching_names(names) == ["ev_texture", "ev_foreign", "ev_look"]
    monkeypatch.setitem(COLUMNS, "ev_texture", Column("ev_texture", "structure", "roughness", "shown"))
    assert teaching_names(names) == ["ev_foreign", "ev_look"]


def test_a_table_without_pre_lacks_the_columns_that_compare_both_images() -> None:
    frame = pd.DataFrame({"status": "assessed", "method": ["pre_post", "post_only"], "ev_texture": 1.0, "ev_outline_loss": 2.0, "ev_own": 3.0})  # fmt: skip
    alone = Buildings(frame, {name: "" for name in frame if name.startswith(PREFIX)}).without_pre()
    assert alone.names == ["ev_texture", "ev_own"]
    assert alone.by_post.tolist() == [True, True]
    assert "ev_outline_loss" not in alone.frame


@pytest.mark.parametrize("column", ["ev_look", "ev_water_share", "ev_building", "ev_net_destroyed", "ev_points_rubble_share"])  # fmt: skip
def test_a_raster_of_scores_takes_no_name_of_a_column_of_the_toolbox(column: str) -> None:
    with raises_naming(InputError, column):
        RasterEvidence(column.removeprefix(PREFIX), "score.tif")


def test_blank_columns_of_buildings_without_a_grade_keep_the_others() -> None:
    frame = pd.DataFrame({"status": ["assessed", "not_assessed"]})
    added = Buildings(frame).with_columns({"ev_own": np.array([1.0, 2.0]), "unsaid": np.zeros(2)}, {"ev_own": "metres"})
    np.testing.assert_array_equal(added.values("ev_own"), [1.0, np.nan])
    assert added.meaning == {"ev_own": "metres"}
    assert "unsaid" not in added.frame
