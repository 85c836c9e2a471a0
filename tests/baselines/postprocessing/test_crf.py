"""Mean field against the sums written out pixel by pixel; edges kept, energy lowered, unknown pixels silent."""

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.baselines.postprocessing import CrfSettings, mean_field
from deepnets4eo.baselines.postprocessing.crf import MIN_KERNEL_SUM
from deepnets4eo.errors import InputError
from deepnets4eo.synthetic import City


def kernels(guide, known, settings):
    """Both normalised kernels, (n, n), by a double loop over pixels."""
    height, width = known.shape
    look, near = np.zeros((2, height * width, height * width))
    for a in np.ndindex(height, width):
        for b in np.ndindex(height, width):
            down, right = abs(a[0] - b[0]), abs(a[1] - b[1])
            far = max(down, right) > settings.radius_px or down % settings.step_px or right % settings.step_px
            if a == b or far or not (known[a] and known[b]):
                continue
            i, j = a[0] * width + a[1], b[0] * width + b[1]
            distance = down**2 + right**2
            near[i, j] = np.exp(-distance / 2 / settings.smoothness_px**2)
            difference = np.mean((guide[:, a[0], a[1]] - guide[:, b[0], b[1]]) ** 2)
            if not np.isnan(difference):
                look[i, j] = np.exp(-distance / 2 / settings.appearance_px**2 - difference / 2 / settings.appearance_range**2)  # fmt: skip
    for kernel in (look, near):
        root = 1 / np.sqrt(np.maximum(kernel.sum(axis=1), MIN_KERNEL_SUM))
        kernel *= root[:, None] * root
    return settings.appearance_weight * look + settings.smoothness_weight * near


def naive(proba, guide, settings):
    num_classes, height, width = proba.shape
    known = ~np.isnan(proba).any(axis=0)
    weight = kernels(guide.astype(float), known, settings)
    unary = np.where(known, np.log(np.clip(proba.astype(float), settings.least_proba, 1)), 0).reshape(num_classes, -1)
    belief = np.exp(unary) / np.exp(unary).sum(axis=0) * known.ravel()
    for _ in range(settings.iterations):
        scores = np.exp(unary + belief @ weight)
        belief = scores / scores.sum(axis=0) * known.ravel()
    belief[:, ~known.ravel()] = np.nan
    return belief.reshape(proba.shape)


def energy(labels, proba, guide, settings):
    """The energy of a labelling, as the module writes it."""
    weight = kernels(guide.astype(float), np.ones(labels.shape, bool), settings)
    unary = -np.log(np.clip(proba, settings.least_proba, 1)).reshape(len(proba), -1)
    flat = labels.ravel()
    return unary[flat, np.arange(flat.size)].sum() + (weight * (flat[:, None] != flat)).sum() / 2


def sample(shape=(7, 9), num_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.ones(num_classes), shape).transpose(2, 0, 1).astype(np.float32)
    return proba, rng.random((2, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    "settings",
    [CrfSettings(), CrfSettings(radius_px=2, iterations=3, appearance_range=0.3, smoothness_weight=2.5),
     CrfSettings(radius_px=4, step_px=2, appearance_range=0.5), CrfSettings(radius_px=12, appearance_range=1)],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(7, 9), (1, 6), (6, 2), (1, 1)])
def test_it_agrees_with_sums_over_all_pairs_of_pixels(settings, shape):
    proba, guide = sample(shape)
    np.testing.assert_allclose(mean_field(proba, guide, settings), naive(proba, guide, settings), atol=2e-5)


def test_unknown_pixels_send_nothing_and_stay_unknown():
    proba, guide = sample()
    proba[:, 2, 3], guide[:, 5, 5] = np.nan, np.nan
    settings = CrfSettings(appearance_range=0.3)
    found = mean_field(proba, guide, settings)
    np.testing.assert_allclose(found, naive(proba, guide, settings), atol=2e-5)
    assert np.isnan(found).all(axis=0).sum() == 1


def test_a_pixel_has_the_same_bits_in_any_tile_that_holds_its_reach():
    settings = CrfSettings(iterations=2, radius_px=3)
    proba, guide = sample((70, 61))
    reach, core = settings.reach_px, slice(25, 40)
    whole = mean_field(proba, guide, settings)[:, core, core]
    seen = slice(core.start - reach, core.stop + reach)
    part = mean_field(proba[:, seen, seen].copy(), guide[:, seen, seen].copy(), settings)
    np.testing.assert_array_equal(part[:, reach:-reach, reach:-reach], whole)


def test_on_a_constant_image_certain_pixels_stay_certain_and_even_ones_even():
    guide = np.full((3, 8, 8), 0.4, np.float32)
    even = mean_field(np.full((4, 8, 8), 0.25, np.float32), guide)
    np.testing.assert_allclose(even, 0.25, atol=1e-6)
    sure = np.zeros((4, 8, 8), np.float32)
    sure[2] = 1
    assert (mean_field(sure, guide).argmax(axis=0) == 2).all()
    np.testing.assert_array_equal(mean_field(np.ones((1, 5, 5), np.float32), guide[:, :5, :5]), 1)


def test_a_lone_pixel_goes_and_an_edge_of_the_image_stays():
    guide = np.zeros((1, 12, 12), np.float32)
    guide[:, :, 6:] = 1
    proba = np.where(guide[0] > 0, np.float32([[[0.2]], [[0.8]]]), np.float32([[[0.8]], [[0.2]]]))
    proba[:, 4, 3] = proba[::-1, 4, 3]
    np.testing.assert_array_equal(mean_field(proba, guide).argmax(axis=0), guide[0])


def test_it_lowers_the_energy_of_the_labelling():
    settings = CrfSettings(radius_px=3, appearance_range=0.2)
    for seed in range(5):
        proba, guide = sample((9, 9), seed=seed)
        after = mean_field(proba, guide, settings).argmax(axis=0)
        assert energy(after, proba, guide, settings) < energy(proba.argmax(axis=0), proba, guide, settings)


def test_noise_over_a_city_is_mostly_removed():
    city = City(seed=3, size_px=192)
    labels = city.labels("minicity")
    rng = np.random.default_rng(0)
    num_classes = int(labels.max()) + 1
    noisy = np.where(rng.random(labels.shape) < 0.3, rng.integers(0, num_classes, labels.shape), labels)
    proba = np.full((num_classes, *labels.shape), 0.5 / (num_classes - 1), np.float32)
    np.put_along_axis(proba, noisy[None], 0.5, 0)
    found = mean_field(proba, city.image.astype(np.float32) / 255).argmax(axis=0)
    assert (noisy == labels).mean() < 0.76
    assert (found == labels).mean() > 0.95


def test_settings_that_mean_nothing_are_refused():
    for wrong in ({"iterations": 0}, {"radius_px": 21}, {"appearance_range": 0}, {"least_proba": 0.9}, {"raduis": 3}):
        with raises_naming(InputError, next(iter(wrong))):
            CrfSettings(**wrong)
