"""Water by the colour of its surface: how smooth seeds are, how far they grow, and which colours are alike (SYNTHETIC)."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from deepnets4eo.floods.optical import _from_colour, _grown, _one_colour_now, _same_colour, _surfaces, crowns

CHECKS = np.where(np.indices((40, 40)).sum(axis=0) % 2, 1.0, -1.0).astype(np.float32)


def flat(level: float, rows: int = 40, cols: int = 40) -> np.ndarray:
    return np.full((3, rows, cols), level, np.float32)


@pytest.mark.parametrize(
    ("chroma", "rough", "is_seed"), [(1.15, 0, True), (1.25, 0, False), (0, 5.9, True), (0, 6.1, False)]
)
def test_surfaces_of_water_vary_by_1_2_in_colour_and_six_in_brightness(
    chroma: float, rough: float, is_seed: bool
) -> None:
    image = flat(100) + rough * CHECKS
    image[0] += chroma * CHECKS
    assert _surfaces(image, 100).seeds.all() == is_seed


@pytest.mark.parametrize(("rough", "grows"), [(8.9, True), (9.1, False)])
def test_water_grows_into_ground_that_varies_by_nine(rough: float, grows: bool) -> None:
    image = flat(100)
    image[:, :, 20:] += rough * CHECKS[:, 20:]
    found = _surfaces(image, 100)
    assert found.seeds[20, 10]
    assert not found.seeds[20, 30]
    assert found.water[20, 30] == grows


def test_roughness_is_that_of_windows_of_five_pixels() -> None:
    """A pixel that is brighter by 40 makes a deviation of 40 · √(1/25 · 24/25) = 7.8 around it."""
    image = flat(80)
    image[1] += 10
    image[:, 20, 20] += 40
    rows, cols = np.nonzero(crowns(image))
    assert (rows.min(), rows.max(), cols.min(), cols.max(), len(rows)) == (18, 22, 18, 22, 25)


@pytest.mark.parametrize(
    ("step", "grows"), [((3.8, 0, 0), True), ((4.6, 0, 0), False), ((0, 3.8, 0), True), ((0, 4.6, 0), False), ((0, 0, 13.5), True), ((0, 0, 15.5), False)]
)  # fmt: skip
def test_water_grows_by_steps_of_four_in_colour_and_fourteen_in_brightness(
    step: tuple[float, ...], grows: bool
) -> None:
    features = np.zeros((3, 20, 80), np.float32)
    features[:, :, 40:] = np.array(step, np.float32)[:, None, None]
    seeds = np.zeros((20, 80), bool)
    seeds[:, :40] = True
    assert _grown(features, np.ones_like(seeds), seeds)[10, 45] == grows


def test_water_grows_in_twelve_rounds_by_up_to_sixty_pixels() -> None:
    seeds = np.zeros((5, 1500), bool)
    seeds[:, :10] = True
    reach = _grown(np.zeros((3, 5, 1500), np.float32), np.ones_like(seeds), seeds)[2].sum() - 10
    assert 12 * 50 < reach <= 12 * 60


@pytest.mark.parametrize(("spread", "unit"), [(0.0, (1.0, 1.0, 2.0)), (2.0, (2.0, 2.0, 2.0)), (50.0, (3.0, 3.0, 6.0))])
def test_distances_of_colours_are_in_their_deviations_within_bounds(spread: float, unit: tuple[float, ...]) -> None:
    colours = np.array([[10.0], [20], [30]]) + spread / 1.4826 * np.array([-1, -1, 0, 1, 1])
    for axis, one in enumerate(unit):
        image = np.array([10.0, 20, 30]).reshape(3, 1, 1) + 2 * one * np.eye(3)[axis].reshape(3, 1, 1)
        assert _from_colour(colours, image).item() == pytest.approx(4)


def pair_with_patch(brighter: float, patch_px: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A river of 7 x 15 pixels and a patch that are new, and how much brighter the patch is than the river."""
    before, after = flat(100, 60, 60), flat(100, 60, 60)
    new = np.zeros((60, 60), bool)
    new[10:17, 5:20] = True
    water = np.array([90, 80, 60], np.float32)[:, None]
    after[:, new] = water
    after[:, 30 : 30 + patch_px, 30 : 30 + patch_px] = (water + brighter)[:, :, None]
    return new, before, after


@pytest.mark.parametrize(("brighter", "alike"), [(6.7, True), (6.75, False), (-6.7, True), (-6.75, False)])
def test_patches_are_alike_up_to_a_squared_distance_of_11_3(brighter: float, alike: bool) -> None:
    """The deviation of brightness is two at least: (6.7 / 2)² = 11.2."""
    new, before, after = pair_with_patch(brighter, 10)
    found = _same_colour(new, before, after, 100.0)
    assert found[35, 35] == alike
    assert found[new].all()


@pytest.mark.parametrize(("rows", "measured"), [(7, True), (6, False)])
def test_the_colour_of_water_is_measured_three_pixels_from_its_shore(rows: int, measured: bool) -> None:
    new, before, after = pair_with_patch(0, 10)
    new[:] = False
    new[10 : 10 + rows, 5:25] = True
    after[:, new] = np.array([90, 80, 60], np.float32)[:, None]
    assert _same_colour(new, before, after, 100.0)[35, 35] == measured


@pytest.mark.parametrize(("pixel_m2", "kept"), [(99.0, False), (100.0, True)])
def test_sure_water_has_a_hectare(pixel_m2: float, kept: bool) -> None:
    new, before, after = pair_with_patch(0, 10)
    new[10:17, 5:20] = False
    new[10:20, 5:15] = True
    after[:, new] = np.array([90, 80, 60], np.float32)[:, None]
    assert _same_colour(new, before, after, pixel_m2)[35, 35] == kept


@pytest.mark.parametrize(("pixel_m2", "kept"), [(0.41, False), (0.47, True)])
def test_patches_between_trees_have_forty_square_metres(pixel_m2: float, kept: bool) -> None:
    """A square of 10 pixels has 88 after its corners are rounded by medians."""
    new, before, after = flat(0, 220, 220)[0] > 1, flat(100, 220, 220), flat(100, 220, 220)
    new[30:, :] = True
    after[:, new] = np.array([90, 80, 60], np.float32)[:, None]
    after[:, 10:20, 10:20] = np.array([90, 80, 60], np.float32)[:, None, None]
    found = _same_colour(new, before, after, pixel_m2)
    assert found[:30].sum() == (88 if kept else 0)


def small_pair(cols: int, ramp: float, darker: float = 0.9) -> np.ndarray:
    """New water by one colour in columns at the edge of an image of 100 columns, on ground of several colours before."""
    rng = np.random.default_rng(0)
    before, after = flat(100, 60, 100), flat(0, 60, 100)
    before += np.linspace(-ramp, ramp, 60, dtype=np.float32)[None, :, None]
    after += (np.where(rng.random((60, 100)) < darker, 60, 200) + rng.normal(0, 40, (60, 100))).astype(np.float32)
    after[:, :, :cols] = 150
    return _one_colour_now(before, after, np.ones((60, 100), bool))


@pytest.mark.parametrize(
    ("cols", "ramp", "is_new"), [(11, 20, True), (9, 20, False), (30, 5.6, True), (30, 5.2, False)]
)
def test_one_colour_covers_a_twelfth_of_a_small_image_that_had_four_times_its_spread(
    cols: int, ramp: float, is_new: bool
) -> None:
    """Two columns at its edge are rough. The spread of a ramp from -r to r is 1.4826 · r / 2: 4.15 and 3.85."""
    assert small_pair(cols, ramp).any() == is_new


def test_three_colours_of_a_small_image_are_tried() -> None:
    rng = np.random.default_rng(0)
    before, after = flat(100, 60, 100), flat(0, 60, 100)
    before += np.linspace(-20, 20, 60, dtype=np.float32)[None, :, None]
    after += (40 + rng.normal(0, 20, (60, 100))).astype(np.float32)
    for number, level in enumerate((120, 160, 200, 240)):
        after[:, :, 15 * number : 15 * (number + 1)] = level
    new = _one_colour_now(before, after, np.ones((60, 100), bool))
    assert sum(bool(new[30, 15 * number + 7]) for number in range(4)) == 3


@pytest.mark.parametrize(("darker", "is_new"), [(0.36, True), (0.2, False)])
def test_ground_of_one_colour_is_brighter_than_three_tenths_of_a_small_image(darker: float, is_new: bool) -> None:
    """A quarter of the image is of that colour, and 0.9 of 0.36 or 0.2 of it darker."""
    before, after = flat(100, 60, 100), flat(0, 60, 100)
    before += np.linspace(-20, 20, 60, dtype=np.float32)[None, :, None]
    after += np.where(np.arange(100) < 100 * (1 - darker), 200, 60) + 40 * np.where(
        np.indices((60, 100)).sum(axis=0) // 3 % 2, 1, -1
    )
    after[:, :, :25] = 140
    assert _one_colour_now(before, after, np.ones((60, 100), bool)).any() == is_new


@pytest.mark.parametrize(("step", "alike"), [(9.0, True), (11.0, False)])
def test_ground_of_one_colour_differs_by_ten_in_brightness(step: float, alike: bool) -> None:
    rng = np.random.default_rng(0)
    before, after = flat(100, 60, 100), flat(0, 60, 100)
    before += np.linspace(-20, 20, 60, dtype=np.float32)[None, :, None]
    after += (40 + rng.normal(0, 40, (60, 100))).astype(np.float32)
    after[:, :, :30], after[:, :, 30:36] = 150, 150 + step
    assert _one_colour_now(before, after, np.ones((60, 100), bool))[30, 32] == alike
