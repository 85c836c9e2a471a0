"""Heights above ground: of arrays and of rasters, block by block as at once."""

import numpy as np
import pytest
import rasterio
from refusals import raises_naming

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City
from deepnets4eo.terrain import composite_raster, ndsm

CITY = City(5, 400, 0.5)
NDSM = ("ndsm",)


def test_with_a_terrain_model_it_is_the_difference_and_gaps_stay_gaps():
    dsm, dtm = np.array([[7.0, np.nan, 3.0]]), np.array([[5.0, 1.0, 4.0]])
    assert np.array_equal(ndsm(dsm, dtm), [[2, np.nan, -1]], equal_nan=True)
    with raises_naming(InputError, "(1, 3)", "(3, 1)"):
        ndsm(dsm, dtm.T)


def test_without_a_terrain_model_nothing_lies_below_the_ground():
    dsm = CITY.dsm.copy()
    dsm[50:80, 50:90] = np.nan
    found = ndsm(dsm, gsd_m=0.5)
    assert np.array_equal(np.isnan(found), np.isnan(dsm))
    assert np.nanmin(found) >= 0
    assert np.nanmean(np.abs(found - (dsm - CITY.dtm))) < 0.1


def test_block_by_block_it_is_what_it_is_at_once(tmp_path):
    layer = Layer.open(CITY.dsm, grid=CITY.grid)
    out = composite_raster(layer, tmp_path / "ndsm.tif", channels=NDSM, max_building_m=20, block_px=256)
    found, valid = Layer.open(out).read()
    assert valid.all()
    at_once = ndsm(CITY.dsm, gsd_m=0.5, max_building_m=20)
    assert np.abs(found[0] - at_once).max() < 0.05


def test_the_raster_knows_its_band_its_ground_and_where_nothing_was_seen(tmp_path):
    dsm = CITY.dsm.copy()
    dsm[:270] = np.nan
    dtm = np.where(CITY.dtm > 0, CITY.dtm, np.nan)
    layers = {"dsm": Layer.open(dsm, grid=CITY.grid), "dtm": Layer.open(dtm, grid=CITY.grid)}
    for name, terrain in (("with", layers["dtm"]), ("without", None)):
        out = composite_raster(
            layers["dsm"], tmp_path / f"{name}.tif", dtm=terrain, channels=NDSM, max_building_m=20, block_px=256
        )
        with rasterio.open(out) as file:
            assert file.descriptions == ("ndsm",)
            assert file.crs == CITY.grid.crs.to_wkt()
            assert "GROUND" in file.tags()
            values = file.read(1)
        assert np.array_equal(np.isnan(values), np.isnan(dsm))


def test_rasters_of_several_bands_and_files_in_the_way_are_refused(tmp_path):
    with raises_naming(InputError, "4 bands"):
        composite_raster(CITY.image, tmp_path / "a.tif", channels=NDSM)
    (tmp_path / "b.tif").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        composite_raster(CITY.dsm, tmp_path / "b.tif", channels=NDSM)


def test_masked_heights_are_refused():
    heights = np.full((4, 4), 100.0)
    masked = np.ma.array(heights, mask=np.eye(4, dtype=bool))
    for pair in ((masked, heights), (heights, masked), (masked, None)):
        with pytest.raises(InputError, match="is a masked array"):
            ndsm(*pair)
