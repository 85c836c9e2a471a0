"""What users get by default: jobs with the shipped networks give the stored results.

`python tests/test_golden_jobs.py` stores them anew; a change that needs it says why in the changelog.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from made_up_golden import dates, flooded, site

from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.network.find_buildings import find_footprints, with_segmenter
from deepnets4eo.floods import FloodOptions, map_flood
from deepnets4eo.registration import ImagePair

STORED = Path(__file__).with_name("golden_jobs.json")
TOLERANCE = 1e-3  # of a probability; processors differ in the last bits of float32
MIN_SAME_GRADES = 0.97  # of the default path, whose precision and runtime the processor decides
MAX_AREA_CHANGE = 0.02  # of the flooded area

pytestmark = [
    pytest.mark.usefixtures("shipped_networks"),
    pytest.mark.core("the only jobs of the suite with what users get by default"),
]


def damage_job(**keys: Any) -> dict[str, Any]:
    """Return id, grade and probability of each building of the site."""
    pytest.importorskip("torch", reason="networks need PyTorch: pip install deepnets4eo[deep]")
    buildings = assess(*dates(site()), site().footprints(), settings=Settings(**({"workers": 1} | keys))).buildings
    probabilities = [None if np.isnan(value) else round(float(value), 5) for value in buildings["damage_prob"]]
    return {"id": list(buildings["id"]), "damage": list(buildings["damage"].astype(object).where(buildings["damage"].notna(), None)), "damage_prob": probabilities}  # fmt: skip


def pinned_job(workers: int = 1) -> dict[str, Any]:
    """Return the job whose networks are computed by PyTorch in float32."""
    return damage_job(precision="float32", runtime="torch", workers=workers)


def found_buildings(folder: Path) -> gpd.GeoDataFrame:
    """Return the outlines that `damage PRE POST -` finds in the pre image."""
    pre, post = dates(site())
    pair = ImagePair.open(pre, post)
    return find_footprints(pair, with_segmenter("-", Settings(workers=1)), folder / "labels.tif", None)


def flood_job(folder: Path) -> dict[str, Any]:
    """Return the figures of the flood."""
    flood = map_flood([dates(site())[0]], flooded(site()), folder / "flood", FloodOptions(workers=1))
    assert flood is not None
    return {"flood_ha": round(float(flood.polygons["area_m2"].sum()) / 1e4, 3), "regions": len(flood.polygons)}


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    return json.loads(STORED.read_text(encoding="utf-8"))


def test_float32_by_torch_gives_the_stored_probabilities(stored):
    assert_same(pinned_job(), stored["damage"])


@pytest.mark.beyond_core
def test_two_workers_give_the_stored_probabilities(stored):
    assert_same(pinned_job(workers=2), stored["damage"])


def test_the_default_path_gives_the_stored_grades(stored):
    found, expected = damage_job(), stored["damage"]
    assert found["id"] == expected["id"]
    assert (
        np.mean([one == other for one, other in zip(found["damage"], expected["damage"], strict=True)])
        >= MIN_SAME_GRADES
    )


def test_found_buildings_are_the_stored_ones(stored, tmp_path):
    found = found_buildings(tmp_path)
    assert len(found) == pytest.approx(stored["found"]["count"], rel=0.03)
    assert found.area.sum() == pytest.approx(stored["found"]["area_m2"], rel=0.03)


def test_a_flood_has_the_stored_area(stored, tmp_path):
    found = flood_job(tmp_path)
    assert found["flood_ha"] == pytest.approx(stored["flood"]["flood_ha"], rel=MAX_AREA_CHANGE)
    assert found["regions"] == stored["flood"]["regions"]


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Assert the ids, and the probabilities within the tolerance."""
    assert found["id"] == expected["id"]
    values = (np.array(one["damage_prob"], float) for one in (found, expected))  # None becomes NaN
    np.testing.assert_allclose(*values, atol=TOLERANCE)


def main() -> None:
    """Store the results anew."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        buildings = found_buildings(Path(folder))
        results = {
            "damage": pinned_job(),
            "found": {"count": len(buildings), "area_m2": round(float(buildings.area.sum()), 1)},
            "flood": flood_job(Path(folder)),
        }
    STORED.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
