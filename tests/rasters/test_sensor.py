"""What took a raster, as the words about its bands state it, the same for every part of it."""

from dataclasses import replace

import numpy as np
import pytest

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer


def layer(names, dtype="float32", **fields) -> Layer:
    """A layer of these bands; further fields are of its bands, `tags` and `source` of the whole."""
    made = Layer.open(np.ones((len(names), 4, 4), dtype))
    whole = {name: fields.pop(name) for name in ("tags", "source") if name in fields}
    made.reader.declared = replace(made.declared.with_bands(name=list(names), **fields), **whole)
    return made


LANDSAT_8 = [f"B{number}" for number in range(1, 12)]


@pytest.mark.parametrize(
    ("names", "source", "roles"),
    [
        (["B2", "B3", "B4", "B8"], "", {"blue": 1, "green": 2, "red": 3, "nir": 4}),
        (["B03", "B8A", "B11"], "", {"green": 1, "nir": 2, "swir": 3}),
        (["B03_10m", "B08_10m"], "", {"green": 1, "nir": 2}),
        (["green", "nir08", "swir16", "qa_pixel"], "", {"green": 1, "nir": 2, "swir": 3}),
        (LANDSAT_8, "", {"blue": 2, "green": 3, "red": 4, "nir": 5, "swir": 6, "swir2": 7}),
        (["B8A", "B11", "B12"], "", {"nir": 1, "swir": 2, "swir2": 3}),
        (["nir", "SWIR 2", "swir1"], "", {"nir": 1, "swir2": 2, "swir": 3}),
        (["B4", "B5", "B7"], "LT05_L1TP_190030.tif", {"nir": 1, "swir": 2, "swir2": 3}),
        (["SR_B3", "SR_B5", "SR_B6"], "", {"green": 1, "nir": 2, "swir": 3}),
        (["SR_B2", "SR_B4", "SR_B5", "ST_B6"], "", {"green": 1, "nir": 2, "swir": 3}),
        (["B3", "B5", "B6"], "LC08_L1TP_190030.tif", {"green": 1, "nir": 2, "swir": 3}),
        (["B3", "B5", "B6"], "HLS.L30.T33UXP.tif", {"green": 1, "nir": 2, "swir": 3}),
        (["B2", "B4", "B5"], "LE07_L1TP_190030.tif", {"green": 1, "nir": 2, "swir": 3}),
        ([f"B{number}" for number in range(1, 8)], "", {}),  # of Landsat 5 or 8, or a part of Sentinel-2
        (["B2", "B3", "B4", "B5", "B6", "B7", "B8"], "", {}),
        (["B5", "B4", "B3"], "", {}),  # no red, green and blue in this order
        (["sur_refl_b01", "sur_refl_b02", "sur_refl_b03", "sur_refl_b04"], "", {}),
        (["", "", "", ""], "", {"red": 1, "green": 2, "blue": 3, "nir": 4}),
    ],
)
def test_roles_are_those_of_the_satellite_that_the_bands_are_of(names, source, roles) -> None:
    assert layer(names, source=source).sensor.roles == roles


def test_tags_of_the_platform_decide_between_two_numberings() -> None:
    names = ["B3", "B5", "B6"]
    assert layer(names, tags={"SPACECRAFT_ID": "LANDSAT_9"}).sensor.roles["nir"] == 2
    assert layer(["B2", "B3", "B5", "B8"], tags={"SPACECRAFT_NAME": "Sentinel-2A"}).sensor.roles["nir"] == 4


def test_a_part_of_an_image_is_what_the_whole_is() -> None:
    part = layer(LANDSAT_8).subset([3, 8, 5])
    assert part.sensor.roles == {"green": 3, "nir": 5}
    assert not layer(["blue", "green", "red", "nir"]).subset([2, 4]).sensor.polarised


def test_bands_without_names_have_roles_by_wavelength_or_colour() -> None:
    waves = [482.5, 565.0, 660.0, 825.0, 1650.0, 2220.0]
    roles = {"blue": 1, "green": 2, "red": 3, "nir": 4, "swir": 5, "swir2": 6}
    assert layer([""] * 6, wavelength_nm=waves).sensor.roles == roles
    assert layer(["x"] * 6, wavelength_nm=waves).sensor.roles == roles
    colours = ["blue", "green", "red", "undefined"]
    assert layer([""] * 4, "uint8", colour=colours).sensor.roles == {"blue": 1, "green": 2, "red": 3, "nir": 4}


@pytest.mark.parametrize(
    ("names", "may_be"),
    [
        (["band_1", "band_2"], True),
        (["Sigma0"], True),
        (["green", "nir"], False),
        (["ndwi"], False),
        (["coherence"], False),
        (["Sigma0_ratio"], False),
        (["water probability"], False),
    ],
)
def test_only_what_nothing_speaks_against_may_be_radar(names, may_be) -> None:
    assert layer(names).sensor.may_be_radar is may_be


def test_the_unit_of_radar_is_the_one_that_is_stated() -> None:
    amplitude = layer(["Amplitude_VV", "Amplitude_VH", "Angle"]).sensor
    assert amplitude.polarised == {"VV": 1, "VH": 2}
    assert amplitude.radar_unit([1, 2]) == "amplitude"
    assert layer(["Sigma0_VV_dB"]).sensor.radar_unit([1]) == "decibel"
    assert layer(["VV"], tags={"units": "linear power"}).sensor.radar_unit([1]) == "power"
    assert layer(["VV"]).sensor.radar_unit([1]) is None


def test_a_stack_of_optical_bands_and_radar_is_optical() -> None:
    names = ["B02", "B03", "B04", "B08", "B8A", "B11", "B12", "VH", "VV"]
    assert not layer(names).sensor.polarised
    with pytest.raises(InputError, match="several bands of one polarisation"):
        _ = layer(["VV_01Jan2023", "VV_13Jan2023"]).sensor.polarised
