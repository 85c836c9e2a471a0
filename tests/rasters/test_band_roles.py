"""What bands show, and the index that two of them give."""

import numpy as np
import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import layer_names, normalised_difference, role_indices
from deepnets4eo.segmenters import name_problems


def test_names_of_bands_tell_their_role_whatever_their_spelling():
    assert role_indices(["Near-Infrared", "R", "image.green"]) == {"nir": 0, "red": 1, "green": 2}
    assert role_indices(["band_1", "panchromatic"]) == {}


def test_files_without_names_get_the_usual_ones_and_names_given_go_first():
    plain = ["band_1", "band_2", "band_3"]
    assert layer_names("image", plain) == ["red", "green", "blue"]
    assert layer_names("image", [*plain, "band_4"])[3] == "nir"
    assert layer_names("image", plain, ["nir", "red", "green"]) == ["nir", "red", "green"]
    assert layer_names("image", ["NIR", "red"]) == ["NIR", "red"]
    assert layer_names("sar", plain) == plain
    with raises_naming(InputError, "3 bands", "2 names"):
        layer_names("image", plain, ["nir", "red"])


def test_a_normalised_difference_is_unknown_where_there_is_nothing():
    plus, minus = np.array([3, 0, 0, 1, np.nan], np.float32), np.array([1, 2, 0, -1, 1], np.float32)
    found = normalised_difference(plus, minus)
    assert np.array_equal(found, np.array([0.5, -1, np.nan, np.nan, np.nan], np.float32), equal_nan=True)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("trained", "names", "fits"),
    [
        (("B02", "B03", "B04"), ("blue", "Green ", "RED"), True),
        (("red", "nir"), ("b4", "B08"), True),
        (("B05",), ("B5",), False),  # Landsat's near infrared is no red edge
        (("nir",), ("B8",), False),  # Landsat's panchromatic band, or Sentinel-2's
        (("red", "green"), ("green", "red"), False),
        (("red",), ("band_1",), True),
    ],
)
def test_bands_of_a_scene_are_those_of_training_whatever_their_usual_names(trained, names, fits: bool) -> None:
    assert (name_problems("a.tif", trained, names) == []) is fits
