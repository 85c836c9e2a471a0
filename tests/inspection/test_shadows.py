"""Shadows of clouds between two dates: how dark, of which colour and how wide they are, each limit from both sides."""

import numpy as np
import pytest

from deepnets4eo.inspection.shadows import ShadowRules, bands_in_colour
from deepnets4eo.rasters import Layer

RULES = ShadowRules()
LIGHT = 100.0  # of all other ground, at both dates; a hundredth of it is added to both before they are divided


def masks_of(red: float, green: float, blue: float, before: float = LIGHT) -> tuple[bool, bool]:
    """Whether one pixel of these colours is surely dark, and whether it may belong to a shadow."""
    image, other = np.full((2, 3, 9, 9), LIGHT, np.float32)
    image[:, 4, 4], other[:, 4, 4] = (red, green, blue), before
    core, edge = RULES.masks(image, other, np.ones((9, 9), bool))
    assert core.sum() + edge.sum() == int(core[4, 4]) + int(edge[4, 4])
    return bool(core[4, 4]), bool(edge[4, 4])


@pytest.mark.parametrize(
    ("light", "before", "expected"),
    [
        (59.0, LIGHT, (True, True)), (60.5, LIGHT, (False, True)),  # three fifths of the light before
        (74.5, LIGHT, (False, True)), (75.5, LIGHT, (False, False)),  # three quarters of it
        (59.0, 200.0, (True, True)), (61.0, 200.0, (False, True)),  # three fifths of the light of the ground
        (79.0, 200.0, (False, True)), (81.0, 200.0, (False, False)),  # four fifths of that
        (59.0, 95.0, (False, True)), (20.0, 20.0, (False, False)),  # dark ground of both dates
    ],
)  # fmt: skip
def test_shadows_are_darker_than_before_and_than_other_ground(
    light: float, before: float, expected: tuple[bool, bool]
) -> None:
    assert masks_of(light, light, light, before) == expected


@pytest.mark.parametrize(
    ("colours", "dark"),
    [
        ((40.0, 40, 37.95), True), ((40.0, 40, 37.9), False),  # at least 95 % as blue as red, in light above 1
        ((30.0, 47.0, 39.0), True), ((30.0, 48.2, 39.0), False),  # up to 1.2 times as green as blue
        ((29.0, 40.0, 52.8), True), ((29.0, 40.0, 53.2), False),  # less than 1.8 times between the bands
    ],
)  # fmt: skip
def test_the_sky_lights_shadows_and_plants_that_grew_are_greener(colours: tuple[float, ...], dark: bool) -> None:
    assert masks_of(*colours)[0] is dark


def test_ground_that_is_not_seen_is_no_shadow() -> None:
    image, other = np.full((2, 3, 9, 9), LIGHT, np.float32)
    image[:, 4, 4] = 0
    seen = np.ones((9, 9), bool)
    seen[4, 4] = False
    assert not any(mask.any() for mask in RULES.masks(image, other, seen))


def wide_of(height: int, width: int, cell_m: float = 10.0) -> np.ndarray:
    core = np.zeros((80, 80), bool)
    core[30 : 30 + height, 30 : 30 + width] = True
    return RULES.wide(core, np.zeros_like(core), cell_m)


@pytest.mark.parametrize(
    ("height", "width", "cell_m", "found"),
    [
        (5, 20, 10.0, True), (4, 30, 10.0, False),  # 48 m wide, in whole cells
        (10, 10, 10.0, True), (10, 9, 10.0, False),  # a hectare
        (5, 5, 20.0, True), (5, 4, 20.0, False),
    ],
)  # fmt: skip
def test_shadows_are_48_metres_wide_and_a_hectare_large(height: int, width: int, cell_m: float, found: bool) -> None:
    assert wide_of(height, width, cell_m).any() == found


def test_shadows_grow_by_a_penumbra_of_28_metres_and_into_what_may_belong_to_them() -> None:
    found = wide_of(10, 10)
    rows, cols = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert (rows[0], rows[-1], cols[0], cols[-1]) == (27, 42, 27, 42)
    core, edge = np.zeros((2, 80, 80), bool)
    core[30:40, 30:40] = edge[35, 40:70] = edge[70, :10] = True
    grown = RULES.wide(core, edge, 10.0)
    assert grown[35, 72]
    assert not grown[35, 73]
    assert not grown[70].any(), "edges without a shadow are none"


def test_colours_are_bands_of_these_roles_else_three_bands_of_bytes() -> None:
    values = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    named = bands_in_colour(Layer.open(values).with_names(["nir", "blue", "green", "red"]))
    assert named is not None
    assert (named.bands, named.band_names) == ([4, 3, 2], ["red", "green", "blue"])
    plain = bands_in_colour(Layer.open(values[:3]))
    assert plain is not None
    assert plain.bands == [1, 2, 3]
    assert bands_in_colour(Layer.open(values[:2])) is None
