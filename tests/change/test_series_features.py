"""A stack reads dates on one grid without clouds; features of cells equal those computed pixel by pixel."""

from datetime import date

import numpy as np
import pytest
import rasterio
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from refusals import raises_naming

from deepnets4eo.change import NoveltyOptions
from deepnets4eo.change.series.dates import DatedImage
from deepnets4eo.change.series.features import CellGrid, SpectralTexture, measure_cells
from deepnets4eo.change.series.job import make_features
from deepnets4eo.change.series.stack import ImageSeries, MaskRule
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Window

DAYS = [date(2020, month, 1) for month in range(1, 13)]
NAMES = ["green", "red", "nir"]


def series_of(*arrays, **how):
    return ImageSeries([DatedImage(day, (array,)) for day, array in zip(DAYS, arrays, strict=False)], **how)


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(100, 4000, (3, 40, 56)).astype(np.uint16)


def test_masks_by_file_by_values_and_by_band(tmp_path, image):
    mask = np.zeros((1, 40, 56), np.uint8)
    mask[0, :8], mask[0, 8:10] = 3, 9
    path = write_geotiff(tmp_path / "m.tif", mask)
    source = write_geotiff(tmp_path / "i.tif", image)
    dated = [DatedImage(DAYS[0], (source,), (path,))]
    window = Window(0, 0, 40, 56)
    by_value = ImageSeries(dated, mask=MaskRule(values=(3,))).read(0, window)[1]
    assert (by_value == (mask[0] != 3)).all()
    with raises_naming(InputError, "m.tif", "3, 9"):  # no mask of clouds has them, and no rule names them
        ImageSeries(dated)
    assert (ImageSeries(dated, mask=MaskRule(above=5)).read(0, window)[1] == (mask[0] <= 5)).all()
    stacked = series_of(np.concatenate([image, mask]), bands={"nir": 3, "red": 2}, mask=MaskRule(band=4, values=(9,)))
    data, valid = stacked.read(0, window)
    assert (valid == (mask[0] != 9)).all()
    assert (data == image[[2, 1]]).all()
    assert stacked.band_names == ["nir", "red"]


def test_a_pixel_is_left_out_where_any_mask_of_its_date_says_so(image):
    clouds, shadows = np.zeros((2, 40, 56), np.uint8)
    clouds[:4], shadows[:, 50:] = 1, 1
    series = ImageSeries([DatedImage(DAYS[0], (image,), (clouds, shadows))])
    valid = series.read(0, Window(0, 0, 40, 56))[1]
    np.testing.assert_array_equal(valid, (clouds == 0) & (shadows == 0))


def test_the_band_of_the_mask_is_none_of_the_bands_that_are_used(image):
    image = np.concatenate([image, 0 * image[:1]])
    window = Window(0, 0, 40, 56)
    for bands in (NAMES, [*NAMES, "clouds"]):
        series = series_of(image, bands=bands, mask=MaskRule(band=4))
        assert series.band_names == list(NAMES)
        np.testing.assert_array_equal(series.read(0, window)[0], image[:3])
    with raises_naming(InputError, "3 bands", "2 names"):
        series_of(image, bands=NAMES[:2], mask=MaskRule(band=4))
    with pytest.raises(InputError, match="only the band of their mask"):
        series_of(image[:1], mask=MaskRule(band=1))


def test_bands_that_are_taken_for_colours_are_said(image, caplog):
    assumed = series_of(image)
    assert assumed.band_names == ["red", "green", "blue"]
    assert assumed.bands_assumed
    assert "The images do not name their bands: they are read as red, green, blue." in caplog.text
    caplog.clear()
    assert not series_of(image, bands=NAMES).bands_assumed
    assert not series_of(image[:2]).bands_assumed
    assert not caplog.text


def test_masks_whose_nodata_is_their_clear_value_are_refused_with_the_cause(tmp_path, image):
    mask = np.zeros((1, 40, 56), np.uint8)
    mask[0, :8] = 4
    path = write_geotiff(tmp_path / "m.tif", mask, nodata=0)
    dated = [DatedImage(DAYS[0], (write_geotiff(tmp_path / "i.tif", image),), (path,))]
    with raises_naming(InputError, "2020-01-01", "m.tif", "0"):
        ImageSeries(dated)
    classes = ImageSeries(dated, mask=MaskRule(values=(8,))).read(0, Window(0, 0, 40, 56))[1]  # 0: no class is known
    np.testing.assert_array_equal(classes, mask[0] == 4)


def test_another_grid_is_read_on_that_of_the_first(tmp_path):
    rows, cols = np.mgrid[:40, :56]
    image = np.stack([100 + 8 * rows, 900 - 4 * cols]).astype(np.uint16)
    first = write_geotiff(tmp_path / "a.tif", image)
    finer = write_geotiff(tmp_path / "b.tif", np.kron(image, np.ones((1, 2, 2), np.uint16))[:, 20:], gsd=0.5,
                          origin=(500_000, 5_000_000 - 10))  # fmt: skip
    series = series_of(first, finer)
    data, valid = series.read(1, Window(0, 0, 40, 56))
    assert not valid[:9].any()
    assert valid[11:].all()
    assert np.abs(data[:, 12:28, 4:-4] - image[:, 12:28, 4:-4]).max() <= 1


def test_bad_dates_are_refused_by_name(tmp_path, image):
    first = write_geotiff(tmp_path / "a.tif", image)
    with raises_naming(InputError, "2020-02-01", "2", "2020-01-01", "3"):
        series_of(first, write_geotiff(tmp_path / "b.tif", image[:2]))
    unplaced = write_geotiff(tmp_path / "e.tif", image, transform=Affine.identity())
    with raises_naming(InputError, "2020-02-01", "e.tif", "--gsd METRES", "-a_ullr LEFT TOP RIGHT BOTTOM"):
        series_of(first, unplaced)
    with raises_naming(GridError, "'2020-02-01'"):
        series_of(first, write_geotiff(tmp_path / "c.tif", image, origin=(600_000, 5_000_000)))
    (tmp_path / "d.tif").write_bytes(b"II*\0 no raster")
    with raises_naming(InputError, "2020-02-01", "d.tif"):
        series_of(first, tmp_path / "d.tif")
    with pytest.raises(InputError, match="has no dates"):
        series_of()
    with raises_naming(InputError, "bands 1–3"):
        series_of(first, bands={"nir": 4})


@pytest.mark.parametrize("stride", [8, 4])
def test_features_of_cells_equal_plain_ones(image, stride):
    values, valid = image.astype(np.float32), np.random.default_rng(2).random((40, 56)) < 0.9
    values[:, ~valid] = np.nan
    cells = CellGrid(GeoBox((40, 56), series_of(image).grid.affine, None), 8, stride)
    features = SpectralTexture(NAMES)
    measured = features.measure(values, valid, cells)
    assert measured.shape == (len(features.names), *cells.shape)
    ndvi = (values[2] - values[1]) / (values[2] + values[1])
    for cell in (0, 5, cells.count - 1):
        rows, cols = cells.window(cell).slices
        by_name = dict(zip(features.names, measured.reshape(len(features.names), -1)[:, cell], strict=True))
        for name, plane in (("red", values[1]), ("nir", values[2]), ("ndvi", ndvi)):
            inside = plane[rows, cols][valid[rows, cols]]
            assert by_name[f"{name} mean"] == pytest.approx(inside.mean(), rel=1e-4)
            assert by_name[f"{name} sd"] == pytest.approx(inside.std(), rel=1e-3)
        steps = []
        for top in range(rows.start, rows.stop, stride):
            for left in range(cols.start, cols.stop, stride):
                square = values[0, top : top + stride, left : left + stride]
                steps += [*np.abs(np.diff(square, axis=0)).ravel(), *np.abs(np.diff(square, axis=1)).ravel()]
        assert by_name["green step"] == pytest.approx(np.nanmean(steps), rel=1e-4)


def test_the_result_does_not_depend_on_blocks_or_threads(image, monkeypatch):
    series = series_of(image, image + 5)
    cells = CellGrid(series.grid, 8, 4)
    whole_image = measure_cells(series, cells, SpectralTexture(NAMES), workers=1)
    monkeypatch.setattr("deepnets4eo.change.series.features.READ_PX", 12)
    blocked = measure_cells(series, cells, SpectralTexture(NAMES), workers=2)
    np.testing.assert_allclose(blocked.values, whole_image.values, rtol=1e-3, atol=1e-3)
    assert (
        sum((block.rows.stop - block.rows.start) * (block.cols.stop - block.cols.start) for block in cells.blocks(12))
        == cells.count
    )


def test_cloudy_cells_and_dates_are_left_out(image, caplog):
    half = np.zeros((40, 56), np.uint8)
    half[:, 20:] = 1
    images = [
        DatedImage(DAYS[0], (image,), (half,)),
        DatedImage(DAYS[1], (image,), (np.ones_like(half),)),
        DatedImage(DAYS[2], (image,), (0 * half,)),
    ]
    series = ImageSeries(images)
    cells = CellGrid(series.grid, 8, 8)
    measured = measure_cells(series, cells, SpectralTexture(NAMES))
    assert measured.dates == [DAYS[0], DAYS[2]]
    assert "No cell is valid on 2020-02-01" in caplog.text
    assert (measured.valid[0].reshape(cells.shape) == (np.arange(7) < 2)).all()
    assert (measured.values[0][~measured.valid[0]] == 0).all()
    with raises_naming(InputError, "8 px", "70%", "1 dates"):
        measure_cells(ImageSeries(images[1:2]), cells, SpectralTexture(NAMES))


def test_cells_that_do_not_fit_are_refused_and_outlines_lie_on_the_ground(tmp_path, image):
    grid = series_of(write_geotiff(tmp_path / "a.tif", image, gsd=10)).grid
    with raises_naming(InputError, "stride_px", "3", "cell_px", "8"):
        CellGrid(grid, 8, 3)
    with raises_naming(InputError, "cell of 64", "cell_px"):
        CellGrid(grid, 64, 64)
    (outline,) = CellGrid(grid, 8, 8).outlines(np.array([8]))
    assert outline.bounds == (500_080, 5_000_000 - 160, 500_160, 5_000_000 - 80)


def test_an_encoder_without_weights_is_refused_and_so_are_weights_alone(image):
    for one in ({"encoder": "resnet18"}, {"weights": "encoder.safetensors"}):
        with pytest.raises(InputError, match="an encoder needs weights"):
            make_features(series_of(image, image), NoveltyOptions(cell_px=8, **one))


def test_an_encoder_describes_cells_by_a_local_checkpoint(tmp_path, image):
    pytest.importorskip("timm")
    from safetensors.torch import save_file

    from deepnets4eo.baselines import FrozenEncoder
    from deepnets4eo.change.series.encoder import EncoderFeatures

    weights = tmp_path / "encoder.safetensors"
    save_file(FrozenEncoder("mobilenetv3_small_050", 8, seed=5).state(), weights)
    changed = image.copy()
    changed[:, 16:32, 16:32] = 0
    series = series_of(image, changed)
    features = EncoderFeatures(series, "mobilenetv3_small_050", weights, side_px=8)
    measured = measure_cells(series, CellGrid(series.grid, 8, 8), features)
    assert measured.values.shape == (2, 35, len(features.names))
    moved = np.linalg.norm(measured.values[1] - measured.values[0], axis=1).reshape(5, 7)
    assert moved[2:4, 2:4].min() > 2 * moved[0, 5:].max()
    with raises_naming(InputError, "cells of 6"):
        EncoderFeatures(series, "mobilenetv3_small_050", weights, side_px=6)


def test_only_the_bands_that_are_used_say_where_an_image_has_data(tmp_path, image):
    gap = image.copy()
    gap[:, :9] = 7
    stored = np.concatenate([gap, np.full((2, 40, 56), 3, np.uint16)])  # a mask and a band that nothing uses
    dated = [DatedImage(DAYS[0], (write_geotiff(tmp_path / "i.tif", stored, nodata=7),))]
    window = Window(0, 0, 40, 56)
    expected = np.arange(40)[:, None] >= np.full(56, 9)
    series = ImageSeries(dated, bands={"nir": 3, "red": 1})
    np.testing.assert_array_equal(series.read(0, window)[1], expected)
    np.testing.assert_array_equal(series.read(0, window)[0], stored[[2, 0]])
    masked = ImageSeries(dated, bands={"red": 1, "green": 2, "blue": 3}, mask=MaskRule(band=4, values=(9,)))
    np.testing.assert_array_equal(masked.read(0, window)[1], expected)


def test_bands_of_several_files_of_a_date_keep_the_order_in_which_they_are_named(tmp_path, image):
    files = tuple(write_geotiff(tmp_path / f"{k}.tif", band[None]) for k, band in enumerate(image))
    series = ImageSeries([DatedImage(DAYS[0], files)], bands={"blue": 3, "red": 1})
    np.testing.assert_array_equal(series.read(0, Window(0, 0, 40, 56))[0], image[[2, 0]])


def test_a_mask_band_whose_clear_value_is_the_nodata_value_is_refused(tmp_path, image):
    stored = np.concatenate([image, 0 * image[:1]])
    dated = [DatedImage(DAYS[0], (write_geotiff(tmp_path / "i.tif", stored, nodata=0),))]
    with raises_naming(InputError, "--masks", "declares 0", "band 4"):
        ImageSeries(dated, mask=MaskRule(band=4))
    assert ImageSeries(dated, mask=MaskRule(band=4, values=(9,))).read(0, Window(0, 0, 4, 4))[1].sum() == 0


def test_dates_with_the_same_bands_in_another_order_are_read_by_name(tmp_path, image):
    dated = []
    for day, order in zip(DAYS, ([0, 1, 2], [2, 0, 1]), strict=False):
        path = write_geotiff(tmp_path / f"{day}.tif", image[order])
        with rasterio.open(path, "r+") as file:
            file.descriptions = [("red", "green", "nir")[band] for band in order]
        dated.append(DatedImage(day, (path,)))
    for bands, expected in ((None, image), ({"nir": 3, "red": 1}, image[[2, 0]])):
        series = ImageSeries(dated, bands=bands)
        for index in range(2):
            np.testing.assert_array_equal(series.read(index, Window(0, 0, 40, 56))[0], expected)


def test_dates_with_the_same_colours_in_another_order_are_read_by_them(tmp_path, image):
    dated = []
    for day, order in zip(DAYS, ([0, 1, 2], [2, 0, 1]), strict=False):
        path = write_geotiff(tmp_path / f"{day}.tif", image[order])
        with rasterio.open(path, "r+") as file:
            file.colorinterp = [(ColorInterp.red, ColorInterp.green, ColorInterp.blue)[band] for band in order]
        dated.append(DatedImage(day, (path,)))
    series = ImageSeries(dated)
    for index in range(2):
        np.testing.assert_array_equal(series.read(index, Window(0, 0, 40, 56))[0], image)


def test_the_encoder_in_the_box_gets_colours_from_minus_one_to_one_and_needs_no_file(image):
    torch = pytest.importorskip("torch")
    from deepnets4eo.segmenters import frozen_encoder

    series = series_of(*[image] * 6, bands=["blue", "green", "red"])
    features = make_features(series, NoveltyOptions(encoder="efficientnet-lite0", cell_px=12))
    shown, inside = image[:, :36, :48].astype(np.float32), np.ones((36, 48), bool)
    found = features.measure(shown, inside, CellGrid(series.grid, 12, 12))
    colours = image[::-1].reshape(3, -1)
    low, high = np.percentile(colours[:, ::7], (1, 99), axis=1)[:, :, None, None]
    scaled = np.clip((shown[::-1] - low) / (high - low), 0, 1) * 2 - 1
    maps = frozen_encoder()(torch.from_numpy(scaled.astype(np.float32))[None])[1][0].numpy()
    np.testing.assert_allclose(found, maps.reshape(24, 3, 3, 4, 3).mean(axis=(2, 4)), atol=0.02)
