"""Which roofs stand in deep shadow, by the sums of the pass."""

import numpy as np
import pytest

from deepnets4eo.damage.structure.block import DIRECTIONS, INSIDE
from deepnets4eo.damage.structure.maps import Radiometry, measure
from deepnets4eo.damage.structure.measures import in_deep_shadow
from deepnets4eo.rasters import Layer

POST = Radiometry(100.0, 40.0, darkest=-2.2, grain=0.02)


def sums(light: float = -2.0, rough: float = 0.03, shaded: float = 1.0) -> dict[str, np.ndarray]:
    """Sums of one building of 50 pixels with ten samples a wall."""
    inside = np.zeros((1, len(INSIDE)))
    inside[0, :3] = 50, 50 * light, 50 * rough
    return {
        "post_inside": inside,
        "post_shadow": np.concatenate([np.full((1, DIRECTIONS), 10 * shaded), np.full((1, DIRECTIONS), 10.0)], axis=1),
    }


def test_a_dark_roof_without_pattern_amid_shadow_shows_nothing() -> None:
    assert in_deep_shadow(sums(), POST).tolist() == [True]


@pytest.mark.parametrize("other", [{"light": -1.5}, {"rough": 0.1}, {"shaded": 0.6}])
def test_a_roof_in_light_shadow_one_with_a_pattern_and_one_in_the_sun_are_told(other: dict[str, float]) -> None:
    assert in_deep_shadow(sums(**other), POST).tolist() == [False]


def test_a_building_of_which_nothing_was_measured_is_not_called_shaded() -> None:
    assert in_deep_shadow({name: 0 * values for name, values in sums().items()}, POST).tolist() == [False]


@pytest.mark.parametrize("noise", [1.5, 4.0])
def test_the_grain_of_an_image_is_that_of_its_smoothest_ground(noise: float) -> None:
    rng = np.random.default_rng(0)
    values = np.full((512, 512), 120.0)
    values[:, ::2] += 40 * (np.arange(512) % 64 > 16)[:, None]  # a rough pattern on three quarters
    grid_light = np.add.outer(np.arange(512), np.arange(512)) / 8
    image = np.rint(values + grid_light + rng.normal(0, noise, values.shape)).astype(np.uint16)
    measured = measure(Layer.open(image[None]), np.array([[256.0, 256.0]]))
    assert 0.4 * noise < measured.grain * measured.unit < 0.8 * noise


def test_the_grain_is_never_less_than_what_whole_numbers_hold() -> None:
    image = np.repeat(np.arange(0, 256, 16, dtype=np.uint8), 32)[None].repeat(512, axis=0)  # flat stripes
    measured = measure(Layer.open(image[None]), np.array([[256.0, 256.0]]))
    assert measured.grain * measured.unit == pytest.approx(12**-0.5)


def test_the_darkest_of_an_image_is_measured_from_its_usual_brightness() -> None:
    image = np.random.default_rng(1).integers(60, 141, (512, 512)).astype(np.uint8)
    image[::16, ::8] = 10  # one pixel in 128
    measured = measure(Layer.open(image[None]), np.array([[256.0, 256.0]]))
    assert measured.level + measured.darkest * measured.unit == pytest.approx(10, abs=1)
