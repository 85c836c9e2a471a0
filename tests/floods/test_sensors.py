"""Dates of a flood are what their files state of their bands; thresholds are those of what is measured."""

import numpy as np
import pytest
from refusals import raises_naming

pytest.importorskip("numba")

from deepnets4eo.errors import InputError
from deepnets4eo.floods import WaterMapper, WaterThreshold
from deepnets4eo.floods.date_kinds import recognise
from deepnets4eo.floods.spectrum import index_threshold
from deepnets4eo.floods.thresholds import find_water_threshold
from deepnets4eo.rasters import Layer, Scene


def test_bands_are_known_by_their_wavelengths() -> None:
    layer = Layer.open(np.zeros((6, 2, 2), np.uint8))
    layer.reader.declared = layer.declared.with_bands(
        name=[f"x{k}" for k in range(6)], wavelength_nm=[482.5, 565.0, 660.0, 825.0, 1650.0, 2220.0]
    )
    image, date = recognise(layer)
    assert (date.kind, image.bands, image.band_names) == ("spectrum", [2, 4, 5], ["green", "nir", "swir"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["blue", "green", "red", "nir"], ("spectrum", ["green", "nir"], None)),
        (["green", "nir"], ("spectrum", ["green", "nir"], None)),
        (["", ""], ("radar", ["band_1", "band_2"], None)),
        (["Amplitude_VV", "Amplitude_VH"], ("radar", ["VV", "VH"], "amplitude")),
        (["Intensity_VV", "Amplitude_VV"], ("radar", ["VV"], "power")),
    ],
)
def test_floats_are_what_their_names_state(names: list[str], expected: tuple) -> None:
    layer = Layer.open(np.full((len(names), 4, 4), 0.1, np.float32))
    layer.reader.declared = layer.declared.with_bands(name=names)
    image, date = recognise(layer)
    assert (date.kind, image.band_names, getattr(date, "unit", None)) == expected
    if date.kind == "spectrum":
        mapper = WaterMapper.of_scene(Scene({"post": image}, layer.grid))
        assert mapper.dates["post"].kind == "spectrum"


@pytest.mark.parametrize(
    "names", [["ndwi"], ["coherence_VV"], ["B5", "B4", "B3", "B6"], ["B1", "B2", "B3", "B4", "B5", "B6", "B7"]]
)
def test_bands_that_state_something_else_are_refused(names: list[str]) -> None:
    layer = Layer.open(np.full((len(names), 4, 4), 0.1, np.float32))
    layer.reader.declared = layer.declared.with_bands(name=names)
    with raises_naming(InputError, "post_bands"):
        recognise(layer)


def test_thresholds_of_indices_state_the_index() -> None:
    rng = np.random.default_rng(0)
    index = np.where(np.arange(128) < 64, 0.5, -0.4) + rng.normal(0, 0.05, (128, 128))
    threshold = index_threshold(index.astype(np.float32), "otsu")
    assert -0.4 < threshold.value < 0.5
    assert threshold.to_dict()["water"] == "above"
    assert (threshold.log_odds(index.astype(np.float32)) > 0)[:, :64].all()
    assert WaterThreshold.from_dict(threshold.to_dict()).log_odds(np.array([[0.4]], np.float32)) > 0
    below = find_water_threshold(-index.astype(np.float32), "otsu")
    np.testing.assert_array_equal(
        below.log_odds(-index.astype(np.float32)), threshold.log_odds(index.astype(np.float32))
    )
