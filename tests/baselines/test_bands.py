"""Bands are found by what they show, whatever files call them, and come back in their own units."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from refusals import raises_naming

from deepnets4eo.baselines.bands import Bands, band_names, unstandardise
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import InputSpec


def make_scene(bands: int = 4) -> Scene:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (bands, 20, 24), dtype=np.uint8)
    dsm = rng.normal(50, 4, (20, 24)).astype(np.float32)
    return Scene.open(image=image, dsm=dsm)


def test_prepared_values_come_back_in_their_own_units():
    scene = make_scene()
    inputs = InputSpec.measure([scene], ("image", "dsm"))
    sample = scene.read()
    bands = unstandardise(inputs.prepare(sample), inputs, band_names(inputs))
    np.testing.assert_allclose(bands.pick("red", "green", "blue", "nir"), sample["image"], atol=1e-3)
    np.testing.assert_allclose(bands.pick("height"), sample["dsm"], atol=1e-3)


def test_what_was_not_valid_comes_back_as_the_training_mean():
    scene = make_scene(1)
    inputs = InputSpec.measure([scene])
    sample = scene.read()
    sample["valid"][3, 4] = False
    bands = unstandardise(inputs.prepare(sample), inputs, band_names(inputs))
    assert bands.values[0, 3, 4] == np.rint(inputs.layers["image"].mean[0])  # whole, as bytes are


@pytest.mark.parametrize("name", ["near infrared", "NIR", "Near-Infrared", "near_infrared", "IR"])
def test_a_role_has_many_names(name):
    bands = Bands(np.arange(4, dtype=np.float32)[:, None, None], ("image.r", "image.g", "image.b", f"image.{name}"))
    assert bands.pick("nir").item() == 3
    assert bands.has("red", "nir")


def test_names_given_for_unnamed_bands_win():
    inputs = InputSpec.measure([make_scene(3)])
    assert band_names(inputs) == ("image.red", "image.green", "image.blue")
    assert band_names(inputs, {"image": ["nir", "red", "green"]}) == ("image.nir", "image.red", "image.green")
    with raises_naming(InputError, "3 bands", "2 names"):
        band_names(inputs, {"image": ["nir", "red"]})


def test_a_missing_role_is_said_with_the_bands_there_are():
    bands = Bands(np.zeros((1, 2, 2), np.float32), ("image.band_1",))
    with raises_naming(InputError, "image.band_1"):
        bands.pick("red", "nir")


@given(low=st.floats(-1000, 1000), width=st.floats(0.01, 5000))
def test_unit_values_lie_between_zero_and_one(low, width):
    values = np.linspace(low - width, low + 2 * width, 12, dtype=np.float32).reshape(1, 3, 4)
    bands = Bands(values, ("dsm.height",), span=np.array([[low, low + width]], np.float32))
    unit = bands.unit("height")
    assert unit.min() >= 0
    assert unit.max() <= 1


def test_bytes_are_scaled_by_255_and_metres_by_what_training_showed():
    scene = make_scene()
    inputs = InputSpec.measure([scene], ("image", "dsm"))
    bands = unstandardise(inputs.prepare(scene.read()), inputs, band_names(inputs))
    np.testing.assert_allclose(bands.unit("green")[0], scene.read()["image"][1] / 255, atol=1e-5)
    dsm = scene.read()["dsm"][0]
    low, high = np.percentile(dsm, (1, 99))
    np.testing.assert_allclose(bands.unit("height")[0], np.clip((dsm - low) / (high - low), 0, 1), atol=1e-3)
