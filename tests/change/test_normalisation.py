"""Images in another light: training light is met, and windows are read through it."""

from __future__ import annotations

import numpy as np
from refusals import raises_naming

from deepnets4eo.change.normalisation import light_of_training, normalise
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec, LayerInput

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


def test_a_scene_is_read_through_the_map_also_band_by_band() -> None:
    scene = pair(changed=0)
    normalised, values = normalise(scene, TRAINED)
    window = Window(8, 16, 40, 32)
    pre = normalised.layers["image_pre"]
    expected = light_of_training(scene, TRAINED)["image_pre"].apply(scene.read(window)["image_pre"])
    np.testing.assert_allclose(pre.read(window)[0], expected)
    np.testing.assert_allclose(pre.subset([3]).read(window)[0], expected[2:])
    assert set(values) == {"method", "image_pre", "image_post"}


def test_both_dates_get_the_light_of_the_training_images() -> None:
    normalised, values = normalise(pair(), TRAINED)
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
    sample = pair().read()
    sample["image_post"][1] = 7.3
    with raises_naming(InputError, "2", "image_post"):
        light_of_training(Scene.open(image_pre=sample["image_pre"], image_post=sample["image_post"]), TRAINED)
