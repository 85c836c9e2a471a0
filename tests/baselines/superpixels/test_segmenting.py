"""Superpixels of one image."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import felzenszwalb

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.superpixels import METHODS, Superpixels, majority
from deepnets4eo.baselines.superpixels.segmenting import (
    connected_regions,
    merge_small_regions,
    renumber,
    small_region_groups,
)
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer

pytestmark = pytest.mark.filterwarnings(
    "ignore:Got image with third dimension"
)  # pytest undoes the module's own filter
RGB = ("image.red", "image.green", "image.blue")


def made_up(bands=3, side=60, seed=0):
    """Flat squares of 20 pixels with a little noise."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(20, 235, (bands, side // 20, side // 20)).repeat(20, axis=1).repeat(20, axis=2)
    return np.clip(squares + rng.normal(0, 3, squares.shape), 0, 255).astype(np.float32)


def named(values, names=None):
    return Bands(values, names or (*RGB, "image.nir", "image.five")[: len(values)])


def is_whole(ids):
    """Ids 0 … N − 1 without gaps, each region 4-connected, by another library than the one in use."""
    values = np.unique(ids)
    np.testing.assert_array_equal(values, np.arange(values.size))
    return all(ndimage.label(ids == value)[1] == 1 for value in values)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_any_number_of_bands_gives_compact_connected_regions(method, bands):
    ids = Superpixels(method, area_px=100).segment(named(made_up(bands)))
    assert ids.dtype == np.int32
    assert ids.shape == (60, 60)
    assert is_whole(ids)
    assert ids.max() >= 4


@pytest.mark.parametrize("method", METHODS)
def test_the_same_image_gives_the_same_ids(method):
    bands, cut = named(made_up()), Superpixels(method, area_px=64)
    np.testing.assert_array_equal(cut.segment(bands), cut.segment(bands))


@pytest.mark.parametrize("method", METHODS)
def test_flat_squares_are_found(method):
    """No region crosses a border between squares but for a few pixels."""
    values = made_up()
    ids = Superpixels(method, area_px=100, sigma_px=0.0).segment(named(values))
    squares = (np.arange(60) // 20)[:, None] * 3 + np.arange(60) // 20
    votes = np.zeros((ids.max() + 1, 9), int)
    np.add.at(votes, (ids, squares), 1)
    assert votes.max(axis=1).sum() > 0.97 * ids.size


@pytest.mark.parametrize(("method", "count"), [("felzenszwalb", 1), ("slic", 9)])
def test_a_constant_image_gives_one_region_or_regular_ones(method, count):
    ids = Superpixels(method, area_px=400).segment(named(np.full((3, 60, 60), 90, np.float32)))
    found = ids.max() + 1
    assert found == 1 if count == 1 else count / 3 <= found <= count * 3
    assert is_whole(ids)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 3)])
def test_tiny_images_have_regions_too(method, shape):
    ids = Superpixels(method).segment(named(np.zeros((3, *shape), np.float32)))
    assert ids.shape == shape
    assert is_whole(ids)


def test_felzenszwalb_is_scikit_images_where_that_is_connected():
    values = made_up()
    plain = felzenszwalb(np.moveaxis(values, 0, -1) / 255, scale=100, sigma=0.8, min_size=64, channel_axis=-1)
    assert is_whole(renumber(plain.astype(np.int32))[0])
    ids = Superpixels(area_px=256).segment(named(values))
    np.testing.assert_array_equal(ids, renumber(plain.astype(np.int32))[0])


def test_height_parts_what_colours_do_not():
    flat = np.full((3, 40, 40), 100, np.float32)
    height = np.zeros((1, 40, 40), np.float32)
    height[:, :, 20:] = 8
    span = np.array([[0, 255]] * 3 + [[0, 8]], np.float32)
    bands = Bands(np.concatenate([flat, height]), (*RGB, "dsm.height"), 0.1, span)
    assert Superpixels().segment(bands).max() == 0
    ids = Superpixels(height_weight=1.0, sigma_px=0.0).segment(bands)
    np.testing.assert_array_equal(ids, np.repeat([[0] * 20 + [1] * 20], 40, axis=0))
    with pytest.raises(InputError, match="no band shows height"):
        Superpixels(height_weight=1.0).segment(named(flat))


def test_area_is_in_square_metres_where_the_ground_size_is_known():
    cut = Superpixels("slic", area_px=100, area_m2=4.0)
    assert [cut.wanted_px(None), cut.wanted_px(0.1), cut.wanted_px(5.0)] == [100, 400, 1]
    assert cut.reach_px(0.1) == 40


def test_no_region_is_smaller_than_a_quarter_of_the_wanted_area():
    noise = np.random.default_rng(0).uniform(0, 255, (3, 50, 50)).astype(np.float32)
    for method in METHODS:
        ids = Superpixels(method, area_px=80, sigma_px=0.5).segment(named(noise))
        assert np.bincount(ids.ravel()).min() >= 20


def test_small_regions_go_to_the_neighbour_with_the_longest_border():
    ids = np.array([[0, 0, 0, 2], [0, 1, 2, 2], [0, 0, 2, 2]], np.int32)
    np.testing.assert_array_equal(merge_small_regions(ids, 2), [[0, 0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_array_equal(merge_small_regions(np.zeros((1, 1), np.int32), 5), [[0]])


def test_small_regions_join_each_other_until_none_is_small():
    line = np.stack([np.arange(9), np.arange(1, 10)], axis=1)
    group = small_region_groups(np.ones(10, np.int64), line, np.ones(9, np.int64), 4)
    assert np.bincount(group)[np.bincount(group) > 0].min() >= 4
    assert (np.diff(group) != 0).sum() == np.unique(group).size - 1  # groups are runs: connected


def test_parts_that_touch_by_a_corner_alone_are_two():
    np.testing.assert_array_equal(connected_regions(np.array([[3, 3, 0], [0, -1, 3]])), [[0, 0, 1], [2, -1, 3]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "watershed"}, "method is 'watershed'. Input should be 'felzenszwalb' or 'slic'"),
        ({"area_px": 0}, "area_px is 0"),
        ({"area_m2": -1.0}, "area_m2 is -1.0"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"sigma_px": -0.1}, "sigma_px is -0.1"),
        ({"area": 3}, "superpixels: unknown key 'area'. Did you mean one of area_px, area_m2"),
    ],
)
def test_parameters_that_make_no_regions_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Superpixels.from_dict(values)


def test_plain_values_make_the_same_again():
    cut = Superpixels("slic", area_px=50, area_m2=2.0, height_weight=0.5)
    assert Superpixels.from_dict(cut.to_dict()) == cut


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["isprs_vaihingen_crop", "isprs_potsdam_crop"])
@pytest.mark.parametrize(("method", "least"), [("felzenszwalb", 0.75), ("slic", 0.85)])
def test_regions_of_real_images_hold_mostly_one_class(real_data, folder, method, least):
    """Share of pixels that are right if every region is given its majority label: what a perfect classifier reaches."""
    image, _ = Layer.open(next((real_data / folder / "img_dir").glob("*.png"))).read()
    labels, _ = Layer.open(next((real_data / folder / "ann_dir").glob("*.png"))).read()
    ids = Superpixels(method).segment(named(image[:3].astype(np.float32)))
    assert is_whole(ids)
    right = majority(labels[0], ids, int(ids.max()) + 1, 6)[ids] == labels[0]
    assert right.mean() > least


WARNINGS = """
import numpy as np, warnings
from skimage.segmentation import felzenszwalb
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.superpixels import Superpixels
image = np.random.default_rng(0).random((5, 12, 12), np.float32)
Superpixels().segment(Bands(image, tuple("abcde")))
print("between", flush=True)
with warnings.catch_warnings(record=True) as caught:
    felzenszwalb(image, channel_axis=0)
print(len(caught))
"""


def test_the_warning_about_many_bands_is_hidden_here_and_not_from_others():
    done = subprocess.run([sys.executable, "-c", WARNINGS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["between", "1"]
    assert "third dimension" not in done.stderr


def test_compact_regions_of_slic_have_shorter_borders_down_to_squares():
    smooth = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(3, 60, 60)), (0, 3, 3))
    bands = named(((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.float32))

    def border_px(compactness: float) -> int:
        ids = Superpixels("slic", area_px=100, compactness=compactness).segment(bands)
        return int((ids[1:] != ids[:-1]).sum() + (ids[:, 1:] != ids[:, :-1]).sum())

    ragged, plain, square = map(border_px, (10.0, 100.0, 1000.0))
    assert ragged > plain > square == 2 * 5 * 60  # five lines between six squares of 10 pixels, both ways
