"""Regions traced in blocks, against GDAL on the whole raster."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.features
import shapely
from hypothesis import given, strategies as st

from deepnets4eo.polygons import regions, trace_regions
from deepnets4eo.rasters import Layer


def by_rasterio(labels: np.ndarray) -> list[tuple[bytes, int]]:
    """The second opinion: GDAL on the whole raster, spelled in one way."""
    found = []
    for shape, value in rasterio.features.shapes(labels, mask=labels > 0, connectivity=4):
        polygon = shapely.make_valid(shapely.geometry.shape(shape))
        polygon = max(shapely.get_parts(polygon), key=shapely.area)
        found.append((shapely.to_wkb(shapely.normalize(polygon)), int(value)))
    return sorted(found)


@given(
    st.integers(1, 26), st.integers(1, 26), st.integers(1, 4), st.sampled_from([2, 5, 9, 64]), st.integers(0, 10_000)
)
def test_any_cut_into_blocks_gives_the_polygons_of_the_whole_raster(
    height: int, width: int, zoom: int, block_px: int, seed: int
) -> None:
    coarse = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    labels = np.kron(coarse, np.ones((zoom, zoom), np.uint8))[:height, :width].copy()
    found = trace_regions(Layer.open(labels), [1, 2], block_px=block_px, workers=1)
    assert shapely.is_valid(found.polygons).all()
    mine = sorted(zip(shapely.to_wkb(found.polygons), found.values.tolist(), strict=True))
    assert mine == by_rasterio(labels)
    whole = trace_regions(Layer.open(labels), [1, 2], block_px=1000, workers=1)
    assert shapely.to_wkb(found.polygons).tolist() == shapely.to_wkb(whole.polygons).tolist()


def test_order_follows_first_pixels() -> None:
    labels = np.array([[0, 0, 2, 0, 3], [1, 0, 2, 0, 3], [1, 0, 0, 0, 0]], np.uint8)
    assert trace_regions(Layer.open(labels), [1, 2, 3], block_px=2).values.tolist() == [2, 3, 1]


@pytest.mark.parametrize("corners", [1, 50, 999])
def test_regions_walked_in_groups_are_those_walked_at_once(monkeypatch: pytest.MonkeyPatch, corners: int) -> None:
    labels = np.random.default_rng(3).integers(0, 3, (40, 30)).astype(np.uint8)
    labels[20:] = np.indices((20, 30)).sum(axis=0) % 2  # a region with more corners than several groups hold
    labels[20:, ::2] = 1
    at_once = trace_regions(Layer.open(labels), [1, 2])
    monkeypatch.setattr(regions, "GROUP", corners)
    in_groups = trace_regions(Layer.open(labels), [1, 2])
    assert shapely.to_wkb(in_groups.polygons).tolist() == shapely.to_wkb(at_once.polygons).tolist()
    assert in_groups.values.tolist() == at_once.values.tolist()
    assert sorted(zip(shapely.to_wkb(in_groups.polygons), in_groups.values.tolist(), strict=True)) == by_rasterio(
        labels
    )


def test_a_region_that_closes_around_another_by_a_corner_has_a_hole() -> None:
    labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], np.uint8)  # the hole touches the outside in the point (2, 2)
    (polygon,) = trace_regions(Layer.open(labels), [1]).polygons
    assert polygon.is_valid
    assert polygon.area == 7
    assert [list(ring.coords) for ring in polygon.interiors] == [[(1, 1), (2, 1), (2, 2), (1, 2), (1, 1)]]


def test_labels_far_apart_are_told_apart() -> None:
    labels = np.array([[-(2**62), 2**62, 7]], np.int64)
    assert trace_regions(Layer.open(labels), [-(2**62), 2**62, 7]).values.tolist() == [-(2**62), 2**62, 7]
