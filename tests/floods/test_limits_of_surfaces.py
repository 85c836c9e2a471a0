"""Surfaces of water by their colour at the limits of the rules: known water, crowns, hidden ground, lawns, parts (SYNTHETIC)."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from deepnets4eo.floods.mud import _near
from deepnets4eo.floods.optical import (
    _averaged,
    _confirmed,
    _is_sure_anywhere,
    _lawns,
    _mottled_before,
    _spread,
    crowns,
    hidden_ground,
    without_bare_ground,
)
from deepnets4eo.floods.surface_date import SurfaceDate


def flat(red: float, green: float, blue: float, side: int = 40) -> np.ndarray:
    return np.broadcast_to(np.array([red, green, blue], np.float32)[:, None, None], (3, side, side)).copy()


CHECKS = np.where(np.indices((40, 40)).sum(axis=0) % 2, 1.0, -1.0).astype(np.float32)


@pytest.mark.parametrize(
    ("red", "green", "blue", "kept"),
    [(101, 99.2, 100, True), (102, 98.9, 100, False), (60, 75, 80, True), (0.2, 0.0, 0.2, True), (140, 100, 70, False)],
)
def test_known_water_is_not_as_brown_as_bare_soil(red: float, green: float, blue: float, kept: bool) -> None:
    """Twice green above red and blue, over their sum: -0.01 at least; where nothing is bright, over 1."""
    water = np.zeros((40, 40), bool)
    water[8:30, 8:30] = True
    image = flat(red, green, blue)
    if red == 0.2:
        image[1] = 0.196
    assert (without_bare_ground(water, image) == (water if kept else False)).all()


@pytest.mark.parametrize(("deviation", "kept"), [(2.4, True), (2.6, False)])
def test_known_water_has_one_colour(deviation: float, kept: bool) -> None:
    water = np.zeros((40, 40), bool)
    water[8:30, 8:30] = True
    image = flat(60, 75, 80)
    image[2] += deviation * CHECKS
    assert without_bare_ground(water, image).any() == kept
    assert not without_bare_ground(np.zeros_like(water), image).any()


@pytest.mark.parametrize(("rough", "green", "is_crown"), [(6.2, 83.2, True), (5.8, 83.2, False), (6.2, 82.8, False)])
def test_crowns_are_rough_and_green(rough: float, green: float, is_crown: bool) -> None:
    """Twice green above red and blue is 6 at a green of 83; 24 of 25 pixels of a window of noughts and crosses count as one."""
    image = flat(80, green, 80) + rough * CHECKS
    assert crowns(image)[20, 20] == is_crown


@pytest.mark.parametrize(("light", "hidden"), [(61.5, True), (62.5, False)])
def test_ground_as_dark_as_the_water_does_not_show_whether_it_is_dry(light: float, hidden: bool) -> None:
    wet = np.zeros((140, 140), bool)
    wet[:20] = True
    image = np.broadcast_to(np.where(wet, 50.0, light), (3, 140, 140)).astype(np.float32)
    found = hidden_ground(wet, image, 1.0)
    assert found[30, 70] == hidden
    assert not found[10].any(), "water itself is no hidden ground"
    assert not hidden_ground(np.zeros_like(wet), image, 1.0).any()
    reach = np.flatnonzero(hidden_ground(wet, np.full_like(image, 50.0), 1.0)[:, 70])
    assert reach[-1] - 19 == 40, "metres from it"
    coarse = np.flatnonzero(hidden_ground(wet, np.full_like(image, 50.0), 2.0)[:, 70])
    assert coarse[-1] - 19 == 20


@pytest.mark.parametrize(
    ("colour", "lawn"),
    [
        ((70.0, 105.0, 75.0), False),
        ((70.0, 108.0, 75.0), True),
        ((60.0, 130.0, 70.0), True),
        ((100.0, 104.0, 110.0), True),
        ((100.0, 104.0, 105.0), False),
    ],
)
def test_lawns_are_green_and_smoke_is_bluer_and_brighter_than_other_ground(
    colour: tuple[float, ...], lawn: bool
) -> None:
    """A greenness of 0.27 is that of (70, 106.4, 75); a blueness of 0.02 that of (100, 104, 106.3)."""
    mask = np.zeros((40, 40), bool)
    mask[5:35, 5:35] = True
    image = flat(80, 85, 80)
    image[:, mask] = np.array(colour, np.float32)[:, None]
    assert _lawns(mask, image)[20, 20] == lawn


def test_half_of_a_part_is_a_lawn() -> None:
    mask = np.ones((40, 80), bool)
    image = np.full((3, 40, 80), 80.0, np.float32)
    image[1, :, :46] = 160
    assert _lawns(mask, image).all()
    image[1, :, 34:46] = 80
    assert not _lawns(mask, image).any()


@pytest.mark.parametrize(("sure_px", "sure"), [(250, True), (249, False)])
def test_new_water_has_a_thousand_square_metres_that_are_sure(sure_px: int, sure: bool) -> None:
    new, certain = np.zeros((2, 40, 40), bool)
    new[:, :30] = True
    certain.ravel()[np.flatnonzero(new)[:sure_px]] = True
    assert _is_sure_anywhere(new, certain, 4.0) is sure
    new[:, 15] = False
    assert not _is_sure_anywhere(new, certain, 4.0), "in one part of it"


@pytest.mark.parametrize(("mean", "kept"), [(0.39, False), (0.41, True)])
def test_parts_are_confirmed_by_their_mean(mean: float, kept: bool) -> None:
    mask = np.zeros((10, 30), bool)
    mask[2:8, 2:10] = mask[2:8, 15:25] = True
    values = np.where(np.arange(30) < 12, mean + 0.3 * np.where(np.arange(30) % 2, 1, -1), 0.9)[None].repeat(10, 0)
    found = _confirmed(mask, values.astype(np.float32))
    assert found[4, 5] == kept
    assert found[4, 20]


@pytest.mark.parametrize(("before", "kept"), [(1.7, False), (1.9, True)])
def test_ground_had_nearly_twice_the_colours_before_it_was_flooded(before: float, kept: bool) -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:8, 2:8] = True
    found = _mottled_before(mask, np.full((10, 10), before), np.ones((10, 10)))
    assert found.any() == kept


def test_a_spread_is_that_of_a_normal_distribution_and_squares_are_averaged_to_the_edge() -> None:
    values = np.random.default_rng(0).normal(5, 3, (2, 40_000))
    values[0, :2000] = 1e6  # outliers do not count
    assert _spread(values.astype(np.float32)) == pytest.approx([3.2, 3.0], rel=0.05)
    image = np.arange(3 * 3 * 5, dtype=np.uint8).reshape(3, 3, 5)
    found = _averaged(image, 2)
    assert found.shape == (3, 2, 3)
    assert found[0, 0, 0] == np.mean([0, 1, 5, 6])
    assert found[0, 1, 2] == 14, "the last pixel is repeated"
    np.testing.assert_array_equal(_averaged(image, 1), image)


def test_pixels_at_the_reach_of_a_mask_are_near_it() -> None:
    mask = np.zeros((3, 20), bool)
    mask[:, 2] = True
    assert np.flatnonzero(_near(mask, 5.0)[1]).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert not _near(np.zeros_like(mask), 5.0).any()


def test_lasting_water_is_sure_from_nine_tenths_on(monkeypatch: pytest.MonkeyPatch) -> None:
    probability = np.full((40, 40), 0.1, np.float32)
    probability[8:30, 8:18], probability[8:30, 18:30] = 0.89, 0.91
    monkeypatch.setattr(SurfaceDate, "water", lambda *_: probability.astype(np.float64))
    tile: Any = SimpleNamespace(values=flat(60, 75, 80))
    lasting, sure = SurfaceDate(("red", "green", "blue")).lasting_water(tile)
    np.testing.assert_array_equal(lasting, probability > 0.5)
    np.testing.assert_array_equal(sure, probability > 0.9)
