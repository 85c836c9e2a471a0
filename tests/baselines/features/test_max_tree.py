"""The max-tree: its filters equal those that work one threshold at a time."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.morphology import diameter_opening, reconstruction

from deepnets4eo.baselines.features.max_tree import MaxTree

IMAGES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9), elements=st.integers(0, 6))
FOOTPRINTS = {1: ndimage.generate_binary_structure(2, 1), 2: np.ones((3, 3), bool)}


def smooth(seed: int, shape: tuple[int, int] = (40, 37)) -> np.ndarray:
    values = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    return ((values - values.min()) / np.ptp(values) * 120).astype(np.uint8)


def kept(tree: MaxTree, keep: np.ndarray) -> np.ndarray:
    level = tree.level.copy()
    for node in range(len(level) - 2, -1, -1):  # parents come after their children
        if not keep[node]:
            level[node] = level[tree.parent[node]]
    return level[tree.node_of]


@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("limit", [5, 12, 60])
def test_extent_openings_equal_those_of_scikit_image(connectivity, limit):
    image = smooth(limit)
    tree = MaxTree.build(image, connectivity)
    assert np.array_equal(kept(tree, tree.extent() >= limit // 2), diameter_opening(image, limit // 2, connectivity))


@pytest.mark.parametrize("connectivity", [1, 2])
def test_one_tree_reconstructs_from_any_marker_as_scikit_image_does(connectivity):
    image = smooth(3)
    tree = MaxTree.build(image, connectivity)
    rng = np.random.default_rng(0)
    markers = [ndimage.grey_erosion(image, 5), np.where(rng.random(image.shape) < 0.01, image, 0), image - image // 3]
    for marker in markers:
        expected = reconstruction(marker, image, footprint=FOOTPRINTS[connectivity])
        assert np.array_equal(tree.reconstruct(marker)[tree.node_of], expected)


@given(IMAGES, st.sampled_from([1, 2]))
def test_each_node_is_a_connected_part_of_its_level_set(image, connectivity):
    tree = MaxTree.build(image, connectivity)
    assert np.array_equal(tree.level[tree.node_of], image)
    extent = tree.extent()
    for node in np.unique(tree.node_of):
        part, _ = ndimage.label(image >= tree.level[node], FOOTPRINTS[connectivity])
        own = part == part[tuple(np.argwhere(tree.node_of == node)[0])]
        assert extent[node] == max(np.ptp(np.nonzero(own)[0]), np.ptp(np.nonzero(own)[1])) + 1


@given(IMAGES)
def test_parents_come_after_their_children_on_lower_levels_and_the_root_is_everything(image):
    tree = MaxTree.build(image)
    root = len(tree.level) - 1
    assert tree.parent[root] == root
    assert (tree.parent[:root] > np.arange(root)).all()
    assert (tree.level[tree.parent[:root]] < tree.level[:root]).all()
    assert tree.extent()[root] == max(image.shape)
    assert np.array_equal(np.unique(tree.node_of), np.arange(root + 1))


def test_long_ramps_and_many_levels_are_followed_to_the_root():
    image = np.arange(3000).reshape(3, 1000)
    image[1] = image[1][::-1]
    tree = MaxTree.build(image)
    assert len(tree.level) == 3000
    assert tree.extent()[-1] == 1000
    assert np.array_equal(kept(tree, tree.extent() >= 70), diameter_opening(image, 70))
