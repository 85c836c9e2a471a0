"""An interval of the damaged count holds the grading error: simulated places lie in it as often as it says."""

import numpy as np
import pytest

from deepnets4eo.damage.estimates import GradingRates, Rate, block_bootstrap, count_interval, fit_rates

RATES = GradingRates(Rate(0.9, 0.06), Rate(0.92, 0.05))


def simulated_place(rng: np.random.Generator, buildings: int = 400) -> tuple[int, np.ndarray, np.ndarray]:
    """True number of damaged buildings, calls (N,), and the block each building lies in."""
    damaged = rng.random(buildings) < rng.uniform(0.05, 0.9)
    sensitivity, specificity = rng.normal(0.9, 0.06), rng.normal(0.92, 0.05)
    right = np.where(damaged, np.clip(sensitivity, 0.5, 1), np.clip(specificity, 0.5, 1))
    called = np.where(rng.random(buildings) < right, damaged, ~damaged)
    return int(damaged.sum()), called, rng.integers(0, 40, buildings)


def test_the_interval_covers_the_true_count_and_blocks_alone_do_not() -> None:
    rng = np.random.default_rng(7)
    with_rates, blocks_alone = [], []
    for _ in range(200):
        truth, called, block = simulated_place(rng)
        low, high = count_interval([(RATES, int(called.sum()), len(called))], rng)
        with_rates.append(low <= truth <= high)
        spread = block_bootstrap(called, block, rng)
        assert spread is not None
        blocks_alone.append(spread[0] <= truth <= spread[1])
    assert np.mean(with_rates) >= 0.9
    assert np.mean(blocks_alone) < 0.85


def test_perfect_grades_leave_the_count_as_it_is() -> None:
    sure = GradingRates(Rate(1.0, 0.0), Rate(1.0, 0.0))
    low, high = count_interval([(sure, 120, 300)], np.random.default_rng(0))
    assert low == pytest.approx(120, abs=8)
    assert high == pytest.approx(120, abs=8)


def test_counts_of_several_kinds_of_input_add_up() -> None:
    rng = np.random.default_rng(0)
    first, second = count_interval([(RATES, 90, 100)], rng), count_interval([(RATES, 5, 200)], rng)
    both = count_interval([(RATES, 90, 100), (RATES, 5, 200)], rng)
    assert both[0] >= first[0] + second[0] - 3  # errors of both at once are rarer than of one
    assert both[1] <= first[1] + second[1] + 3


def test_calls_that_say_nothing_leave_every_count_possible() -> None:
    chance = GradingRates(Rate(0.5, 0.05), Rate(0.5, 0.05))
    low, high = count_interval([(chance, 50, 100)], np.random.default_rng(0))
    assert low < 5
    assert high > 95


def test_rates_count_every_place_the_same_and_know_their_spread() -> None:
    place = np.repeat(np.array(["large", "small", "tiny"], object), [400, 40, 6])
    damaged = np.tile([True, False], 223)
    called = damaged.copy()
    small = np.flatnonzero((place == "small") & damaged)
    called[small[:10]] = False  # half of the damaged ones are missed there
    rates = fit_rates(called, damaged, place)
    assert rates.sensitivity.mean == pytest.approx((1 + 0.5) / 2)
    assert rates.sensitivity.sd == pytest.approx(np.std([1, 0.5], ddof=1))
    assert rates.specificity == Rate(1.0, 0.0)
    assert GradingRates.from_dict(rates.to_dict()).sensitivity.mean == rates.sensitivity.mean


def test_one_place_alone_has_the_spread_of_its_buildings() -> None:
    damaged = np.ones(50, bool)
    called = np.arange(50) < 40
    rate = fit_rates(np.r_[called, False], np.r_[damaged, False], np.full(51, "one", object)).sensitivity
    assert rate.mean == pytest.approx(41 / 52)
    assert rate.sd == pytest.approx(np.sqrt(rate.mean * (1 - rate.mean) / 50))
