"""The page on a phone, 375 px wide: its first line is one sentence, and every interval is whole and on the screen."""

import re

import pytest
from made_up_map import make_grid, make_map
from report_visit import PHONE, black

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.decision.findings import share_findings
from deepnets4eo.damage.decision.site_fit import ShareEstimate
from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.outputs import Finding
from deepnets4eo.outputs.wording import LANGUAGES

pytestmark = pytest.mark.browser
NARROW = {**PHONE, "viewport": {"width": 375, "height": 812}}
CAUTION = Finding("green", "caution", {"message": "12 roofs lie under trees."})
INTERVAL = re.compile(r"9\D?813–12\D?345")
SEEN = """(all) => all.filter((one) => one.checkVisibility() && one.innerText).map((one) => {
    const box = one.getBoundingClientRect();
    return [one.innerText, new Set([...one.getClientRects()].map(({ top }) => Math.round(top))).size, box.left, box.right];
})"""

# Where the ends of each range that is shown are on the screen.
PLACES = """([low, high]) => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
    for (let node; (node = walker.nextNode()); ) {
        const at = node.data.indexOf(`${low}–${high}`);
        if (at < 0 || !node.parentElement.checkVisibility() || node.parentElement.closest("script")) continue;
        const left = (start, length) => {
            const range = document.createRange();
            range.setStart(node, start);
            range.setEnd(node, start + length);
            return range.getBoundingClientRect().left;
        };
        found.push([node.data, left(at, low.length), left(at + low.length + 1, high.length)]);
    }
    return found;
}"""


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
    summary["by_grade"] = {grade: counts | {"count": 10_012} for grade, counts in summary["by_grade"].items()}
    page = visit(write_report(damage_map, summary, path, post=black(grid), language=language), NARROW).page
    headline = page.locator("#headline")
    told = damage_map.page_headline(language)
    assert headline.inner_text() == f"{told.number} {told.sentence}"
    assert INTERVAL.search(page.locator("#interval").inner_text())
    for below in ("#interval", "#limit", "#title", "#findings", "#layers"):
        assert headline.bounding_box()["y"] < page.locator(below).bounding_box()["y"]
    page.locator("#tab-summary").click()
    page.locator("#layers-key").tap()
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
    damage_map.findings = share_findings(ShareEstimate(0.5, "estimated", (0.0, 1.0), 0.0, 0.5), 60)
    path = tmp_path / "report.html"
    page = visit(write_report(damage_map, summarize(damage_map, grid), path, post=black(grid)), NARROW).page
    findings = page.locator("#findings")
    assert findings.locator("code").all_inner_texts() == [
        "deepnets4eo review FOLDER --serve",
        "deepnets4eo review FOLDER --update",
    ]
    assert "`" not in findings.inner_text()


@pytest.mark.parametrize(("residual_m", "shown"), [(0.42, "± 0.4 m"), (0.034, "± 0.03 m")])
def test_the_residual_of_well_aligned_images_is_not_rounded_to_nothing(visit, tmp_path, residual_m, shown):
    damage_map, grid = make_map(12), make_grid()
    damage_map.registration["residual_m"] = residual_m
    path = tmp_path / "report.html"
    page = visit(write_report(damage_map, summarize(damage_map, grid), path, post=black(grid)), NARROW).page
    assert shown in page.locator("#quality").inner_text().replace("\u00a0", " ")


@pytest.mark.parametrize(("interval", "shown"), [([14.0, 49.0], ""), ([45.0, 52.0], "true 45–52")])
def test_a_chip_shows_the_interval_of_the_true_number_only_around_its_count(visit, tmp_path, interval, shown):
    damage_map, grid = make_map(60), make_grid()
    path, summary = tmp_path / "report.html", summarize(damage_map, grid)
    row = summary["by_grade"]["no-damage"] | {"count": 51, "expected": 41.0, "interval_95": interval}
    summary["by_grade"]["no-damage"] = row
    page = visit(write_report(damage_map, summary, path, post=black(grid))).page
    chip = page.locator(".chip[data-class=no-damage]")
    assert chip.locator("b").inner_text() == "51"
    assert chip.locator(".chip-range").inner_text() == shown
    assert f"41 expected, 95 % interval {interval[0]:.0f}–{interval[1]:.0f}; 51 classified" in chip.get_attribute(
        "title"
    )


def test_destroyed_buildings_on_the_map_are_a_lower_bound_if_the_outlines_are_of_after_the_event(visit, tmp_path):
    damage_map, grid = make_map(60), make_grid()
    damage_map.parameters["segmenter"], damage_map.registration = "buildings", {}
    destroyed = int((damage_map.buildings["damage"] == "destroyed").sum())
    assert destroyed > 0
    path = tmp_path / "report.html"
    page = visit(write_report(damage_map, summarize(damage_map, grid), path, post=black(grid))).page
    assert page.locator(".chip[data-class=destroyed] b").inner_text() == f"≥ {destroyed}"


@pytest.mark.parametrize("unit", ["m", "px"])
def test_lengths_of_the_registration_have_its_unit(visit, tmp_path, unit):
    damage_map, grid = make_map(12), make_grid()
    damage_map.registration |= {
        "unit": unit,
        "residual_m": 0.42,
        "shift_m": 1.5,
        "footprints": {"dx_m": -2.0, "dy_m": 1.0},
    }
    path = tmp_path / "report.html"
    page = visit(write_report(damage_map, summarize(damage_map, grid), path, post=black(grid))).page
    page.locator("#tab-summary").click()
    told = (page.locator("#quality").inner_text() + page.locator("#view-summary").inner_text()).replace("\u00a0", " ")
    for length in ("± 0.4", "1.50", "0.42", "2.0"):
        assert f"{length} {unit}" in told
    assert f"1.0 {unit} down" in told


def test_ranges_run_from_low_to_high_on_a_page_from_right_to_left(visit, tmp_path):
    damage_map, grid = make_map(60), make_grid()
    row = {"expected": 30.0, "interval_95": [5.0, 59.0]}
    damage_map.estimates = {"buildings": dict.fromkeys((*GRADES, "damaged"), row)}
    path, summary = tmp_path / "report.html", summarize(damage_map, grid)
    summary["by_grade"] = {grade: counts | {"count": 30} for grade, counts in summary["by_grade"].items()}
    page = visit(write_report(damage_map, summary, path, post=black(grid), language="ar")).page
    places = page.evaluate(PLACES, ["5", "59"])
    assert len(places) >= 1 + 4
    assert [text for text, low, high in places if not low < high] == []
