"""What kind of image a date is: speckled like radar, optical, in colour."""

from __future__ import annotations

import numpy as np
import pytest

from deepnets4eo.damage.decision.model import DamageModel
from deepnets4eo.damage.images.dates import SPECKLED, SiteImage, _smoothest, is_radar
from deepnets4eo.rasters import Layer


def grey(variation: float, level: float = 100.0) -> np.ndarray:
    """A surface of 64 by 64 pixels, half of it one level up, with this deviation over its mean."""
    noise = np.random.default_rng(0).normal(1, variation, (64, 64))
    return np.clip(level * noise, 0, None).astype(np.float32)


@pytest.mark.parametrize(("variation", "speckled"), [(0.05, False), (0.2, True)])
def test_a_grey_image_whose_smoothest_ground_varies_looks_like_radar(variation: float, speckled: bool) -> None:
    image = Layer.open(grey(variation)[None])
    assert is_radar(image) is speckled
    assert not is_radar(Layer.open(np.stack([grey(0.2), 2 * grey(0.2), grey(0.2)])))
    assert is_radar(Layer.open(np.stack([*[grey(0.2)] * 3, 2 * grey(0.2)]))), "a fourth band is no colour"
    assert 0.08 <= SPECKLED <= 0.11, "between the optical and the radar samples that were measured"


@pytest.mark.parametrize(("dark", "counts"), [(2.9, False), (3.1, True)])
def test_ground_below_three_percent_of_the_brightest_is_only_noise(dark: float, counts: bool) -> None:
    """The left half is dark and smooth; the right half varies by a fifth and has the brightest pixel, of 100."""
    image = grey(0.2, 30.0)
    image[:, :32] = dark
    image[-1, -1] = 100
    found = _smoothest(image, np.ones(image.shape, bool))
    assert (found < 0.01) is counts


@pytest.mark.parametrize(
    ("bands", "speckled", "sensor", "optical", "colours"),
    [
        (3, False, "auto", True, True), (4, False, "auto", True, True), (2, False, "auto", True, False), (1, True, "auto", False, False),
        (3, True, "auto", False, False), (3, True, "optical", True, True),
    ],
)  # fmt: skip
def test_colours_are_shown_by_optical_images_of_three_bands(
    bands: int, speckled: bool, sensor: str, optical: bool, colours: bool
) -> None:
    image = SiteImage(Layer.open(np.ones((bands, 4, 4), np.uint8)), "pre", speckled)
    assert image.is_optical(sensor) is optical  # type: ignore[arg-type]
    assert image.shows_colours(sensor) is colours  # type: ignore[arg-type]


def test_roofs_of_few_pixels_are_graded_by_nothing_else() -> None:
    from deepnets4eo.damage.table.buildings import Reason

    outside = np.array(["", Reason.TOO_NARROW, "greener than the roofs that the model knows"], object)
    assert DamageModel.can_be_graded_otherwise(outside).tolist() == [False, False, True]
