"""Bands of radar by the names and tags that SNAP, GDAL and others write."""

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff

from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.rasters.radar_bands import polarisations


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["HH", "HV", "VH", "VV"], {"VV": 3, "VH": 2, "HH": 0, "HV": 1}),
        (["vv", "vh", "angle"], {"VV": 0, "VH": 1}),
        (["Gamma0_VH_db", "Gamma0_VV_db", "Gamma0_VH_db/Gamma0_VV_db"], {"VV": 1, "VH": 0}),
        (["VV", "VH", "VV_VH_ratio", "localIncidenceAngle"], {"VV": 0, "VH": 1}),
        (["Amplitude_VV", "Intensity_VV", "Amplitude_VH", "Intensity_VH"], {"VV": 1, "VH": 3}),
        (["Sigma0_VV", "Sigma0_VV_db"], {"VV": 0}),
        (["red", "green", "blue", "VVVH"], {}),
        (["band_1", "band_2", "band_3"], {}),
    ],
)
def test_names_say_which_polarisation_a_band_shows(names: list[str], chosen: dict[str, int]) -> None:
    assert polarisations(names, {}, "x.tif") == chosen


def test_tags_count_where_no_band_has_a_name() -> None:
    unnamed = ["band_1", "band_2", "band_3"]
    assert polarisations(unnamed, {"POLARISATIONS": "VV VH"}, "x.tif") == {"VV": 0, "VH": 1}
    assert polarisations(unnamed, {"sar:polarizations": '["HH", "HV"]'}, "x.tif") == {"HH": 0, "HV": 1}
    assert polarisations(["red", "green"], {"POLARISATIONS": "VV VH"}, "x.tif") == {}


def test_two_dates_in_one_file_are_refused() -> None:
    with pytest.raises(InputError, match="several bands of one polarisation"):
        polarisations(["VV_01Jan2023", "VH_01Jan2023", "VV_13Jan2023", "VH_13Jan2023"], {}, "stack.tif")


def test_tags_of_bands_are_their_names(tmp_path) -> None:
    path = write_geotiff(tmp_path / "quad.tif", np.ones((3, 4, 4), np.float32))
    with rasterio.open(path, "r+") as file:
        for band, name in enumerate(("HH", "HV", "VV"), start=1):
            file.update_tags(band, POLARIMETRIC_INTERP=name)
    assert Layer.open(path).band_names == ["HH", "HV", "VV"]
