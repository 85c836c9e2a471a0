"""Pixels of outlines, against GDAL and against themselves."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest
import rasterio.features
import rasterio.mask
import shapely
from affine import Affine
from hypothesis import given, strategies as st
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import GridError
from deepnets4eo.grid import Window, blocks
from deepnets4eo.zonal import Outlines, chunks, groups

UTM = "EPSG:32615"


SIDE = 24


NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 4_000_000)


TURNED = NORTH_UP * Affine.rotation(20)


def inside(polygon: shapely.Geometry, affine: Affine, side: int = SIDE) -> np.ndarray:
    """The second opinion: GDAL's own rasteriser."""
    if polygon.is_empty:
        return np.zeros((side, side), bool)
    return rasterio.features.rasterize([(polygon, 1)], out_shape=(side, side), transform=affine) == 1


def to_ground(polygon: shapely.Geometry, affine: Affine) -> shapely.Geometry:
    def move(xy: np.ndarray) -> np.ndarray:
        return np.column_stack(
            [affine.a * xy[:, 0] + affine.b * xy[:, 1] + affine.c, affine.d * xy[:, 0] + affine.e * xy[:, 1] + affine.f]
        )

    return shapely.transform(polygon, move)


def mended(points: list[tuple[float, float]]) -> shapely.Geometry:
    pieces = shapely.get_parts(shapely.get_parts(shapely.make_valid(shapely.Polygon(points))))
    return shapely.MultiPolygon([piece for piece in pieces if piece.geom_type == "Polygon"])


@pytest.mark.parametrize("affine", [NORTH_UP, TURNED, Affine(0.3, 0, 7.1, 0, -0.7, 3.3)])
def test_painting_is_rasterios_on_any_affine(affine: Affine) -> None:
    rng = np.random.default_rng(3)
    shapes = np.array(
        [to_ground(mended([tuple(p) for p in rng.uniform(-3, SIDE + 3, (6, 2))]), affine) for _ in range(60)]
    )
    outlines = Outlines.on(shapes, GeoBox((SIDE, SIDE), affine, UTM))
    painted = outlines.paint(Window(0, 0, SIDE, SIDE))
    numbers = np.full((SIDE, SIDE), -1)
    for number, shape in enumerate(shapes):
        numbers[inside(shape, affine)] = number
    np.testing.assert_array_equal(painted, numbers)


def test_windows_cut_the_same_pixels_as_the_whole() -> None:
    rng = np.random.default_rng(4)
    shapes = np.array([mended([tuple(p) for p in rng.uniform(0, 3000, (5, 2))]) for _ in range(20)])
    shapes = np.concatenate([shapes, [shapely.box(k, k, k + 9, k + 6) for k in rng.uniform(0, 2990, 200)]])
    outlines = Outlines.on(shapes, shape=(3000, 3000))
    whole = outlines.paint(Window(0, 0, 3000, 3000))
    for window in [*blocks((3000, 3000), 1100), Window(1000, 37, 60, 2800), Window(-5, -5, 30, 30)]:
        part = window.clip((3000, 3000))
        cut = outlines.paint(window)[part.within(window).slices]
        np.testing.assert_array_equal(cut, whole[part.slices])


@pytest.mark.parametrize("seed", range(25))
def test_every_outline_holds_the_pixels_that_gdal_gives_it_alone(seed: int) -> None:
    window, rng = Window(20, 30, 70, 90), np.random.default_rng(seed)
    shapes = []
    for number in range(12):
        (x, y), (w, h) = rng.uniform(0, 140, 2), rng.uniform(2, 25, 2)
        shape = shapely.box(x - w, y - h, x + w, y + h)
        if number % 3 == 0:
            shape = shape.difference(shapely.box(x - w / 3, y - h / 3, x + w / 3, y + h / 3))
        if number % 4 == 0:
            shape = shapely.union(shape, shapely.box(x + 2 * w, y, x + 2.5 * w, y + h))
        shapes.append(shapely.affinity.rotate(shape, rng.uniform(0, 90)))
    shapes[5] = shapely.Polygon()
    outlines = Outlines.on(np.array(shapes, object), shape=(300, 300))
    numbers = outlines.touching(window)
    owner, pixel = outlines.pixels(window)
    assert (np.diff(owner) >= 0).all()
    for position, number in enumerate(numbers):
        mine = np.zeros(window.height * window.width, bool)
        mine[pixel[owner == position]] = True
        gdal = rasterio.features.rasterize(
            [shapes[number]], mine.reshape(70, 90).shape, transform=Affine.translation(window.col, window.row)
        )
        assert (mine.reshape(70, 90) == (gdal == 1)).all()
    everything = np.arange(12)
    whole = np.bincount(outlines.pixels(Window(0, 0, 300, 300), everything)[0], minlength=12)
    cut = [np.bincount(outlines.pixels(part, everything)[0], minlength=12) for part in blocks((300, 300), 50)]
    assert (whole == sum(cut)).all()


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 50))
def test_groups_hold_every_item_once_and_no_more_than_fits(cost: list[int], most: int) -> None:
    runs = groups(np.array(cost, np.int64), most)
    assert [number for run in runs for number in range(run.start, run.stop)] == list(range(len(cost)))
    for run in runs:
        assert sum(cost[run]) <= most or run.stop - run.start == 1
    for run, following in zip(runs, runs[1:], strict=False):
        assert sum(cost[run]) + cost[following.start] > most


def test_outlines_without_a_way_to_the_raster_are_refused_by_both_crss() -> None:
    local = gpd.GeoSeries([shapely.box(0, 0, 1, 1)], crs='LOCAL_CS["shop floor",UNIT["metre",1]]')
    with raises_naming(GridError, "WGS", "84", "/", "UTM", "32N"):
        Outlines.on(local, GeoBox((4, 4), Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32632"))


def test_chunks_cover_all_items_and_are_one_empty_run_where_there_are_none() -> None:
    assert chunks(9, 4) == [slice(0, 4), slice(4, 8), slice(8, 9)]
    assert chunks(0) == [slice(0, 0)]
