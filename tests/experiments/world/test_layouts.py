"""Layouts of the miniature world: what stands where, checked on rasters drawn apart from the layouts' own geometry."""

from dataclasses import replace

import numpy as np
import pytest
from refusals import raises_naming
from world.layouts import LAYOUTS, lay_out
from world.layouts.clearance import distance_m, keep_whole, overlap, rect_rows
from world.layouts.draft import Draft
from world.layouts.furnishings import add_traffic
from world.layouts.halls import draw_motorway, pave_motorway
from world.plan import NO_BUILDING
from world.style import WorldStyle

from deepnets4eo.errors import InputError
from deepnets4eo.synthetic.materials import CODE

URBAN = [
    "campus", "concrete-blocks", "high-rise", "industrial", "motorway", "old-town", "red-earth-town", "retail", "suburb",
    "terraces",
]  # fmt: skip
EXTENT_M = (180.0, 140.0)
CELL_M = 0.25


def cells(row):
    """Rows and columns of the cells whose centres lie in a rectangle, 0.1 m inside its edge."""
    width, height = EXTENT_M
    reach = np.hypot(row["length"], row["width"]) / 2
    first_x, last_x = (int(np.clip((row["x"] + side * reach) / CELL_M, 0, width / CELL_M)) for side in (-1, 1))
    first_y, last_y = (int(np.clip((row["y"] + side * reach) / CELL_M, 0, height / CELL_M)) for side in (-1, 1))
    rows, columns = np.mgrid[first_y:last_y, first_x:last_x]
    offset = (columns + 0.5) * CELL_M - row["x"] + 1j * ((rows + 0.5) * CELL_M - row["y"])
    own = offset * np.exp(-1j * float(row["angle"]))
    inside = (np.abs(own.real) < row["length"] / 2 - 0.1) & (np.abs(own.imag) < row["width"] / 2 - 0.1)
    return rows[inside], columns[inside]


def raster():
    return np.zeros((int(EXTENT_M[1] / CELL_M), int(EXTENT_M[0] / CELL_M)), int)


def building_raster(plan):
    """Building + 1 at each cell, and how many cells two buildings share."""
    taken, shared = raster(), 0
    for roof in plan.roofs[plan.roofs["building"] != NO_BUILDING]:
        at = cells(roof)
        shared += int(np.sum((taken[at] != 0) & (taken[at] != roof["building"] + 1)))
        taken[at] = roof["building"] + 1
    return taken, shared


def draw(name, seed):
    return lay_out(WorldStyle.load(name), EXTENT_M, np.random.default_rng(seed))


@pytest.mark.parametrize("name", URBAN)
def test_buildings_share_no_ground_and_leave_the_asphalt_free(name):
    for seed in range(6):
        plan = draw(name, seed)
        taken, shared = building_raster(plan)
        assert shared == 0, (name, seed)
        asphalt = np.isin(plan.areas["material"], [CODE["asphalt"], CODE["old_asphalt"]])
        carriageways = raster()
        for area in plan.areas[asphalt]:
            carriageways[cells(area)] = 1
        assert not np.any((taken > 0) & (carriageways > 0)), (name, seed)


@pytest.mark.parametrize("name", URBAN)
def test_a_plan_follows_from_its_seed_and_its_values_are_sound(name):
    plan, again, other = draw(name, 7), draw(name, 7), draw(name, 8)
    for table in ("buildings", "roofs", "boxes", "areas", "trees"):
        rows = getattr(plan, table)
        assert rows.tobytes() == getattr(again, table).tobytes()
        for column in rows.dtype.names:
            assert np.all(np.isfinite(rows[column])), (table, column)
    assert plan.roofs.tobytes() != other.roofs.tobytes()
    some = plan.roofs[plan.roofs["building"] != NO_BUILDING]
    assert sorted(set(some["building"])) == list(range(len(plan.buildings)))
    home = plan.buildings[some["building"]]
    assert np.all(np.hypot(some["x"] - home["x"], some["y"] - home["y"]) < home["radius_m"] + 1e-3)
    assert min(some["eave_m"].min(), some["length"].min(), some["width"].min()) > 1.0
    assert plan.roofs["colour"].min() >= 0
    assert plan.roofs["colour"].max() <= 255


def test_touching_rectangles_do_not_overlap_and_crossed_ones_do():
    wall = rect_rows([0.0, 10.0, 5.0], [0.0, 0.0, 0.0], [10.0, 10.0, 30.0], [8.0, 8.0, 1.0], [0.0, 0.0, np.pi / 4])
    nothing = np.zeros((0, 5))
    assert keep_whole(wall, np.array([0, 1, 2]), nothing).tolist() == [True, True, False]
    assert keep_whole(wall, np.array([0, 1, 1]), nothing).tolist() == [True, False]
    assert keep_whole(wall, np.array([0, 1, 1]), wall[:1] + [0, 20, 0, 0, 0]).tolist() == [True, False]
    assert keep_whole(wall[1:], np.array([0, 1]), wall[:1]).tolist() == [True, False]


def test_an_unknown_layout_and_an_empty_extent_are_refused():
    style = WorldStyle.load("suburb")
    with raises_naming(InputError, "extent_m", "above 0"):
        lay_out(style, (0.0, 100.0), np.random.default_rng(0))
    with raises_naming(InputError, "suburb.yaml", '"moon"'):
        lay_out(replace(style, layout="moon"), (100.0, 100.0), np.random.default_rng(0))
    assert set(LAYOUTS) > {"streets", "rows"}


def test_cars_drive_in_the_lanes_of_wide_roads_alone():
    draft = Draft(WorldStyle.load("retail"), EXTENT_M, np.random.default_rng(1))
    roads = rect_rows(np.zeros(2), np.array([-30.0, 30.0]), np.full(2, 150.0), np.array([30.0, 8.0]))
    add_traffic(draft, roads, 0.5)
    plan = draft.to_plan()
    vehicles = plan.boxes[["x", "y", "length", "width"]]
    centre = np.array(EXTENT_M) / 2
    assert len(vehicles) > 20
    frame = (vehicles["x"] - centre[0]) + 1j * (vehicles["y"] - centre[1])
    across = np.abs(frame * np.exp(-1j * float(draft.turn)) - 1j * -30.0).imag  # from the middle of the wide road
    assert across.max() < 15


@pytest.mark.parametrize("seed", range(3))
def test_nothing_else_stands_on_the_ground_of_a_motorway(seed):
    rng = np.random.default_rng(seed)
    draft = Draft(WorldStyle.load("motorway"), EXTENT_M, rng)
    motorway = draw_motorway(draft)
    ground = motorway.corridor()
    halls = rect_rows(rng.uniform(-120, 120, 300), rng.uniform(-120, 120, 300), 20.0, 12.0, rng.uniform(0, 3, 300))
    stays = draft.take_free(halls, np.arange(300))
    assert not any(overlap(hall, piece, -0.1) for hall in halls[stays] for piece in ground)
    draft.add_boxes(halls, 2.0, (150, 150, 150, 150), "wood")
    draft.add_structures(halls, 3.0, colour=(150, 150, 150, 150))
    pave_motorway(draft, motorway)
    plan = draft.to_plan()
    turned = (ground[:, 0] + 1j * ground[:, 1]) * np.exp(1j * draft.turn)
    ground = np.column_stack([turned.real + EXTENT_M[0] / 2, turned.imag + EXTENT_M[1] / 2, ground[:, 2:]])
    ground[:, 4] += draft.turn
    for rows in (plan.roofs, plan.boxes[plan.boxes["material"] == CODE["wood"]]):
        assert len(rows)
        assert distance_m(rows["x"], rows["y"], ground).min() > 0


def test_bridges_stand_over_the_lanes_and_are_no_buildings():
    crossed = [(draft, one) for draft, one in map(motorway_of, range(12)) if len(one.crossings)]
    count = 0
    for draft, motorway in crossed:
        pave_motorway(draft, motorway)
        plan = draft.to_plan()
        decks = plan.boxes[(plan.boxes["height_m"] >= 5) & (plan.boxes["on_roof"] == 0)]
        assert (decks["length"] > 10).all()
        assert set(decks["material"]) <= {CODE["old_asphalt"]}
        assert not len(plan.buildings)
        count += len(decks)
    assert count >= len(crossed) > 0


def motorway_of(seed):
    draft = Draft(WorldStyle.load("motorway"), EXTENT_M, np.random.default_rng(seed))
    return draft, draw_motorway(draft)


def test_other_places_lend_their_colours_but_not_their_shapes():
    own, roofs, ground = (WorldStyle.load(name) for name in ("suburb", "old-town", "informal"))
    mixed = own.in_colours_of(roofs, ground, np.random.default_rng(0))
    lent = {colour for one in roofs.roofs for colour in one.colours}
    for before, after in zip(own.roofs, mixed.roofs, strict=True):
        assert (before.kinds, before.share, before.rise) == (after.kinds, after.share, after.rise)
        assert set(after.colours) <= lent or after == before  # none of its shape there
    assert any(set(one.colours) <= lent for one in mixed.roofs)
    assert (mixed.ground, mixed.poles) == (ground.ground, ground.poles)
    assert (mixed.name, mixed.layout, mixed.numbers, mixed.climate) == (own.name, own.layout, own.numbers, own.climate)
