"""The whole job on inputs that are wrong: it falls back, leaves buildings unassessed with a reason, or refuses."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from made_up_town import GRID, GSD_M, POST_SHIFT, is_rubble, layer, outlines, photo

from deepnets4eo.damage import DamageMap, Settings, assess
from deepnets4eo.damage.review import compare_with_reference
from deepnets4eo.damage.table.vocabulary import DAMAGED
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.rasters import Layer

BEFORE, AFTER = photo(after=False), photo(after=True)


@pytest.fixture(scope="module")
def pre() -> Layer:
    return layer(BEFORE)


@pytest.fixture(scope="module")
def post() -> Layer:
    return layer(AFTER)


@pytest.fixture(scope="module")
def proper(pre: Layer, post: Layer) -> DamageMap:
    return assess(pre, post, outlines())


@pytest.fixture(scope="module")
def alone(post: Layer) -> DamageMap:
    """The map of the post image alone."""
    return assess(None, post, outlines())


def codes(result: DamageMap) -> set[str]:
    """Codes of the findings but the note that asks for the hazard, which each job has whose event is not named."""
    return {finding.code for finding in result.findings} - {"water_not_excluded"}


def right_share(result: DamageMap) -> float:
    """Share of all houses that are called as they are; a house that is not assessed is not called damaged."""
    return float((result.buildings["damage"].isin(DAMAGED).to_numpy() == is_rubble()).mean())


def assessed_and_right(result: DamageMap) -> tuple[int, float]:
    """Houses that are assessed, and the share of these that are called as they are."""
    assessed = result.buildings["status"].eq("assessed").to_numpy()
    called = result.buildings["damage"].isin(DAMAGED).to_numpy()
    return int(assessed.sum()), float((called == is_rubble())[assessed].mean())


def test_proper_inputs_are_assessed_with_no_finding_but_the_note_on_the_hazard(proper: DamageMap) -> None:
    assert right_share(proper) == 1
    assert {finding.code for finding in proper.findings} == {"water_not_excluded"}


def test_footprints_far_off_are_moved_onto_their_roofs_with_a_finding(
    pre: Layer, post: Layer, proper: DamageMap
) -> None:
    found = assess(pre, post, outlines(off_m=(15.0, 12.0)))
    assert codes(found) == {"footprints_moved_far"}
    assert right_share(found) == 1
    assert np.hypot(*(np.array([found.buildings["dx_px"], found.buildings["dy_px"]]) * GSD_M)).min() > 15


@pytest.mark.parametrize("footprints", [outlines(off_m=(45.0, 40.0)), outlines(seed=9)], ids=["60 m off", "foreign"])
def test_a_failed_alignment_leaves_no_confident_grade(pre: Layer, post: Layer, footprints) -> None:
    found = assess(pre, post, footprints)
    assert codes(found) == {"alignment_failed"}
    assert found.findings[0].severity == "worthless"
    assert set(found.buildings["status"]) == {"not_assessed"}
    assert found.buildings["reason"].str.contains("alignment failed").all()
    assert found.buildings[["damage_prob", "confidence"]].isna().all(axis=None)


def test_who_knows_that_footprints_lie_well_need_not_have_them_aligned(pre: Layer, post: Layer) -> None:
    found = assess(pre, post, outlines(off_m=(45.0, 40.0)), settings=Settings(align=False))
    assert found.buildings["status"].eq("assessed").any()


def test_a_post_image_of_another_place_leaves_nothing_assessed(post: Layer) -> None:
    found = assess(layer(photo(after=False, seed=5)), post, outlines(seed=5))
    assert set(found.buildings["status"]) == {"not_assessed"}
    assert "Neither could the images be registered" in found.findings[0].message


def test_a_pre_image_of_another_place_is_not_used(post: Layer, alone: DamageMap) -> None:
    found = assess(layer(photo(after=False, seed=5)), post, outlines())
    assert codes(found) == {"registration_failed"} | codes(alone)
    assert set(found.buildings["method"]) == set(alone.buildings["method"])
    assert found.buildings["damage"].equals(alone.buildings["damage"])
    assert assessed_and_right(found)[1] == 1


def test_swapped_images_are_refused(pre: Layer, post: Layer) -> None:
    moved = outlines(off_m=(POST_SHIFT[1] * GSD_M, POST_SHIFT[0] * GSD_M))
    with pytest.raises(InputError, match="seem to be swapped"):
        assess(post, pre, moved)


def test_a_copy_of_an_image_on_another_grid_makes_no_pair(pre: Layer) -> None:
    grid = Grid(GRID.shape, GRID.affine * Affine.translation(0.3, 0.4), GRID.crs)
    copy = Layer.open(np.ascontiguousarray(pre.on(grid).read()[0]), grid=grid)
    with pytest.raises(InputError, match="seem to be one image"):
        assess(copy, pre, outlines())


@pytest.mark.parametrize("times", [2, 8])
def test_a_coarse_pre_image_is_never_worse_than_none(post: Layer, alone: DamageMap, times: int) -> None:
    side = GRID.shape[0] // times
    means = BEFORE.reshape(3, side, times, side, times).mean(axis=(2, 4)).astype(np.uint8)
    grid = Grid((side, side), GRID.affine * Affine.scale(times), GRID.crs)
    found = assess(Layer.open(means, grid=grid), post, outlines())
    (number, right), (number_alone, _) = assessed_and_right(found), assessed_and_right(alone)
    assert number >= 0.85 * number_alone > 30  # rubble of pure noise is unlike what post alone is fitted on
    assert right == 1
    assert "pre_coarse" in codes(found)


@pytest.mark.parametrize("value", [255, 128])
def test_a_block_of_one_value_is_no_ground(pre: Layer, post: Layer, proper: DamageMap, value: int) -> None:
    image = AFTER.copy()
    image[:, 100:400, 200:] = value
    found = assess(pre, layer(image), outlines())
    hidden = found.buildings["reason"].str.startswith("one single value").to_numpy()
    assert 15 < hidden.sum() < 35
    assert set(found.buildings["reason"][~hidden]) == {""}
    assert "blank_post" in codes(found)
    assert (found.buildings["damage"].isin(DAMAGED).to_numpy() == is_rubble())[~hidden].all()


@pytest.mark.parametrize(("left", "grain", "told"), [(0.3, 1.0, True), (0.01, 0.3, False)])
def test_a_roof_in_deep_shadow_is_not_told_but_one_in_light_shadow_is(
    pre: Layer, proper: DamageMap, left: float, grain: float, told: bool
) -> None:
    image, noise = AFTER.astype(float), np.random.default_rng(0)
    shade = image[:, 100:400, 200:]
    shade[:] = 20 + left * shade + noise.normal(0, grain, shade.shape)
    found = assess(pre, layer(np.clip(np.rint(image), 0, 255).astype(np.uint8)), outlines())
    hidden = found.buildings["reason"].eq("in deep shadow in the post image").to_numpy()
    assert hidden.sum() == 0 if told else hidden.sum() > 15
    assert found.buildings.loc[hidden, ["damage_prob", "confidence"]].isna().all(axis=None)
    assert [one.affected for one in found.findings if one.code == "deep_shadow_post"] == [hidden.sum()] * (not told)
    assert assessed_and_right(found)[1] == 1


def test_undeclared_nodata_is_no_ground(pre: Layer) -> None:
    image = AFTER.astype(np.int16)
    image[:, :, :256] = -9999
    found = assess(pre, layer(image), outlines())
    hidden = found.buildings["reason"].eq("no data in the post image").to_numpy()
    assert 20 < hidden.sum() < 30
    assert "undeclared_nodata_post" in codes(found)
    assert (found.buildings["damage"].isin(DAMAGED).to_numpy() == is_rubble())[~hidden].all()


def test_where_nothing_is_damaged_the_share_is_found_to_be_small(pre: Layer) -> None:
    found = assess(None, pre, outlines())
    assert found.parameters["damaged_share"] < 0.02
    assert not found.buildings["damage"].isin(DAMAGED).any()


def test_the_share_of_damaged_buildings_that_is_given_is_used(pre: Layer) -> None:
    found = assess(None, pre, outlines(), settings=Settings(damaged_share=0.4))
    assert found.parameters["damaged_share"] == 0.4


@pytest.mark.real_data
def test_joplins_footprints_mirrored_are_not_graded(real_data: Path) -> None:
    folder = real_data / "joplin"
    frame = gpd.read_file(folder / "footprints_overlap.geojson")
    west, _, east, _ = frame.total_bounds
    mirrored = frame.assign(geometry=frame.scale(-1, 1, origin=((west + east) / 2, 0)))
    found = assess(None, folder / "post", mirrored)
    assert found.buildings["damage"].isna().all()
    assert codes(found) == {"alignment_failed"}


@pytest.mark.real_data
def test_joplin_before_the_tornado_raises_no_alarm_and_24_m_cost_nothing_after_it(real_data: Path) -> None:
    folder = real_data / "joplin"
    frame = gpd.read_file(folder / "footprints_overlap.geojson")
    before = assess(None, folder / "pre", frame).buildings
    assert before["status"].eq("assessed").mean() > 0.5
    assert before["damage"].isin(DAMAGED).sum() <= 0.01 * len(before)
    moved = frame.assign(geometry=frame.translate(17 / 88_800, -17 / 111_000))
    after = assess(None, folder / "post", moved)
    assert "footprints_moved_far" in codes(after)
    assert compare_with_reference(after.buildings, gpd.read_file(folder / "damage_labels.geojson")).auc > 0.98
