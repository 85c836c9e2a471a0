"""Sets of grades hold the true grade as often as they say, whatever the site and however rare the grade."""

import numpy as np

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.decision.reliability import (
    GradeSets,
    exclusion_scores,
    fit_sets,
    site_quantile,
)
from deepnets4eo.damage.table.probabilities import fill_between, grade_probabilities, set_names

WORKED = np.array([0.05, 0.1, 0.12, 0.2, 0.25, 0.3, 0.4, 0.55, 0.7])


def made_up(seed: int, sites: int, shift_sd: float = 0.7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities (N, 4), grades and sites of buildings whose evidence is shifted for a whole site at once."""
    rng = np.random.default_rng(seed)
    site = np.repeat(np.arange(sites), 80)
    grade = rng.choice(4, size=len(site), p=[0.5, 0.1, 0.1, 0.3])
    score = 2.5 * grade + rng.logistic(size=len(site)) + rng.normal(0, shift_sd, sites)[site]
    beyond = 1 / (1 + np.exp(-(score[:, None] - [1.25, 3.75, 6.25])))
    return grade_probabilities(beyond), grade, site


def test_the_worked_example_of_split_conformal_prediction() -> None:
    assert site_quantile(WORKED, np.arange(9), 0.8) == 0.55
    assert site_quantile(WORKED[:3], np.arange(3), 0.8) == 1.0  # too few to exclude anything


def test_a_site_of_many_buildings_counts_as_much_as_one_of_few() -> None:
    scores = np.r_[np.full(1000, 0.9), np.linspace(0.1, 0.5, 19)]
    site = np.r_[np.zeros(1000), np.arange(1, 20)]
    assert site_quantile(scores, site, 0.8) < 0.9
    assert site_quantile(scores, np.arange(1019), 0.8) == 0.9


def test_every_grade_is_held_at_sites_that_were_left_out() -> None:
    probabilities, grade, site = made_up(0, 60)
    sets = fit_sets(probabilities, grade, site)
    other, truth, where = made_up(1, 60)
    members = sets.members(other)
    held = members[np.arange(len(truth)), truth]
    for k in range(4):
        assert held[truth == k].mean() >= 0.87
    assert members.sum(axis=1).mean() < 2.6


def test_sets_are_contiguous_and_never_empty() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.full(4, 0.3), 500)
    members = GradeSets(np.array([0.1, 0.0, 0.4, 0.2])).members(probabilities)
    assert members.any(axis=1).all()
    assert (np.abs(np.diff(np.pad(members, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1) == 2).all()
    assert GradeSets(np.ones(4)).members(probabilities).all()
    middle = exclusion_scores(probabilities).argmin(axis=1)
    assert members[np.arange(500), middle].all()


def test_sets_are_written_from_the_mildest_grade() -> None:
    members = fill_between(np.array([[True, False, True, False], [False, False, False, True]]))
    assert set_names(members).tolist() == ["no-damage,minor-damage,major-damage", "destroyed"]
    sets = GradeSets(np.array([0.12344, 0.5, 0.6, 1.0]))
    assert sets.to_dict()["no-damage"] == 0.1235
    assert GradeSets.from_dict(sets.to_dict()).limits[3] == 1
    assert list(sets.to_dict()) == list(GRADES)
