"""What is measured at sites left out of a fit holds at further sites: calibration, thresholds and spread."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from deepnets4eo.damage.decision.reliability import (
    Judgement,
    Reliability,
    _mean_over_sites,
    _site_shift,
    _straight,
    fit_reliability,
    side_weights,
)
from deepnets4eo.damage.decision.site_fit import UNKNOWN_SITE
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.probabilities import adjust_to_share, grades_of_sides, side_log_odds

SHIFT_SD = 0.8


def made_up(seed: int, sites: int = 40, shares: tuple[float, ...] = (0.5, 0.15, 0.05, 0.3)) -> tuple[np.ndarray, ...]:
    """Log-odds (N, 3) that are three times too small, grades and sites; evidence is shifted for a whole site."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(sites), 150)
    grade = rng.choice(4, size=len(site), p=shares)
    score = 3 * grade + rng.logistic(size=len(site)) + SHIFT_SD * rng.normal(size=sites)[site]
    return (score[:, None] - [1.5, 4.5, 7.5]) / 3, grade, site


@pytest.fixture(scope="module")
def fitted() -> Reliability:
    return fit_reliability(*made_up(0))


def test_probabilities_are_right_at_further_sites_where_half_are_damaged(fitted: Reliability) -> None:
    log_odds, grade, _ = made_up(1, shares=(0.385, 0.115, 0.07, 0.43))
    damaged = fitted.probabilities(log_odds)[:, 2:].sum(axis=1)
    for low, high in ((0, 0.1), (0.1, 0.4), (0.4, 0.6), (0.6, 0.9), (0.9, 1.01)):
        rows = (damaged >= low) & (damaged < high)
        assert (grade[rows] >= 2).mean() == pytest.approx(damaged[rows].mean(), abs=0.06)


def test_rare_grades_are_named_as_often_as_common_ones(fitted: Reliability) -> None:
    log_odds, grade, _ = made_up(2)
    probabilities = fitted.probabilities(log_odds)
    recall = {}
    for name, limits in (("balanced", np.array(fitted.thresholds)), ("plain", 0.5)):
        named = Grades.of_sides(probabilities, limits).table(pd.RangeIndex(len(grade)))["damage"]
        recall[name] = [(named[grade == k] == g).mean() for k, g in ((2, "major-damage"), (3, "destroyed"))]
    assert recall["balanced"][0] > recall["plain"][0] + 0.1
    assert min(recall["balanced"]) > min(recall["plain"])
    assert fitted.thresholds[1] > 0.55


def test_content_without_one_of_the_thresholds_is_refused(fitted: Reliability) -> None:
    content = fitted.to_dict()
    del content["thresholds"]["destroyed"]
    with pytest.raises(KeyError):
        Reliability.from_dict(content)


def test_the_confidence_is_the_probability_of_the_grade_named(fitted: Reliability) -> None:
    probabilities = np.array([[0.1, 0.1, 0.35, 0.45], [0.5, 0.2, 0.2, 0.1], [np.nan] * 4])
    table = Grades.of_sides(probabilities, np.array([[0.25, 0.6]] * 3)).table(pd.RangeIndex(3))
    assert table["damage"].tolist() == ["major-damage", "minor-damage", None]
    assert table["confidence"][:2].tolist() == [0.35, 0.2]
    assert table["damage_prob"][:2].tolist() == pytest.approx([0.8, 0.3])


def test_the_shift_of_a_site_is_measured_and_no_longer_in_its_spread(fitted: Reliability) -> None:
    assert fitted.site.between == pytest.approx((SHIFT_SD, SHIFT_SD), rel=0.4)
    assert fitted.spread[0] < SHIFT_SD / 2


def test_it_is_read_as_it_was_written_and_damaged_content_is_refused(fitted: Reliability) -> None:
    content = fitted.to_dict()
    again = Reliability.from_dict(content)
    assert again.to_dict() == content
    probabilities = fitted.probabilities(made_up(3)[0])
    kind = np.array(["a", "b"] * (len(probabilities) // 2), dtype=object)
    members = Judgement(probabilities, kind, {"a": again}).members(probabilities)
    assert members[1::2].all()
    assert not members[::2].all()
    for part in ("calibration", "thresholds", "spread", "sets"):
        with pytest.raises((KeyError, TypeError)):
            Reliability.from_dict({name: value for name, value in content.items() if name != part})
    with pytest.raises(ValueError, match="thresholds"):
        Reliability.from_dict(content | {"thresholds": content["thresholds"] | {"destroyed": 1.5}})
    assert Reliability().spread == Reliability.unknown_spread


def test_sides_and_sites_count_the_same() -> None:
    damaged = np.array([True, True, True, False, False])
    site = np.array([0, 0, 1, 0, 1])
    weight = side_weights(damaged, site)
    assert weight == pytest.approx(np.array([0.5, 0.5, 1, 1, 1]) * 5 / 4)


def test_another_share_leaves_the_proportions_within_the_sides() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    moved = adjust_to_share(probabilities, 0.1)
    assert moved.sum(axis=1) == pytest.approx(1)
    before, after = side_log_odds(probabilities), side_log_odds(moved)
    assert after[:, 0] == pytest.approx(before[:, 0] + logit(0.1))
    assert after[:, 1:] == pytest.approx(before[:, 1:])
    assert grades_of_sides(after) == pytest.approx(moved)
    assert expit(after[:, 0]) == pytest.approx(moved[:, 2:].sum(axis=1))


def test_few_buildings_a_site_leave_the_shift_of_sites_unknown() -> None:
    rng = np.random.default_rng(3)
    grade = rng.integers(0, 4, 60)
    log_odds = (grade[:, None] - np.array([0.5, 1.5, 2.5])) + rng.normal(0, 1, (60, 3))
    fitted = fit_reliability(log_odds, grade, np.arange(60) % 20)
    assert fitted.site == UNKNOWN_SITE
    assert np.isfinite(fitted.probabilities(log_odds)).all()


def test_an_even_site_counts_both_sides_alike() -> None:
    beyond = np.arange(100) < 90
    shift, _ = _site_shift(np.where(beyond, 1.0, -1.0), beyond, even=True)
    assert shift == pytest.approx(0, abs=1e-3)


def test_log_odds_that_say_nothing_have_next_to_no_slope() -> None:
    rng = np.random.default_rng(0)
    beyond = rng.random(4000) < 0.5
    found = _straight(rng.normal(size=4000), beyond, np.ones(4000))
    assert max(found.to_dict().values()) < 0.1


def test_the_model_in_the_box_knows_how_far_sites_are_shifted_whatever_it_was_given() -> None:
    from deepnets4eo.damage.decision.model import DamageModel

    reliabilities = DamageModel.load("damage-evidence").reliabilities
    assert len(reliabilities) == 4
    assert all(reliability.site != UNKNOWN_SITE for reliability in reliabilities.values())


def test_every_site_counts_the_same_in_a_mean_over_sites() -> None:
    right = np.array([True, False, True, True, True, True])
    assert _mean_over_sites(right, np.array(["a", "a", "b", "b", "b", "b"])) == pytest.approx((0.5 + 1.0) / 2)
