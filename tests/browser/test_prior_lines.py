"""The page of a damage map says what priors add, apart from the images, and is silent without any."""

import pytest
from made_up_map import make_map
from report_visit import write

pytestmark = pytest.mark.browser
ROW = {"expected": 120.4, "interval_95": [90.0, 150.0]}
PRIORS = {"sources": [{"kind": "wind"}, {"kind": "dpm"}], "weight": 0.2, "images_alone": ROW, "not_assessed": None,
          "with_prior": {"expected": 160.0, "interval_95": [110.0, 210.0]}, "assessed": 54, "clear": 9}  # fmt: skip
REST = {"buildings": 6, "expected": 4.0, "interval_95": [1.0, 6.0]}


@pytest.mark.parametrize("priors", [{}, PRIORS, PRIORS | {"not_assessed": REST}])
def test_images_alone_and_with_the_prior_stand_apart(visit, tmp_path, priors):
    damage_map = make_map(60)
    damage_map.priors = priors
    if priors:
        damage_map.buildings = damage_map.buildings.assign(
            prior_probability=0.5, damage_prob_with_prior=damage_map.buildings["damage_prob"]
        )
    one = visit(write(damage_map, tmp_path / "report.html"))
    body = one.page.locator("body").text_content()
    assert ("Images only: 120 (90–150); with the prior (wind, dpm): 160 (110–210)" in body) == bool(priors)
    assert ("Damaged among 6 not assessed, according to the prior, not seen: 4 (1–6)" in body) == (
        priors.get("not_assessed") is not None
    )
