"""Composites of heights, slope and vegetation index: right values, blocks as at once, strange heights and grids."""

import logging

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError, OutputError
from deepnets4eo.grid import Grid, gsd_m, whole
from deepnets4eo.polygons import write_vector
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.synthetic import City
from deepnets4eo.terrain import composite_raster, ndsm, slope_deg

CITY = City(5, 300, 0.5)
GRID = Grid((40, 50), Affine(2, 0, 500_000, 0, -2, 4_000_000), "EPSG:32615")
PLAIN = np.full((40, 50), 100, np.float32)


def placed(values: np.ndarray, grid: Grid = GRID) -> Layer:
    return Layer.open(values, grid=grid)


def written(path) -> tuple[np.ndarray, tuple[str, ...]]:
    with rasterio.open(path) as file:
        return file.read(), file.descriptions


def test_channels_are_written_by_name_in_the_order_asked_for(tmp_path):
    image = Layer.open(CITY.image, grid=CITY.grid)
    out = composite_raster(
        placed(CITY.dsm, CITY.grid), tmp_path / "a.tif", image=image, dtm=placed(CITY.dtm, CITY.grid),
        channels=("slope", "ndvi", "dsm", "ndsm"), bands=("red", "green", "blue", "nir"),
    )  # fmt: skip
    found, described = written(out)
    assert described == ("slope", "ndvi", "dsm", "ndsm")
    assert found.dtype == np.float32
    assert np.allclose(found[0], slope_deg(CITY.dsm, (0.5, 0.5)), atol=1e-4)
    red, nir = CITY.image[0].astype(float), CITY.image[3].astype(float)
    expected = (nir - red) / np.where(nir + red > 0, nir + red, np.nan)
    assert np.allclose(found[1], expected, atol=1e-5, equal_nan=True)
    assert np.array_equal(found[2], CITY.dsm.astype(np.float32))
    assert np.allclose(found[3], CITY.dsm - CITY.dtm, atol=1e-4)


def test_block_by_block_it_is_what_it_is_at_once(tmp_path):
    dsm, image = placed(CITY.dsm, CITY.grid), Layer.open(CITY.image, grid=CITY.grid)
    options = {"image": image, "channels": ("dsm", "ndsm", "ndvi", "slope"), "max_building_m": 10}
    at_once, _ = written(composite_raster(dsm, tmp_path / "a.tif", **options))
    seen: list[float] = []
    blockwise, _ = written(composite_raster(dsm, tmp_path / "b.tif", block_px=64, progress=seen.append, **options))
    assert np.array_equal(blockwise[[0, 2, 3]], at_once[[0, 2, 3]])
    assert np.abs(blockwise[1] - at_once[1]).max() < 0.05
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(seen) == 25


def test_images_and_terrain_on_other_grids_are_warped(tmp_path):
    coarse = Grid((20, 25), Affine(4, 0, 500_000, 0, -4, 4_000_000), GRID.crs)
    image = np.stack([np.full(coarse.shape, 60, np.uint8), np.full(coarse.shape, 20, np.uint8)])
    wide = Grid((60, 60), Affine(2.5, 0, 499_960, 0, -2.5, 4_000_030), GRID.crs)
    out = composite_raster(
        placed(PLAIN), tmp_path / "a.tif", image=placed(image, coarse), dtm=placed(np.full((60, 60), 93.0, "f4"), wide),
        channels=("ndsm", "ndvi"), bands=("nir", "red"),
    )  # fmt: skip
    found, _ = written(out)
    assert found.shape == (2, 40, 50)
    assert np.allclose(found[0], 7)
    assert np.allclose(found[1], 0.5)


def test_what_each_channel_does_not_know_is_its_own(tmp_path):
    dsm, dtm = PLAIN.copy(), PLAIN - 4
    dsm[:10], dtm[:, :20] = np.nan, np.nan
    image = np.full((2, 40, 50), 30, np.uint8)
    image[:, 30:] = 0
    found, _ = written(
        composite_raster(
            placed(dsm), tmp_path / "a.tif", image=placed(image), dtm=placed(dtm), bands=("nir", "red"), block_px=16
        )
    )
    assert np.array_equal(np.isnan(found[0]), np.isnan(dsm))
    assert np.array_equal(np.isnan(found[1]), np.isnan(dsm) | np.isnan(dtm))
    assert np.array_equal(np.isnan(found[2]), np.arange(40)[:, None].repeat(50, axis=1) >= 30)


def test_heights_of_no_place_on_earth_are_no_data_and_counted_once(tmp_path, caplog):
    dsm = CITY.dsm.astype(np.float32)
    dsm[20:30, 40:60] = -9999
    dsm[150, 150], dsm[151, 200], dsm[152, 250] = 1e4, -1e4, 3e38
    wrong = ~(np.abs(dsm) < 9000)
    with caplog.at_level(logging.WARNING):
        found, _ = written(
            composite_raster(
                placed(dsm, CITY.grid), tmp_path / "a.tif", channels=("dsm", "ndsm", "slope"), max_building_m=10,
                block_px=64,
            )
        )  # fmt: skip
    assert wrong.sum() == 203
    assert [record.message for record in caplog.records if "203 heights outside -500 to 9000 m" in record.message]
    assert sum("heights outside" in record.message for record in caplog.records) == 1
    assert all(np.array_equal(np.isnan(band), wrong) for band in found)
    clean, _ = written(
        composite_raster(
            placed(np.where(wrong, np.nan, dsm), CITY.grid), tmp_path / "b.tif", channels=("dsm", "ndsm", "slope"),
            max_building_m=10, block_px=64,
        )
    )  # fmt: skip
    assert np.array_equal(found, clean, equal_nan=True)


def test_arrays_with_such_heights_are_warned_of_as_well(caplog):
    dsm, dtm = PLAIN.copy(), PLAIN - 4
    dsm[3, 4], dtm[5, 6:8] = -9999, 3e38
    with caplog.at_level(logging.WARNING):
        found = ndsm(dsm, dtm)
    assert np.isnan(found).sum() == 3
    assert np.nanmax(found) == 4
    assert [record.message.split(" heights")[0] for record in caplog.records] == ["dsm: 1", "dtm: 2"]


def test_a_terrain_model_whose_untagged_no_data_a_warp_would_smear_is_refused(tmp_path):
    wide = Grid((60, 60), Affine(2.5, 0, 499_960, 0, -2.5, 4_000_030), GRID.crs)
    dtm = np.full((60, 60), 90, np.float32)
    dtm[0, 0] = -9999  # off the surface, where it does no harm
    found, _ = written(composite_raster(placed(PLAIN), tmp_path / "a.tif", dtm=placed(dtm, wide), channels=("ndsm",)))
    assert np.allclose(found, 10)
    dtm[30, 30] = -9999
    with raises_naming(InputError, "-a_nodata"):
        composite_raster(placed(PLAIN), tmp_path / "b.tif", dtm=placed(dtm, wide), channels=("ndsm",))
    with raises_naming(InputError, "-a_nodata"):  # in degrees as well
        composite_raster(
            placed(np.zeros((20, 20), "f4"), Grid((20, 20), Affine(3e-5, 0, -93.0001, 0, -3e-5, 36.1446), "EPSG:4326")),
            tmp_path / "b.tif", dtm=placed(dtm, wide), channels=("ndsm",),
        )  # fmt: skip
    tagged = Layer.open(dtm, grid=wide, nodata=-9999)
    found, _ = written(composite_raster(placed(PLAIN), tmp_path / "b.tif", dtm=tagged, channels=("ndsm",)))
    assert np.nanmax(np.abs(found - 10)) < 1e-3


@pytest.mark.parametrize(("shape", "top", "left"), [((90, 50), 52, 0), ((50, 95), 0, 52)])
def test_heights_in_every_corner_of_a_longer_terrain_model_are_looked_at(tmp_path, shape, top, left):
    """Under the surface only, of 40 × 50 pixels of 2 m, in each of its four corners."""
    grid = Grid(shape, Affine(2.5, 0, 499_998 - 2.5 * left, 0, -2.5, 4_000_003 + 2.5 * top), GRID.crs)
    for row, col in ((1, 1), (1, 40), (32, 1), (32, 40)):
        dtm = np.full(shape, 90, np.float32)
        dtm[top + row, left + col] = -9999
        with raises_naming(InputError, "-a_nodata"):
            composite_raster(placed(PLAIN), tmp_path / "b.tif", dtm=placed(dtm, grid), channels=("ndsm",))


def test_images_and_terrain_of_another_place_are_refused_before_anything_is_computed(tmp_path):
    far = Grid((40, 50), Affine(2, 0, 600_000, 0, -2, 4_000_000), GRID.crs)
    image = placed(np.full((4, 40, 50), 9, np.uint8), far)
    for options in ({"image": image}, {"dtm": placed(PLAIN, far), "channels": ("ndsm",)}):
        with pytest.raises(GridError, match="does not overlap"):
            composite_raster(placed(PLAIN), tmp_path / "a.tif", **options)
    assert not list(tmp_path.iterdir())


def test_a_surface_in_degrees_is_measured_in_metres(tmp_path):
    grid = Grid((30, 40), Affine(2e-5, 0, 10, 0, -1e-5, 60), "EPSG:4326")
    down_m, right_m = gsd_m(grid)
    assert (down_m, right_m) == (pytest.approx(1.11, abs=0.01), pytest.approx(1.11, abs=0.01))
    rising = np.arange(40, dtype=np.float32)[None].repeat(30, axis=0) * np.float32(right_m)
    found, _ = written(composite_raster(placed(rising, grid), tmp_path / "a.tif", channels=("slope",)))
    assert np.allclose(found, 45, atol=0.01)


def test_made_up_places_stay_marked_and_a_missing_crs_is_told(tmp_path, caplog):
    with CogWriter(tmp_path / "dsm.tif", CITY.grid, dtype="float32", tags={"SYNTHETIC": "miniature city"}) as file:
        file.write(whole(CITY.grid), CITY.dsm.astype(np.float32))
    out = composite_raster(tmp_path / "dsm.tif", tmp_path / "a.tif", channels=("ndsm",), max_building_m=10)
    assert Layer.open(out).synthetic
    assert not caplog.records
    composite_raster(PLAIN, tmp_path / "b.tif", channels=("slope",))
    assert "a pixel counts as one metre" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": ()}, "expected some of dsm, ndsm, ndvi, slope"),
        ({"channels": ("ndsm", "hight")}, "expected some of dsm, ndsm, ndvi, slope"),
        ({"channels": ("dsm", "dsm")}, "each once"),
        ({"channels": ("ndvi",)}, "needs an image with near infrared"),
        ({"channels": ("dsm",), "image": placed(PLAIN)}, "image is given, but no channel needs it"),
        ({"channels": ("dsm",), "dtm": placed(PLAIN)}, "dtm is given, but no channel needs it"),
        (
            {"image": placed(np.zeros((3, 40, 50), np.uint8))},
            "no band of array shows nir; there are red, green, blue.*files of their own, stack them",
        ),
        ({"image": placed(np.zeros((3, 40, 50), np.uint8)), "bands": ("nir", "red")}, "3 bands, but 2 names"),
        ({"image": placed(np.zeros((4, 40, 50), np.uint8))}, "shows nothing where the dsm lies"),
        ({"channels": ("ndsm",), "dtm": placed(np.full((40, 50), np.nan, "f4"))}, "no height where the dsm"),
        ({"channels": ("ndsm",), "dtm": placed(np.zeros((2, 40, 50), "f4"))}, "dtm: array has 2 bands"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_is_left(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        composite_raster(placed(PLAIN), tmp_path / "a.tif", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, -9999, 25_000])
@pytest.mark.parametrize("channel", ["dsm", "ndsm", "slope"])
def test_surfaces_without_any_height_are_refused(tmp_path, value, channel):
    with raises_naming(InputError, "-500", "9000"):
        composite_raster(placed(np.full((40, 50), value, "f4")), tmp_path / "a.tif", channels=(channel,))
    assert not list(tmp_path.iterdir())


def test_files_in_the_way_stay_unless_told(tmp_path):
    (tmp_path / "a.tif").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        composite_raster(placed(PLAIN), tmp_path / "a.tif", channels=("dsm",))
    assert (tmp_path / "a.tif").read_text() == "mine"
    composite_raster(placed(PLAIN), tmp_path / "a.tif", channels=("dsm",), overwrite=True)
    assert (written(tmp_path / "a.tif")[0] == 100).all()


FEET = Grid((40, 50), Affine(2, 0, 800_000, 0, -2, 900_000), "EPSG:2992")


def test_heights_that_may_be_in_feet_are_refused_with_the_commands_that_convert_them(tmp_path):
    out = tmp_path / "a.tif"
    for layers in ({"dsm": placed(PLAIN, FEET)}, {"dsm": placed(PLAIN), "dtm": placed(PLAIN, FEET)}):
        with raises_naming(InputError, "EPSG:32610", "0.3048"):
            composite_raster(out=out, channels=("ndsm",), **layers)
    assert not out.exists()


@pytest.mark.parametrize("crs", ["EPSG:2992+5703", "EPSG:3857"])
def test_heights_in_metres_are_taken_whatever_the_unit_of_the_plane(tmp_path, crs):
    grid = Grid((40, 50), Affine(2, 0, 800_000, 0, -2, 900_000), pyproj.CRS(crs).to_wkt())
    found, _ = written(composite_raster(placed(PLAIN, grid), tmp_path / "a.tif", channels=("dsm",)))
    assert (found == 100).all()


def test_the_index_is_computed_of_reflectances_where_the_image_states_scale_and_offset(tmp_path):
    red, nir = np.full((40, 50), 0.1), np.full((40, 50), 0.3)
    numbers = np.rint((np.stack([nir, red]) + 0.1) * 1e4).astype(np.uint16)
    path = write_geotiff(tmp_path / "image.tif", numbers, crs="EPSG:32615", transform=GRID.affine)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4, 1e-4), (-0.1, -0.1)
    out = composite_raster(placed(PLAIN), tmp_path / "a.tif", image=path, channels=("ndvi",), bands=("nir", "red"))
    assert written(out)[0] == pytest.approx((0.3 - 0.1) / (0.3 + 0.1), abs=1e-6)


def heights_over(tmp_path, name, crs):
    wkt = pyproj.CRS(crs).to_3d().to_wkt() if crs == "EPSG:32615" else pyproj.CRS(crs).to_wkt()
    return write_geotiff(tmp_path / name, PLAIN, crs=wkt, transform=GRID.affine)


def test_heights_over_two_vertical_datums_are_refused_where_both_are_stated(tmp_path):
    ellipsoidal, geoid = (
        heights_over(tmp_path, "a.tif", "EPSG:32615"),
        heights_over(tmp_path, "b.tif", "EPSG:32615+5773"),
    )
    with raises_naming(InputError, "a.tif", "b.tif", "EGM96"):
        composite_raster(ellipsoidal, tmp_path / "out.tif", dtm=geoid, channels=("ndsm",))
    levelled = heights_over(tmp_path, "c.tif", "EPSG:32615+5703")
    with raises_naming(InputError, "EGM96", "1988"):
        composite_raster(geoid, tmp_path / "out.tif", dtm=levelled, channels=("ndsm",))
    plain = write_geotiff(tmp_path / "d.tif", PLAIN - 2, crs="EPSG:32615", transform=GRID.affine)
    found, _ = written(composite_raster(ellipsoidal, tmp_path / "out.tif", dtm=plain, channels=("ndsm",)))
    assert found == pytest.approx(2)


def test_rasters_with_ellipsoidal_heights_give_outputs_with_their_horizontal_crs(tmp_path):
    source = Layer.open(heights_over(tmp_path, "a.tif", "EPSG:32615"))
    assert [axis.direction for axis in source.height_crs.axis_info] == ["east", "north", "up"]
    out = composite_raster(source, tmp_path / "out.tif", channels=("dsm",))
    assert Layer.open(out).grid.crs.epsg == 32615
    frame = gpd.GeoDataFrame(geometry=[shapely.box(500_000, 3_999_000, 500_010, 3_999_010)], crs=source.height_crs)
    for suffix in (".gpkg", ".fgb", ".parquet"):
        path = write_vector(frame, tmp_path / f"outlines{suffix}")
        read = gpd.read_parquet(path) if suffix == ".parquet" else gpd.read_file(path)
        assert read.crs == pyproj.CRS("EPSG:32615")
        assert read.total_bounds.tolist() == frame.total_bounds.tolist()


def test_the_size_of_a_pixel_can_be_stated_where_there_is_no_crs(tmp_path):
    slope = np.tile(np.arange(50, dtype=np.float32) / 2, (40, 1))
    path = write_geotiff(tmp_path / "a.tif", slope, crs=None)
    found, _ = written(composite_raster(path, tmp_path / "out.tif", channels=("slope",), gsd_m=0.5))
    assert found[0, 20, 20] == pytest.approx(45)
    with raises_naming(InputError, "--gsd", "CRS"):
        composite_raster(placed(slope), tmp_path / "b.tif", channels=("slope",), gsd_m=0.5)


@pytest.mark.parametrize(("shift", "words"), [(-45, "below -4"), (45, "above 4"), (-228, "below -22"), (-3, "below -")])
def test_ground_far_from_its_terrain_is_refused_on_both_sides(tmp_path, shift, words):
    surface = PLAIN.copy()
    surface[10:20, 10:20] += 6
    with pytest.raises(
        InputError, match=rf"95 % of the heights are {words}.*in two units, or to refer to two vertical datums"
    ):
        composite_raster(placed(surface), tmp_path / "a.tif", dtm=placed(PLAIN - shift), channels=("ndsm",))
    assert not (tmp_path / "a.tif").exists()


def test_some_ground_below_its_terrain_is_named(tmp_path, caplog):
    composite_raster(placed(PLAIN), tmp_path / "a.tif", dtm=placed(PLAIN), channels=("ndsm",))
    assert "heights above ground" not in caplog.text
    terrain = PLAIN.copy()
    terrain[:8] += 30  # a fifth
    composite_raster(placed(PLAIN), tmp_path / "b.tif", dtm=placed(terrain), channels=("ndsm",))
    assert "20% of the heights above ground are below -2 m" in caplog.text
