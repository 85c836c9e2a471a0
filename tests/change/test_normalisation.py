"""Images in another light: known gains and offsets come back, change does not disturb, training light is met."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from deepnets4eo.change.normalisation import (
    HistogramMap,
    LinearMap,
    invariant_regression,
    light_of_training,
    match_histograms,
    normalise,
)
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec, LayerInput

GAIN, OFFSET = np.array([1.4, 0.7, 1.0]), np.array([10.0, 30.0, -5.0])
BANDS = ("red", "green", "blue")
TRAINED = InputSpec(
    {
        "image_pre": LayerInput(BANDS, (90.0, 100.0, 80.0), (30.0, 35.0, 40.0), 0, 255),
        "image_post": LayerInput(BANDS, (110.0, 120.0, 95.0), (41.0, 42.0, 43.0), 0, 255),
    }
)


def pair(changed: float = 0.15, noise: float = 1.0) -> Scene:
    """Three bands of 160² pixels whose light differs by GAIN and OFFSET; a corner has changed."""
    rng = np.random.default_rng(0)
    ground = np.kron(rng.uniform(20, 200, (3, 20, 20)), np.ones((1, 8, 8)))
    pre = ground + rng.normal(0, noise, ground.shape)
    post = GAIN[:, None, None] * ground + OFFSET[:, None, None] + rng.normal(0, noise, ground.shape)
    side = int(160 * np.sqrt(changed))
    post[:, :side, :side] = rng.uniform(0, 400, (3, side, side))
    return Scene.open(image_pre=pre.astype(np.float32), image_post=post.astype(np.float32))


def test_gains_and_offsets_come_back_although_a_part_has_changed() -> None:
    scene = pair()
    fitted = invariant_regression(scene)
    np.testing.assert_allclose(fitted.gain, GAIN, rtol=0.01)
    np.testing.assert_allclose(fitted.offset, OFFSET, atol=1.5)
    assert (fitted.correlation > 0.99).all()
    pre, post = (scene.read()[name].reshape(3, -1) for name in ("image_pre", "image_post"))
    plain = [np.polyfit(x, y, 1)[0] for x, y in zip(pre, post, strict=True)]
    assert np.abs(fitted.gain - GAIN).max() < 0.1 * np.abs(plain - GAIN).max(), "a plain regression is misled"


def test_the_slope_is_that_of_the_longest_axis() -> None:
    scene = pair(changed=0, noise=20)
    fitted = invariant_regression(scene, unchanged=1e-12)
    values = np.concatenate([scene.read()[name] for name in ("image_pre", "image_post")]).reshape(6, -1)
    for band in range(3):
        (axis_x, axis_y) = np.linalg.eigh(np.cov(values[[band, band + 3]]))[1][:, -1]
        assert fitted.gain[band] == pytest.approx(axis_y / axis_x, rel=0.02)


def test_histograms_are_those_of_the_post_image() -> None:
    scene = pair(changed=0)
    mapped = match_histograms(scene).apply(scene.read()["image_pre"])
    shares = np.linspace(0.02, 0.98, 25)
    for band, reference in zip(mapped, scene.read()["image_post"], strict=True):
        np.testing.assert_allclose(np.quantile(band, shares), np.quantile(reference, shares), atol=1.5)


@pytest.mark.parametrize(("method", "fit"), [("regression", invariant_regression), ("histogram", match_histograms)])
def test_a_scene_is_read_through_the_map_also_band_by_band(
    method: str, fit: Callable[[Scene], LinearMap | HistogramMap]
) -> None:
    scene = pair(changed=0)
    normalised, values = normalise(scene, method, TRAINED)
    window = Window(8, 16, 40, 32)
    pre = normalised.layers["image_pre"]
    expected = fit(scene).apply(scene.read(window)["image_pre"])
    np.testing.assert_allclose(pre.read(window)[0], expected)
    np.testing.assert_allclose(pre.subset([3]).read(window)[0], expected[2:])
    assert np.abs(pre.thumbnail(40)[0] - normalised.layers["image_post"].thumbnail(40)[0]).mean() < 3
    assert values["method"] == method
    assert set(values) == {"method", "image_pre"}


def test_both_dates_get_the_light_of_the_training_images() -> None:
    normalised, values = normalise(pair(), "training", TRAINED)
    sample = normalised.read()
    for layer, trained in TRAINED.layers.items():
        np.testing.assert_allclose(sample[layer].mean((1, 2)), trained.mean, rtol=1e-3)
        np.testing.assert_allclose(sample[layer].std((1, 2)), trained.std, rtol=1e-3)
        assert values[layer]["trained_mean"] == list(trained.mean)


def test_pixels_that_are_not_valid_do_not_count_for_the_light() -> None:
    sample = pair().read()
    holed = {name: sample[name].copy() for name in ("image_pre", "image_post")}
    holed["image_pre"][:, :40] = np.nan
    whole = Scene.open(**{name: image[:, 40:] for name, image in holed.items()})
    for layer, light in light_of_training(Scene.open(**holed), TRAINED).items():
        np.testing.assert_allclose(light.mean, light_of_training(whole, TRAINED)[layer].mean)
        np.testing.assert_allclose(light.std, light_of_training(whole, TRAINED)[layer].std)


def test_what_cannot_be_normalised_is_refused() -> None:
    with pytest.raises(InputError, match="'gamma' is unknown"):
        normalise(pair(), "gamma", TRAINED)
    with pytest.raises(InputError, match="needs 100"):
        invariant_regression(pair(), unchanged=1.0)
    sample = pair().read()
    sample["image_post"][1] = 7.3
    with pytest.raises(InputError, match="band 2 of image_post has one value"):
        light_of_training(Scene.open(image_pre=sample["image_pre"], image_post=sample["image_post"]), TRAINED)


def test_a_band_that_is_upside_down_is_refused_and_named() -> None:
    sample = pair(changed=0).read()
    sample["image_post"][1] = 300 - sample["image_post"][1]
    with pytest.raises(InputError, match=r"in band 2 the unchanged pixels .* use histograms instead"):
        invariant_regression(Scene.open(image_pre=sample["image_pre"], image_post=sample["image_post"]))


def test_many_pixels_of_one_value_get_the_mean_of_theirs() -> None:
    table = HistogramMap(np.array([[12.0, 12, 12, 40]]), np.array([[8.0, 12, 16, 40]]))
    assert table.apply(np.array([[[12, 40, 26]]]))[0, 0].tolist() == [12, 40, 26]
