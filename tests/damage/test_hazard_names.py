"""Names of hazards at graded real places: the right one puts no truth outside the interval, and a wrong one is reported."""

from pathlib import Path

import pytest
from places import damage_scores

from deepnets4eo.damage import Settings, assess
from deepnets4eo.damage.table.vocabulary import DAMAGED, GRADES
from deepnets4eo.outputs import EventInfo

CONTRADICTED = {"no_earthquake_in_images", "water_at_dry_hazard", "water_not_told"}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("place", "name", "right"),
    [("moore_tornado", "Tornado", True), ("moore_tornado", "Earthquake", False), ("Adiyaman_Merkez_2_NE", "Earthquake", True),
     ("hurricane-harvey_00000126", "Hurricane", True), ("hurricane-harvey_00000126", "Wildfire", False), ("hurricane-florence_00000375", "Flood", False)],
)  # fmt: skip
def test_the_right_name_holds_the_truth_and_a_wrong_one_is_reported(
    real_data: Path, shipped_networks: None, place: str, name: str, right: bool
) -> None:
    site = next(site for site in damage_scores.SITES if site.name == place)
    if not (real_data / site.folder).is_dir():
        pytest.skip(f"{site.folder} is not in {real_data}")
    (case,) = site.read(real_data / site.folder)
    settings = Settings(**case.changes)
    found = assess(case.pre, case.post, case.outlines, settings=settings, event=EventInfo(name=name))
    truth = case.truth.set_index("id")["damage"].reindex(found.buildings["id"])
    truth = truth[found.table.assessed]
    damaged, unknown = int(truth.isin(DAMAGED).sum()), int((~truth.isin(GRADES)).sum())
    low, high = found.estimates["buildings"]["damaged"]["interval_95"]
    assert low <= damaged + unknown
    assert damaged <= high
    cautions = {finding.code for finding in found.findings if finding.severity == "caution"}
    assert bool(cautions & CONTRADICTED) is not right
    if not right:
        assert found.findings[0].code in CONTRADICTED
