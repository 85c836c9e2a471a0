"""Hazards of the miniature world: what they do to buildings, trees, ground and water."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import raises_naming
from world.hazard import MAX_VISIBLE, MODE, MODE_NAMES, Hazard, hazard_names
from world.intensity import CELL_M, node_positions, sample_nodes
from world.outcome import EFFECTS, draw_outcome
from world.plan import (
    AFTER,
    BARE,
    BEFORE,
    BOTH,
    CHARRED,
    CONSTRUCTIONS,
    DECIDUOUS,
    FLAT,
    PLAIN,
    TABLES,
    Plan,
    make_rows,
)  # fmt: skip

from deepnets4eo.errors import InputError
from deepnets4eo.synthetic.materials import CODE

SIZE_M = 160.0
ALL = sorted(hazard_names())


def village(construction: str | None = None, seed: int = 0) -> Plan:
    """64 houses on a grid, a tree and a tank each."""
    rng = np.random.default_rng(seed)
    tables: dict[str, list[tuple]] = {"buildings": [], "roofs": [], "trees": [], "boxes": []}
    for index in range(64):
        x, y = 10.0 + 20 * (index % 8), 10.0 + 20 * (index // 8)
        storeys = int(rng.integers(1, 4))
        code = CONSTRUCTIONS[construction] if construction else int(rng.integers(len(CONSTRUCTIONS)))
        tables["buildings"].append((x, y, 7.2, 3.0 * storeys, storeys, code, index, BOTH))
        colour = (120, 118, 116, 122)
        tables["roofs"].append((x, y, 12, 8, 0, 3.0 * storeys, 0.0, FLAT, PLAIN, 1, 0, colour, index, BOTH))
        tables["trees"].append((x + 9, y, 2.5, 9, DECIDUOUS, 1, BOTH))
        tables["boxes"].append((x, y, 1.5, 1.5, 0, 1.5, 1, CODE["concrete"], colour, BOTH))
    rows = {name: make_rows(name, values) for name, values in tables.items()}
    return Plan((SIZE_M, SIZE_M), ground=CODE["grass"], patches=CODE["soil"], **rows)


def outcome_of(hazard: Hazard | str, seed: int = 0, plan: Plan | None = None):
    hazard = Hazard.load(hazard) if isinstance(hazard, str) else hazard
    return draw_outcome(plan or village(), hazard, np.random.default_rng(seed))


def test_every_hazard_names_modes_constructions_and_effects_that_exist():
    for name in ALL:
        hazard = Hazard.load(name)
        assert set(hazard.effects) <= set(EFFECTS)
        assert set(hazard.modes) <= {*CONSTRUCTIONS, "other"}
        for tables in hazard.modes.values():
            assert {mode for weights in tables for mode in weights} <= set(MODE_NAMES)
            assert len(tables) == 3


def test_an_unknown_hazard_is_refused_with_the_names_that_are_there():
    with raises_naming(InputError, '"locusts"'):
        Hazard.load("locusts")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_share_of_damaged_buildings_is_the_one_drawn(name, share):
    if name == "none" and share:
        return
    hazard = replace(Hazard.load(name), damaged=((1.0, share, share),))
    for seed in range(3):
        _, outcome = outcome_of(hazard, seed)
        assert abs((outcome.grades > 0).mean() - share) <= 0.05


@pytest.mark.parametrize("name", ALL)
def test_what_is_visible_never_exceeds_the_truth(name):
    for seed in range(5):
        _, outcome = outcome_of(name, seed)
        assert (outcome.visible <= outcome.grades).all()
        assert (outcome.visible <= MAX_VISIBLE[outcome.modes]).all()
        assert ((outcome.modes == MODE["whole"]) == (outcome.grades == 0)).all()


def test_a_low_house_that_leans_is_not_seen_from_above_and_a_tall_block_is():
    hazard = replace(Hazard.load("earthquake"), damaged=((1.0, 0.9, 0.9),), grades=(0.01, 20.0, 0.01))
    hazard = replace(hazard, modes={"other": ({"leaning": 1.0},) * 3})
    for eave_m, seen in ((3.0, 0), (30.0, 1)):
        plan = village()
        plan.buildings["eave_m"] = eave_m
        _, outcome = outcome_of(hazard, plan=plan)
        leaning = outcome.modes == MODE["leaning"]
        assert leaning.any()
        assert (np.minimum(outcome.visible, 1)[leaning] == seen).all()


def test_broken_edges_are_seen_where_the_rim_is_wide():
    for seed in range(5):
        _, outcome = outcome_of("earthquake", seed)
        edges = outcome.modes == MODE["edges"]
        wide = outcome.strength > 0.65
        assert (outcome.visible[edges & wide] == outcome.grades[edges & wide]).all()
        assert (outcome.visible[edges & (outcome.strength < 0.2)] == 0).all()


def test_the_same_seed_is_the_same_outcome_and_another_one_is_not():
    first, again, other = (outcome_of("tornado", seed) for seed in (4, 4, 5))
    for name in TABLES:
        assert (getattr(first[0], name) == getattr(again[0], name)).all()
    assert (first[1].modes == again[1].modes).all()
    assert (first[1].intensity == again[1].intensity).all()
    assert not np.array_equal(first[1].modes, other[1].modes)


@pytest.mark.parametrize("construction", CONSTRUCTIONS)
def test_each_construction_fails_in_its_own_way(construction):
    hazard = replace(Hazard.load("earthquake"), damaged=((1.0, 0.95, 0.95),))
    tables = hazard.modes.get(construction, hazard.modes["other"])
    _, outcome = outcome_of(hazard, plan=village(construction))
    for grade, weights in enumerate(tables, start=1):
        assert {MODE_NAMES[mode] for mode in outcome.modes[outcome.grades == grade]} <= set(weights)


def test_earth_falls_before_steel_in_an_earthquake():
    hazard = replace(Hazard.load("earthquake"), damaged=((1.0, 0.4, 0.4),), clustering=(0.9, 0.9), field="wide")
    plan = village()
    sums = {"earth": [], "steel": []}
    for seed in range(6):
        grades = outcome_of(hazard, seed, plan)[1].grades
        for name, values in sums.items():
            values.extend(grades[plan.buildings["construction"] == CONSTRUCTIONS[name]])
    assert np.mean(sums["earth"]) > np.mean(sums["steel"]) + 0.5


def test_a_soft_storey_is_destroyed_and_hardly_seen():
    hazard = replace(
        Hazard.load("earthquake"), damaged=((1.0, 0.9, 0.9),), grades=(0.01, 0.01, 9.0),
        modes={"other": ({"cracked": 1.0}, {"partial": 1.0}, {"soft_storey": 1.0})},
    )  # fmt: skip
    plan, outcome = outcome_of(hazard)
    soft = outcome.modes == MODE["soft_storey"]
    assert soft.sum() > 40
    assert (outcome.grades[soft] == 3).all()
    assert outcome.visible[soft].max() <= 1
    before = {row["building"]: row["eave_m"] for row in plan.at(BEFORE).roofs}
    after = {row["building"]: row["eave_m"] for row in plan.at(AFTER).roofs}
    storeys = plan.buildings["storeys"]
    for index in np.flatnonzero(soft):  # nine tenths of one storey of 3 m
        assert before[index] - after[index] == pytest.approx(2.7 if storeys[index] > 1 else 2.6, abs=0.11)


def test_both_dates_have_one_roof_a_building():
    plan, _ = outcome_of("earthquake", 1)
    for date in (BEFORE, AFTER):
        assert sorted(plan.at(date).roofs["building"]) == list(range(64))


def test_tanks_go_with_the_roofs_that_carry_them():
    hazard = replace(
        Hazard.load("tornado"), damaged=((1.0, 0.9, 0.9),), grades=(0.01, 0.01, 9.0),
        modes={"other": ({"covering": 1.0}, {"covering": 1.0}, {"rubble": 1.0})},
    )  # fmt: skip
    plan, outcome = outcome_of(hazard)
    tanks = plan.at(AFTER).boxes
    tanks = tanks[tanks["on_roof"] > 0]
    below = (tanks["y"] // 20).astype(int) * 8 + (tanks["x"] // 20).astype(int)
    assert not (outcome.modes[below] == MODE["rubble"]).any()
    assert np.isin(np.flatnonzero(outcome.modes == MODE["whole"]), below).all()
    assert len(plan.at(BEFORE).boxes) == 64


def test_trees_fall_and_burn_only_after_the_event():
    storm, fire = outcome_of("tornado", 2)[0], outcome_of("wildfire", 2)[0]
    assert len(storm.at(BEFORE).trees) == len(fire.at(BEFORE).trees) == 64
    assert len(storm.at(AFTER).trees) < 64
    assert (storm.at(AFTER).boxes["material"] == CODE["wood"]).any()
    assert (fire.at(AFTER).trees["kind"] == CHARRED).any()
    assert not np.isin(fire.at(BEFORE).trees["kind"], (BARE, CHARRED)).any()


def test_no_event_changes_nothing():
    plan, outcome = outcome_of("none")
    for name in TABLES:
        assert (getattr(plan, name) == getattr(village(), name)).all()
    assert not outcome.grades.any()


def test_buildings_of_one_date_only_are_not_graded():
    plan = village()
    plan.buildings["when"][:20] = AFTER
    _, outcome = outcome_of(replace(Hazard.load("tornado"), damaged=((1.0, 0.9, 0.9),)), plan=plan)
    assert not outcome.grades[:20].any()


def test_a_place_without_buildings_or_trees_is_struck_too():
    plan = Plan((SIZE_M, SIZE_M), ground=CODE["grass"], patches=CODE["soil"])
    for name in ALL:
        assert len(outcome_of(name, plan=plan)[1].grades) == 0


def test_values_between_nodes_are_those_of_scipy():
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(0)
    x, y = node_positions((50.0, 30.0))
    grid = rng.random((y.size, x.size)).astype(np.float32)
    u, v = rng.uniform(0, 50, 200), rng.uniform(0, 30, 200)
    expected = map_coordinates(grid, [v / CELL_M, u / CELL_M], order=1)
    np.testing.assert_allclose(sample_nodes(grid, u, v), expected, atol=1e-5)


def test_flood_grades_follow_the_depth_at_the_walls():
    from scipy.ndimage import map_coordinates

    hazard = replace(Hazard.load("flood"), damaged=((1.0, 0.7, 0.7),), effects={"depth": (6.0, 6.0)})
    plan, outcome = outcome_of(hazard, 3)
    ring = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for row, building in enumerate(plan.buildings):
        x = building["x"] + np.append(0, 0.75 * building["radius_m"] * np.cos(ring))
        y = building["y"] + np.append(0, 0.75 * building["radius_m"] * np.sin(ring))
        depth = map_coordinates(outcome.water.depth_m, [y / CELL_M, x / CELL_M], order=1, mode="nearest")
        expected = 0 if depth.max() <= 0.1 else 1
        if depth.min() > 0.1 and depth[0] > 0.35:
            expected = 3 if depth[0] > building["eave_m"] - 0.3 else 2
        assert outcome.grades[row] == expected


@pytest.mark.parametrize(("mud", "grades"), [(0.9, {2}), (0.3, {0, 1}), (0.05, {0})])
def test_what_is_seen_of_a_flood_that_has_gone_follows_from_the_mud(mud, grades):
    hazard = replace(
        Hazard.load("flood"), damaged=((1.0, 0.9, 0.9),),
        effects={"depth": (1.0, 1.0), "drained": (1.0, 1.0), "mud": (mud, mud)},  # mud is thick below deeper water
    )  # fmt: skip
    plan = village()
    sealed = replace(plan, ground=CODE["asphalt"])
    _, outcome = outcome_of(hazard, plan=plan if mud > 0.5 else sealed)
    around = outcome.modes == MODE["water_around"]
    assert around.sum() > 10
    assert set(outcome.visible[around].tolist()) <= grades
    near = outcome.modes == MODE["water_near"]  # a film is thinner there
    assert set(outcome.visible[near].tolist()) <= ({0, 1} if mud > 0.3 else {0})
