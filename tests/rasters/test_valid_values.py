"""Values without data: of each band its own, and floats as near to their tag as GDAL takes them for it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from rasterio.io import MemoryFile

from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import Layer, is_nodata

RNG = np.random.default_rng(0)
KNOWN = np.ones((60, 80), bool)
KNOWN[10:25, 20:50] = False
IMAGE = RNG.integers(30, 200, (3, 60, 80)).astype(np.uint8)
IMAGE[:, ~KNOWN] = np.array([0, 255, 0])[:, None]
IMAGE[0, 40, 40] = 0  # in one band only: a dark value
LOWEST = float(np.finfo(np.float32).min)


def write_vrt(path: Path, array: np.ndarray, nodata: Sequence[float | None], **place: object) -> Path:
    """A virtual raster whose bands have nodata values of their own, over a plain GeoTIFF in a folder beside it."""
    plain = write_geotiff(path.parent / "plain" / f"{path.stem}.tif", array, **place)
    with rasterio.open(plain) as file:
        place_text = f"<SRS>{file.crs.to_wkt()}</SRS><GeoTransform>{', '.join(map(repr, file.transform.to_gdal()))}"
    bands = ""
    for number, value in enumerate(nodata, start=1):
        tag = "" if value is None else f"<NoDataValue>{value}</NoDataValue>"
        bands += (
            f'<VRTRasterBand dataType="{"Byte" if array.dtype == np.uint8 else "Float32"}" band="{number}">{tag}<SimpleSource>'
            f'<SourceFilename relativeToVRT="1">plain/{path.stem}.tif</SourceFilename><SourceBand>{number}</SourceBand>'
            "</SimpleSource></VRTRasterBand>"
        )
    height, width = array.shape[1:]
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{place_text}</GeoTransform>{bands}</VRTDataset>',
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("nodata", [(0, 255, 0), (0, 255, None), (0, None, 0), (None, 255, 0), (0, 255, -9999)])
def test_each_band_has_its_own_nodata_value_in_every_way_to_read_it(
    nodata: tuple[float | None, ...], tmp_path: Path
) -> None:
    layer = Layer.open(write_vrt(tmp_path / "image.vrt", IMAGE, nodata))
    hidden = np.ma.array(IMAGE, mask=np.broadcast_to(~KNOWN, IMAGE.shape))
    masked = Layer.open(hidden, grid=layer.grid)
    assert layer.nodata is None
    np.testing.assert_array_equal(layer.read()[1], KNOWN)
    finer = layer.grid.zoom_out(0.5)
    for resampling in ("nearest", "bilinear", "average"):
        (data, valid), (wanted, known) = layer.on(finer, resampling).read(), masked.on(finer, resampling).read()
        np.testing.assert_array_equal(valid, known)
        np.testing.assert_array_equal(data[:, valid], wanted[:, valid])
    data, valid, _ = layer.thumbnail(20)
    whole = KNOWN.reshape(15, 4, 20, 4).any(axis=(1, 3))
    np.testing.assert_array_equal(valid, whole)
    for band, value in enumerate(nodata):
        one = layer.subset([band + 1])
        own = np.ones(KNOWN.shape, bool) if value in (None, -9999) else IMAGE[band] != value
        np.testing.assert_array_equal(one.read()[1], own)
        assert one.on(layer.grid.zoom_out(0.5), "nearest").read()[1].mean() == own.mean()
    declared = layer.with_nodata(77)
    assert declared.nodata == 77
    assert declared.read()[1].all()
    assert declared.on(finer).read()[1].all()
    assert (
        inspect(str(tmp_path / "image.vrt"))
        .facts["not valid"]
        .startswith(f"{(~KNOWN).mean():.1%} of the pixels (nodata {'none' if nodata[0] is None else 0}, ")
    )


@pytest.mark.parametrize("nodata", [(0, 255, 0), (0, None, 0)])
def test_tiles_keep_the_nodata_values_of_their_bands_and_gaps_are_not_valid(
    nodata: tuple[float | None, ...], tmp_path: Path
) -> None:
    for number in (0, 1):
        write_vrt(tmp_path / f"{number}.vrt", IMAGE, nodata, origin=(500_000 + 100 * number, 5_000_000))
    layer = Layer.open(tmp_path)
    gap = np.zeros((60, 20), bool)
    wanted = np.hstack([KNOWN, gap, KNOWN])
    np.testing.assert_array_equal(layer.read()[1], wanted)
    np.testing.assert_array_equal(layer.subset([2]).read()[1][:, 80:100], gap)
    finer = layer.on(layer.grid.zoom_out(0.5), "nearest").read()[1]
    np.testing.assert_array_equal(finer, wanted.repeat(2, axis=0).repeat(2, axis=1))


def test_files_stacked_as_bands_keep_their_nodata_values(tmp_path: Path) -> None:
    for band, value in enumerate((0, 255, None)):
        write_geotiff(tmp_path / f"B{band}.tif", IMAGE[band], nodata=value)
    np.testing.assert_array_equal(Layer.open(f"{tmp_path}#bands").read()[1], KNOWN)


def test_nan_may_be_the_nodata_value_of_one_band(tmp_path: Path) -> None:
    image = IMAGE[:2].astype(np.float32)
    image[:, ~KNOWN] = np.array([-9999, np.nan])[:, None]
    layer = Layer.open(write_vrt(tmp_path / "image.vrt", image, (-9999, "nan")))
    for one in (layer, layer.on(layer.grid.zoom_out(0.5), "nearest")):
        assert one.read()[1].mean() == KNOWN.mean()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodata", [LOWEST, -9999.0, -1.23e34, 1e20, 0.0])
def test_floats_are_nodata_where_gdal_says_so(dtype: str, nodata: float) -> None:
    value = np.dtype(dtype).type(nodata)
    with np.errstate(over="ignore"):
        values = (float(value) * (1 + np.arange(-150, 151) * 6e-9)).astype(dtype)
    values = values[np.isfinite(values)][None]
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=1, height=1, width=values.size, dtype=dtype, nodata=nodata) as file:
            file.write(values[None])
        with memory.open() as file:
            hidden = file.read_masks(1) == 0
    np.testing.assert_array_equal(is_nodata(values, nodata), hidden)
    assert hidden.any()
    assert nodata in (0, LOWEST) or not hidden.all()


@pytest.mark.parametrize("tag", [-3.40282306e38, -3.4028235e38, -3.40282347e38])
def test_a_tag_with_fewer_digits_than_the_pixels_hides_them_in_every_reader(tag: float, tmp_path: Path) -> None:
    heights = RNG.normal(50, 3, KNOWN.shape).astype(np.float32)
    heights[~KNOWN] = LOWEST
    declared = Layer.open(write_geotiff(tmp_path / "a" / "declared.tif", heights, nodata=tag))
    given = write_geotiff(tmp_path / "b" / "given.tif", heights)
    layers = [
        declared,
        Layer.open(tmp_path / "a"),
        Layer.open(given, nodata=tag),
        Layer.open(given).with_nodata(tag),
        Layer.open(heights, grid=declared.grid, nodata=tag),
    ]
    whole = KNOWN.reshape(15, 4, 20, 4).any(axis=(1, 3))
    for layer in layers:
        np.testing.assert_array_equal(layer.read()[1], KNOWN)
        for data, valid in (layer.on(layer.grid.zoom_out(0.7)).read(), layer.thumbnail(20)[:2]):
            assert 30 < data[0][valid].min() < data[0][valid].max() < 70
        np.testing.assert_array_equal(layer.thumbnail(20)[1], whole)
