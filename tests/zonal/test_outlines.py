"""Pixels of outlines, against GDAL and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
import rasterio.mask
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.grid import Window, blocks
from deepnets4eo.zonal.outlines import Outlines

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
        part = window.clipped((3000, 3000))
        cut = outlines.paint(window)[part.within(window).slices]
        np.testing.assert_array_equal(cut, whole[part.slices])
