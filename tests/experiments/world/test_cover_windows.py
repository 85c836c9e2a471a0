"""Windows that networks for one image learn from: their truth against plain loops, their radiometry, their size."""

import numpy as np
import pytest
from world.sensor import SensorVariation
from world.surface import CityPair, city_pair
from world.windows import BACKGROUND, BORDER, BORDER_PX, BUILDING, WindowCutter, building_classes

from deepnets4eo.cards import VOID, Legend

MINICITY = Legend.load("minicity")


@pytest.fixture(scope="module")
def pair() -> CityPair:
    return city_pair(5, size_px=160)


def brute_classes(roofs: np.ndarray) -> np.ndarray:
    """Pixel by pixel: which buildings lie in the square around it."""
    reach = BORDER_PX // 2
    classes = np.where(roofs > 0, BUILDING, BACKGROUND)
    for row, col in np.ndindex(roofs.shape):
        near = roofs[max(row - reach, 0) : row + reach + 1, max(col - reach, 0) : col + reach + 1]
        if len(set(near[near > 0].tolist())) > 1:
            classes[row, col] = BORDER
    return classes


def test_borders_are_where_two_buildings_nearly_touch() -> None:
    rng = np.random.default_rng(0)
    roofs = np.kron(rng.integers(0, 5, (6, 6)), np.ones((5, 5))).astype(np.int32)
    labels = np.where(roofs > 0, MINICITY.value("building"), MINICITY.value("tree")).astype(np.uint8)
    classes = brute_classes(roofs)
    classes[(roofs > 0) & (labels != MINICITY.value("building"))] = VOID
    assert np.array_equal(building_classes(roofs, labels, np.zeros(roofs.shape, np.float32)), classes)


def test_void_is_what_an_image_does_not_tell() -> None:
    """A roof, one under a crown, a ruin, a wall, a greenhouse, flat clutter, a tree beside."""
    roofs = np.array([[1, 1, 1, 0, 0, 0, 0]], np.int32)
    shown = ("building", "tree", "clutter", "building", "clutter", "clutter", "tree")
    labels = np.array([[MINICITY.value(name) for name in shown]], np.uint8)
    height = np.array([[5, 8, 1, 4, 3, 0, 9]], np.float32)
    expected = [BUILDING, VOID, VOID, VOID, VOID, BACKGROUND, BACKGROUND]
    assert building_classes(roofs, labels, height).tolist() == [expected]


def test_windows_have_one_size_whatever_the_pixels_measure(pair: CityPair) -> None:
    for tile_px in (64, 128):
        sample = WindowCutter(tile_px)(pair, np.random.default_rng(1))
        assert sample["image"].shape == (3, tile_px, tile_px)
        assert sample["image"].dtype == np.float32
        assert set(np.unique(sample["mask"])) <= set(range(7))
        assert set(np.unique(sample["buildings"])) <= {BACKGROUND, BUILDING, BORDER, VOID}


def test_the_same_draw_is_the_same_window(pair: CityPair) -> None:
    first, second = (WindowCutter(64)(pair, np.random.default_rng(7)) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    other = WindowCutter(64)(pair, np.random.default_rng(8))
    assert not np.array_equal(first["image"], other["image"])


def test_labels_stay_on_what_the_image_shows(pair: CityPair) -> None:
    """Bright squares as roofs: wherever a window is cut and at whatever scale, their pixels are bright."""
    roofs = np.zeros((160, 160), np.int32)
    for number, at in enumerate(range(10, 150, 40)):
        roofs[at : at + 20, at : at + 24] = number + 1
    image = np.where(roofs > 0, 220, 60).astype(np.uint8) * np.ones((4, 1, 1), np.uint8)
    labels = np.where(roofs > 0, MINICITY.value("building"), 0).astype(np.uint8)
    height = 4 * (roofs > 0).astype(np.float32)
    painted = CityPair(image, image, labels, labels, roofs, roofs, height, height, gsd_m=0.4, seed=0)
    for seed in range(6):
        sample = WindowCutter(64, varied_share=0.0)(painted, np.random.default_rng(seed))
        bright = sample["image"][0] > sample["image"][0].min() + 1.5
        agreement = ((sample["buildings"] == BUILDING) == bright).mean()
        assert agreement > 0.97


def test_sensors_differ_in_tone_but_not_in_place() -> None:
    scene = np.zeros((4, 64, 64), np.uint8) + 60
    scene[:, 20:40, 24:50] = 190
    medians = []
    for seed in range(20):
        varied = SensorVariation()(scene, np.random.default_rng(seed))
        assert varied.dtype == np.uint8
        assert varied[:, 24:36, 28:46].mean() > varied[:, :16].mean() + 15
        medians.append(np.median(varied))
    assert np.std(medians) > 8


def test_heights_come_with_the_share_of_windows_that_is_asked_for_and_change_nothing_else(pair: CityPair) -> None:
    plain, without, heights = (
        WindowCutter(128, heights_share=share)(pair, np.random.default_rng(3)) for share in (None, 0.0, 1.0)
    )
    assert [len(sample["image"]) for sample in (plain, without, heights)] == [3, 4, 4]
    assert (without["image"][3] == 0).all()
    assert np.array_equal(plain["image"], heights["image"][:3])
    metres = heights["image"][3] * 5 + 3
    roofs = heights["buildings"] == BUILDING
    assert metres[roofs].mean() > metres[~roofs].mean() + 1
