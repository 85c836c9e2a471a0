"""The share of damaged buildings follows the evidence downwards, never above one half, and little where there is little."""

import numpy as np
import pytest
from scipy.special import expit, logit

from deepnets4eo.damage.prior import estimated_share


def calibrated(share: float, count: int, seed: int = 0) -> np.ndarray:
    """Probabilities, right where half are damaged, of a place with another share: scores N(±1, 1), log-odds 2 · score."""
    rng = np.random.default_rng(seed)
    damaged = rng.random(count) < share
    return expit(2 * (rng.normal(size=count) + np.where(damaged, 1.0, -1.0)))


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
def test_the_share_of_a_large_place_is_found(share: float) -> None:
    assert estimated_share(calibrated(share, 20_000)) == pytest.approx(share, abs=0.015)


def test_it_is_the_most_likely_share() -> None:
    probability = calibrated(0.25, 500)
    ratio = probability / (1 - probability)
    shares = np.linspace(0.01, 0.99, 981)
    with_pseudo_counts = [np.log(s * ratio + 1 - s).sum() + np.log(s) + np.log(1 - s) for s in shares]
    assert estimated_share(probability) == pytest.approx(shares[np.argmax(with_pseudo_counts)], abs=0.002)


def test_it_stays_within_its_bounds() -> None:
    assert estimated_share(calibrated(0.0, 5000)) == 0.05
    assert estimated_share(calibrated(0.9, 5000)) == 0.5


def test_few_buildings_move_it_little() -> None:
    assert estimated_share(np.array([])) == 0.5
    assert estimated_share(np.array([np.nan, 0.01])) == pytest.approx(1 / 3, abs=0.02)
    assert estimated_share(np.full(40, 0.01)) == 0.05


def test_false_alarms_shrink_where_nothing_is_damaged() -> None:
    probability = calibrated(0.0, 2000)
    share = estimated_share(probability)
    assert (probability >= 0.5).mean() > 0.12
    assert (expit(logit(probability) + logit(share)) >= 0.5).mean() < 0.01
