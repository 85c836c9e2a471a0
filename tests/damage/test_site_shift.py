"""Share and shift of a site are estimated together: evidence that is shifted for a whole site neither damages nor repairs it."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import raises_naming
from scipy.special import expit, logit
from scipy.stats import norm

from deepnets4eo.damage.decision.site_fit import (
    MIN_SD,
    SHARES,
    UNKNOWN_SITE,
    SiteShift,
    fit_site_shift,
    fit_to_site,
    site_posterior,
)
from deepnets4eo.damage.table.probabilities import adjust_to_share

SHIFT = SiteShift((-1.5, 1.5), (0.8, 0.8), 0.5, 0.8)


def site(share: float, moved: float, count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds and truth of a site whose evidence is moved."""
    rng = np.random.default_rng(seed)
    damaged = np.arange(count) < round(share * count)
    return np.where(damaged, 1.5, -1.5) + moved + SHIFT.within * rng.normal(size=count), damaged


@pytest.mark.parametrize("moved", [-1.2, 0.0, 1.2])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.85])
def test_buildings_are_told_apart_wherever_the_evidence_of_the_site_lies(share: float, moved: float) -> None:
    log_odds, damaged = site(share, moved)
    weights, (p,) = site_posterior([(SHIFT, log_odds)])
    assert weights.sum() == pytest.approx(1)
    assert weights @ SHARES == pytest.approx(share, abs=0.12)
    assert ((p >= 0.5) == damaged).mean() > 0.93
    assert (np.diff(p[np.argsort(log_odds)]) >= -1e-9).all()


def test_destroyed_houses_do_not_make_major_damage_intact() -> None:
    """As of the network at synthetic cities: nearly all destroyed houses at 6.7, major damage at 1.6, intact buildings at -4."""
    far = SiteShift((-2.1, 3.8), (1.0, 2.2), -0.4, 1.7, 3.0)
    rng = np.random.default_rng(0)
    log_odds = np.concatenate([rng.normal(-4, 1.2, 100), rng.normal(6.7, 1.0, 80), np.full(20, 1.6)])
    p = site_posterior([(far, log_odds)])[1][0]
    assert p[:100].mean() < 0.02
    assert p[100:180].min() > 0.9
    assert p[180:].mean() > 0.7  # one group of damaged buildings: 0.56
    near = SiteShift(
        (-2.1, 3.8), (0.1, 0.1), 0.0, 1.7, 3.0
    )  # both levels at most 6 apart: one group of damaged buildings
    border = near.probabilities(np.eye(len(SHARES))[[4]].T @ np.ones((1, len(near.levels()[0]))), np.array([0.85]))
    assert logit(border[0]) == pytest.approx(logit(SHARES[4]), abs=0.3)


def test_a_plain_prior_shift_fails_where_the_site_is_shifted() -> None:
    log_odds, damaged = site(0.85, 1.2)
    alarms = (log_odds + logit(0.85) >= 0)[~damaged].mean()
    p = site_posterior([(SHIFT, log_odds)])[1][0]
    assert alarms > 0.6
    assert (p >= 0.5)[~damaged].mean() < 0.15


@pytest.mark.parametrize("information", [1.0, 0.25, 0.0])
def test_the_evidence_of_a_building_counts_in_full_for_itself(information: float) -> None:
    """Bayes over an intact and a damaged site, which know of the building only its `information`."""
    one_level = SiteShift((-2.0, 2.0), (1e-9, 1e-9), 0.0, 1.5)
    known = {
        0: 0.7,
        4: 0.3,
    }  # number of a share → its weight, with the building's evidence to the power of `information`
    weights = np.zeros((len(SHARES), len(one_level.levels()[0])))
    for number, weight in known.items():
        weights[number] = weight / weights.shape[1]
    for log_odds in (-2.0, 0.5, 3.0):
        damaged, either = 0.0, 0.0
        for number, weight in known.items():
            parts = SHARES[number] * norm.pdf(log_odds, 2, 1.5), (1 - SHARES[number]) * norm.pdf(log_odds, -2, 1.5)
            others = weight / sum(parts) ** information  # without the building itself
            damaged, either = damaged + others * parts[0], either + others * sum(parts)
        (p,) = one_level.probabilities(weights, np.array([log_odds]), information)
        assert p == pytest.approx(damaged / either, rel=1e-3)


def test_two_clear_ruins_among_many_intact_roofs_do_not_drown() -> None:
    network = SiteShift((-2.1, 3.8), (1.05, 2.2), -0.4, 1.7, 3.0)  # what 22 roofs show of the site counts as 3
    log_odds = np.concatenate([np.linspace(-4.5, -1.0, 20), [2.6, 2.9]])  # a market with two halls without a roof
    weights, (p,) = site_posterior([(network, log_odds)])
    assert weights[0] > 0.5  # the site is probably intact all the same
    assert p[-2:].min() > 0.5
    assert p[:-2].max() < 0.1


def test_the_probabilities_are_those_of_a_direct_sum_over_shares_and_levels() -> None:
    log_odds = np.array([-1.0, 0.5, 1.75])  # few buildings, each says all that it says; values lie on the steps
    theta, prior = SHIFT.levels()
    shares_prior = np.diff(np.concatenate([[0.0], (SHARES[1:] + SHARES[:-1]) / 2, [1.0]])) * 0.5
    shares_prior[0] += 0.5
    total, damaged = 0.0, np.zeros(3)
    for share, weight in zip(SHARES, shares_prior, strict=True):
        for (intact, other), log_weight in zip(theta, prior, strict=True):
            partly = 0.25 * min(max((other - intact) / 0.8 - 4, 0), 1)  # with major damage, between both
            one = share * (1 - partly) * norm.pdf(log_odds, other, 0.8)
            one += share * partly * norm.pdf(log_odds, intact + 0.6 * (other - intact), 0.8)
            two = (1 - share) * norm.pdf(log_odds, intact, 0.8)
            own = weight * np.exp(log_weight) * np.prod(one + two)
            total += own
            damaged += own * one / (one + two)
    assert site_posterior([(SHIFT, log_odds)])[1][0] == pytest.approx(damaged / total, abs=2e-3)


def test_a_share_that_is_known_is_kept() -> None:
    log_odds, _ = site(0.5, 0.0)
    for share in (0.03, 0.42, 0.9):
        assert site_posterior([(SHIFT, log_odds)], share)[0] @ SHARES == pytest.approx(share)


def test_parts_of_a_site_have_one_share() -> None:
    some, other = site(0.9, 0.0)[0], np.array([0.0])
    alone = site_posterior([(SHIFT, other)])[1][0]
    assert site_posterior([(SHIFT, some), (SHIFT, other)])[1][1][0] > alone[0] + 0.2


def test_a_few_buildings_of_another_kind_do_not_decide_what_all_say_of_the_site() -> None:
    """The share of buildings by one kind of evidence stays as sure with one building of evidence that says little of sites."""
    some, unsure = site(0.1, 0.0, count=60)[0], replace(SHIFT, most_information=3.0)

    def spread(parts: list[tuple[SiteShift, np.ndarray]]) -> float:
        weights = site_posterior(parts)[0]
        return float(np.sqrt(weights @ (SHARES - weights @ SHARES) ** 2))

    sure, doubtful = spread([(SHIFT, some)]), spread([(unsure, some)])
    assert sure < 0.6 * doubtful
    for parts in ([(unsure, some[:1]), (SHIFT, some[1:])], [(SHIFT, some[1:]), (unsure, some[:1])]):
        assert spread(parts) == pytest.approx(sure, rel=0.1)
    half = [(SHIFT, some[::2]), (unsure, some[1::2])]
    assert spread(half) > 0.8 * doubtful  # the lesser of both where each has half of the buildings


def test_a_measured_score_says_of_the_site_by_its_share_and_an_unmeasured_one_adds_none() -> None:
    score = replace(SHIFT, most_information=17.0)
    network = replace(SHIFT, most_information=3.0)
    assert network.widen(0.5, score).most_information == pytest.approx(10.0)
    assert network.widen(0.5).most_information == pytest.approx(3.0)
    assert SHIFT.widen(0.25).most_information == pytest.approx(0.75 * 30 + 0.25 * UNKNOWN_SITE.most_information)


def test_no_building_leaves_the_shares_as_they_are_beforehand() -> None:
    weights, (p,) = site_posterior([(SHIFT, np.zeros(0))])
    assert weights[0] > 0.5
    assert p.shape == (0,)


def test_shifts_are_measured_without_the_scatter_of_buildings() -> None:
    rng = np.random.default_rng(1)
    number = np.repeat(np.arange(300), 24)
    damaged = rng.random(len(number)) < 0.5
    levels = rng.multivariate_normal([-1.0, 2.0], [[0.36, 0.24], [0.24, 1.0]], 300)
    log_odds = levels[number, damaged.astype(int)] + 1.3 * rng.normal(size=len(number))
    fitted = fit_site_shift(log_odds, damaged, number)
    assert fitted.level == pytest.approx((-1.0, 2.0), abs=0.15)
    assert fitted.between == pytest.approx((0.6, 1.0), rel=0.15)
    assert fitted.correlation == pytest.approx(0.4, abs=0.15)
    assert fitted.within == pytest.approx(1.3, rel=0.05)
    assert fit_site_shift(log_odds[number < 1], damaged[number < 1], number[number < 1]) == UNKNOWN_SITE


@pytest.mark.parametrize(("sites", "each", "known"), [(1, 12, False), (2, 12, True), (2, 8, True), (2, 7, False)])
def test_two_sites_of_eight_buildings_of_either_kind_say_how_far_sites_differ(
    sites: int, each: int, known: bool
) -> None:
    number, damaged = np.repeat(np.arange(sites), 2 * each), np.tile([False, True], sites * each)
    log_odds = 4.0 * damaged - 2 + number + np.random.default_rng(0).normal(size=len(number))
    fitted = fit_site_shift(log_odds, damaged, number)
    assert (fitted != UNKNOWN_SITE) is known
    if known:
        assert fitted.level == pytest.approx((-1.5, 2.5), abs=0.6)
        assert fitted.correlation == 0  # of two sites


def test_it_is_read_as_it_was_written_and_damaged_content_is_refused() -> None:
    content = SHIFT.to_dict()
    assert SiteShift.from_dict(content) == SHIFT
    for name in content:
        with pytest.raises(KeyError):
            SiteShift.from_dict({key: value for key, value in content.items() if key != name})
    for name in ("within", "most_information"):
        with raises_naming(ValueError, "spreads of SiteShift", "0"):
            SiteShift.from_dict(content | {name: 0.0})


def test_a_site_is_judged_and_its_sides_keep_their_proportions() -> None:
    log_odds, damaged = site(0.85, 1.2)
    p = expit(log_odds)
    grades = np.stack([0.7 * (1 - p), 0.3 * (1 - p), 0.4 * p, 0.6 * p], axis=1)
    grades[5] = np.nan
    at_site = fit_to_site(grades, np.full(len(p), "a"), {"a": SHIFT})
    final = at_site.probabilities
    assert final[:5] == pytest.approx(adjust_to_share(at_site.even, at_site.prior)[:5])
    known = np.isfinite(p) & (np.arange(len(p)) != 5)
    assert ((final[:, 2:].sum(axis=1) >= 0.5) == damaged)[known].mean() > 0.93
    assert final[known, 1] / final[known, 0] == pytest.approx(3 / 7)
    assert final[known, 3] / final[known, 2] == pytest.approx(1.5)
    assert np.isnan(final[5]).all()
    assert fit_to_site(grades, np.full(len(p), "b"), {"a": SHIFT}).even[:5] == pytest.approx(grades[:5])


def test_sites_that_do_not_differ_are_still_taken_to_differ_a_little() -> None:
    rng = np.random.default_rng(0)
    damaged = np.arange(40_000) % 2 == 0
    found = fit_site_shift(np.where(damaged, 2.0, -2.0) + rng.normal(size=40_000), damaged, np.arange(40_000) % 5, 30.0)
    assert found.between == (MIN_SD, MIN_SD)


NETWORK = SiteShift((-2.0, 4.0), (1.0, 2.0), -0.4, 1.7, 3.0)  # sites differ much, and many buildings say little of them


def clear_and_others(clear: int, others: int = 54) -> np.ndarray:
    """Log-odds of clearly damaged buildings, and of others that are neither."""
    rng = np.random.default_rng(1)
    return np.concatenate([rng.normal(5.0, 0.7, clear), rng.normal(-0.5, 0.7, others)])


def test_clear_buildings_exclude_that_none_is_damaged() -> None:
    few, many = (site_posterior([(NETWORK, clear_and_others(clear))])[0] for clear in (2, 14))
    assert few[0] > 0.3  # of the first share: none is damaged
    assert many[0] < 0.05
    # Counts as many buildings as clear ones do at most; levels too close to each other for a group of major damage.
    plain = replace(NETWORK, most_information=30.0, between=(0.1, 0.1))
    log_odds = np.rint(4 * clear_and_others(14)) / 4  # the steps in which buildings count together
    theta, weight = plain.levels()
    intact, damaged = (norm.logpdf(log_odds[:, None], theta[:, kind], plain.within) for kind in (0, 1))
    mixed = np.log(SHARES[:, None, None] * np.exp(damaged) + (1 - SHARES[:, None, None]) * np.exp(intact)).sum(axis=1)
    difference = plain.evidence(log_odds, 1.0) - mixed - weight
    assert np.ptp(difference) < 1e-6


def test_no_clear_building_says_nothing_of_damage_that_hardly_shows() -> None:
    log_odds = clear_and_others(0)
    assert NETWORK._of_clear(log_odds, NETWORK.levels()[0], 0.1) == 0.0
    by_share = NETWORK._of_clear(clear_and_others(14), NETWORK.levels()[0], 3.0 / 68).max(axis=1)
    assert by_share[0] < by_share[SHARES.searchsorted(0.3)] - 1.0
