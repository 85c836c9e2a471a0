"""Morphological profiles: equal to whole-image openings, and the same whether a tile or the scene is seen."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import area_closing, area_opening, disk, reconstruction

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import Feature, build_features
from deepnets4eo.baselines.features.profiles import (
    ATTRIBUTE_PROFILE,
    DIFFERENTIAL_PROFILE,
    AttributeProfile,
    DifferentialProfile,
    erode_by_disks,
    open_by_disks,
    reliefs,
)
from deepnets4eo.grid import Window
from deepnets4eo.synthetic import City

NAMES = ("image.red", "image.green", "image.blue", "image.nir", "dsm.height")
CITY = City(3, (260, 300))
BANDS = Bands(np.concatenate([CITY.image, CITY.dsm[None]]).astype(np.float32), NAMES, 0.3)
WIDE = 10**6  # no part is so long
FOUR = ndimage.generate_binary_structure(2, 1)


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    return reliefs(BANDS)[0].levels[:120, :130]


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


def test_attribute_columns_equal_area_openings_and_closings_of_scikit_image():
    bands = BANDS.cut(Window(40, 50, 90, 100))
    feature = AttributeProfile(areas_px=(20, 90), deviations=(), largest_px=WIDE)
    values = dict(zip(feature.columns(bands), feature.compute(bands), strict=True))
    grey = np.rint(bands.grey() * 255).astype(np.uint8)
    steps = np.floor(bands.pick("height")[0] * 4).astype(np.int64)
    for area in (20, 90):
        assert np.abs(values[f"grey.opening.area{area}"] * 255 - area_opening(grey, area)).max() < 1e-3
        assert np.abs(values[f"grey.closing.area{area}"] * 255 - area_closing(grey, area)).max() < 1e-3
        assert np.array_equal(values[f"height.opening.area{area}"] * 4, area_opening(steps, area))
        assert np.array_equal(values[f"height.closing.area{area}"] * 4, area_closing(steps, area))


def test_differences_add_up_to_what_the_last_opening_took_away():
    values = dict(zip(DIFFERENTIAL_PROFILE.columns(BANDS), DIFFERENTIAL_PROFILE.compute(BANDS), strict=True))
    for relief in reliefs(BANDS):
        last = open_by_disks(relief.levels, (16,))[1]
        away = sum(values[f"{relief.name}.opening{radius}"] for radius in DIFFERENTIAL_PROFILE.radii_px)
        assert np.abs(away - (relief.levels - last) * relief.step).max() < 1e-4
    assert all(part.min() >= 0 for name, part in values.items() if "." in name)


@pytest.mark.parametrize("feature", [DIFFERENTIAL_PROFILE, ATTRIBUTE_PROFILE], ids=lambda feature: feature.name)
def test_a_tile_with_its_halo_gives_the_values_of_the_scene(feature):
    assert feature.halo_px == 64
    window = Window(20, 30, 200, 190)
    whole = feature.compute(BANDS)
    tile = feature.compute(BANDS.cut(window))
    inner = Window(84, 94, 200 - 128, 190 - 128)
    assert np.array_equal(tile[(slice(None), *inner.within(window).slices)], whole[(slice(None), *inner.slices)])


def test_without_the_limit_on_long_parts_tiles_would_disagree():
    """The limit is there for a reason: contrast within a part that is cut changes everywhere in it."""
    feature = dataclasses.replace(ATTRIBUTE_PROFILE, largest_px=WIDE)
    window = Window(20, 30, 200, 190)
    whole, tile = feature.compute(BANDS)[:, 84:156, 94:156], feature.compute(BANDS.cut(window))[:, 64:-64, 64:-64]
    assert (whole != tile).mean() > 0.01


@pytest.mark.parametrize("name", ["differential_profile", "attribute_profile"])
@pytest.mark.parametrize("stride", [2, 7])
def test_values_at_sites_are_those_of_their_pixels(name, stride):
    (feature,) = build_features([name])
    assert isinstance(feature, Feature)
    bands = BANDS.cut(Window(0, 0, 100, 110))
    values = feature.compute(bands, stride)
    assert values.dtype == np.float32
    assert len(values) == len(feature.columns(bands)) == len(set(feature.columns(bands)))
    assert np.array_equal(values, feature.compute(bands)[:, stride // 2 :: stride, stride // 2 :: stride])


def test_a_bright_bar_shows_in_the_step_of_its_width_and_a_dark_one_in_the_closings():
    values = np.full((1, 80, 80), 100, np.float32)
    values[0, 20:60, 20:27] = 180  # a disk of radius 3 fits in, one of 4 does not
    values[0, 20:60, 50:53] = 30
    bands = Bands(values, ("image.grey",))
    feature = DifferentialProfile(radii_px=(2, 3, 4))
    columns = dict(zip(feature.columns(bands), feature.compute(bands)[:, 40], strict=True))
    assert [name for name, row in columns.items() if row[23] > 0] == ["grey", "grey.opening4"]
    assert [name for name, row in columns.items() if row[51] > 0] == ["grey", "grey.closing2"]
    assert columns["grey.opening4"][23] == pytest.approx(80 / 255)


def test_constant_images_and_single_pixels_give_themselves():
    for shape in ((30, 40), (1, 1), (1, 7)):
        bands = Bands(np.full((2, *shape), 51, np.float32), ("image.red", "dsm.height"))
        attributes = ATTRIBUTE_PROFILE.compute(bands)
        own = [name.startswith("grey") for name in ATTRIBUTE_PROFILE.columns(bands)]
        assert np.allclose(attributes[own], 0.2)
        assert np.allclose(attributes[~np.array(own)], 51)
        names = DIFFERENTIAL_PROFILE.columns(bands)
        assert not DIFFERENTIAL_PROFILE.compute(bands)[["." in name for name in names]].any()
