"""Rural and informal layouts and the vegetation of the miniature world, checked with shapes and rasters drawn apart."""

import numpy as np
import pytest
import shapely
import shapely.affinity
from affine import Affine
from rasterio.enums import MergeAlg
from rasterio.features import rasterize
from world.layouts import lay_out
from world.layouts.clearance import distance_m, keep_apart, outline_rows, top_area
from world.layouts.land import draw_parcels
from world.plan import CONE, DOME, NO_BUILDING, PALM, Plan
from world.style import WorldStyle, style_names
from world.vegetation import plant

from deepnets4eo.synthetic.materials import CODE

LAND = ("scatter", "informal", "resort", "countryside")
OPEN_LAND = [name for name in style_names() if WorldStyle.load(name).layout in LAND]
SETTLED = [name for name in OPEN_LAND if "countryside" not in name]
SIDE_M, CELL_M = 200.0, 0.25


def draw(name, seed):
    style, rng = WorldStyle.load(name), np.random.default_rng(seed)
    return plant(lay_out(style, (SIDE_M, SIDE_M), rng), style, rng)


def shape(row, round_kinds=()):
    """A rectangle, or the ellipse in it, as a shape."""
    if "kind" in row.dtype.names and row["kind"] in round_kinds:
        whole = shapely.affinity.scale(shapely.Point(0, 0).buffer(0.5, 16), row["length"], row["width"])
    else:
        whole = shapely.box(-row["length"] / 2, -row["width"] / 2, row["length"] / 2, row["width"] / 2)
    turned = shapely.affinity.rotate(whole, float(row["angle"]), origin=(0, 0), use_radians=True)
    return shapely.affinity.translate(turned, row["x"], row["y"])


def building_shapes(plan):
    parts = [[] for _ in plan.buildings]
    for roof in plan.roofs[plan.roofs["building"] != NO_BUILDING]:
        parts[roof["building"]].append(shape(roof, (CONE, DOME)))
    return [shapely.union_all(own) for own in parts]


def burn(shapes, merge=MergeAlg.replace):
    """Number of shapes, shrunk by 0.06 m, that cover each cell's centre; 0 or 1 where merged by replacement."""
    size = int(SIDE_M / CELL_M)
    if not shapes:
        return np.zeros((size, size), np.int32)
    inner = [one.buffer(-0.06) for one in shapes]
    return rasterize(
        [(one, 1) for one in inner if not one.is_empty], (size, size), transform=Affine.scale(CELL_M),
        merge_alg=merge, dtype="int32",
    )  # fmt: skip


@pytest.mark.parametrize("name", SETTLED)
def test_buildings_overlap_neither_each_other_nor_lanes_nor_water(name):
    for seed in range(3):
        plan = draw(name, seed)
        buildings = building_shapes(plan)
        assert burn(buildings, MergeAlg.add).max() <= 1, seed
        solid = np.isin(plan.areas["material"], [CODE["asphalt"], CODE["old_asphalt"], CODE["water"]])
        lanes = plan.areas[solid & (plan.areas["shape"] == 0)]
        assert not np.any((burn(buildings) > 0) & (burn([shape(row) for row in lanes]) > 0)), seed


@pytest.mark.parametrize("name", OPEN_LAND)
def test_stems_stand_in_no_building(name):
    plan = draw(name, 5)
    tree_of_shapes = shapely.STRtree([shape(row, (CONE, DOME)) for row in plan.roofs])
    stems = shapely.points(plan.trees["x"], plan.trees["y"])
    assert tree_of_shapes.query(stems, predicate="within").size == 0
    assert len(plan.trees) > 0


@pytest.mark.parametrize("name", OPEN_LAND)
def test_a_plan_follows_from_its_seed_and_its_values_are_sound(name):
    plan, again, other = draw(name, 7), draw(name, 7), draw(name, 8)
    for table in ("buildings", "roofs", "boxes", "areas", "trees"):
        rows = getattr(plan, table)
        assert rows.tobytes() == getattr(again, table).tobytes(), table
        for column in rows.dtype.names:
            assert np.all(np.isfinite(rows[column])), (table, column)
    assert plan.trees.tobytes() != other.trees.tobytes()
    own = plan.roofs[plan.roofs["building"] != NO_BUILDING]
    assert sorted(set(own["building"])) == list(range(len(plan.buildings)))
    home = plan.buildings[own["building"]]
    reach = np.hypot(own["x"] - home["x"], own["y"] - home["y"]) + np.hypot(own["length"], own["width"]) / 2
    assert np.all(reach < home["radius_m"] + 1e-3)
    for rows in (plan.roofs, plan.areas, plan.boxes):
        assert min(rows["length"].min(initial=1), rows["width"].min(initial=1)) > 0.05
    assert plan.trees["radius"].min() > 0.2
    assert plan.trees["height_m"].min() > 0.2


def test_countryside_has_no_building_and_settled_land_has_some():
    for name in set(OPEN_LAND) - set(SETTLED):
        assert [len(draw(name, seed).buildings) for seed in range(6)] == [0] * 6
    for name in SETTLED:
        assert sum(len(draw(name, seed).buildings) for seed in range(3)) > 3, name


def test_crowns_hide_a_fifth_to_four_fifths_of_the_roofs_drawn_for_it():
    rows = []
    for seed in range(4):
        plan = draw("rural-america", 20 + seed)
        crowns = shapely.union_all(
            shapely.buffer(shapely.points(plan.trees["x"], plan.trees["y"]), plan.trees["radius"])
        )
        for roof in building_shapes(plan):
            rows.append(roof.intersection(crowns).area / roof.area)
    hidden = np.array(rows)
    assert np.mean((hidden > 0.2) & (hidden < 0.8)) > 0.2
    assert np.mean(hidden > 0.85) < 0.1


def test_palms_stand_at_the_coast():
    assert np.mean(draw("resort", 1).trees["kind"] == PALM) > 0.05


def random_rectangles(count, seed):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(0, 60, (count, 2)), rng.uniform(1, 14, (count, 2)), rng.uniform(0, 7, count)])


def polygon(rectangle):
    x, y, length, width, angle = rectangle
    turned = shapely.affinity.rotate(shapely.box(-length / 2, -width / 2, length / 2, width / 2), angle, (0, 0), True)
    return shapely.affinity.translate(turned, x, y)


def test_rectangles_are_accepted_in_order_as_shapes_say():
    candidates, taken = random_rectangles(150, 1), random_rectangles(5, 2)
    standing = [polygon(row) for row in taken]
    expected = []
    for row in candidates:
        free = not any(polygon(row).intersects(other) for other in standing)
        expected.append(free)
        standing += [polygon(row)] if free else []
    assert keep_apart(candidates, taken, 0.0).tolist() == expected
    tries = keep_apart(candidates, taken, 0.0, np.arange(150) // 10)
    assert tries.reshape(15, 10).sum(axis=1).max() == 1
    own = keep_apart(taken[:1], taken[:1], 0.0, np.array([4]), np.array([4]))
    assert own.tolist() == [True]


def test_distances_and_top_areas_are_those_of_shapes():
    rectangles, rng = random_rectangles(12, 3), np.random.default_rng(4)
    x, y = rng.uniform(-10, 70, (2, 300))
    expected = np.min([shapely.distance(polygon(row), shapely.points(x, y)) for row in rectangles], axis=0)
    assert np.allclose(distance_m(x, y, rectangles, 9.0), np.minimum(expected, 9.0), atol=1e-9)
    plan = draw("village", 3)
    inside = np.array([shapely.contains_xy(area_shape(row), x, y) for row in plan.areas])
    last = np.where(inside.any(axis=0), len(inside) - 1 - np.argmax(inside[::-1], axis=0), -1)
    assert np.mean(top_area(x, y, plan.areas) == last) > 0.99  # ellipses are polygons of 256 corners here


def area_shape(row):
    if not row["shape"]:
        return shape(row)
    whole = shapely.affinity.scale(shapely.Point(0, 0).buffer(0.5, 64), row["length"], row["width"])
    return shapely.affinity.translate(
        shapely.affinity.rotate(whole, float(row["angle"]), (0, 0), True), row["x"], row["y"]
    )


def test_parcels_cover_the_land_once():
    parcels = draw_parcels((SIDE_M, SIDE_M), (20.0, 70.0), np.random.default_rng(0))
    count = burn([polygon(row) for row in parcels], MergeAlg.add)
    assert count.max() == 1
    assert np.mean(count == 1) > 0.98


def test_an_empty_plan_is_planted_too():
    style = WorldStyle.load("suburb")
    plan = plant(Plan((60.0, 40.0), ground=CODE["grass"], patches=CODE["soil"]), style, np.random.default_rng(0))
    assert len(plan.trees) > 3
    assert outline_rows(plan.roofs).shape == (0, 5)
