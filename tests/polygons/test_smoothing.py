"""Smooth outlines from pixels: half a pixel at most, neighbours together."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, strategies as st

from deepnets4eo.polygons import trace_regions, without_stairs
from deepnets4eo.polygons.smoothing import simplify_together, with_shared_corners
from deepnets4eo.rasters import Layer


def regions(seed: int, zoom: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 3, (8, 9)).astype(np.uint8)
    return trace_regions(Layer.open(np.kron(coarse, np.ones((zoom, zoom), np.uint8))), workers=1).polygons


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_cutting_stairs_moves_no_border_by_more_than_half_a_pixel(seed: int, zoom: int) -> None:
    for outline, smooth in zip(traced := regions(seed, zoom), without_stairs(traced), strict=True):
        assert shapely.hausdorff_distance(outline.boundary, smooth.boundary, densify=0.1) <= 0.5 + 1e-9


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_shared_corners_change_no_region_and_make_a_coverage(seed: int, zoom: int) -> None:
    traced = regions(seed, zoom)
    shared = with_shared_corners(traced)
    assert shapely.equals(traced, shared).all()
    assert shapely.coverage_is_valid(shared)
    together = simplify_together(without_stairs(shared), 1.5)
    assert shapely.coverage_is_valid(together)
    assert shapely.area(together).sum() == pytest.approx(shapely.union_all(together).area)


def test_a_corner_on_a_neighbours_side_becomes_its_corner_too() -> None:
    wide, left, right = shapely.box(0, 0, 6, 2), shapely.box(0, 2, 4, 5), shapely.box(4, 2, 6, 5)
    shared = with_shared_corners(np.array([wide, left, right]))
    assert (4.0, 2.0) in list(shared[0].exterior.coords)
    assert len(shared[0].exterior.coords) == 6


def test_long_straight_walls_keep_their_corners() -> None:
    house = shapely.box(3, 4, 20, 11)
    assert without_stairs(np.array([house]))[0].equals(house)


def test_no_regions_stay_none() -> None:
    nothing = np.zeros(0, object)
    assert len(without_stairs(nothing)) == len(with_shared_corners(nothing)) == 0
