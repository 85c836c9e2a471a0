"""Intervals of volumes hold the truth: at edges, beside outlines that lie off, under unseen roofs, and on miniature cities."""

from dataclasses import replace
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely

from deepnets4eo.points import PointCloud, RubbleOptions, debris_volumes
from deepnets4eo.points.height_grid import grid_around
from deepnets4eo.points.rubble import plans
from deepnets4eo.points.rubble.surfaces import BuildingCells
from deepnets4eo.synthetic import City, Event, aerial_scan, building_volumes

CRS = pyproj.CRS.from_user_input("EPSG:32633")
ORIGIN = np.array([400_000.0, 5_800_000.0])
LEFT, BOTTOM, RIGHT, TOP = 20.0, 20.0, 32.0, 30.0  # of the house
AREA = (RIGHT - LEFT) * (TOP - BOTTOM)
HEIGHT, HEAP = 5.0, 1.0
PLAIN = RubbleOptions(align=False, assume_registered=True)
RUBBLE = 70


def field(rng, height, *, rough=0.0, seen=lambda x, y: np.ones(len(x), bool)):
    """A level field of 50 m with one house of a height; `seen` says which of the roof's points a scan has."""
    xy = rng.uniform(0, 50, (int(8 * 50 * 50), 2))
    inside = (xy[:, 0] > LEFT) & (xy[:, 0] < RIGHT) & (xy[:, 1] > BOTTOM) & (xy[:, 1] < TOP)
    z = 100 + rng.normal(0, 0.02, len(xy)) + np.where(inside, height + rough * rng.uniform(-1, 1, len(xy)), 0)
    kept = ~inside | seen(xy[:, 0], xy[:, 1])
    return PointCloud(np.column_stack([xy + ORIGIN, z])[kept], crs=CRS)


def house(east=0.0):
    box = shapely.box(LEFT + east, BOTTOM, RIGHT + east, TOP)
    return gpd.GeoDataFrame(
        {"id": ["a"], "tall": [HEIGHT]}, geometry=[shapely.transform(box, lambda xy: xy + ORIGIN)], crs=CRS
    )


def measured(before, after, outlines):
    result = debris_volumes(after, outlines, before, PLAIN)
    return result, result.buildings.iloc[0]


def holds(row, name, truth):
    return row[f"{name}_low_m3"] <= truth <= row[f"{name}_high_m3"]


def test_falls_at_the_edge_of_a_house_that_stands_may_be_none():
    """Cells on the edge hold roof at one date and ground at the other, by chance."""
    rng = np.random.default_rng(0)
    _, row = measured(field(rng, HEIGHT), field(rng, HEIGHT), house(east=0.3))
    assert row["lost_m3"] > 3
    assert holds(row, "lost", 0.0)
    assert holds(row, "debris", 0.0)
    assert row["state"] == "standing"


def test_a_roof_beyond_its_outline_is_within_the_interval(monkeypatch):
    rng = np.random.default_rng(1)
    before, after = field(rng, HEIGHT), field(rng, HEAP, rough=0.3)
    _, row = measured(before, after, house(east=1.4))
    assert row["lost_m3"] < 0.92 * AREA * (HEIGHT - HEAP)
    assert holds(row, "lost", AREA * (HEIGHT - HEAP))
    assert holds(row, "debris", AREA * HEAP)
    beyond = row["lost_high_m3"]
    monkeypatch.setattr(plans.PlanRules, "built_margin_m", 0.0)
    _, without = measured(before, after, house(east=1.4))
    assert without["lost_high_m3"] < beyond - 20


def test_litter_on_a_slab_and_heaps_beside_walls_may_be_debris():
    """Litter of 0.2 m on a slab, and a wall that is higher than a heap."""
    rng = np.random.default_rng(2)
    before = field(rng, HEIGHT)
    after = field(rng, 0.2)
    x = after.xyz[:, 0] - ORIGIN[0]
    y = after.xyz[:, 1] - ORIGIN[1]
    wall = (x > 23) & (x < 24) & (y > BOTTOM) & (y < TOP)
    after.xyz[wall, 2] += 2.8
    _, row = measured(before, after, house())
    assert row["debris_m3"] < 6
    assert holds(row, "debris", AREA * 0.2)
    assert row["debris_high_m3"] > AREA * 0.2 + 10 * 1 * 2  # the wall's cells, up to the height of a heap


def test_what_lay_beside_a_house_before_is_no_debris():
    """A low shed at both dates, 2 m from a house that has come down."""
    found = []
    for shed_m in (0.0, 1.0):
        rng = np.random.default_rng(7)
        clouds = field(rng, HEIGHT), field(rng, HEAP)
        for cloud in clouds:
            x, y = (cloud.xyz[:, :2] - ORIGIN).T
            cloud.xyz[(x > RIGHT + 2) & (x < RIGHT + 5) & (y > BOTTOM) & (y < TOP), 2] += shed_m
        found.append(measured(*clouds, house())[1])
    for row in found:
        assert row["debris_around_m3"] < 0.1 * 3 * (TOP - BOTTOM)
        assert row["debris_m3"] == pytest.approx(AREA * HEAP, rel=0.1)


@pytest.mark.parametrize("cell_m", [0.5, 1.0, 2.0])
def test_a_heap_beside_a_house_has_its_cubic_metres_in_cells_of_any_size(cell_m):
    rng = np.random.default_rng(8)
    before, after = field(rng, HEIGHT), field(rng, HEAP)
    x, y = (after.xyz[:, :2] - ORIGIN).T
    after.xyz[(x > RIGHT) & (x < RIGHT + 2) & (y > BOTTOM) & (y < TOP), 2] += 1.2
    result = debris_volumes(after, house(), before, replace(PLAIN, cell_m=cell_m))
    assert result.buildings["debris_m3"].item() == pytest.approx(AREA * HEAP + 1.2 * 2 * (TOP - BOTTOM), rel=0.06)


def test_where_the_roof_was_not_seen_the_interval_is_wide_and_a_finding_says_so():
    """As from the street: points on a rim of 1.5 m, nothing within. What came down there is unknown."""

    def rim(x, y):
        return np.minimum.reduce([x - LEFT, RIGHT - x, y - BOTTOM, TOP - y]) < 1.5

    rng = np.random.default_rng(3)
    whole, _ = measured(field(rng, HEIGHT), field(rng, HEIGHT), house())
    assert whole.buildings["roof_seen_share"].item() > 0.95
    assert "roofs_unseen" not in [finding.code for finding in whole.findings]
    result, row = measured(field(rng, HEIGHT, seen=rim), field(rng, HEIGHT, seen=rim), house())
    assert row["roof_seen_share"] < 0.3
    assert row["known_share"] > 0.3
    unseen = (RIGHT - LEFT - 3) * (TOP - BOTTOM - 3)
    assert holds(row, "lost", 0.0)
    assert holds(row, "lost", 0.9 * unseen * HEIGHT)
    (finding,) = [finding for finding in result.findings if finding.code == "roofs_unseen"]
    assert finding.severity == "caution"
    assert finding.message.startswith(
        "Less than half of the roof has heights in 1 of 1 footprint: their states and volumes"
    )


def test_a_lost_volume_was_not_seen_where_the_part_without_heights_may_hold_as_much_again():
    """Points on one half of the plan: it stands, or has come down. The roof of the other half may have gone as well."""
    rng = np.random.default_rng(5)

    def west(x, y):
        return x < (LEFT + RIGHT) / 2

    before, half_gone = field(rng, HEIGHT), field(rng, HEIGHT, seen=west)
    gone = half_gone.xyz[:, 0] - ORIGIN[0] < LEFT + 2
    inside = half_gone.xyz[:, 2] > 102
    half_gone.xyz[gone & inside, 2] -= HEIGHT - HEAP
    for after, unseen_m3, seen in (
        (field(rng, HEAP), 0, True),
        (field(rng, HEAP, seen=west), AREA / 2 * HEAP, False),
        (field(rng, 0.1, seen=west), AREA / 2 * 0.1, True),
        (half_gone, AREA / 2 * (HEIGHT - (HEIGHT - HEAP) / 3), False),
    ):
        result, row = measured(before, after, house())
        assert row["state"] != "standing"
        assert row["lost_unseen_m3"] == pytest.approx(unseen_m3, abs=AREA * HEIGHT / 20)
        assert (row["lost_unseen_m3"] <= 0.1 * row["lost_m3"]) == seen
        codes = [finding.code for finding in result.findings]
        assert ("losses_unseen" in codes) == (not seen)


def test_edge_and_roof_weigh_by_their_cells_however_many_of_each_were_seen():
    """Three buildings of four cells, two of them within: one seen at the edge and in part of the roof, one at the edge, one not."""
    cells = BuildingCells(np.repeat([0, 1, 2], 4), np.arange(12), 3)
    inner = np.tile([False, False, True, True], 3)
    known = np.array([True, True, True, False, True, False, False, False, *[False] * 4])
    heights = np.where(inner, 8.0, 5.0)
    np.testing.assert_allclose(cells.mean(heights, known), [6.0, 5.0, np.nan])
    np.testing.assert_allclose(cells.mean_of_parts(heights, known, inner), [6.5, 5.0, np.nan])


@pytest.mark.slow
def test_intervals_hold_the_truth_on_cities_that_nothing_was_chosen_on():
    """SYNTHETIC: scans from the air. 95 % are nominal; some 60 volumes leave room for chance."""
    rows = []
    for seed in (811, 812, 813):
        city = City(seed, 260, 0.4, event=Event(kind="quake", damage_shares=(0.4, 0.1, 0.2, 0.3)))
        clouds = [aerial_scan(one) for one in (city.pre, city.post)]
        for cloud in clouds:
            cloud.classification[cloud.classification == RUBBLE] = 1
        whole = city.buildings.loc[city.buildings.within(city.extent.buffer(-3)), ["id"]]
        truth = building_volumes(city).merge(whole, on="id")
        for outlines, align in ((city.buildings, False), (city.footprints(), True)):
            table = debris_volumes(clouds[1], outlines, clouds[0], replace(PLAIN, align=align)).buildings
            rows.append(table.merge(truth, on="id", suffixes=("", "_true")))
    joined = pd.concat(rows)
    joined = joined[joined["state"] != "not-assessed"]
    around = joined["debris_around_m3"]  # the truth is of the plans
    debris = joined["debris_m3_true"].between(joined["debris_low_m3"] - around, joined["debris_high_m3"] - around)
    lost = joined["lost_m3_true"].between(joined["lost_low_m3"], joined["lost_high_m3"])
    small = joined["debris_m3_true"].between(1, 100)
    assert small.sum() >= 20
    assert debris[small].mean() >= 0.9
    assert debris.mean() >= 0.9
    assert lost.mean() >= 0.9


@pytest.mark.parametrize("cell_m", [0.25, 0.5, 1.0, 2.0])
def test_falls_farther_from_those_within_than_the_margin_and_a_cell_are_at_the_edge_alone(cell_m):
    """A row of cells that have come down, of which the first lies away from the edge: by distance in metres."""
    grid = grid_around((0, 0, 12 * cell_m - 1e-3, 1e-3), cell_m)
    cells = BuildingCells.from_outlines(np.array([shapely.box(0, 0, 12 * cell_m, cell_m)]), grid)
    column = cells.flat % grid.shape[1]
    gone = column != 11
    inputs = SimpleNamespace(terrain=np.zeros(grid.shape, np.float32), cell_m=cell_m)
    plan = SimpleNamespace(gone=gone, inner=column == 0)
    doubts = plans.Doubts(inputs, cells, plan, None, None, 0.5, None)
    np.testing.assert_array_equal(doubts._at_edge_alone(), gone & (column * cell_m > 1.25 + cell_m))
    nothing_within = plans.Doubts(inputs, cells, SimpleNamespace(gone=gone, inner=~gone), None, None, 0.5, None)
    np.testing.assert_array_equal(nothing_within._at_edge_alone(), gone)
