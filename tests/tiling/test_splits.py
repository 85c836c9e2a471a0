"""Spatial splits: parts are disjoint, buffered, seeded, and drawn where they lie."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, strategies as st
from odc.geo.geobox import GeoBox
from refusals import raises_naming
from scipy.ndimage import distance_transform_cdt

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.tiling import BlockSplit

SHARES = {"train": 0.7, "val": 0.3}


@st.composite
def splits(draw: st.DrawFn) -> BlockSplit:
    block = draw(st.integers(4, 16))
    shape = draw(st.integers(block + 1, 60)), draw(st.integers(1, 60))
    return BlockSplit(shape, block, draw(st.integers(0, block - 1)), SHARES, draw(st.integers(0, 99)))


def masks(split):
    window = Window(0, 0, *split.shape)
    return {part: split.mask(part, window) for part in split.parts}


@given(splits())
def test_parts_are_disjoint_and_training_keeps_its_distance(split):
    mask = masks(split)
    assert not (mask["train"] & mask["val"]).any()
    assert mask["val"].any()
    distance = distance_transform_cdt(~mask["val"], metric="chessboard")
    np.testing.assert_array_equal(mask["train"], ~mask["val"] & (distance > split.buffer_px))


@given(splits(), st.data())
def test_mask_of_a_window_is_a_part_of_the_whole_mask(split, data):
    row, col = data.draw(st.integers(-9, 50)), data.draw(st.integers(-9, 50))
    window = Window(row, col, 20, 15)
    padded = np.pad(masks(split)["train"], 80)
    np.testing.assert_array_equal(split.mask("train", window), padded[row + 80 : row + 100, col + 80 : col + 95])


@given(splits())
def test_windows_of_a_part_cover_its_blocks_once(split):
    cover = np.zeros(split.shape, int)
    for window in split.windows("val", 5):
        cover[window.slices] += 1
    np.testing.assert_array_equal(cover, masks(split)["val"])


def test_shares_are_kept_and_seeds_differ():
    dealt = [BlockSplit((1000, 1000), 100, 10, SHARES, seed).block_assignment for seed in (0, 0, 1)]
    assert [(blocks == 1).sum() for blocks in dealt] == [30, 30, 30]
    assert (dealt[0] == dealt[1]).all()
    assert (dealt[0] != dealt[2]).any()


def test_random_windows_are_centred_in_their_part():
    split = BlockSplit((640, 640), 64, 8, SHARES, 0)
    mask = masks(split)["val"]
    windows = split.random_windows("val", 32, 100, np.random.default_rng(0))
    inside = [
        mask[window.row + 16, window.col + 16] for window in windows if 0 < window.row < 608 and 0 < window.col < 608
    ]
    assert all(inside)
    assert all(0 <= window.row <= 608 and 0 <= window.col <= 608 for window in windows)


def test_geojson_draws_the_blocks_in_wgs84():
    grid = GeoBox((100, 100), Affine(10, 0, 500_000, 0, -10, 4_100_000), "EPSG:32615")
    drawn = BlockSplit((100, 100), 50, 5, SHARES, 0).to_geojson(grid)
    assert [feature["properties"]["part"] for feature in drawn["features"]].count("val") == 1
    longitude, latitude = np.array(
        [corner for item in drawn["features"] for corner in item["geometry"]["coordinates"][0]]
    ).T
    assert abs(longitude.min() - -93) < 1e-6  # the zone's central meridian lies at easting 500 km
    assert 36 < latitude.min() < latitude.max() < 38


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shares": {"train": 0.5, "val": 0.4}}, "sum to 1"),
        ({"buffer_px": 64}, "less than block_px=64"),
        ({"shape": (60, 60)}, "1 blocks of 64 px, too few"),
    ],
)
def test_impossible_splits_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        BlockSplit(**{"shape": (200, 200), "block_px": 64, "buffer_px": 8, "shares": SHARES} | wrong)


def test_unknown_part_is_refused():
    with raises_naming(InputError, "'test'"):
        BlockSplit((200, 200), 64, 8, SHARES).blocks("test")


def test_windows_are_drawn_by_area_where_blocks_are_cut_by_the_edge():
    split = BlockSplit((103, 200), 50, 0, {"train": 1.0}, 0)
    windows = split.random_windows("train", 1, 6000, np.random.default_rng(0))
    assert np.mean([window.row >= 100 for window in windows]) == pytest.approx(3 / 103, abs=0.01)
