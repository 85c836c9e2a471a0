"""Openings by reconstruction with disks: equal to those of scikit-image on the whole image."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import disk, reconstruction

from deepnets4eo.baselines.features.profiles import erode_by_disks, open_by_disks
from deepnets4eo.synthetic import City

FOUR = ndimage.generate_binary_structure(2, 1)


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return City(3, (260, 300)).image[:3].mean(axis=0).astype(np.int64)[:120, :130]


@pytest.mark.parametrize("radius", [1, 2, 5, 9])
def test_disks_erode_as_footprints_do(grey, radius):
    expected = ndimage.grey_erosion(grey, footprint=disk(radius), mode="constant", cval=999)
    assert np.array_equal(erode_by_disks(grey, (1, radius))[1], expected)


def test_openings_by_reconstruction_equal_those_of_scikit_image(grey):
    profile = open_by_disks(grey, (2, 5), largest_px=None)
    assert np.array_equal(profile[0], grey)
    for opened, radius in zip(profile[1:], (2, 5), strict=True):
        marker = ndimage.grey_erosion(grey, footprint=disk(radius), mode="constant", cval=999)
        assert np.array_equal(opened, reconstruction(marker, grey, footprint=FOUR))
