"""What is painted of a plan, and what is seen of it."""

import math
from typing import Any

import numpy as np
import pytest
from shapely.geometry import Point
from small_world_plan import small_plan
from world import plan as p
from world.noise import (
    fill_lattice,
    hash_unit,
    lattice_value,
    sine_of_turns,
    value_noise,
)
from world.paint_world import paint, paint_snow
from world.style import WorldSeason
from world.surface import WorldSurface, columns_of, rows_of
from world.view import Frame, Sky, see, sun_and_sky

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.synthetic import Light
from deepnets4eo.synthetic.materials import CODE

GSD_M = 0.5
SUMMER = WorldSeason(greenness=0.8, leaf=1.0)
LIGHT = Light(150.0, 40.0, 0.8)


def one_house(eave_m: float, kind: int = p.FLAT, rise: float = 0.4) -> p.Plan:
    """A house of 16 × 10 m in the middle of 60 m of level grass."""
    roof = (30.0, 30.0, 16.0, 10.0, 0.0, eave_m, rise, kind, p.PLAIN, 0.0, 0.0, (150, 90, 80, 120), 0, p.BOTH)
    return p.Plan(
        (60.0, 60.0), CODE["grass"], CODE["soil"], 0.0, 0.0,
        buildings=p.make_rows("buildings", [(30.0, 30.0, 10.0, eave_m, 1, p.MASONRY, 7, p.BOTH)]),
        roofs=p.make_rows("roofs", [roof]),
    )  # fmt: skip


def clear(shape: tuple[int, int]) -> Sky:
    size = shape[0] // 16 + 2, shape[1] // 16 + 2
    return Sky(np.zeros(size, np.float32), np.zeros(size, np.float32))


def view_of(plan: p.Plan, lean: tuple[float, float], side: int = 120) -> tuple[WorldSurface, object]:
    surface = paint(plan, GSD_M, (side, side), SUMMER, seed=3)
    return surface, see(surface, plan, LIGHT, Frame((side, side), (0, 0), lean), clear((side, side)))


def centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)


def test_noise_is_the_hash_at_lattice_points_and_lies_between_minus_one_and_one():
    for i, j in ((0, 0), (5, -3), (-7, 2)):
        assert value_noise(3.0 * i, 3.0 * j, 3.0, 9) == pytest.approx(2 * hash_unit(i, j, 9) - 1, abs=1e-6)
    values = np.array([value_noise(0.37 * k, 1.7 * k, 5.0, 1) for k in range(2000)])
    assert abs(values).max() <= 1
    assert abs(values.mean()) < 0.05
    draws = np.array([hash_unit(k, 3 * k, 4) for k in range(4000)])
    np.testing.assert_allclose(np.histogram(draws, 8, (0, 1))[0] / 4000, 1 / 8, atol=0.02)


def test_noise_from_a_lattice_is_the_noise_of_the_same_seed():
    lattice = np.zeros((6, 6), np.float32)
    fill_lattice(lattice, 6, 5)
    for x, y in ((0.2, 4.7), (3.0, 1.1), (4.99, 2.5)):
        assert lattice_value(lattice, np.float32(x), np.float32(y)) == pytest.approx(
            value_noise(x, y, 1.0, 5), abs=1e-5
        )


def test_the_sine_from_parabolas_is_the_sine():
    turns = np.linspace(-2, 3, 997).astype(np.float32)
    np.testing.assert_allclose([sine_of_turns(turn) for turn in turns], np.sin(2 * np.pi * turns), atol=0.002)


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 2, 2.2, -3.0])
def test_spans_hold_every_pixel_of_a_rectangle_and_few_others(angle):
    cos, sin, half_a, half_b, x_m, y_m = np.float32(np.cos(angle)), np.float32(np.sin(angle)), 22.0, 2.0, 21.3, 24.9
    y, x = (np.mgrid[:100, :100] + 0.5) * GSD_M
    a, b = cos * (x - x_m) + sin * (y - y_m), cos * (y - y_m) - sin * (x - x_m)
    inside, spans = (abs(a) < half_a) & (abs(b) < half_b), np.zeros((100, 100), bool)
    for row in range(*rows_of(cos, sin, half_a, half_b, y_m, GSD_M, 100)):
        first, end = columns_of(cos, sin, half_a, half_b, x_m, (row + 0.5) * GSD_M - y_m, GSD_M, 100)
        spans[row, first : max(end, first)] = True
    assert not (inside & ~spans).any()
    assert spans.sum() < 2 * inside.sum()


@pytest.mark.parametrize(
    ("kind", "ridge"), [(p.FLAT, 3.0), (p.GABLE, 5.0), (p.HIP, 5.0), (p.MONO, 5.0), (p.VAULT, 5.0)]
)
def test_a_roof_covers_its_rectangle_and_rises_to_its_ridge(kind, ridge):
    surface = paint(one_house(3.0, kind), GSD_M, (120, 120), SUMMER)
    assert (surface.building > 0).sum() == pytest.approx(16 * 10 / GSD_M**2, rel=0.02)
    assert surface.height.max() == pytest.approx(ridge, abs=0.15)
    assert surface.inward.max() == pytest.approx(5.0, abs=0.3)
    outside = surface.building == 0
    assert surface.height[outside].max() == 0
    rise_y, rise_x = np.gradient(surface.height, GSD_M)
    near_edges = surface.inward < 1  # and the ridges, where the slope jumps
    same = (abs(rise_x - surface.slope_x) < 0.1) & (abs(rise_y - surface.slope_y) < 0.1)
    assert same[~near_edges].mean() > 0.85


def test_a_cone_covers_its_ellipse():
    surface = paint(one_house(3.0, p.CONE), GSD_M, (120, 120), SUMMER)
    assert (surface.roof > 0).sum() == pytest.approx(np.pi / 4 * 16 * 10 / GSD_M**2, rel=0.03)


@pytest.mark.parametrize("lean", [(0.3, 0.0), (0.0, -0.4), (-0.2, 0.2)])
def test_lean_moves_roofs_by_lean_times_height_and_leaves_the_ground(lean):
    plan = one_house(10.0)
    surface, sight = view_of(plan, lean)
    moved = centre(sight.roofs > 0) - centre(surface.building > 0)
    np.testing.assert_allclose(moved * GSD_M, (10.0 * lean[1], 10.0 * lean[0]), atol=0.3)
    assert (sight.roofs > 0).sum() == pytest.approx((surface.building > 0).sum(), rel=0.03)
    building = Legend.load("minicity").value("building")
    # The roof and the walls below it: what the roof sweeps over on its way.
    wall = (sight.labels == building) & (sight.roofs == 0)
    sides = abs(lean[0]) * 10 * 10 + abs(lean[1]) * 10 * 16
    assert wall.sum() * GSD_M**2 == pytest.approx(sides, rel=0.12)
    assert (np.diff(sight.height[wall]) != 0).any()


def test_shadows_agree_with_marching_along_every_ray():
    plan = small_plan(60.0)
    surface = paint(plan, GSD_M, (120, 120), SUMMER, seed=1)
    surface.canopy[:] = 0
    surface.cover[:] = 0
    for light in (Light(150.0, 22.0, 0.8), Light(250.0, 55.0, 0.8), Light(20.0, 35.0, 0.8)):
        swept = sun_and_sky(surface, light)[0] < 0.5
        marched = march(surface.ground + surface.height, light)
        assert (swept == marched).mean() > 0.965
        assert swept.mean() == pytest.approx(marched.mean(), abs=0.02)


def march(top: np.ndarray, light: Light) -> np.ndarray:
    """Shadow by steps of a quarter pixel towards the sun."""
    azimuth, elevation = np.radians(light.azimuth_deg), np.radians(light.elevation_deg)
    rows, cols = np.indices(top.shape)
    shadow = np.zeros(top.shape, bool)
    for step in np.arange(1.0, 130.0, 0.25):
        row, col = (
            np.rint(rows - step * np.cos(azimuth)).astype(int),
            np.rint(cols + step * np.sin(azimuth)).astype(int),
        )
        inside = (row >= 0) & (row < top.shape[0]) & (col >= 0) & (col < top.shape[1])
        other = top[np.clip(row, 0, top.shape[0] - 1), np.clip(col, 0, top.shape[1] - 1)]
        shadow |= inside & (other - step * GSD_M * np.tan(elevation) > top + 0.2)
    return shadow


def test_bare_trees_let_more_sun_through_than_leafy_ones():
    tree = p.make_rows("trees", [(30.0, 30.0, 5.0, 12.0, p.DECIDUOUS, 1.0, p.BOTH)])
    plan = p.Plan((60.0, 60.0), CODE["grass"], CODE["soil"], 0.0, 0.0, trees=tree)
    sums = []
    for leaf in (0.0, 1.0):
        surface = paint(plan, GSD_M, (120, 120), WorldSeason(greenness=0.5, leaf=leaf), seed=3)
        sums.append((1 - sun_and_sky(surface, LIGHT)[0]).sum())
    assert 0.1 < sums[0] / sums[1] < 0.75


def test_crowns_hide_roofs_in_the_labels_but_not_in_the_roofs():
    house = one_house(3.0)
    tree = p.make_rows("trees", [(27.0, 30.0, 4.0, 10.0, p.EVERGREEN, 1.0, p.BOTH)])
    surface, sight = view_of(house.with_rows(trees=tree), (0.0, 0.0))
    legend = Legend.load("minicity")
    crown = sight.labels == legend.value("tree")
    assert (crown & (sight.roofs > 0)).sum() > 60
    np.testing.assert_array_equal(sight.roofs, surface.building)
    assert sight.height[crown].max() > 8


def test_snow_whitens_ground_and_roofs_but_not_water():
    pond = p.make_rows("areas", [(10, 10, 12, 12, 0, p.ELLIPSE, CODE["water"], p.NO_ROWS, 1, 0, 0, 1, p.BOTH)])
    plan = one_house(3.0).with_rows(areas=pond)
    bare, white = (
        paint(plan, GSD_M, (120, 120), WorldSeason(greenness=0.2, leaf=0.0, snow=snow), seed=3) for snow in (0.0, 1.0)
    )
    water = bare.material == CODE["water"]
    np.testing.assert_array_equal(bare.albedo[water], white.albedo[water])
    assert bare.albedo[~water].mean() < 140 < 160 < white.albedo[~water].mean()


def test_roofs_are_warm_one_by_one():
    plan = small_plan(60.0)
    winters = [WorldSeason(greenness=0.2, leaf=0.0, snow=snow) for snow in (0.0, *np.linspace(0.7, 0.99, 12))]
    bare, *white = (paint(plan, GSD_M, (120, 120), season, seed=3) for season in winters)
    roofs = [bare.building == number for number in np.unique(bare.building[bare.building > 0])]
    assert len(roofs) > 1
    whitened = np.array([[(w.albedo[roof] - bare.albedo[roof]).mean() for roof in roofs] for w in white])
    assert np.ptp(whitened, axis=1).max() > 30


def test_rubble_lies_under_new_snow_and_on_old_snow():
    whitened = []
    for snow in np.linspace(0.8, 0.99, 12):
        surface = WorldSurface.bare(GSD_M, 3, (20, 20))
        surface.material[:] = CODE["rubble"]
        paint_snow(surface, snow)
        whitened.append(bool(surface.albedo.mean() > 0))
    assert set(whitened) == {False, True}


def test_winters_have_snow_where_the_climate_has_them():
    rng = np.random.default_rng(0)
    snow = {
        (climate, day): np.mean([WorldSeason.draw(rng, climate, day).snow > 0 for _ in range(200)])
        for climate, day in (("continental", 20), ("dry", 350), ("tropical", 20), ("temperate", 200))
    }
    assert snow["continental", 20] > snow["dry", 350] > 0
    assert snow["tropical", 20] == snow["temperate", 200] == 0


def test_the_same_seed_paints_the_same_and_another_seed_another_ground():
    plan = small_plan(60.0)
    first, again, other = (paint(plan, GSD_M, (120, 120), SUMMER, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.albedo, again.albedo)
    np.testing.assert_array_equal(first.leaf, again.leaf)
    assert not np.array_equal(first.albedo, other.albedo)


def test_the_shape_of_a_building_covers_its_pixels():
    from world.pair import building_shapes

    plan = one_house(3.0)
    (shape,) = building_shapes(plan, GSD_M, 0, (120, 120))
    surface = paint(plan, GSD_M, (120, 120), SUMMER)
    inside = [[shape.contains(Point(col + 0.5, row + 0.5)) for col in range(120)] for row in range(120)]
    np.testing.assert_array_equal(np.array(inside), surface.building > 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_px": 16}, "size_px is 16, expected a whole number of at least 64 pixels"),
        ({"size_px": 100.5}, "size_px is 100.5, expected a whole number"),
        ({"seed": -1}, "seed is -1, expected a whole number of 0 or more"),
        ({"gsd_m": math.nan}, "gsd_m is nan, expected 0.2 to 2.0 metres"),
        ({"gsd_m": 50}, "gsd_m is 50, expected 0.2 to 2.0 metres"),
        ({"colours_of": []}, "colours_of is empty. Name one or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, Any], message: str):
    from world.pair import draw_pair

    with pytest.raises(InputError, match=message):
        draw_pair(**{"seed": 1, "style": "suburb", **options})


def test_a_stream_of_no_styles_is_refused():
    from world.pair import pair_stream

    with pytest.raises(InputError, match="styles is empty"):
        next(pair_stream(1, styles=[]))


def test_the_citys_products_are_made_of_a_world():
    from affine import Affine
    from world.surface import surface_of

    from deepnets4eo.grid import Grid
    from deepnets4eo.synthetic.materials import material_spectra, sample_points

    surface = paint(small_plan(60.0), GSD_M, (120, 120), SUMMER, seed=1)
    city = surface_of(surface)
    np.testing.assert_allclose(city.dsm, surface.ground + np.maximum(surface.height, surface.canopy), atol=1e-4)
    codes, spectra, names = material_spectra(city, np.array([650.0, 850.0]))
    assert codes.max() < len(names) == len(spectra)
    assert (codes == CODE["foliage"]).any()
    canvas = Grid((120, 120), Affine(GSD_M, 0, 0, 0, -GSD_M, 60), "EPSG:32633")
    points = sample_points(city, canvas, canvas.extent.boundingbox, 2.0, np.random.default_rng(1))
    assert points.xyz[:, 2].max() == pytest.approx(city.dsm.max(), abs=1.5)
