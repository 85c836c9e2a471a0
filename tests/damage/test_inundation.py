"""Water around buildings: found in a flooded pair, given as a raster, counted apart from the structure (SYNTHETIC places)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.inundation import LEAST, MOST, PROBABILITY, moved_estimates, with_inundation
from deepnets4eo.damage.vocabulary import GRADES
from deepnets4eo.errors import InputError
from deepnets4eo.rasters.cog import CogWriter
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.synthetic import City
from deepnets4eo.zonal import class_counts

pytestmark = pytest.mark.usefixtures("registered_once")
CITY = City(seed=1, size_px=512)
PRE = Layer.open(CITY.pre.image, grid=CITY.grid)
WATER = Settings(network=False)


def flooded_post() -> tuple[Layer, np.ndarray]:
    """The post image, whose lower half is smooth, brown water up to the walls; (H, W) where that is."""
    image, flood = np.array(CITY.post.image), np.zeros(CITY.post.image.shape[1:], np.uint8)
    houses = class_image()
    flood[256:] = 1
    flood[houses > 0] = 0
    noise = np.random.default_rng(0).normal(0, 1, image.shape)
    water = np.array([120.0, 105, 80, 60])[:, None, None] + noise
    return Layer.open(np.where(flood == 1, water, image).clip(0, 255).astype(np.uint8), grid=CITY.post.grid), flood


def class_image() -> np.ndarray:
    from rasterio.features import rasterize

    return rasterize([(shape, 1) for shape in CITY.footprints().geometry], CITY.grid.shape, transform=CITY.grid.affine)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """A map with its water by a raster, one of the same job without water, and the raster."""
    post, flood = flooded_post()
    path = tmp_path_factory.mktemp("water") / "water.tif"
    with CogWriter(path, CITY.grid, nodata=255) as writer:
        from deepnets4eo.grid import whole

        writer.write(whole(CITY.grid), flood)
    settings = Settings(network=False, water=str(path))
    return [
        assess(PRE, post, CITY.footprints(), settings=one) for one in (settings, Settings(network=False, water="none"))
    ], path


def test_buildings_surrounded_by_given_water_are_damaged_and_the_others_stay(maps) -> None:
    (wet_map, dry_map), path = maps
    wet, dry = wet_map.buildings.set_index("id"), dry_map.buildings.set_index("id")
    assert "inundated" not in dry
    around = wet.geometry.buffer(12).difference(wet.geometry.buffer(2))
    counts = class_counts(Layer.open(path), around.to_numpy(), 2).counts
    share = counts[:, 1] / counts.sum(axis=1)
    np.testing.assert_allclose(
        wet["ev_water_ring_share"], np.where(wet["status"] == "assessed", share, np.nan), atol=0.03
    )
    surrounded = (wet["inundated"] == "yes") & (wet["status"] == "assessed")
    assert 0 < surrounded.sum() < (wet["status"] == "assessed").sum()
    clear = (wet["inundated"] != "not known") & (abs(share - 0.4) > 0.03)
    assert clear.sum() > 10
    assert ((share > 0.4) == (wet["inundated"] == "yes"))[clear].all()
    assert wet.loc[surrounded, "damage"].isin(GRADES[2:]).all()
    assert (wet.loc[surrounded, "damage_prob"] >= PROBABILITY).all()
    assert wet.loc[surrounded, "reason"].str.startswith("surrounded by water").all()
    pd.testing.assert_frame_equal(wet.loc[~surrounded, ["damage", "damage_prob", "confidence", "damage_set"]],
                                  dry.loc[~surrounded, ["damage", "damage_prob", "confidence", "damage_set"]])  # fmt: skip


def test_structure_and_water_are_counted_apart_and_together(maps) -> None:
    (wet_map, dry_map), _ = maps
    counts, rows = wet_map.inundation, wet_map.buildings
    assessed = rows["status"] == "assessed"
    assert counts["inundated"] == int(((rows["inundated"] == "yes") & assessed).sum())
    assert counts["structure"] == int(dry_map.buildings["damage"].isin(GRADES[2:]).sum())
    assert counts["together"] == int(rows["damage"].isin(GRADES[2:]).sum()) > counts["structure"]
    assert (
        f"{counts['inundated']} stand in new water" in wet_map.headline() or "stands in new water" in wet_map.headline()
    )
    finding = next(one for one in wet_map.findings if one.code == "buildings_in_water")
    assert "count as damaged, as in xBD" in finding.message
    assert dry_map.inundation == {}


def test_water_is_seen_in_the_images_themselves(monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.floods.optical.LEAST_M2", 300.0)  # the miniature city is small
    found = assess(PRE, flooded_post()[0], CITY.footprints(), settings=WATER).buildings
    dry = assess(PRE, Layer.open(CITY.post.image, grid=CITY.post.grid), CITY.footprints(), settings=WATER).buildings
    assert (found["inundated"] == "yes").sum() >= 2
    assert not (dry["inundated"] == "yes").any()


def test_what_water_counts_as_is_a_setting(maps) -> None:
    (wet_map, _), path = maps
    post = flooded_post()[0]
    grades = {}
    for counts_as in ("possibly-damaged", "shown"):
        settings = Settings(network=False, water=str(path), inundation=counts_as)
        rows = assess(PRE, post, CITY.footprints(), settings=settings).buildings
        grades[counts_as] = rows.loc[(rows["inundated"] == "yes") & (rows["status"] == "assessed"), "damage"]
    assert grades["possibly-damaged"].isin(GRADES[1:]).all()
    assert (grades["possibly-damaged"] == GRADES[1]).any()
    assert (grades["shown"] == GRADES[0]).any()


def test_estimates_move_by_what_is_known_of_houses_in_water() -> None:
    """Ten houses, of which two in water, that look whole: damage of 69 to 100 % of the two is added."""
    rows = dict(
        zip((*GRADES, "damaged"), ((6.0, 4, 8), (2.0, 1, 4), (1.0, 0, 2), (1.0, 0, 2), (2.0, 1, 4)), strict=True)
    )
    estimates = {
        "buildings": {name: {"expected": each[0], "interval_95": list(each[1:])} for name, each in rows.items()}
    }
    moved = moved_estimates(estimates, np.array([0.1, 0.2]))["buildings"]
    gain = 2 * PROBABILITY - 0.3
    assert moved["damaged"]["expected"] == pytest.approx(2 + gain)
    assert moved["damaged"]["interval_95"] == pytest.approx([1 + 2 * LEAST - 0.3, 4 + 2 * MOST - 0.3])
    assert moved["no-damage"]["expected"] == pytest.approx(6 - gain * 6 / 8)
    assert moved["destroyed"] == estimates["buildings"]["destroyed"]
    assert sum(moved[grade]["expected"] for grade in GRADES) == pytest.approx(10)
    assert moved_estimates({}, np.array([0.1])) == {}


def test_without_an_image_before_water_is_named_and_grades_stay(monkeypatch) -> None:
    monkeypatch.setattr("deepnets4eo.floods.optical.LEAST_M2", 300.0)
    found = assess(None, flooded_post()[0], CITY.footprints(), settings=WATER)
    plain = assess(None, flooded_post()[0], CITY.footprints(), settings=Settings(network=False, water="none"))
    assert found.inundation["since_unknown"] >= 2
    assert "buildings_in_old_or_new_water" in {finding.code for finding in found.findings}
    assert not (found.buildings["inundated"] == "yes").any()
    assert (found.buildings["damage"].fillna("") == plain.buildings["damage"].fillna("")).all()


def test_a_raster_that_is_no_map_of_water_is_refused(tmp_path: Path) -> None:
    post = flooded_post()[0]
    with pytest.raises(InputError, match="has 4 bands; expected one"):
        from geotiff import write_geotiff

        path = write_geotiff(
            tmp_path / "rgb.tif", np.array(CITY.post.image), crs=CITY.grid.crs.to_wkt(), transform=CITY.grid.affine
        )
        assess(PRE, post, CITY.footprints(), settings=Settings(water=str(path)))


def test_buildings_that_are_covered_are_destroyed_and_sets_hold_what_lies_between() -> None:
    from dataclasses import replace
    from types import SimpleNamespace

    from deepnets4eo.damage.evidence import EvidenceTable
    from deepnets4eo.floods import BuildingWater

    frame = pd.DataFrame({"id": list("abc"), "status": "assessed", "reason": ["", "", ""]})
    graded = pd.DataFrame({"damage": [GRADES[0], GRADES[1], GRADES[0]], "damage_prob": [0.1, 0.3, 0.1],
                           "confidence": 0.8, "damage_set": [GRADES[0], f"{GRADES[0]},{GRADES[1]}", GRADES[0]]})  # fmt: skip
    decision = SimpleNamespace(evidence=EvidenceTable(frame, {}), graded=graded, estimates={}, findings=())
    water = BuildingWater(np.array([0.0, 0.9, 0.0]), np.array([0.9, 0.9, 0.1]), np.array(["yes", "yes", "no"], object))
    import deepnets4eo.damage.inundation as module

    original = module.replace
    module.replace = lambda item, **new: (
        SimpleNamespace(**{**vars(item), **new}) if isinstance(item, SimpleNamespace) else replace(item, **new)
    )
    try:
        after, found = with_inundation(decision, water, "a map", True, Settings())
    finally:
        module.replace = original
    assert after.graded["damage"].tolist() == [GRADES[2], GRADES[3], GRADES[0]]
    assert after.graded["damage_set"].tolist() == [",".join(GRADES[:3]), ",".join(GRADES), GRADES[0]]
    assert after.evidence.frame["reason"].tolist() == ["surrounded by water", "under water", ""]
    assert (found.structure, found.together, found.inundated) == (0, 2, 2)
