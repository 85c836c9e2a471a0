"""The decision: what the shipped model says, for which inputs, and which model files it refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from refusals import raises_naming
from scipy.special import expit

from deepnets4eo.cards import model_path
from deepnets4eo.damage import GRADES
from deepnets4eo.damage.decision.model import DamageModel, Variant
from deepnets4eo.damage.table.columns import COLUMNS
from deepnets4eo.damage.table.vocabulary import BORDERS
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import read_yaml, write_yaml

MODEL = DamageModel.load()
WEIGHED = sorted({column for variant in MODEL.variants.values() for column in variant.columns})


def frame(strength: list[float], method: str = "pre_post", *, height: bool = False) -> pd.DataFrame:
    """Buildings whose every evidence lies `strength` standard units towards damage."""
    variant = MODEL.variants["pre_post_height"]
    centre, scale = (dict(zip(variant.columns, values, strict=True)) for values in (variant.centre, variant.scale))
    table = pd.DataFrame(
        {name: [centre[name] + COLUMNS[name].points * s * scale[name] for s in strength] for name in variant.columns}
    )
    if not height:
        table = table.drop(columns=[name for name in table if "height" in name])
    return table.assign(status="assessed", method=method)


@pytest.mark.parametrize("method", ["pre_post", "post_only"])
@pytest.mark.parametrize("height", [False, True])
def test_more_evidence_never_makes_damage_less_probable(method: str, height: bool) -> None:
    decided = MODEL.decide(frame([-3, -1.5, -0.5, 0, 0.5, 1.5, 3], method, height=height))
    assert (np.diff(decided["damage_prob"]) >= 0).all()
    assert decided["damage"].iloc[0] == "no-damage"
    assert decided["damage"].iloc[-1] == "destroyed"


def test_the_grade_and_the_probability_tell_the_same_story() -> None:
    table = frame(list(np.linspace(-3, 3, 40)))
    decided = MODEL.decide(table)
    assert (decided["damage"].isin(GRADES[2:]) == (decided["damage_prob"] >= 0.5)).all()
    probabilities = MODEL.probabilities(table)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert np.allclose(decided["damage_prob"], probabilities[:, 2:].sum(axis=1))
    assert decided["confidence"].between(0, 1).all()


def test_buildings_that_are_not_assessed_get_no_grade() -> None:
    table = frame([0.0, 3.0])
    table.loc[0, ["status", "method"]] = ["not_assessed", ""]
    decided = MODEL.decide(table)
    assert decided["damage"].tolist() == [None, "destroyed"]
    assert np.isnan(decided.loc[0, ["damage_prob", "confidence"]].astype(float)).all()


def test_heights_count_where_a_building_has_them_and_only_there() -> None:
    table = frame([0.0, 0.0], height=True)
    table.loc[0, ["ev_height_loss_m", "ev_height_loss_share"]] = [5.0, 0.9]
    table.loc[1, ["ev_height_loss_m", "ev_height_loss_share"]] = np.nan
    with_heights, without = (
        MODEL.decide(table),
        MODEL.decide(table.drop(columns=["ev_height_loss_m", "ev_height_loss_share"])),
    )
    assert with_heights["damage_prob"].iloc[0] > without["damage_prob"].iloc[0]
    assert with_heights["damage_prob"].iloc[1] == without["damage_prob"].iloc[1]


@given(st.lists(st.sampled_from(WEIGHED), unique=True), st.floats(-1e6, 1e6))
def test_missing_and_absurd_evidence_still_give_a_probability(missing: list[str], value: float) -> None:
    table = frame([0.7, value])
    table.loc[0, [name for name in missing if name in table]] = np.nan
    assert MODEL.decide(table)["damage_prob"].between(0, 1).all()


def test_an_empty_table_is_decided_to_an_empty_one() -> None:
    assert len(MODEL.decide(frame([]))) == 0


def test_the_shipped_weights_have_the_signs_their_meaning_asks_for() -> None:
    assert len(MODEL.variants) >= 4
    for variant in MODEL.variants.values():
        assert len(variant.columns) >= 3
        for number, grade in enumerate(BORDERS):
            for column, weight in zip(variant.columns, variant.weights[number], strict=True):
                assert weight * (COLUMNS[column].points or 1) >= 0, (grade, column)
                assert "context" not in column


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("range", {"farthest": 5.0, "limits": {}, "place_share": 0.1}),
        ("range", {"farthest": 5.0, "limits": {}, "place_share": 0.1, "covariance": ["1.0 2.0", "2.0 1.0"]}),
        ("range", {"farthest": 5.0, "limits": {}, "place_share": 0.1, "covariance": ["1.0 x"]}),
    ],
)
def test_a_range_that_is_none_is_refused(part: str, content: dict[str, object], tmp_path: Path) -> None:
    model = read_yaml(Path(__file__).parents[2] / "models" / "damage-evidence" / "coefficients.yaml")
    model["variants"]["post_only"][part] = content
    write_yaml(tmp_path / "coefficients.yaml", model)
    with raises_naming(RunError, "post_only"):
        DamageModel.load(tmp_path)


def test_a_model_without_range_assesses_everything(tmp_path: Path) -> None:
    model = read_yaml(Path(__file__).parents[2] / "models" / "damage-evidence" / "coefficients.yaml")
    for variant in model["variants"].values():
        del variant["range"]
    write_yaml(tmp_path / "coefficients.yaml", model)
    absurd = frame([0.0, 0.0], "post_only")
    absurd.loc[1, ["ev_roof_roughness", "ev_roof_vs_ground"]] = [0.0, -9.0]
    assert DamageModel.load(tmp_path).outside_range(absurd).tolist() == ["", ""]
    assert MODEL.outside_range(absurd)[1] != ""


def test_model_files_that_are_none_are_refused(tmp_path: Path) -> None:
    good = read_yaml(Path(__file__).parents[2] / "models" / "damage-evidence" / "coefficients.yaml")
    write_yaml(tmp_path / "coefficients.yaml", good)
    assert DamageModel.load(tmp_path).variants.keys() == MODEL.variants.keys()
    write_yaml(tmp_path / "coefficients.yaml", {"variants": {"post_only": {}}})
    with pytest.raises(RunError, match="no damage model"):
        DamageModel.load(tmp_path)
    good["variants"]["pre_post"]["evidence"]["ev_crystal_ball"] = {"centre": 0, "scale": 1}
    write_yaml(tmp_path / "coefficients.yaml", good)
    with raises_naming(RunError, "ev_crystal_ball"):
        DamageModel.load(tmp_path)
    del (
        good["variants"]["pre_post"]["evidence"]["ev_crystal_ball"],
        good["variants"]["post_only"]["borders"]["destroyed"],
    )
    write_yaml(tmp_path / "coefficients.yaml", good)
    with pytest.raises(RunError, match="destroyed"):
        DamageModel.load(tmp_path)
    with pytest.raises(InputError, match="damage-evidence"):
        DamageModel.load("damage-evidense")


@pytest.mark.parametrize("value", ["x", float("nan"), float("inf"), -1.0, 0, 10**400, [1], None])
def test_a_scale_that_is_no_number_above_0_is_refused_by_name(value: object, tmp_path: Path) -> None:
    content = read_yaml(model_path("damage-evidence") / "coefficients.yaml")
    evidence = content["variants"]["pre_post"]["evidence"]
    next(iter(evidence.values()))["scale"] = value
    write_yaml(tmp_path / "coefficients.yaml", content)
    with raises_naming(RunError, "coefficients.yaml", "pre_post"):
        DamageModel.load(tmp_path)


def test_variants_that_are_no_mapping_are_refused(tmp_path: Path) -> None:
    for variants in ("post_only pre_post", ["post_only", "pre_post"], 3):
        write_yaml(tmp_path / "coefficients.yaml", {"variants": variants})
        with pytest.raises(RunError, match="is no damage model"):
            DamageModel.load(tmp_path)


def test_without_evidence_the_intercepts_alone_decide() -> None:
    plain = Variant(("a",), np.zeros(1), np.ones(1), np.array([2.0, 0.0, -2.0]), np.zeros((3, 1)))
    p = plain.probabilities(pd.DataFrame({"a": [0.0]}))[0]
    assert (p[0], p[3]) == pytest.approx((expit(-2.0), expit(-2.0)), abs=1e-6)
