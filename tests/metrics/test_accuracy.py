"""Intervals and estimates against the papers' worked examples."""

from statistics import NormalDist

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.metrics import ConfusionMatrix, area_adjusted, bootstrap, sample_size, wilson_interval

PAPER_LEVEL = 2 * NormalDist().cdf(1.96) - 1  # the papers round the 95 % quantile to 1.96

OLOFSSON_SAMPLE = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
OLOFSSON_HA = np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 0.09


def test_the_worked_example_of_olofsson_is_reproduced():
    found = area_adjusted(OLOFSSON_SAMPLE, OLOFSSON_HA, level=PAPER_LEVEL)
    np.testing.assert_allclose(found.area, [21157.8, 11686.2, 285769.9, 581386.2], atol=0.05)
    np.testing.assert_allclose(found.area_margin, [6157.6, 3755.8, 15509.8, 16281.7], atol=0.1)
    np.testing.assert_allclose(found.overall_accuracy, 0.94651, atol=5e-6)
    np.testing.assert_allclose(found.overall_accuracy_margin, 0.01848, atol=5e-6)
    np.testing.assert_allclose(found.users_accuracy, [0.880, 0.733, 0.927, 0.963], atol=5e-4)
    np.testing.assert_allclose(found.producers_accuracy, [0.7487, 0.8472, 0.9345, 0.9616], atol=5e-5)
    np.testing.assert_allclose(found.producers_accuracy_margin, [0.2133, 0.2544, 0.0343, 0.0184], atol=5e-5)


def test_adjusted_areas_add_up_to_the_mapped_area():
    np.testing.assert_allclose(area_adjusted(OLOFSSON_SAMPLE, OLOFSSON_HA).area.sum(), OLOFSSON_HA.sum())


def test_producers_variance_follows_equation_7_written_out():
    n_i, area = OLOFSSON_SAMPLE.sum(axis=1), OLOFSSON_HA
    found = area_adjusted(OLOFSSON_SAMPLE, area, level=PAPER_LEVEL)
    for j in range(4):
        n_hat = sum(area[i] * OLOFSSON_SAMPLE[i, j] / n_i[i] for i in range(4))
        users, producers = found.users_accuracy[j], found.producers_accuracy[j]
        own = area[j] ** 2 * (1 - producers) ** 2 * users * (1 - users) / (n_i[j] - 1)
        others = sum(
            area[i] ** 2 * (q := OLOFSSON_SAMPLE[i, j] / n_i[i]) * (1 - q) / (n_i[i] - 1) for i in range(4) if i != j
        )
        variance = (own + producers**2 * others) / n_hat**2
        np.testing.assert_allclose(found.producers_accuracy_margin[j], 1.96 * np.sqrt(variance))


@pytest.mark.parametrize(
    ("positive", "total", "low", "high"),
    [(0, 200, 0, 0.01885), (3, 200, 0.00511, 0.04317), (12, 300, 0.02303, 0.06860)],
)
def test_wilson_intervals_of_small_counts(positive, total, low, high):
    found = wilson_interval(positive, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-6)
    mirrored = wilson_interval(total - positive, total)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high))


def test_users_intervals_are_wilsons_and_all_contain_their_estimates():
    found = area_adjusted(OLOFSSON_SAMPLE, OLOFSSON_HA)
    for row, right, (low, high) in zip(
        OLOFSSON_SAMPLE, np.diagonal(OLOFSSON_SAMPLE), found.users_accuracy_interval, strict=True
    ):
        expected = wilson_interval(int(right), int(row.sum()))
        assert (low, high) == pytest.approx((expected.low, expected.high))
    for name in ("users_accuracy", "producers_accuracy", "area"):
        low, high = getattr(found, f"{name}_interval").T
        assert ((low < getattr(found, name)) & (getattr(found, name) < high)).all()


@pytest.mark.core("the intervals that reviews report; 400 draws of counts in 0.3 s")
def test_intervals_contain_the_truth_where_the_published_margins_do_not():
    """A flood on 3 % of a map that misses a quarter of it: the published margin of its area holds it in less than half of the draws."""
    share, truth = np.array([0.03, 0.97]), np.array([[0.8, 0.2], [0.01, 0.99]])
    area, rng = share @ truth, np.random.default_rng(0)
    inside = {"margin": 0, "interval": 0, "overall": 0}
    for _ in range(400):
        found = area_adjusted(np.stack([rng.multinomial(15, truth[0]), rng.multinomial(45, truth[1])]), share)
        inside["margin"] += abs(found.area[0] - area[0]) <= found.area_margin[0]
        low, high = found.area_interval[0]
        inside["interval"] += low <= area[0] <= high
        low, high = found.overall_accuracy_interval
        inside["overall"] += low <= share @ np.diagonal(truth) <= high
    assert inside["margin"] < 200
    assert inside["interval"] >= 370
    assert inside["overall"] >= 370


def test_a_class_that_is_not_mapped_has_an_area_but_no_users_accuracy():
    found = area_adjusted(np.array([[6, 1, 3], [1, 9, 0], [0, 0, 0]]), [100, 50, 0])
    assert found.area.sum() == pytest.approx(150)
    assert found.area[2] == pytest.approx(30)
    assert np.isnan(found.users_accuracy[2])
    assert found.producers_accuracy[2] == 0
    assert found.users_accuracy_interval[2].tolist() == [0, 1]
    with raises_naming(InputError, "[10, 1] samples"):
        area_adjusted(np.array([[6, 4], [0, 1]]), [1, 0])


def test_the_papers_sample_size_is_reproduced_and_a_sample_of_that_size_reaches_it():
    weight, users = np.array([0.020, 0.015, 0.320, 0.645]), np.array([0.70, 0.60, 0.90, 0.95])
    number = sample_size(weight, users, 1.96 * 0.01, level=PAPER_LEVEL)
    assert number == 641  # table 5 of the paper, for a standard error of 0.01
    drawn = np.maximum(
        2, np.round(number * weight * np.sqrt(users * (1 - users)) / (weight * np.sqrt(users * (1 - users))).sum())
    )
    sample = np.round(np.diag(drawn * users))
    sample[np.arange(4), [1, 0, 3, 2]] = drawn - np.diagonal(sample)
    assert area_adjusted(sample, weight).overall_accuracy_margin == pytest.approx(0.0196, abs=0.001)
    with raises_naming(InputError, "1.2"):
        sample_size([1.0], [1.2], 0.05)
    with raises_naming(InputError, "expected finite"):
        sample_size([1.0], [0.9], 0)


def test_designs_that_carry_no_interval_are_refused():
    with raises_naming(InputError, "needs 2"):
        area_adjusted(np.array([[1, 0], [2, 5]]), [1, 1])
    with raises_naming(InputError, "2", "3 mapped"):
        area_adjusted(np.ones((2, 2)), [1, 1, 1])
    with raises_naming(InputError, "Got 5", "3"):
        wilson_interval(5, 3)
    with raises_naming(InputError, "level of 95"):
        wilson_interval(1, 3, level=95)
    with raises_naming(InputError, "1 tile"):
        bootstrap([ConfusionMatrix(2)])


def some_tiles(count: int, seed: int = 0) -> list[ConfusionMatrix]:
    generator = np.random.default_rng(seed)
    tiles = []
    for _ in range(count):
        reference = generator.integers(0, 3, 400)
        wrong = generator.random(400) < generator.uniform(0, 0.4)
        tiles.append(ConfusionMatrix(3).update(reference, np.where(wrong, (reference + 1) % 3, reference)))
    return tiles


def test_the_bootstrap_agrees_with_the_normal_theory_of_tile_means():
    tiles = some_tiles(60)
    accuracies = [tile.overall_accuracy for tile in tiles]  # tiles of equal size: the overall one is their mean
    found = bootstrap(tiles, ["overall_accuracy"], draws=4000)["overall_accuracy"]
    assert found.estimate == pytest.approx(np.mean(accuracies))
    margin = 1.96 * np.std(accuracies) / np.sqrt(len(tiles))
    assert found.high - found.low == pytest.approx(2 * margin, rel=0.08)


def test_the_bootstrap_is_the_same_for_the_same_seed():
    tiles = some_tiles(8)
    assert bootstrap(tiles, draws=50, seed=3) == bootstrap(tiles, draws=50, seed=3)
    assert bootstrap(tiles, draws=50, seed=3) != bootstrap(tiles, draws=50, seed=4)


def test_identical_tiles_leave_no_doubt():
    found = bootstrap(some_tiles(1) * 5, draws=20)["mean_iou"]
    assert found.low == pytest.approx(found.high)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: area_adjusted(np.array([[9, 1], [2, 8]]), [100, -300]), "mapped_area .* 0 or more"),
        (lambda: area_adjusted(np.array([[9, -1], [2, 8]]), [100, 300]), "sample .* 0 or more"),
        (lambda: area_adjusted(np.array([[9, np.nan], [2, 8]]), [100, 300]), "sample .* finite"),
        (lambda: area_adjusted(np.array([[9, 1], [2, 8]]), [0, 0]), "at least one above 0"),
        (lambda: bootstrap(some_tiles(3), draws=0), "0 draws"),
        (lambda: bootstrap(some_tiles(3), level=-1), "level of -1"),
        (lambda: bootstrap(some_tiles(3), level=95), "level of 95"),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
