"""The share of damaged buildings follows the evidence, where there is enough of it and a second opinion agrees."""

import numpy as np
import pytest
from scipy.special import expit, logit

from deepnets4eo.damage.estimates import GradingRates, Rate, corrected_share, count_interval
from deepnets4eo.damage.findings import share_findings
from deepnets4eo.damage.site import (
    DIFFER,
    ESTIMATED,
    LIMITED,
    TOO_FEW,
    UNLIKE_FIT,
    choose_share,
    likely_shares,
    opinions_differ,
)

TRAINED = np.array([0.7, 0.3])  # the example of the publication's method: shares of the fit, and ten buildings
POSTERIORS = np.repeat([[0.95, 0.05], [0.7, 0.3], [0.2, 0.8]], [6, 2, 2], axis=0)


def site_log_odds(share: float, count: int, seed: int = 0) -> np.ndarray:
    """Log-odds, right where half are damaged, of a site with another share: scores N(±1, 1), log-odds 2 · score."""
    rng = np.random.default_rng(seed)
    damaged = rng.random(count) < share
    return 2 * (rng.normal(size=count) + np.where(damaged, 1.0, -1.0))


def expectation_maximisation(posteriors: np.ndarray, trained: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares and posteriors after so many rounds, as published."""
    shares = trained
    for _ in range(rounds):
        weighted = posteriors * shares / trained
        adjusted = weighted / weighted.sum(axis=1, keepdims=True)
        shares = adjusted.mean(axis=0)
    return shares, adjusted


def test_the_worked_example_of_prior_shift() -> None:
    assert expectation_maximisation(POSTERIORS, TRAINED, 2)[0] == pytest.approx([0.77505314, 0.22494686])
    shares, adjusted = expectation_maximisation(POSTERIORS, TRAINED, 60)
    even = logit(POSTERIORS[:, 1]) - logit(0.3)
    share = likely_shares(even, np.ones((1, 10)), pseudo_count=0)[0]
    assert share == pytest.approx(0.195, abs=1e-6)
    assert shares[1] == pytest.approx(share, abs=1e-6)
    assert expit(even[[0, 6, 8]] + logit(share)) == pytest.approx([0.028889, 0.195, 0.693333], abs=1e-6)
    assert adjusted[[0, 6, 8], 1] == pytest.approx([0.028889, 0.195, 0.693333], abs=1e-6)


def test_the_worked_example_of_the_second_opinion() -> None:
    sensitivity, specificity = Rate(0.70, np.sqrt(0.7 * 0.3 / 200)), Rate(0.96, np.sqrt(0.96 * 0.04 / 400))
    parts = [(GradingRates(sensitivity, specificity), 1200, 10_000)]
    assert corrected_share(parts) == pytest.approx(0.121212, abs=1e-6)
    assert count_interval(parts, np.random.default_rng(0)) == pytest.approx([915, 1509], rel=0.04)
    assert corrected_share([]) is None


def test_the_second_opinion_is_what_shift_estimation_from_the_confusion_matrix_solves() -> None:
    joint = np.array([[0.6 * 0.96, 0.4 * 0.3], [0.6 * 0.04, 0.4 * 0.7]])  # called × true, on a validation set
    weights = np.linalg.solve(joint, [0.88, 0.12])
    rates = GradingRates(Rate(0.7, 0.03), Rate(0.96, 0.01))
    assert corrected_share([(rates, 1200, 10_000)]) == pytest.approx(weights[1] * 0.4)


@pytest.mark.parametrize("share", [0.04, 0.1, 0.4, 0.8])
def test_the_share_of_a_large_site_is_measured(share: float) -> None:
    chosen = choose_share(site_log_odds(share, 20_000), share)
    assert chosen.value == pytest.approx(share, abs=0.015)
    assert (chosen.status, chosen.reason) == (ESTIMATED, "")


def test_it_is_the_most_likely_share_with_a_building_of_either_kind_added() -> None:
    log_odds = site_log_odds(0.25, 500)
    shares = np.linspace(0.01, 0.99, 981)
    likelihood = [np.log(s * np.exp(log_odds) + 1 - s).sum() + np.log(s) + np.log(1 - s) for s in shares]
    assert choose_share(log_odds, 0.25).value == pytest.approx(shares[np.argmax(likelihood)], abs=0.002)


def test_shares_above_one_half_need_a_second_opinion_that_agrees() -> None:
    log_odds = site_log_odds(0.9, 5000)
    assert choose_share(log_odds, 0.88).value == pytest.approx(0.9, abs=0.02)
    assert choose_share(log_odds, None).value == 0.5
    differs = choose_share(log_odds, 0.6)
    assert (differs.value, differs.status, differs.reason) == (0.5, LIMITED, DIFFER)


def test_where_the_opinions_differ_the_milder_correction_is_kept_within_bounds() -> None:
    log_odds = site_log_odds(0.0, 5000)
    assert choose_share(log_odds, 0.0).value == 0.02
    assert choose_share(log_odds, 0.3).value == 0.3
    assert choose_share(log_odds, 0.9).value == 0.5
    assert choose_share(log_odds, 0.0, unlike=True).value == 0.05
    assert choose_share(log_odds, 0.0, unlike=True).reason == UNLIKE_FIT


def test_few_buildings_move_it_little() -> None:
    assert choose_share(np.array([]), None).value == pytest.approx(0.5)
    two = choose_share(np.array([np.nan, logit(0.01)]), 0.0)
    assert two.value == pytest.approx(1 / 3, abs=0.02)
    assert two.reason == TOO_FEW
    assert choose_share(np.full(15, -5.0), 0.0).value == pytest.approx(1 / 17, abs=0.01)


def test_small_shares_are_no_disagreement_and_intact_buildings_count_too() -> None:
    assert not opinions_differ(0.0, 0.05)
    assert opinions_differ(0.02, 0.11)
    assert opinions_differ(0.98, 0.85)
    assert not opinions_differ(0.45, 0.6)


def test_a_share_that_cannot_be_trusted_is_said_with_both_opinions() -> None:
    (finding,) = share_findings(choose_share(site_log_odds(0.0, 5000), 0.3))
    assert finding.severity == "caution"
    assert finding.message == (
        "The share of damaged buildings is uncertain (the two estimates differ): 0% by the evidence of each building, 30% "
        "by the number of buildings called damaged. The probabilities of all buildings begin from 30%."
    )
    assert "--set damaged_share" in finding.remedy
    assert share_findings(choose_share(site_log_odds(0.2, 500), 0.2)) == []


def test_false_alarms_shrink_where_nothing_is_damaged() -> None:
    log_odds = site_log_odds(0.0, 2000)
    share = choose_share(log_odds, 0.0).value
    assert (log_odds >= 0).mean() > 0.12
    assert (log_odds + logit(share) >= 0).mean() < 0.005


def test_of_two_opinions_on_either_side_the_one_nearer_to_one_half_is_used() -> None:
    found = choose_share(site_log_odds(0.4, 5000), 0.95)
    assert found.reason == DIFFER
    assert found.value == pytest.approx(0.4, abs=0.03)


def test_twenty_buildings_are_enough() -> None:
    assert choose_share(np.full(19, -5.0), 0.0).reason == TOO_FEW
    assert choose_share(np.full(20, -5.0), 0.0).reason == ""
