"""The skill of a run comes from its card, and chance is none."""

import pytest

from deepnets4eo.damage.site.skill import validated_skill


def card(auc: object, kappa: object, buildings: int = 200) -> dict[str, object]:
    split = {"buildings": {"train": {"destroyed": 999}, "val": {"no-damage": buildings - 20, "destroyed": 20}}}
    return {"notes": {"validation": {"auc_major_or_worse": auc, "kappa": kappa, "mean_f1": 0.136}, "split": split}}


@pytest.mark.parametrize(
    ("auc", "kappa", "skill"),
    [(1.0, 1.0, 1.0), (0.95, 0.6, 0.6), (0.7, 0.6, 0.4), (0.55, 0.5, 0.1)],
)
def test_skill_is_the_smaller_of_both_scores_above_chance(auc: float, kappa: float, skill: float) -> None:
    found = validated_skill(card(auc, kappa))
    assert found.value == pytest.approx(skill)
    assert found.reason == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (card(0.5, 0.5), "its AUC is 0.50"),
        (card(0.9, 0.0), "its κ 0.00"),
        (card(0.3, -0.2), "its κ -0.20"),
        (card(None, 0.7), "no validation"),
        (card(0.9, None), "no validation"),
        (card(0.9, 0.8, buildings=29), "validated on 29 buildings"),
        ({"notes": {"temperature": 1.0}}, "no validation"),
        ({}, "no validation"),
    ],
)
def test_a_run_that_was_not_shown_to_know_anything_has_no_skill(content: dict[str, object], reason: str) -> None:
    found = validated_skill(content)
    assert found.value == 0
    assert reason in found.reason


@pytest.mark.parametrize(("share", "value"), [(0.3, 0.6), (0.5, 1.0), (0.85, 1.0), (0.0, 0.0)])
def test_a_measured_share_beside_the_weight_free_model_goes_before_the_scores(share, value):
    content = card(0.75, 0.2)
    content["notes"] |= {"share": share, "post_alone": {"share": share / 2}}
    found = validated_skill(content)
    assert found.value == pytest.approx(value)
    assert bool(found.reason) == (value == 0)
    assert validated_skill(content, "post_alone").value == pytest.approx(min(share, 1))
