"""The vectorised map against one written with loops, and what a map should do with colours and classes."""

import numpy as np
import pytest
from sklearn.base import clone

from deepnets4eo.baselines import SelfOrganizingMap, load_estimator, save_estimator
from deepnets4eo.errors import InputError


def colours(count=400, seed=0):
    return np.random.default_rng(seed).random((count, 3)).astype(np.float32)


def naive_epochs(units, samples, rows, cols, sigmas):
    """Kohonen's batch rule, unit by unit and sample by sample, in double precision."""
    units = units.astype(float)
    places = [(row, col) for row in range(rows) for col in range(cols)]
    for sigma in sigmas:
        best = [min(range(len(units)), key=lambda u: ((units[u] - sample) ** 2).sum()) for sample in samples]
        moved = []
        for row, col in places:
            weights = [np.exp(-((row - places[b][0]) ** 2 + (col - places[b][1]) ** 2) / (2 * sigma**2)) for b in best]
            moved.append(sum(w * sample for w, sample in zip(weights, samples, strict=True)) / sum(weights))
        units = np.array(moved)
    return units


@pytest.mark.parametrize("init", ["pca", "samples"])
def test_vectorised_epochs_equal_loops(init):
    samples = colours(60)
    som = SelfOrganizingMap(3, 4, epochs=4, sigma_start=2.0, init=init)
    start = som._initial_units(samples)
    expected = naive_epochs(start, samples.astype(float), 3, 4, np.geomspace(2.0, 0.5, 4))
    np.testing.assert_allclose(som.fit(samples).units_, expected, atol=1e-4)


def test_it_starts_on_the_plane_of_the_principal_components():
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=(500, 3)) * [5, 1, 0.01] + [100, 0, 3]).astype(np.float32)
    start = SelfOrganizingMap(6, 4)._initial_units(samples).reshape(6, 4, 3)
    np.testing.assert_allclose(start.mean(axis=(0, 1)), samples.mean(axis=0), atol=1e-3)
    steps = np.diff(start, axis=0)[..., 0], np.diff(start, axis=1)[..., 1]
    assert abs(steps[0]).min() > 3  # the longer side goes along the first component
    assert abs(steps[1]).min() > 1


def test_colours_are_spread_with_neighbours_alike():
    samples = colours(2000)
    som = SelfOrganizingMap(8, 8, epochs=15).fit(samples)
    assert som.quantisation_errors_[-1] < 0.6 * som.quantisation_errors_[1]
    assert som.quantisation_errors_[-1] < 0.14
    nearest = np.linalg.norm(samples[:, None] - som.units_, axis=2).argsort(axis=1)[:, :2]
    assert (som.grid_distances()[nearest[:, 0], nearest[:, 1]] > 1.5).mean() < 0.1  # a map without folds
    apart = np.linalg.norm(som.units_[:, None] - som.units_, axis=2)
    on_grid = som.grid_distances()
    assert apart[on_grid == 1].mean() < 0.5 * apart[on_grid > 4].mean()


def test_error_of_quantisation_is_the_mean_distance_to_the_table():
    samples = colours(300)
    som = SelfOrganizingMap(4, 4).fit(samples)
    expected = np.linalg.norm(samples - som.transform(samples), axis=1).mean()
    assert som.quantisation_errors_[-1] == pytest.approx(expected, rel=1e-5)
    nearest = np.linalg.norm(samples[:, None] - som.units_, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(som.predict_unit(samples), nearest)


def test_few_labels_name_the_whole_map():
    samples = colours(3000)
    truth = np.where(samples[:, 0] > 0.5, 7, 3)
    labels = np.full(3000, -1)
    labels[:300] = truth[:300]
    som = SelfOrganizingMap(8, 8).fit(samples, labels)
    np.testing.assert_array_equal(som.classes_, [3, 7])
    assert (som.predict(samples) == truth).mean() > 0.9
    np.testing.assert_allclose(som.predict_proba(samples).sum(axis=1), 1, atol=1e-6)
    assert som.hits_.sum() == 300


def test_shares_of_hits_are_counted_per_class():
    samples = np.array([[0.0], [0.0], [0.0], [1.0]], np.float32)
    plain = SelfOrganizingMap(1, 2, class_weight=None).fit(samples, [0, 0, 1, 1])
    np.testing.assert_allclose(plain.predict_proba(np.array([[0.0]])), [[2 / 3, 1 / 3]])
    balanced = SelfOrganizingMap(1, 2).fit(samples, [0, 0, 1, 0])  # of 0, two thirds come here; of 1, all
    np.testing.assert_allclose(balanced.predict_proba(np.array([[0.0]])), [[2 / 5, 3 / 5]], rtol=1e-6)


def test_units_without_hits_take_the_nearest_units_classes():
    samples = np.array([[0.0], [10.0]], np.float32)
    som = SelfOrganizingMap(1, 5, epochs=1, sigma_end=3.0).fit(samples, [4, 9])
    som.units_ = np.array([[0], [2], [4], [7], [10]], np.float32)
    som._set_class_shares(som.predict_unit(samples), np.array([4, 9]))
    np.testing.assert_array_equal(som.classes_[som.proba_.argmax(axis=1)], [4, 4, 4, 9, 9])


def test_without_classes_it_maps_but_does_not_classify():
    image = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
    som = SelfOrganizingMap(2, 3).fit(image.reshape(3, -1).T)
    units = som.predict_unit(image.reshape(3, -1).T)
    assert units.shape == (600,)
    assert set(np.unique(units)) == set(range(6))
    with pytest.raises(InputError, match="fitted without classes"):
        som.predict_proba(image.reshape(3, -1).T)
    nothing = SelfOrganizingMap(2, 3).fit(image.reshape(3, -1).T, np.full(600, -1))
    with pytest.raises(InputError, match="fitted without classes"):
        nothing.predict(image.reshape(3, -1).T)


@pytest.mark.parametrize(
    "samples",
    [np.full((20, 3), 7, np.float32), np.zeros((1, 2), np.float32), np.arange(9, dtype=np.float32)[:, None]],
    ids=["constant", "one sample", "one feature"],
)
def test_poor_samples_give_a_defined_map(samples):
    for init in ("pca", "samples"):
        som = SelfOrganizingMap(3, 3, init=init).fit(samples, np.zeros(len(samples), int))
        assert np.isfinite(som.units_).all()
        np.testing.assert_array_equal(som.predict_proba(samples), np.ones((len(samples), 1)))


def test_same_seed_same_bits_and_it_survives_its_file(tmp_path):
    samples = colours(500)
    som = SelfOrganizingMap(5, 5, init="samples", seed=3).fit(samples, (samples[:, 1] > 0.3).astype(np.uint8))
    np.testing.assert_array_equal(clone(som).fit(samples).units_, som.units_)
    loaded = load_estimator(save_estimator(som, tmp_path / "som.skops"))
    np.testing.assert_array_equal(loaded.predict_proba(samples), som.predict_proba(samples))


def test_chunks_do_not_change_the_map():
    samples = colours(500)
    whole = SelfOrganizingMap(4, 4).fit(samples)
    in_chunks = SelfOrganizingMap(4, 4).fit(samples, chunk_vectors=77)
    np.testing.assert_allclose(in_chunks.units_, whole.units_, atol=1e-5)
