"""The list of the report page: true bars, sorted by every column in both directions, by keyboard, saved as three formats."""

import json
from xml.etree import ElementTree as ET

import pytest
import shapely
import shapely.affinity
from made_up_map import make_grid, make_map
from report_visit import by_probability, write

pytestmark = pytest.mark.browser

KML = {"k": "http://www.opengis.net/kml/2.2"}
NASTY = 'way/100<b>&"]]>\u0007\U0001f3e0'


def sort(one, column, presses=1):
    header = one.page.locator(".head [role=columnheader]", has_text=column)
    for _ in range(presses):
        header.locator("button").click()
    return header.get_attribute("aria-sort")


def bottom(one):
    one.page.locator("#table").evaluate("table => { table.scrollTop = table.scrollHeight }")
    one.frames()
    return one.listed()


def test_bars_are_as_long_as_the_probability(report, visit):
    damage_map, path = report
    one = visit(path)
    prob = damage_map.buildings.set_index("id")["damage_prob"]
    widths = one.page.locator("#table .bar").evaluate_all(
        "bars => bars.map((bar) => [bar.closest('.row').dataset.id, bar.firstChild.getBoundingClientRect().width / bar.getBoundingClientRect().width])"
    )
    assert len(widths) > 10
    for name, width in widths:
        assert width == pytest.approx(prob[name], abs=0.01)
    one.page.locator("#table .body .row").nth(9).click()
    meters = one.page.locator("#card .meter").evaluate_all(
        "bars => bars.map((bar) => bar.firstChild.getBoundingClientRect().width / bar.getBoundingClientRect().width)"
    )
    row = damage_map.buildings.set_index("id").loc[by_probability(damage_map)[9]]
    assert meters == pytest.approx([row["damage_prob"], row["confidence"]], abs=0.01)


@pytest.mark.parametrize(
    ("column", "field", "ascending"), [("Conf.", "confidence", True), ("P(major", "damage_prob", True)]
)
def test_columns_sort_both_ways_and_buildings_without_a_value_come_last(report, visit, column, field, ascending):
    damage_map, path = report
    one = visit(path)
    frame = damage_map.buildings[damage_map.buildings["status"] == "assessed"].round(4)  # as the page holds them

    def wanted(ascending):
        return frame.sort_values([field, "damage_prob"], ascending=[ascending, False])["id"].tolist()

    unknown = damage_map.buildings.loc[damage_map.buildings["status"] != "assessed", "id"].tolist()
    assert sort(one, column) == "ascending", "the least certain first; probability was descending before"
    listed = one.listed()
    assert listed == wanted(ascending)[: len(listed)]
    assert bottom(one)[-len(unknown) :] == unknown
    assert sort(one, column) == "descending"
    listed = one.listed()
    assert listed == wanted(not ascending)[: len(listed)]
    assert bottom(one)[-len(unknown) :] == unknown


def test_the_grade_sorts_worst_first_and_then_by_probability(report, visit):
    damage_map, path = report
    one = visit(path)
    rank = {"no-damage": 0, "minor-damage": 1, "major-damage": 2, "destroyed": 3}
    frame = damage_map.buildings[damage_map.buildings["status"] == "assessed"].copy()
    frame["rank"] = frame["damage"].map(rank)
    for ascending, state in ((False, "descending"), (True, "ascending")):
        assert sort(one, "Grade") == state
        wanted = frame.sort_values(["rank", "damage_prob"], ascending=[ascending, False])["id"].tolist()
        assert one.listed() == wanted[: len(one.listed())]


def test_headers_and_the_swap_button_work_by_keyboard_with_a_visible_focus(report, visit):
    one = visit(report[1])
    one.page.evaluate("document.activeElement.blur()")
    reached = {}
    for _ in range(40):
        one.page.keyboard.press("Tab")
        text, outline = one.page.evaluate(
            "[document.activeElement.id || document.activeElement.textContent, getComputedStyle(document.activeElement).outline]"
        )
        reached[text] = outline
        if text == "Conf.":
            one.page.keyboard.press("ArrowDown")
            assert one.page.locator("#card").is_hidden(), "arrows belong to the table, not to its header"
            one.page.keyboard.press("Enter")
            assert one.page.locator("[aria-sort=ascending]").inner_text().startswith("Conf.")
        if text == "blink":
            for pressed, label in (("true", "After"), ("false", "Before")):
                one.page.keyboard.press("Space")
                assert one.page.locator("#blink").get_attribute("aria-pressed") == pressed
                assert one.page.locator("#panels .label").first.inner_text().startswith(label)
    assert {"Grade", "Id", "P(major +)", "Conf.", "blink", "swipe", "opacity", "kml", "geojson"} <= set(reached)
    for name in ("Grade", "Conf.", "blink", "opacity"):
        assert "solid 2px" in reached[name], f"{name}: {reached[name]}"


@pytest.fixture(scope="module")
def shaped(tmp_path_factory):
    """Buildings with a courtyard, in two parts, with a part in a courtyard, and without an area on the grid of pixels."""
    grid, damage_map = make_grid(), make_map(12, assessed=0.8)
    ring = shapely.box(100, 100, 140, 140).difference(shapely.box(110, 110, 130, 130))
    shapes = [
        ring,
        shapely.MultiPolygon([shapely.box(10, 10, 20, 20), shapely.box(30, 10, 40, 20)]),
        shapely.MultiPolygon([shapely.affinity.translate(ring, 50, 50), shapely.box(165, 165, 175, 175)]),
        shapely.box(50, 50, 60, 50.1),
    ]
    a = grid.affine
    for row, shape in enumerate(shapes):
        damage_map.buildings.loc[row, "geometry"] = shapely.affinity.affine_transform(
            shape, [a.a, a.b, a.d, a.e, a.c, a.f]
        )
    damage_map.buildings.loc[0, "id"] = NASTY
    event = {"name": "Flood", "location": "A & B", "credit": "<Somebody>", "from_files": {}}
    return damage_map, write(damage_map, tmp_path_factory.mktemp("shaped") / "report.html", event=event)


def save(one, button):
    with one.page.expect_download() as download:
        one.page.locator(button).click()
    return download.value


def test_listed_buildings_are_saved_as_geojson_where_they_lie(shaped, visit):
    damage_map, path = shaped
    download = save(visit(path), "#geojson")
    assert download.suggested_filename == "damage_listed.geojson"
    saved = json.loads(download.path().read_text(encoding="utf-8"))
    assert saved["type"] == "FeatureCollection"
    assert saved["event"]["name"] == "Flood"
    assert saved["caveats"]
    frame = damage_map.buildings.to_crs(32615).set_index("id")
    to_metres = damage_map.buildings.iloc[:0].to_crs(4326)
    rows = {feature["properties"]["id"]: feature for feature in saved["features"]}
    assert list(rows) == by_probability(damage_map)
    flat = rows.pop("way/1003")
    assert flat["geometry"] is None, "thinner than the half pixels that the page holds"
    for name, feature in rows.items():
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
        for part in getattr(shape, "geoms", [shape]):
            assert part.exterior.is_ccw
            assert not any(hole.is_ccw for hole in part.interiors)
        ground = type(to_metres)(geometry=[shape], crs=4326).to_crs(32615).geometry[0]
        truth = frame.geometry[name]
        assert ground.intersection(truth).area / ground.union(truth).area > 0.9
        graded = frame.status[name] == "assessed"
        assert feature["properties"]["damage"] == (frame.damage[name] if graded else None)
        if graded:
            assert feature["properties"]["damage_prob"] == pytest.approx(frame.damage_prob[name], abs=1e-4)
    assert [len(rows[name]["geometry"]["coordinates"]) for name in (NASTY, "way/1001", "way/1002")] == [2, 2, 2]


def test_the_shown_buildings_are_saved_as_kml_that_parses(shaped, visit):
    one = visit(shaped[1])
    one.page.fill("#search", "way/100")
    download = save(one, "#kml")
    assert download.suggested_filename == "damage_listed.kml"
    document = ET.fromstring(download.path().read_bytes()).find("k:Document", KML)
    assert document.findtext("k:name", namespaces=KML) == "Building damage: Flood, A & B"
    assert "Credit: <Somebody>" in document.findtext("k:description", namespaces=KML)
    marks = document.findall("k:Placemark", KML)
    assert len(marks) == 10, "of 12"
    styles = {f"#{style.get('id')}" for style in document.findall("k:Style", KML)}
    shown = {mark.findtext("k:name", namespaces=KML): mark for mark in marks}
    assert NASTY.replace("\u0007", "\ufffd") in shown
    for mark in marks:
        assert mark.findtext("k:styleUrl", namespaces=KML) in styles
        for ring in mark.iterfind(".//k:coordinates", KML):
            places = [tuple(map(float, place.split(","))) for place in ring.text.split()]
            assert places[0] == places[-1]
            assert all(-94.6 < lon < -94.5 and 37.0 < lat < 37.1 for lon, lat in places)
    assert len(shown["way/1001"].findall("k:MultiGeometry/k:Polygon", KML)) == 2


def test_a_map_without_a_place_on_the_earth_is_saved_as_a_table_alone(visit, tmp_path):
    grid = make_grid(epsg=None)
    one = visit(write(make_map(9, grid=grid), tmp_path / "report.html", grid=grid))
    assert one.page.locator("#csv").is_visible()
    assert one.page.locator("#kml").is_hidden()
    assert one.page.locator("#geojson").is_hidden()
    one.page.locator("#table .body .row").first.click()
    assert one.page.locator("#card a").count() == 0
