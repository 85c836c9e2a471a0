"""Superpixels of a whole scene: as if cut at once."""

import functools

import numpy as np
import pytest
import rasterio
from refusals import raises_naming
from scipy import ndimage
from skimage.metrics import adapted_rand_error

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.superpixels import Superpixels, segment_scene
from deepnets4eo.baselines.superpixels.scene import SceneBands
from deepnets4eo.baselines.superpixels.segmenting import renumber
from deepnets4eo.errors import InputError
from deepnets4eo.grid import whole
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.synthetic import City

BLOCK_PX = 96
NEAR_PX = 2  # from an edge: neither on it nor elsewhere


@pytest.fixture(scope="module")
def city():
    """A made-up city of 5 × 5 small blocks."""
    return City(seed=0, size_px=5 * BLOCK_PX, gsd_m=0.25)


@pytest.fixture(scope="module")
def image(city):
    return np.ascontiguousarray(city.image[:3, :, : 4 * BLOCK_PX + 40])


def read(path):
    return Layer.open(path).read()[0][0]


def cut_alone(image, cut):
    """Each block by itself, with ids of its own."""
    ids = np.zeros(image.shape[1:], np.int64)
    for row in range(0, ids.shape[0], BLOCK_PX):
        for col in range(0, ids.shape[1], BLOCK_PX):
            block = np.s_[row : row + BLOCK_PX, col : col + BLOCK_PX]
            bands = image[:, block[0], block[1]].astype(np.float32)
            ids[block] = cut.segment(Bands(bands, ("image.red", "image.green", "image.blue"))) + ids.max() + 1
    return ids


CUTS = {"felzenszwalb": Superpixels(), "slic": Superpixels("slic", area_px=200)}


@pytest.fixture(scope="module")
def cut_three_ways(image, tmp_path_factory):
    """A function: by the name of a cut, the ids of the image in blocks, at once, and of blocks that are cut alone."""
    layer, folder = Layer.open(image), tmp_path_factory.mktemp("cuts")

    @functools.cache
    def ids_of(name):
        sides = {"blocks": BLOCK_PX, "at_once": 1024}
        paths = [
            segment_scene(layer, folder / f"{name}-{key}.tif", CUTS[name], block_px=side, workers=2)
            for key, side in sides.items()
        ]
        return *map(read, paths), cut_alone(image, CUTS[name])

    return ids_of


def outline_shares(ids):
    """Shares of neighbouring pixels of different regions: across the blocks' edges, and in rows and columns not near one."""
    counts = np.zeros((2, 2))  # on edges and elsewhere: pairs that differ, pairs
    for lines in (ids, ids.T):
        differ = (lines[1:] != lines[:-1]).sum(axis=1)
        offset = np.arange(1, len(lines)) % BLOCK_PX
        distance = np.minimum(offset, BLOCK_PX - offset)
        for count, chosen in zip(counts, (distance == 0, distance > NEAR_PX), strict=True):
            count += differ[chosen].sum(), chosen.sum() * lines.shape[1]
    return counts[:, 0] / counts[:, 1]


@pytest.mark.parametrize("name", CUTS)
def test_outlines_do_not_gather_along_the_edges_of_blocks(cut_three_ways, name):
    """About as much outline there as where no block ends; blocks cut alone show many times as much."""
    shares = np.array([outline_shares(ids) for ids in cut_three_ways(name)])
    assert shares[2, 0] > 0.99
    in_blocks, in_whole, alone = shares[:, 0] / shares[:, 1] - 1
    assert alone > 4
    assert abs(in_blocks - in_whole) < 0.25, shares


def test_blocks_agree_with_the_scene_cut_at_once_better_than_blocks_cut_alone(cut_three_ways):
    """By the share of pairs of pixels that are together in one and not in the other."""
    blockwise, at_once, alone = cut_three_ways("felzenszwalb")
    alone = renumber(alone.astype(np.int32))[0]
    errors = [adapted_rand_error(at_once + 1, other + 1)[0] for other in (blockwise, alone)]
    assert errors[0] < 0.8 * errors[1]


def test_ids_are_compact_and_every_region_is_connected(image, tmp_path):
    cut = Superpixels(area_px=200)
    path = segment_scene(Layer.open(image), tmp_path / "ids.tif", cut, block_px=BLOCK_PX)
    ids = read(path)
    assert ids.dtype == np.int32
    count = np.unique(ids).size
    with rasterio.open(path) as file:
        assert int(file.tags()["REGIONS"]) == count == ids.max() + 1
        assert file.nodata == -1
    boxes = ndimage.find_objects(ids + 1)
    assert all(ndimage.label(ids[box] == region)[1] == 1 for region, box in enumerate(boxes))
    assert np.bincount(ids.ravel()).min() >= 50
    assert {item.name for item in tmp_path.iterdir()} == {"ids.tif"}


def test_a_scene_of_one_block_is_cut_as_an_image_is(image, tmp_path):
    layer = Layer.open(image[:, :150, :170])
    ids = read(segment_scene(layer, tmp_path / "ids.tif", block_px=256))
    bands, _ = SceneBands.open(layer).read(whole(layer.grid))
    np.testing.assert_array_equal(ids, Superpixels().segment(bands))


def test_the_number_of_workers_changes_nothing(image, tmp_path):
    part = Layer.open(image[:, :300, :300])
    paths = [
        segment_scene(part, tmp_path / f"{workers}.tif", Superpixels("slic"), block_px=BLOCK_PX, workers=workers)
        for workers in (1, 3)
    ]
    np.testing.assert_array_equal(read(paths[0]), read(paths[1]))


def test_a_constant_scene_is_one_region_and_squares_over_edges_stay_whole(tmp_path):
    flat = np.full((3, 300, 280), 77, np.uint8)
    assert read(segment_scene(Layer.open(flat), tmp_path / "flat.tif", block_px=BLOCK_PX)).max() == 0
    flat[:, 100:200, 90:190] = 200  # over the corner of four blocks
    ids = read(segment_scene(Layer.open(flat), tmp_path / "square.tif", Superpixels(sigma_px=0), block_px=BLOCK_PX))
    assert ids.max() == 1
    np.testing.assert_array_equal(ids == 1, flat[0] == 200)


def test_pixels_that_are_not_valid_belong_to_no_region(tmp_path):
    values = np.random.default_rng(0).uniform(0, 1, (2, 200, 200)).astype(np.float32)
    values[:, 60:150, 100:] = np.nan
    values[:, :, :5] = np.nan
    ids = read(segment_scene(Layer.open(values), tmp_path / "ids.tif", Superpixels("slic"), block_px=96, halo_px=20))
    np.testing.assert_array_equal(ids == -1, np.isnan(values[0]))


def test_halos_as_wide_as_a_block_are_refused(image, tmp_path):
    with raises_naming(InputError, "halo_px", "128", "block_px"):
        segment_scene(Layer.open(image), tmp_path / "ids.tif", block_px=128, halo_px=128)
    with pytest.raises(InputError, match="labels only"):
        segment_scene(Scene.open(labels=image[:1]), tmp_path / "ids.tif")
