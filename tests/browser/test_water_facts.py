"""The page of a damage map says how many houses stand in new water, and is silent where none does."""

import pytest
from made_up_map import make_grid, make_map
from report_visit import black, write

from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.summary import summarize

pytestmark = pytest.mark.browser
WATER = {"counts_as": "damaged", "known": 40, "inundated": 7, "structure": 3, "together": 9, "not_assessed": 0,
         "since_unknown": 0, "source": "flood.tif"}  # fmt: skip


@pytest.mark.parametrize(("water", "said"), [(WATER, True), (WATER | {"inundated": 0}, False), ({}, False)])
def test_structure_and_water_stand_apart_in_the_first_line(visit, tmp_path, water, said):
    damage_map = make_map(60)
    damage_map.inundation = water
    one = visit(write(damage_map, tmp_path / "report.html"))
    headline = one.page.locator("#headline").inner_text()
    assert ("7 stand in new water, 3 damaged by structure only" in headline) == said
    assert ("9 together" in one.page.locator("body").text_content()) == said


@pytest.mark.parametrize("language", ["en", "fr"])
def test_buildings_in_water_are_counted_and_damaged_ones_are_not_if_their_number_is_unknown(visit, tmp_path, language):
    damage_map = make_map(60)
    damage_map.inundation = WATER | {"structure": None, "together": None}
    grid, path = make_grid(), tmp_path / "report.html"
    one = visit(write_report(damage_map, summarize(damage_map, grid), path, post=black(grid), language=language))
    headline, page = one.page.locator("#headline").inner_text(), one.page.locator("body").text_content()
    stands = {"en": "7 stand in new water", "fr": "7 se trouvent dans de l'eau nouvelle"}[language]
    water = {"en": "Water: ", "fr": "Eau : "}[language]
    assert f"{stands}." in headline
    assert f"{water}{stands}." in page
