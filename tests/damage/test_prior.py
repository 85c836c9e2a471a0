"""The number of damaged buildings: a share that is given is kept, and as many buildings are named as are expected."""

import numpy as np
import pytest
from scipy.special import expit, logit

from deepnets4eo.damage.decision.decision import name_damaged
from deepnets4eo.damage.decision.site_fit import (
    ESTIMATED_SHARE,
    GIVEN_SHARE,
    SHARES,
    UNKNOWN_SITE,
    SiteFit,
    SiteShift,
    fit_to_site,
)
from deepnets4eo.damage.table.probabilities import adjust_to_share

SHIFT = SiteShift((-1.5, 1.5), (0.8, 0.8), 0.5, 0.8)


def grades(p: np.ndarray) -> np.ndarray:
    """(N, 4) probabilities of the grades from those of damage."""
    return np.stack([0.7 * (1 - p), 0.3 * (1 - p), 0.4 * p, 0.6 * p], axis=1)


def site(share: float, moved: float = 0.0, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities where half are damaged, and what is damaged, of a site whose evidence is moved."""
    damaged = np.arange(count) < round(share * count)
    log_odds = np.where(damaged, 1.5, -1.5) + moved + 0.8 * np.random.default_rng(0).normal(size=count)
    return grades(expit(log_odds)), damaged


@pytest.mark.parametrize("shift", [SHIFT, UNKNOWN_SITE])
@pytest.mark.parametrize("moved", [-1.0, 0.0, 1.5])
@pytest.mark.parametrize("given", [0.002, 0.2, 0.9, 0.999])
def test_a_given_share_is_the_mean_of_the_probabilities_and_of_the_calls(shift, moved, given) -> None:
    fitted = fit_to_site(site(0.35, moved)[0], np.full(400, "a"), {"a": shift}, given)
    assert fitted.status == GIVEN_SHARE
    assert fitted.probabilities[:, 2:].sum(axis=1).mean() == pytest.approx(given, abs=1e-6)
    assert name_damaged(fitted).sum() == round(400 * given)


def test_buildings_that_say_nothing_of_the_share_do_not_count_in_a_given_one() -> None:
    apart = np.arange(400) < 50
    fitted = fit_to_site(site(0.35)[0], np.full(400, "a"), {"a": SHIFT}, 0.2, apart)
    assert fitted.probabilities[~apart, 2:].sum(axis=1).mean() == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize("moved", [-1.2, 1.2])
def test_about_as_many_are_named_as_are_expected_wherever_the_evidence_lies(moved: float) -> None:
    p, damaged = site(0.3, moved)
    fitted = fit_to_site(p, np.full(400, "a"), {"a": SHIFT})
    named, probability = name_damaged(fitted), fitted.probabilities[:, 2:].sum(axis=1)
    assert fitted.status == ESTIMATED_SHARE
    assert named.sum() == pytest.approx(probability.sum(), rel=0.05)
    assert probability[named].min() >= 0.5 > probability[~named].max()
    assert (named == damaged).mean() > 0.93
    fixed = (p[:, 2:].sum(axis=1) >= 0.5) == damaged
    assert (named == damaged).sum() > fixed.sum() + 30  # a threshold that does not move with the site


def test_only_what_is_likelier_than_not_is_named_unless_a_share_is_given() -> None:
    weights = np.zeros(len(SHARES))
    weights[[0, 5]] = 0.7, 0.3
    p = np.full(100, 0.1)
    p[0] = 0.8
    half = (np.abs(SHARES - 0.5) < 1e-9).astype(float)
    for of_share in (weights, half):  # whether the site is probably intact or not
        assert np.flatnonzero(name_damaged(SiteFit(of_share, grades(p), 0.5))).tolist() == [0]
    assert name_damaged(SiteFit(weights, grades(p), 0.5, GIVEN_SHARE)).sum() == 11  # 0.8 + 99 · 0.1


def test_houses_in_water_do_not_count_towards_the_number_of_a_given_share() -> None:
    p, weights = np.array([0.9, 0.9, 0.4, 0.3, 0.3, np.nan]), np.eye(len(SHARES))[8]
    wet = np.array([True, True, False, False, False, False])
    given = SiteFit(weights, grades(p), 0.5, GIVEN_SHARE)
    assert name_damaged(given, wet).tolist() == [True, True, True, False, False, False]
    assert name_damaged(SiteFit(weights, grades(p), 0.5), wet).tolist() == [True, True, False, False, False, False]


def test_evidence_of_an_unknown_site_counts_as_it_is() -> None:
    even = grades(np.array([0.2, 0.5, 0.9]))
    fitted = fit_to_site(even, np.full(3, "a"), {"a": UNKNOWN_SITE}, 0.3)
    moved = logit(fitted.probabilities[:, 2:].sum(axis=1)) - logit(even[:, 2:].sum(axis=1))
    assert np.ptp(moved) < 0.6  # the levels are weighed by three buildings, so a little is said of them
    assert fitted.probabilities == pytest.approx(adjust_to_share(fitted.even, fitted.prior))


def test_a_site_without_buildings_keeps_what_was_given() -> None:
    nothing = fit_to_site(np.full((2, 4), np.nan), np.full(2, "a"), {"a": SHIFT}, 0.2)
    assert nothing.prior == 0.2
    assert np.isnan(nothing.probabilities).all()
    assert not name_damaged(nothing).any()
