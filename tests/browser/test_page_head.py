"""The first lines of a page, its findings behind a question, its layers, and the one panel with a line that phones open with."""

import numpy as np
import pytest
from made_up_map import make_grid, make_map
from report_visit import PHONE, by_probability, write

from deepnets4eo.outputs import Finding
from deepnets4eo.outputs.wording import LANGUAGES

pytestmark = pytest.mark.browser

DESKTOP = {"viewport": {"width": 1440, "height": 900}}
SHARES = """() => {
    const track = document.querySelector(".track").getBoundingClientRect(), at = (x) => (x - track.left) / track.width;
    const band = document.querySelector(".track i").getBoundingClientRect(), mark = document.querySelector(".track u")?.getBoundingClientRect();
    return [at(band.left), at(band.right), mark ? at((mark.left + mark.right) / 2) : null];
}"""
FINDINGS = tuple(
    Finding(f"f{k}", severity, {"message": f"Finding number {k}. " * 9})
    for k, severity in enumerate(("caution", "caution", "note", "note", "note"))
)


def estimated(number=60, low=9.0, high=30.0):
    damage_map = make_map(number, assessed=1.0)
    damage_map.estimates = {"buildings": {"damaged": {"expected": 20.0, "interval_95": [low, high]}}}
    damage_map.findings = FINDINGS
    return damage_map


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bar_shows_the_interval_and_the_number_within_all_buildings(visit, tmp_path, language):
    from report_visit import black

    from deepnets4eo.damage.products.report import write_report
    from deepnets4eo.damage.products.summary import summarize

    damage_map, grid = estimated(), make_grid()
    path = tmp_path / "report.html"
    write_report(damage_map, summarize(damage_map, grid), path, post=black(grid), language=language)
    one = visit(path, DESKTOP)
    damaged = int(damage_map.table.damaged.sum())
    assert one.page.evaluate(SHARES) == pytest.approx([9 / 60, 30 / 60, damaged / 60], abs=0.01), "from left to right"
    damage_map.damaged_share = {"value": 0.4, "interval_95": [0.0, 1.0]}
    write_report(damage_map, summarize(damage_map, grid), path, post=black(grid), language=language)
    one = visit(path, DESKTOP)
    assert one.page.evaluate(SHARES)[2] is None, "no number is told"
    assert "9–30" in one.page.locator("#headline .figure").inner_text()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (375, 667), (768, 1024), (1440, 900)])
def test_number_bar_and_limit_come_first_and_are_seen_without_scrolling(visit, tmp_path, width, height):
    options = PHONE if width < 500 else DESKTOP
    one = visit(
        write(estimated(), tmp_path / "report.html"),
        {**options, "viewport": {"width": width, "height": height}},
        swipe=True,
    )
    ends = [one.page.locator(name).bounding_box() for name in ("#headline", "#interval", "#limit", "#findings")]
    assert ends[0]["y"] < 20
    assert all(above["y"] < below["y"] for above, below in zip(ends, ends[1:], strict=False))
    assert ends[2]["y"] + ends[2]["height"] < 0.3 * height
    assert one.page.locator("#panels").bounding_box()["y"] < 0.5 * height


def test_opened_findings_lie_over_the_scene_and_each_is_there_once(visit, tmp_path):
    one = visit(write(estimated(), tmp_path / "report.html"), DESKTOP)
    before = one.page.locator("#panels").bounding_box()
    button = one.page.locator("#findings-button")
    assert button.inner_text() == "How sure is this? 2 cautions, 3 notes"
    button.click()
    assert one.page.locator("#panels").bounding_box() == before
    text = one.page.locator("#findings").inner_text()
    assert [text.count(f"Finding number {k}.") for k in range(5)] == [9] * 5
    assert one.page.locator("body").inner_text().count("Finding number 3.") == 9
    one.page.keyboard.press("Escape")
    assert one.page.locator("#findings-more").is_hidden()


@pytest.mark.parametrize(
    ("options", "shape", "swiped"),
    [(PHONE, (200, 256), True), (PHONE, (256, 100), True), (DESKTOP, (256, 256), True), (DESKTOP, (100, 400), False)],
)
def test_phones_and_square_scenes_open_with_one_panel_until_the_reader_chooses(visit, tmp_path, options, shape, swiped):
    from odc.geo.geobox import GeoBox

    grid = make_grid()
    grid = GeoBox(shape, grid.affine, grid.crs)
    one = visit(write(make_map(9, grid=make_grid(100)), tmp_path / "report.html", grid=grid), options, swipe=True)
    pressed = lambda: one.page.locator("#swipe").get_attribute("aria-pressed") == "true"  # noqa: E731
    assert pressed() is swiped
    panels = [panel.bounding_box() for panel in one.page.locator(".panel").all()]
    assert (panels[0] == panels[1]) is swiped
    one.page.locator("#swipe").click()
    assert pressed() is not swiped
    one.page.set_viewport_size({"width": 700, "height": 800})
    one.rest()
    assert pressed() is not swiped, "what the reader chose stays"


def test_a_building_under_the_line_is_selected_by_a_press_on_it_and_its_reason_is_seen_at_once(visit, tmp_path):
    damage_map = make_map(60)
    worst = by_probability(damage_map)[0]
    damage_map.buildings.loc[damage_map.buildings["id"] == worst, "reason"] = (
        "graded only by the network: roof too narrow"
    )
    one = visit(write(damage_map, tmp_path / "report.html"), PHONE, swipe=True)
    one.page.locator("#table .body .row").first.click()  # the view flies there: it lies under the line
    card = one.page.locator("#card")
    seen, reason = card.bounding_box(), card.locator(".note", has_text="Graded only by the network").bounding_box()
    assert reason["y"] + reason["height"] <= seen["y"] + seen["height"] <= 844, "without a scroll"
    one.page.keyboard.press("Escape")
    panel = one.page.locator(".panel").first.bounding_box()
    line = one.page.locator("#swipe-line").bounding_box()
    assert line["x"] < panel["x"] + panel["width"] / 2 < line["x"] + line["width"]
    one.page.mouse.click(panel["x"] + panel["width"] / 2, panel["y"] + panel["height"] / 2)
    assert card.locator("code").inner_text() == worst
    assert one.page.locator("#swipe-line").get_attribute("aria-valuenow") == "50"


@pytest.mark.parametrize("size", [(1280, 720), (1280, 480), (861, 560), (600, 400)])
def test_no_tool_is_cut_on_low_windows(visit, tmp_path, size):
    grid = make_grid()
    from odc.geo.geobox import GeoBox

    grid = GeoBox((64, 256), grid.affine, grid.crs)
    one = visit(write(make_map(9, grid=make_grid(60)), tmp_path / "report.html", grid=grid), DESKTOP, swipe=True)
    one.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    one.rest()
    maps, tools = one.page.locator("#maps").bounding_box(), one.page.locator(".tools").bounding_box()
    assert tools["y"] >= maps["y"]
    assert tools["y"] + tools["height"] <= maps["y"] + maps["height"] + 1
    boxes = [button.bounding_box() for button in one.page.locator(".tools button").all() if button.is_visible()]
    assert len(boxes) >= 6
    assert np.all(
        [tools["y"] <= box["y"] and box["y"] + box["height"] <= tools["y"] + tools["height"] + 1 for box in boxes]
    )
