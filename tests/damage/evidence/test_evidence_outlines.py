"""Outlines as flat arrays: filled as GDAL fills them, traced along their edges, normals pointing out."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from deepnets4eo.damage.evidence.outlines import edges_of, enclosed_pixels, trace
from deepnets4eo.grid import Window
from deepnets4eo.zonal import Outlines

WINDOW = Window(20, 30, 70, 90)


def polygons(seed: int, count: int) -> np.ndarray:
    """Turned boxes, some with holes and some of two parts, all over a window and beyond."""
    rng = np.random.default_rng(seed)
    shapes = []
    for number in range(count):
        x, y = rng.uniform(0, 140, 2)
        w, h = rng.uniform(2, 25, 2)
        shape = shapely.box(x - w, y - h, x + w, y + h)
        if number % 3 == 0:
            shape = shape.difference(shapely.box(x - w / 3, y - h / 3, x + w / 3, y + h / 3))
        if number % 4 == 0:
            shape = shapely.union(shape, shapely.box(x + 2 * w, y, x + 2.5 * w, y + h))
        shapes.append(shapely.affinity.rotate(shape, rng.uniform(0, 90)))
    return np.array(shapes, dtype=object)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_every_outline_is_filled_as_gdal_fills_it_on_its_own(seed: int) -> None:
    shapes = polygons(seed, 12)
    outlines = Outlines.on(shapes, shape=(300, 300))
    inside = outlines.touching(WINDOW)
    bounds = shapely.bounds(shapes) - [WINDOW.col, WINDOW.row, WINDOW.col, WINDOW.row]
    near = (bounds[:, :2] < [WINDOW.width, WINDOW.height]).all(axis=1) & (bounds[:, 2:] > 0).all(axis=1)
    assert set(np.flatnonzero(near)) <= set(inside.tolist())
    owner, pixel = enclosed_pixels(outlines, inside, WINDOW)
    assert (np.diff(owner) >= 0).all()
    for position, outline in enumerate(inside):
        mine = np.zeros(WINDOW.height * WINDOW.width, bool)
        mine[pixel[owner == position]] = True
        gdal = rasterize(
            [shapes[outline]], (WINDOW.height, WINDOW.width), transform=Affine.translation(WINDOW.col, WINDOW.row)
        )
        assert (mine.reshape(gdal.shape) == gdal.astype(bool)).all()


def test_filling_by_blocks_adds_up_to_filling_at_once() -> None:
    outlines = Outlines.on(polygons(3, 20), shape=(300, 300))
    everything = np.arange(20)
    whole = np.bincount(enclosed_pixels(outlines, everything, Window(0, 0, 300, 300))[0], minlength=20)
    parts = sum(
        np.bincount(enclosed_pixels(outlines, everything, Window(row, col, 30, 50))[0], minlength=20)
        for row in range(0, 300, 30)
        for col in range(0, 300, 50)
    )
    assert (whole == parts).all()


def test_normals_point_out_of_buildings_also_into_their_courtyards() -> None:
    shapes = polygons(5, 15)
    owner, at, normal = trace(edges_of(shapes), np.arange(15))
    assert np.allclose(np.hypot(*normal.T), 1)
    outside = shapely.points((at + 0.01 * normal)[:, ::-1])
    inside = shapely.points((at - 0.01 * normal)[:, ::-1])
    assert shapely.contains(shapes[owner], inside).all()
    assert not shapely.contains(shapes[owner], outside).any()


@pytest.mark.parametrize("step", [0.5, 1.0, 3.0])
def test_points_along_an_outline_are_no_farther_apart_than_the_step(step: float) -> None:
    owner, at, _ = trace(edges_of(np.array([shapely.box(0, 0, 10, 7)], dtype=object)), np.array([0]), step)
    assert len(owner) == 2 * (int(np.ceil(10 / step)) + int(np.ceil(7 / step)))
    assert (shapely.distance(shapely.box(0, 0, 10, 7).exterior, shapely.points(at[:, ::-1])) < 1e-9).all()


def test_an_empty_outline_has_no_pixels_and_no_points() -> None:
    shapes = np.array([shapely.Polygon(), shapely.box(30, 20, 33, 23)], dtype=object)
    outlines = Outlines.on(shapes, shape=(300, 300))
    assert np.unique(enclosed_pixels(outlines, np.array([0, 1]), WINDOW)[0]).tolist() == [1]
    assert np.unique(trace(edges_of(shapes), np.array([0, 1]))[0]).tolist() == [1]
