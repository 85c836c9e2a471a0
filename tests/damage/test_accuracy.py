"""Skill of a damage map: the figures are those of scikit-learn, and nothing is silently left out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.review import compare_with_reference
from deepnets4eo.errors import InputError


@pytest.fixture
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    reference = pd.DataFrame({"id": np.arange(60), "damage": rng.choice(GRADES, 60)})
    probability = rng.uniform(size=60)
    found = pd.DataFrame({"id": reference["id"].astype(str), "damage": rng.choice(GRADES, 60)})
    return found.assign(damage_prob=probability, status="assessed"), reference


def test_figures_equal_scikit_learn(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    buildings, reference = tables
    truth = reference["damage"].isin(["major-damage", "destroyed"])
    found = compare_with_reference(buildings, reference)
    assert found.auc == pytest.approx(roc_auc_score(truth, buildings["damage_prob"]))
    assert found.f1 == pytest.approx(f1_score(truth, buildings["damage"].isin(["major-damage", "destroyed"])))
    assert found.grades.matrix.sum() == 60


def test_what_is_left_out_is_counted(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    buildings, reference = tables
    reference.loc[0, "damage"] = "no-building"
    buildings.loc[1, "status"] = "not_assessed"
    found = compare_with_reference(buildings.drop(index=2), reference)
    assert found.left_out == {"no-building": 1, "not in the map": 1, "not assessed": 1}
    assert found.buildings == 57


def test_one_sided_references_have_no_auc(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    buildings, reference = tables
    assert np.isnan(compare_with_reference(buildings, reference.assign(damage="destroyed")).auc)


def test_foreign_ids_are_refused(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    buildings, reference = tables
    with pytest.raises(InputError, match="ids do not match"):
        compare_with_reference(buildings, reference.assign(id=reference["id"] + 1000))


def test_precision_is_of_those_named_and_recall_of_those_damaged():
    grades = ["destroyed", "destroyed", "destroyed", "no-damage", "no-damage"]
    reference = pd.DataFrame({"id": range(5), "damage": grades})
    named = ["destroyed", "no-damage", "no-damage", "no-damage", "no-damage"]
    buildings = pd.DataFrame({"id": list("01234"), "damage": named, "damage_prob": 0.5, "status": "assessed"})
    found = compare_with_reference(buildings, reference)
    assert (found.buildings, found.damaged) == (5, 3)
    assert (found.precision, found.recall) == pytest.approx((1, 1 / 3))
