"""What hazards paint: damage on roofs, ground and water."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from world.damage_buildings import paint_building_damage
from world.ground_effects import paint_ground_effects, paint_water
from world.hazard import MODE, NO_ROOF, Hazard, hazard_names
from world.intensity import CELL_M, Inundation, draw_inundation
from world.layouts.tables import table_rows
from world.outcome import EFFECTS, Outcome, draw_outcome
from world.plan import AFTER, BOTH, FLAT, PLAIN, Plan, make_rows
from world.surface import WorldSurface

from deepnets4eo.synthetic.materials import CODE

GSD_M = 0.5
PIXELS = 80
GREY = (120.0, 120.0, 120.0, 120.0)


def one_house() -> Plan:
    """A house of 14 × 10 m in the middle of a lawn of 40 × 40 m."""
    buildings = make_rows("buildings", [(20, 20, 8.6, 6, 2, 0, 7, BOTH)])
    roofs = make_rows("roofs", [(20, 20, 14, 10, 0, 6, 0, FLAT, PLAIN, 1, 0, GREY, 0, BOTH)])
    return Plan((40.0, 40.0), ground=CODE["grass"], patches=CODE["soil"], buildings=buildings, roofs=roofs)


def lawn() -> WorldSurface:
    surface = WorldSurface.bare(GSD_M, 1, (PIXELS, PIXELS))
    surface.albedo[:] = (90, 110, 76, 170)
    surface.material[:] = CODE["grass"]
    return surface


def add_roof(surface: WorldSurface) -> np.ndarray:
    """Paint the house's roof; returns its mask."""
    y, x = (np.mgrid[:PIXELS, :PIXELS] + 0.5) * GSD_M
    inward = np.minimum(7 - np.abs(x - 20), 5 - np.abs(y - 20))
    roof = inward > 0
    surface.inward[:] = np.maximum(inward, 0)
    surface.height[roof], surface.albedo[roof], surface.material[roof] = 6, GREY, CODE["roof"]
    surface.building[roof] = surface.roof[roof] = 1
    return roof


def struck(mode: str, grade: int = 3, strength: float = 0.5, **fields) -> Outcome:
    grid = np.zeros((11, 11), np.float32)
    whole = {
        "hazard": "earthquake", "seed": 3, "grades": np.array([grade], np.uint8), "visible": np.array([grade], np.uint8),
        "modes": np.array([MODE[mode]], np.uint8), "strength": np.array([strength], np.float32),
        "heading": np.zeros(1, np.float32), "seeds": np.array([11]), "effects": dict.fromkeys(EFFECTS, 0.0),
        "intensity": grid, "debris": grid,
    }  # fmt: skip
    return Outcome(**{**whole, **fields})


def painted_house(mode: str, **fields) -> tuple[WorldSurface, np.ndarray]:
    surface = lawn()
    roof = add_roof(surface)
    paint_building_damage(surface, one_house(), struck(mode, **fields))
    return surface, roof


@pytest.mark.parametrize("mode", MODE)
def test_damage_stays_on_the_roof_and_keeps_finite_display_values(mode):
    surface, roof = painted_house(mode)
    assert (surface.albedo[~roof] == (90, 110, 76, 170)).all()
    assert np.isfinite(surface.albedo).all()
    assert np.isfinite(surface.height).all()
    assert surface.albedo.min() >= 0
    assert surface.albedo.max() <= 255
    assert (surface.building[roof] == 1).all()


@pytest.mark.parametrize("mode", [name for name in MODE if NO_ROOF[MODE[name]] and name != "buried"])
def test_no_roof_is_left_where_the_mode_leaves_none(mode):
    surface, roof = painted_house(mode)
    assert not surface.roof.any()
    assert not (surface.material[roof] == CODE["roof"]).any()
    assert surface.height[roof].mean() < 5


@pytest.mark.parametrize(
    ("mode", "least", "most"),
    [("covering", 0, 0), ("tarped", 0, 0), ("cracked", 0, 0), ("soft_storey", 0, 0), ("opened", 0.2, 0.75),
     ("partial", 0.15, 0.75), ("peeled", 0.15, 0.75), ("holed", 0, 0.4), ("edges", 0, 0.4)],
)  # fmt: skip
def test_the_lost_share_of_a_roof_fits_its_grade(mode, least, most):
    shares = []
    for seed in range(12):
        surface, roof = painted_house(mode, seeds=np.array([seed * 977]))
        shares.append(1 - (surface.roof[roof] > 0).mean())
    assert least <= np.mean(shares) <= most


def test_missing_covering_is_3_to_20_percent_of_the_roof_on_average():
    changed = []
    for seed in range(20):
        surface, roof = painted_house("covering", seeds=np.array([seed * 977]))
        changed.append((surface.albedo[roof] != GREY).any(axis=1).mean())
    assert 0.03 < np.mean(changed) < 0.2


def test_a_roof_opens_towards_its_heading():
    surface, roof = painted_house("opened", heading=np.array([0.0], np.float32), strength=0.3)
    gone = roof & (surface.roof == 0)
    columns = np.flatnonzero(roof.any(axis=0))
    half = columns.mean()
    assert gone[:, int(half) :].sum() > 2 * gone[:, : int(half)].sum()


def test_the_same_outcome_is_the_same_paint():
    first, again = painted_house("rubble")[0], painted_house("rubble")[0]
    assert (first.albedo == again.albedo).all()


def water(depth_m: np.ndarray, **kind) -> Inundation:
    return Inundation(depth_m.astype(np.float32), **{"clear": 0.0, "drained": False, "flow": 0.0, **kind})


def slope() -> np.ndarray:
    """Depth at the nodes that falls from 3 m at the left edge to −2 m at the right one."""
    return np.broadcast_to(np.linspace(3, -2, 11), (11, 11))


def test_water_covers_what_is_lower_than_its_level():
    surface = lawn()
    add_roof(surface)
    surface.height[10:14, 4:12] = 1.5  # a low wall
    before = surface.height.copy()
    paint_water(surface, one_house(), struck("whole", grade=0, hazard="flood", water=water(slope())))
    centres = (np.mgrid[:PIXELS, :PIXELS] + 0.5) * GSD_M / CELL_M
    depth = map_coordinates(slope(), centres, order=1)
    wet = depth - before > 0
    assert ((surface.material == CODE["water"]) == wet).all()
    np.testing.assert_allclose(surface.height[wet], depth[wet], atol=1e-4)
    assert (surface.roof[surface.building > 0] == 1).all()  # the roof of 6 m is an island


def test_clear_water_shows_the_ground_and_brown_water_hides_it():
    results = []
    for clear in (0.0, 1.0):
        surface = lawn()
        surface.albedo[:, ::2] += 60
        paint_water(surface, one_house(), struck("whole", 0, hazard="flood", water=water(slope(), clear=clear)))
        shallow = surface.albedo[:, 40:46, 0]
        results.append(abs(shallow[:, ::2].mean() - shallow[:, 1::2].mean()))
    assert results[1] > 3 * results[0]


def test_ground_is_left_alone_where_the_hazard_did_not_reach():
    surface = lawn()
    paint_ground_effects(surface, one_house(), struck("whole", 0))
    assert (surface.albedo == (90, 110, 76, 170)).all()


def test_mud_lies_where_the_water_was():
    surface = lawn()
    effects = dict.fromkeys(EFFECTS, 0.0) | {"mud": 0.9}
    inundation = water(slope(), drained=True)
    force = np.clip(slope() / 1.5, 0, 1).astype(np.float32)
    paint_ground_effects(surface, one_house(), struck("whole", 0, water=inundation, effects=effects, intensity=force))
    mud = surface.material == CODE["mud"]
    assert mud[:, :35].mean() > 0.9  # deeper than 0.8 m
    assert not mud[:, 50:].any()


@pytest.mark.parametrize("hazard", ["tsunami", "lahar"])
def test_mud_leaves_open_water_open_and_its_tones_have_no_step(hazard):
    effects, inundation = dict.fromkeys(EFFECTS, 0.0) | {"mud": 0.9}, water(slope(), drained=True)
    force = np.clip(slope() / 1.5, 0, 1).astype(np.float32)
    outcome = struck("whole", 0, hazard=hazard, water=inundation, effects=effects, intensity=force)
    sea, land = lawn(), lawn()
    sea.material[:] = CODE["water"]
    for surface in (sea, land):
        paint_ground_effects(surface, one_house(), outcome)
        paint_water(surface, one_house(), outcome)
    assert (sea.material == CODE["water"]).all()
    across = np.abs(np.diff(land.albedo[:, 20:, 3].mean(axis=0)))  # from 1.75 m deep to dry; 78 silt on 170 grass
    assert across.max() < 16


def test_a_wave_comes_from_the_sea():
    rng = np.random.default_rng(5)
    sea = table_rows("areas", np.array([[10.0, 100.0, 200.0, 60.0, np.pi / 2]]), material=CODE["water"])
    plan = Plan((200.0, 200.0), ground=CODE["grass"], patches=CODE["soil"], areas=sea)
    effects = dict.fromkeys(EFFECTS, 0.0) | {"depth": 6.0}
    for _ in range(4):
        depth = draw_inundation(rng, plan, Hazard.load("tsunami"), 0.4, effects).depth_m
        assert depth[:, :8].mean() > depth[:, -8:].mean() + 1


def test_rubble_lies_beside_the_walls_of_a_collapsed_building_only():
    heaps = {}
    for mode in ("rubble", "covering"):
        surface = lawn()
        paint_ground_effects(surface, one_house(), struck(mode, strength=0.9))
        heaps[mode] = surface.material == CODE["rubble"]
    y, x = (np.mgrid[:PIXELS, :PIXELS] + 0.5) * GSD_M
    outside = np.maximum(np.abs(x - 20) - 7, np.abs(y - 20) - 5)
    assert heaps["rubble"][(outside > 0) & (outside < 1)].mean() > 0.3
    assert not heaps["rubble"][outside > 12].any()
    assert not heaps["covering"].any()


@pytest.mark.parametrize("name", sorted(hazard_names()))
def test_every_hazard_paints_within_display_values(name):
    hazard = replace(Hazard.load(name), damaged=((1.0, 0.9, 0.9),) if name != "none" else ((1.0, 0.0, 0.0),))
    plan, outcome = draw_outcome(one_house(), hazard, np.random.default_rng(0))
    surface, after = lawn(), plan.at(AFTER)
    paint_ground_effects(surface, after, outcome)
    add_roof(surface)
    paint_building_damage(surface, after, outcome)
    paint_water(surface, after, outcome)
    assert np.isfinite(surface.albedo).all()
    assert surface.albedo.min() >= 0
    assert surface.albedo.max() <= 255
