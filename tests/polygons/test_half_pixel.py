"""Areas of regions with borders half a pixel further in and out, against the buffers of geometry."""

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.polygons import areas_half_a_pixel_apart, trace_regions
from deepnets4eo.polygons.vertices import map_shapes
from deepnets4eo.rasters import Layer


@pytest.mark.parametrize("affine", [Affine.identity(), Affine(10, 0, 5e5, 0, -10, 4e6), Affine(3, 4, 7, 4, -3, 9)])
def test_areas_are_those_of_buffers(affine: Affine) -> None:
    """Of regions with holes that touch their outline and each other in corners, on straight and turned grids."""
    labels = (np.random.default_rng(0).random((24, 24)) < 0.68).astype(np.uint8)
    layer = Layer.open(labels, grid=GeoBox((24, 24), Affine.identity(), None))
    shapes = map_shapes(trace_regions(layer).polygons, lambda points: np.column_stack(affine * points.T))
    assert sum(len(shape.interiors) for shape in shapes) > 10
    half = np.sqrt(abs(affine.determinant)) / 2
    shares = areas_half_a_pixel_apart(shapes, affine)
    for share, distance in zip(shares, (-half, half), strict=True):
        moved = shapely.buffer(shapes, distance, quad_segs=256)
        np.testing.assert_allclose(share, shapely.area(moved) / shapely.area(shapes), atol=2e-5)


def test_a_pixel_is_lost_and_nothing_is_nothing() -> None:
    assert [one[0] for one in areas_half_a_pixel_apart(np.array([shapely.box(2, 3, 3, 4)]), Affine.identity())] == [
        0,
        pytest.approx(3 + np.pi / 4),
    ]
    assert [len(one) for one in areas_half_a_pixel_apart(np.empty(0, object), Affine.identity())] == [0, 0]
