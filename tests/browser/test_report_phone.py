"""The page on a phone, 375 px wide: its first line is one sentence, and every interval is whole and on the screen."""

import re

import pytest
from made_up_map import make_grid, make_map
from report_visit import PHONE, black

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.outputs import LANGUAGES, Finding

pytestmark = pytest.mark.browser
NARROW = {**PHONE, "viewport": {"width": 375, "height": 812}}
CAUTION = Finding("green", "caution", {"message": "12 roofs lie under trees."})
INTERVAL = re.compile(r"9\D?813–12\D?345")
SEEN = """(all) => all.filter((one) => one.checkVisibility() && one.innerText).map((one) => {
    const box = one.getBoundingClientRect();
    return [one.innerText, new Set([...one.getClientRects()].map(({ top }) => Math.round(top))).size, box.left, box.right];
})"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_line_is_one_sentence_and_intervals_are_whole(visit, tmp_path, language):
    damage_map, grid = make_map(60), make_grid()
    row = {"expected": 10_012.0, "interval_95": [9_813.0, 12_345.0]}
    damage_map.estimates = {
        "buildings": dict.fromkeys((*GRADES, "damaged"), row),
        "confusion": {grade: {"named": 10_012, "truly": dict.fromkeys(GRADES, row)} for grade in GRADES},
    }
    damage_map.findings = (CAUTION,)
    path, summary = tmp_path / "report.html", summarize(damage_map, grid)
    page = visit(write_report(damage_map, summary, path, post=black(grid), language=language), NARROW).page
    headline = page.locator("#headline")
    assert headline.inner_text() == damage_map.in_one_sentence(language)
    assert INTERVAL.search(headline.inner_text())
    for below in ("#title", "#findings", "#chips"):
        assert headline.bounding_box()["y"] < page.locator(below).bounding_box()["y"]
    page.locator("#tab-summary").click()
    seen = page.locator(".whole, .chip-range").evaluate_all(SEEN)
    assert len([text for text, *_ in seen if INTERVAL.search(text)]) >= 1 + 4 + 4 + 16, "headline, chips and tables"
    assert [text for text, lines, left, right in seen if lines != 1 or left < 0 or right > 375] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_grades_and_reasons_of_the_list_are_not_cut_beside_the_images(visit, tmp_path, language):
    damage_map, grid = make_map(30, assessed=0.0), make_grid()
    damage_map.buildings["reason"] = "under cloud"
    path = tmp_path / "report.html"
    write_report(damage_map, summarize(damage_map, grid), path, post=black(grid), language=language)
    page = visit(path, {"viewport": {"width": 1280, "height": 900}}).page
    cells = page.locator("#table .body .class span:last-child, #table .body .reason")
    assert cells.count() > 20
    assert cells.evaluate_all("(all) => all.filter((one) => one.scrollWidth > one.clientWidth).length") == 0


def test_a_command_in_the_advice_is_set_as_such(visit, tmp_path):
    damage_map, grid = make_map(60), make_grid()
    damage_map.damaged_share = {"interval_95": [0.0, 1.0]}
    path = tmp_path / "report.html"
    page = visit(write_report(damage_map, summarize(damage_map, grid), path, post=black(grid)), NARROW).page
    headline = page.locator("#headline")
    assert headline.locator("code").inner_text() == "deepnets4eo review"
    assert "`" not in headline.inner_text()


@pytest.mark.parametrize(("residual_m", "shown"), [(0.42, "± 0.4 m"), (0.034, "± 0.03 m")])
def test_the_residual_of_well_aligned_images_is_not_rounded_to_nothing(visit, tmp_path, residual_m, shown):
    damage_map, grid = make_map(12), make_grid()
    damage_map.registration["residual_m"] = residual_m
    path = tmp_path / "report.html"
    page = visit(write_report(damage_map, summarize(damage_map, grid), path, post=black(grid)), NARROW).page
    assert shown in page.locator("#quality").inner_text().replace("\u00a0", " ")
