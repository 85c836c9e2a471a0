"""Harmless changes between two dates: what differs, and what does not."""

import numpy as np
import pytest
from world.harmless import change, take_down
from world.layouts import lay_out
from world.plan import AFTER, BEFORE, BOTH, NO_BUILDING
from world.style import WorldStyle

from deepnets4eo.synthetic.materials import CODE


def plan_of(name, seed=3):
    return lay_out(WorldStyle.load(name), (200.0, 200.0), np.random.default_rng(seed))


def parts_at(plan, date):
    there = plan.roofs[(plan.roofs["when"] & date > 0) & (plan.roofs["building"] != NO_BUILDING)]
    return np.bincount(there["building"], minlength=len(plan.buildings))


@pytest.mark.parametrize("name", ["suburb", "terraces", "concrete-blocks"])
def test_before_all_is_as_planned_and_after_every_building_still_has_its_parts(name):
    plan = plan_of(name)
    changed = [change(plan, np.random.default_rng(seed)) for seed in range(12)]
    stood = parts_at(plan, BOTH)
    for other in changed:
        first = other.buildings[: len(plan.buildings)]
        for column in ("x", "y", "radius_m", "eave_m", "key"):
            assert np.array_equal(first[column], plan.buildings[column])
        assert np.array_equal(parts_at(other, BEFORE)[: len(stood)], stood)
        after = parts_at(other, AFTER)[: len(stood)]
        assert np.all(after[first["when"] == BOTH] >= stood[first["when"] == BOTH])
        assert np.all(after[first["when"] == BEFORE] == 0)
        new = other.buildings[len(plan.buildings) :]
        assert np.all(new["when"] == AFTER)
        assert np.all(parts_at(other, BEFORE)[len(stood) :] == 0)
    kinds = [set(np.unique(getattr(one, table)["when"])) for one in changed for table in ("roofs", "boxes", "areas")]
    assert {BEFORE, AFTER} < set().union(*kinds)


def test_the_same_seed_changes_the_same():
    plan = plan_of("industrial")
    first, again = (change(plan, np.random.default_rng(5)) for _ in range(2))
    for table in ("buildings", "roofs", "boxes", "areas", "trees"):
        assert getattr(first, table).tobytes() == getattr(again, table).tobytes()


def test_a_plot_is_cleared_with_all_that_stood_on_the_roof():
    plan = plan_of("concrete-blocks")
    cleared = take_down(plan, 20.0, np.random.default_rng(1))
    gone = np.flatnonzero(cleared.buildings["when"] == BEFORE)
    assert 0 < len(gone) < len(plan.buildings)
    things = cleared.boxes[(cleared.boxes["on_roof"] == 1) & (cleared.boxes["when"] & AFTER > 0)]
    for roof in plan.roofs[np.isin(plan.roofs["building"], gone)]:
        offset = (things["x"] - roof["x"] + 1j * (things["y"] - roof["y"])) * np.exp(-1j * float(roof["angle"]))
        inside = (np.abs(offset.real) < roof["length"] / 2 - 0.01) & (np.abs(offset.imag) < roof["width"] / 2 - 0.01)
        assert not inside.any()
    earth = cleared.areas[cleared.areas["when"] == AFTER]
    assert len(earth) == len(plan.roofs[np.isin(plan.roofs["building"], gone)])


def test_cars_come_and_go_at_about_half_of_the_sites():
    plan = plan_of("terraces")
    seeds = [seed for seed in range(30) if _moves_cars(plan, seed)]
    assert len(seeds) > 8
    assert np.all(plan.boxes["when"] == BOTH)  # the plan itself is left as it was


def _moves_cars(plan, seed):
    boxes = change(plan, np.random.default_rng(seed)).boxes
    dates = boxes["when"][boxes["material"] == CODE["car"]]
    return set(dates) >= {BEFORE, AFTER}
