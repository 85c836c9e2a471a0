"""The zonal engine against rasterio, one polygon at a time."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import rasterio.mask
import shapely
from affine import Affine
from hypothesis import given, strategies as st
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError, LabelError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer
from deepnets4eo.zonal import Outlines, band_sums, class_counts, sum_bands

UTM = "EPSG:32615"


SIDE = 24


NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)


def inside(polygon: shapely.Geometry, affine: Affine, side: int = SIDE) -> np.ndarray:
    """The second opinion: GDAL's own rasteriser."""
    if polygon.is_empty:
        return np.zeros((side, side), bool)
    return rasterio.features.rasterize([(polygon, 1)], out_shape=(side, side), transform=affine) == 1


def mended(points: list[tuple[float, float]]) -> shapely.Geometry:
    pieces = shapely.get_parts(shapely.get_parts(shapely.make_valid(shapely.Polygon(points))))
    return shapely.MultiPolygon([piece for piece in pieces if piece.geom_type == "Polygon"])


quarters = st.integers(-16, 4 * (SIDE + 4)).map(lambda value: value / 4)


anywhere = st.floats(-4, SIDE + 4, allow_nan=False, width=32)


corner = st.one_of(st.tuples(quarters, quarters), st.tuples(anywhere, anywhere))


polygons = st.lists(corner, min_size=3, max_size=9).map(mended)


@given(st.lists(polygons, min_size=1, max_size=6), st.sampled_from([7, 10, 24, 64]))
def test_class_counts_are_rasterios_for_any_polygons_ties_overlaps_and_blocks(
    shapes: list[shapely.Geometry], block_px: int
) -> None:
    labels = np.random.default_rng(len(shapes)).integers(0, 4, (SIDE, SIDE)).astype(np.uint8)
    labels[labels == 3] = 255
    for affine in (Affine.identity(), Affine(1, 0, 0, 0, -1, SIDE)):
        grid = GeoBox((SIDE, SIDE), affine, None)
        found = class_counts(Layer.open(labels, grid=grid), np.array(shapes), 3, block_px=block_px, workers=1)
        for row, shape in enumerate(shapes):
            mask = inside(shape, affine)
            assert found.counts[row].tolist() == np.bincount(labels[mask], minlength=256)[:3].tolist()
            assert found.excluded[row] == (labels[mask] == 255).sum()
            assert found.pixels[row] == mask.sum()


def test_counts_equal_a_rasterio_mask_loop_on_a_file() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 6, (200, 300)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.05] = 255
    centres = rng.uniform([500_000, 3_999_900], [500_150, 4_000_000], (80, 2))
    shapes = np.array(
        [shapely.Point(c).buffer(r, quad_segs=2) for c, r in zip(centres, rng.uniform(1, 9, 80), strict=True)]
    )
    found = class_counts(Layer.open(labels, grid=GeoBox((200, 300), NORTH_UP, UTM)), shapes, 6, block_px=64)
    profile = dict(driver="GTiff", width=300, height=200, count=1, dtype="uint8", transform=NORTH_UP, nodata=255)
    with MemoryFile() as memory:
        with memory.open(**profile) as writer:
            writer.write(labels, 1)
        with memory.open() as reader:
            for row, shape in enumerate(shapes):
                data, _ = rasterio.mask.mask(reader, [shape], crop=True, filled=False)
                assert np.bincount(data.compressed(), minlength=6).tolist() == found.counts[row].tolist()


def test_overlapping_and_identical_polygons_all_count_their_pixels() -> None:
    labels = np.ones((10, 10), np.uint8)
    shapes = np.array(
        [shapely.box(0, 0, 6, 6), shapely.box(0, 0, 6, 6), shapely.box(3, 3, 9, 9), shapely.box(0, 0, 10, 10)]
    )
    assert class_counts(Layer.open(labels), shapes, 2).counts[:, 1].tolist() == [36, 36, 36, 100]


def test_holes_and_parts_count_once() -> None:
    court = shapely.Polygon(shapely.box(0, 0, 9, 9).exterior.coords, [shapely.box(3, 3, 6, 6).exterior.coords])
    two = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(5, 5, 9, 9)])
    counts = class_counts(Layer.open(np.zeros((10, 10), np.uint8)), np.array([court, two]), 1).counts
    assert counts[:, 0].tolist() == [72, 20]


def test_polygons_beyond_the_raster_missing_or_too_small_count_nothing() -> None:
    shapes = np.array(
        [
            shapely.box(50, 50, 60, 60),
            shapely.box(-9, -9, -1, -1),
            shapely.box(1e9, 1e9, 2e9, 2e9),
            shapely.Polygon(),
            None,
            shapely.box(2.6, 2.6, 2.9, 2.9),
            shapely.Polygon([(0, 0), (np.nan, 4), (4, 4)]),
            shapely.box(-5, -5, 3, 3),
        ]
    )
    found = class_counts(Layer.open(np.zeros((10, 10), np.uint8)), shapes, 2)
    assert found.counts.sum(axis=1).tolist() == [0] * 7 + [9]
    assert np.isnan(found.shares[0]).all()


def test_many_classes_are_counted_in_packed_sums() -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 250, (90, 70)).astype(np.uint8)
    found = class_counts(
        Layer.open(labels), np.array([shapely.box(0, 0, 70, 90), shapely.box(5, 5, 9, 9)]), 250, block_px=33
    )
    np.testing.assert_array_equal(found.counts[0], np.bincount(labels.ravel(), minlength=250))
    np.testing.assert_array_equal(found.counts[1], np.bincount(labels[5:9, 5:9].ravel(), minlength=250))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int64])
def test_wider_label_types_count_alike(dtype: type) -> None:
    labels = np.array([[0, 1], [1, 255]], dtype)
    assert class_counts(Layer.open(labels), np.array([shapely.box(0, 0, 2, 2)]), 2).counts.tolist() == [[1, 2]]


def test_a_label_that_is_no_class_is_named() -> None:
    with raises_naming(LabelError, "labels 7", "0 to 4"):
        class_counts(Layer.open(np.full((4, 4), 7, np.uint8)), np.array([shapely.box(0, 0, 4, 4)]), 5)
    with raises_naming(LabelError, "labels -2"):
        class_counts(Layer.open(np.full((4, 4), -2, np.int16)), np.array([shapely.box(0, 0, 4, 4)]), 5)


def test_fractions_lines_and_missing_crs_are_refused() -> None:
    box = np.array([shapely.box(0, 0, 2, 2)])
    with pytest.raises(InputError, match="whole numbers"):
        class_counts(Layer.open(np.zeros((4, 4), np.float32)), box, 2)
    with raises_naming(InputError, "1 are LineStrings"):
        class_counts(Layer.open(np.zeros((4, 4), np.uint8)), np.array([shapely.LineString([(0, 0), (3, 3)])]), 2)
    layer = Layer.open(np.zeros((4, 4), np.uint8), grid=GeoBox((4, 4), NORTH_UP, UTM))
    with raises_naming(GridError, "CRS"):
        class_counts(layer, gpd.GeoSeries(box), 2)
    plain = Layer.open(np.zeros((4, 4), np.uint8))
    with raises_naming(GridError, "CRS"):
        class_counts(plain, gpd.GeoSeries(box, crs=UTM), 2)


def test_polygons_in_another_crs_are_put_in_the_rasters() -> None:
    layer = Layer.open(np.ones((40, 40), np.uint8), grid=GeoBox((40, 40), NORTH_UP, UTM))
    house = gpd.GeoSeries([shapely.box(500_002.1, 3_999_990.1, 500_012.1, 3_999_996.1)], crs=UTM)
    there = class_counts(layer, house.to_crs(4326), 2)
    assert there.counts[0, 1] == 20 * 12


def test_band_sums_leave_out_nodata_and_nan_band_by_band() -> None:
    rng = np.random.default_rng(7)
    data = rng.normal(300, 20, (2, 50, 60)).astype(np.float32)
    data[0, rng.random((50, 60)) < 0.2] = np.nan
    shapes = np.array([mended([tuple(p) for p in rng.uniform(0, 60, (6, 2))]) for _ in range(30)])
    layer = Layer.open(data)
    found = band_sums(layer, shapes, block_px=16)
    _, valid = layer.read()
    for row, shape in enumerate(shapes):
        mask = np.zeros((50, 60), bool)
        if not shape.is_empty:
            mask = rasterio.features.rasterize([(shape, 1)], out_shape=(50, 60)) == 1
        for band in range(2):
            values = data[band][mask & valid & np.isfinite(data[band])].astype(np.float64)
            assert found.count[row, band] == len(values)
            if len(values):
                assert found.mean[row, band] == pytest.approx(values.mean(), rel=1e-12)
                assert found.std[row, band] == pytest.approx(values.std(), rel=1e-12, abs=1e-12)
            else:
                assert np.isnan(found.mean[row, band])


def test_whole_number_bands_sum_exactly_and_any_cut_agrees() -> None:
    data = np.random.default_rng(8).integers(0, 65_535, (3, 70, 50)).astype(np.uint16)
    shapes = np.array([shapely.box(0, 0, 50, 70), shapely.box(3.2, 4.1, 40, 55)])
    one, many = (band_sums(Layer.open(data), shapes, block_px=size) for size in (128, 9))
    assert one.total[0].tolist() == data.reshape(3, -1).sum(axis=1, dtype=np.int64).tolist()
    np.testing.assert_array_equal(one.total, many.total)
    np.testing.assert_allclose(one.deviations, many.deviations, rtol=1e-12)


@pytest.mark.parametrize("extreme", [-3.4028235e38, 1e20, -9999.0])
def test_an_extreme_value_changes_no_other_polygon(extreme: float) -> None:
    data = np.full((1, 6, 40), 0.3)
    data[:, :, :2] = extreme
    shapes = np.array([shapely.box(0, 0, 1, 6), shapely.box(4, 0, 9, 6), shapely.box(20, 1, 40, 3)])
    for block_px in (7, 64):
        found = band_sums(Layer.open(data), shapes, block_px=block_px)
        assert found.mean[:, 0].tolist() == pytest.approx([extreme, 0.3, 0.3], rel=1e-12)
        assert found.std[1:, 0].tolist() == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e6 + 0.1, 1e8, -5e9])
def test_the_spread_of_large_values_is_not_lost(offset: float) -> None:
    values = np.random.default_rng(3).normal(0, 0.77, (40, 50)) + offset
    values[30:] = offset
    shapes = np.array([shapely.box(0, 0, 50, 30), shapely.box(3, 30, 41, 40)])
    for block_px in (9, 64):
        found = band_sums(Layer.open(values), shapes, block_px=block_px)
        assert found.std[0, 0] == pytest.approx(values[:30].std(), rel=1e-6)
        assert found.std[1, 0] == pytest.approx(0, abs=1e-14 * max(abs(offset), 1))


@pytest.mark.parametrize("num_classes", [0, 256, 300])
def test_more_classes_than_labels_of_one_byte_are_refused(num_classes: int) -> None:
    labels = Layer.open(np.array([[0, 0, 255]], np.uint8))
    with raises_naming(InputError, num_classes, "1", "255"):
        class_counts(labels, np.array([shapely.box(0, 0, 3, 1)]), num_classes, void=0)


def test_arrays_in_memory_can_be_summed_window_by_window() -> None:
    outlines = Outlines.on(np.array([shapely.box(0, 0, 4, 4), shapely.box(100, 0, 104, 4)]), shape=(8, 200))
    window = Window(0, 96, 8, 8)
    count, total, _ = sum_bands(outlines.spans(window), np.ones((2, 8, 8), np.float32), np.ones((8, 8), bool))
    assert outlines.spans(window).numbers.tolist() == [1]
    assert count.tolist() == [[16, 16]]
    assert total.tolist() == [[16.0, 16.0]]


def test_blocks_without_polygons_are_never_read() -> None:
    class Watched(Layer):
        reads: list[Window] = []

        def read(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
            self.reads.append(window)
            return super().read(window)

    layer = Watched(Layer.open(np.zeros((64, 64), np.uint8))._source)
    class_counts(layer, np.array([shapely.box(1, 1, 3, 3), shapely.box(50, 50, 52, 52)]), 1, block_px=16, workers=1)
    assert Watched.reads == [Window(0, 0, 16, 16), Window(48, 48, 16, 16)]


@pytest.mark.real_data
def test_joplin_roofs_have_the_sums_that_rasterio_mask_gives(real_data: Path) -> None:
    tile = sorted((real_data / "joplin" / "pre").glob("*.tif"))[0]
    houses = gpd.read_file(real_data / "joplin" / "footprints_overlap.geojson")
    found = band_sums(Layer.open(tile), houses)
    with rasterio.open(tile) as raster:
        shapes = houses.to_crs(raster.crs).geometry
        inside = [row for row in range(len(shapes)) if found.pixels[row]]
        assert len(inside) > 20
        for row in inside:
            data, _ = rasterio.mask.mask(raster, [shapes[row]], crop=True, filled=False)
            assert found.pixels[row] == (~data.mask[0]).sum()
            assert found.total[row].tolist() == data.astype(np.int64).sum(axis=(1, 2)).tolist()


def test_outlines_on_another_raster_are_refused() -> None:
    outlines = Outlines.on(np.array([shapely.box(0, 0, 2, 2)]), shape=(4, 5))
    with pytest.raises(InputError, match="outlines lie on a raster"):
        band_sums(Layer.open(np.zeros((1, 4, 6))), outlines)
