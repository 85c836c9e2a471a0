"""Places on the report page: addresses that go to a building, the whole scene, coordinates, swipe, phone, event."""

import re
from urllib.parse import quote

import pytest
from made_up_map import make_grid, make_map
from report_visit import DESKTOP, PHONE, Visit, by_probability, write

pytestmark = pytest.mark.browser

EVENT = {
    "name": "Tornado <b>",
    "location": "Joplin",
    "date_pre": "2011-05-20",
    "date_post": "2011-05-29",
    "sensor_post": "WorldView-2",
    "credit": "© Somebody",
    "producer": "Mapping Group",
    "from_files": {"date_post": "ACQUISITIONDATETIME of post.tif"},
}


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    """Buildings in the upper left quarter of the image alone."""
    grid, damage_map = make_grid(512), make_map(25)
    return damage_map, write(damage_map, tmp_path_factory.mktemp("corner") / "report.html", grid=grid)


def test_an_address_with_an_id_opens_the_card_and_shows_the_place(report, visit, browser):
    damage_map, path = report
    name = by_probability(damage_map)[3]
    pressed = visit(path, swipe=True)
    start = pressed.pixels()
    pressed.page.locator("#table .body .row").nth(3).click()
    shown = pressed.pixels()
    fresh = Visit(browser, DESKTOP)
    linked = fresh.page
    linked.goto(f"{path.as_uri()}#id={quote(name, safe='')}")
    linked.wait_for_selector("body[data-ready]")
    assert linked.locator("#card code").inner_text() == name
    again = fresh.pixels()
    assert again == shown != start
    other = by_probability(damage_map)[12]
    linked.evaluate("id => { location.hash = 'id=' + encodeURIComponent(id) }", other)
    linked.locator("#card code", has_text=other).wait_for()
    assert fresh.pixels() != again
    linked.keyboard.press("n")
    assert fresh.address().endswith(quote(by_probability(damage_map)[13], safe=""))
    fresh.context.close()


def metres_across(one):
    """Width of the first panel on the ground, from the scale bar."""
    bar, text = one.page.locator("#scale").bounding_box()["width"], one.page.locator("#scale span").inner_text()
    return float(text.split()[0]) / bar * one.page.locator("#panels canvas").last.bounding_box()["width"]


def metres_down(one):
    canvas = one.page.locator("#panels canvas").last.bounding_box()
    return metres_across(one) / canvas["width"] * canvas["height"]


def test_the_whole_scene_is_the_whole_image_and_buildings_are_a_view_of_their_own(corner, visit):
    one = visit(corner[1])
    start = one.pixels()
    assert min(metres_across(one), metres_down(one)) < 256, "at first the buildings alone fill the panels"
    one.page.locator("#fit").click()
    whole = one.pixels()
    assert min(metres_across(one), metres_down(one)) == pytest.approx(256, rel=0.02)
    one.page.set_viewport_size({"width": 1100, "height": 700})
    one.page.wait_for_function("innerWidth === 1100")
    one.rest()
    assert min(metres_across(one), metres_down(one)) == pytest.approx(256, rel=0.02), "kept in sight"
    one.page.set_viewport_size({"width": 1400, "height": 900})
    one.page.wait_for_function("innerWidth === 1400")
    one.page.locator("#fit-objects").click()
    assert one.pixels() == start != whole
    one.page.locator("canvas[data-role=pre]").press("0")
    assert one.pixels() == whole
    one.page.locator("canvas[data-role=pre]").press("1")
    assert one.pixels() == start


def test_coordinates_are_copied_and_opened_elsewhere(report, visit):
    damage_map, path = report
    one = visit(path)
    one.context.grant_permissions(["clipboard-read", "clipboard-write"])
    one.page.locator("#table .body .row").first.click()
    truth = damage_map.buildings.to_crs(4326).set_index("id").geometry[by_probability(damage_map)[0]].centroid
    one.page.locator("#card .place button").click()
    one.page.locator("#card .place button", has_text="Copied").wait_for()
    lat, lon = map(float, one.page.evaluate("navigator.clipboard.readText()").split(", "))
    assert (lat, lon) == (pytest.approx(truth.y, abs=1e-5), pytest.approx(truth.x, abs=1e-5))
    geo, osm = one.page.locator("#card .place a").evaluate_all("links => links.map((link) => link.href)")
    assert list(map(float, re.fullmatch(r"geo:([-\d.]+),([-\d.]+)", geo).groups())) == [lat, lon]
    assert osm.startswith("https://www.openstreetmap.org/?")
    assert f"mlat={lat:.6f}&mlon={lon:.6f}#map=19/" in osm


def test_where_copying_is_not_allowed_the_text_is_selected(report, visit):
    one = visit(report[1])
    one.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    one.page.locator("#table .body .row").first.click()
    one.page.locator("#card .place button").click()
    assert one.page.evaluate("getSelection().toString()") == one.page.locator("#card .place span").inner_text()


def test_swipe_lays_both_images_in_one_panel_with_a_line_to_move(report, visit):
    one = visit(report[1])
    apart = one.pixels()
    one.page.locator("#swipe").click()
    pre, post = (one.page.locator(f"canvas[data-role={role}]") for role in ("pre", "post"))
    box = post.bounding_box()
    assert pre.bounding_box() == box
    assert box["width"] == one.page.locator("#panels").bounding_box()["width"]

    def on_top(share):
        return one.page.evaluate(
            "([x, y]) => document.elementFromPoint(x, y).dataset.role",
            [box["x"] + share * box["width"], box["y"] + 0.3 * box["height"]],
        )

    assert [on_top(0.4), on_top(0.6)] == ["pre", "post"]
    line = one.page.locator("#swipe-line")
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    one.page.mouse.move(x, y)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + 0.2 * box["width"], y, steps=3)
    one.page.mouse.up()
    assert line.get_attribute("aria-valuenow") == "20"
    assert [on_top(0.1), on_top(0.3)] == ["pre", "post"]
    line.focus()
    one.page.keyboard.press("End")
    assert on_top(0.9) == "pre"
    one.page.keyboard.press("ArrowLeft")
    assert line.get_attribute("aria-valuenow") == "95"
    one.page.locator("#swipe").click()
    assert line.is_hidden()
    assert one.pixels() == apart


def test_the_outlines_become_as_faint_as_wished(report, visit):
    one = visit(report[1])
    full = one.pixels()
    one.page.locator("#outlines").click()
    none = one.pixels()
    one.page.locator("#outlines").click()
    slider = one.page.locator("#opacity")
    slider.fill("40")
    assert one.pixels() not in (full, none)
    slider.fill("0")
    assert one.pixels() == none
    slider.fill("100")
    assert one.pixels() == full


def test_on_a_phone_the_card_of_a_row_or_building_lies_below_the_images(report, visit):
    one = visit(report[1], PHONE)
    rows = one.page.locator("#table .body .row")

    def seen():
        box = one.page.locator("#card").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["y"] + box["height"] <= 844
        canvas = one.page.locator("canvas[data-role=post]").bounding_box()
        assert box["y"] >= canvas["y"] + canvas["height"] - 1, "the images stay in sight"
        middle = [box["x"] + box["width"] / 2, box["y"] + 20]
        return one.page.evaluate("([x, y]) => document.elementFromPoint(x, y).closest('#card') !== null", middle)

    rows.nth(6).tap()
    assert seen()
    one.page.locator("#card .steps button").last.tap()
    one.page.evaluate("scrollTo(0, 0)")
    one.page.touchscreen.tap(*one.middle("pre"))
    one.frames()
    assert seen()


def test_the_event_is_shown_on_top_and_in_the_summary(visit, tmp_path):
    one = visit(write(make_map(9), tmp_path / "report.html", event=EVENT))
    assert one.page.locator("h1").inner_text() == "Building damage: Tornado <b>, Joplin"
    assert one.page.title() == "Building damage: Tornado <b>, Joplin"
    line = one.page.locator("#event").inner_text()
    assert line == "Before: 2011-05-20 · After: 2011-05-29, WorldView-2 · © Somebody · Map by Mapping Group"
    one.page.locator("#tab-summary").click()
    text = one.page.locator("#view-summary").inner_text()
    assert "2011-05-29 (from ACQUISITIONDATETIME of post.tif)" in text


def test_a_map_of_no_known_event_shows_none(visit, tmp_path):
    one = visit(write(make_map(9), tmp_path / "report.html", event={}))
    assert one.page.locator("h1").inner_text() == "Building damage"
    assert one.page.locator("#event").is_hidden()
