"""report.html in a real browser: nothing is asked for from anywhere, the panels move as one, a click shows evidence."""

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import shapely
import shapely.affinity
from made_up_map import MEANING, make_grid, make_map
from report_visit import PHONE, by_probability, write

from deepnets4eo.damage import RasterEvidence
from deepnets4eo.damage.evidences.rasters import ScoreLayer
from deepnets4eo.damage.products.exchange_formats import write_csv, write_geojson
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.rasters import Layer

pytestmark = pytest.mark.browser

NASTY = '</script><img src="http://example.com/x.png" onerror="document.title=\'broken\'">'


def test_the_file_asks_for_nothing_and_forbids_asking(report, visit):
    one = visit(report[1])
    one.page.keyboard.press("n")
    one.page.locator("#tab-summary").click()
    assert one.requests[0] == report[1].as_uri()
    assert one.left_the_page == []
    assert "default-src 'none'" in report[1].read_text(encoding="utf-8")


def test_wheel_drag_and_keys_on_one_panel_move_both(report, visit):
    one = visit(report[1])
    one.page.locator("canvas[data-role=post]").press("0")
    seen = [one.pixels()]

    def moved():
        pre, post = one.pixels()
        assert pre == post, "both panels show the same place"
        assert [pre, post] not in seen, "the view has changed"
        seen.append([pre, post])

    one.page.mouse.move(*one.middle("pre"))
    one.page.mouse.wheel(0, -400)
    moved()
    x, y = one.middle("post")
    one.page.mouse.move(x, y)
    one.page.mouse.down()
    one.page.mouse.move(x + 90, y + 40, steps=4)
    one.page.mouse.up()
    moved()
    for key in ("+", "ArrowLeft", "ArrowUp", "-"):
        one.page.locator("canvas[data-role=pre]").press(key)
        moved()
    one.page.locator("canvas[data-role=post]").press("0")
    assert one.pixels() == seen[0], "0 shows the whole scene again"


COLOUR = """(role) => {
    const shown = document.querySelector(`#panels canvas[data-role=${role}]`), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [shown.width, shown.height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(shown, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let yellow = 0;
    for (let i = 0; i < data.length; i += 4) yellow += data[i] > 150 && data[i + 2] < 60;
    return yellow / (data.length / 4);
}"""


def test_scores_lie_over_both_images_where_they_are_chosen(visit, tmp_path):
    grid = make_grid()
    raster = np.zeros((1, *grid.shape), np.float32)
    raster[:, : grid.shape[0] // 2] = 0.9
    score = ScoreLayer(RasterEvidence("change", raster), Layer.open(raster, grid=grid), 1.0, None, None)
    one = visit(write(make_map(), tmp_path / "report.html", scores=[score]))
    one.page.locator("#outlines").click()  # hidden
    one.pixels()
    assert [one.page.evaluate(COLOUR, role) for role in ("pre", "post")] == [0, 0]
    one.page.locator("[data-layer=change]").click()
    one.pixels()
    before, after = (one.page.evaluate(COLOUR, role) for role in ("pre", "post"))
    assert before == after
    assert 0.1 < before < 0.6
    one.page.locator("[data-layer=change]").click()
    one.pixels()
    assert one.page.evaluate(COLOUR, "post") == 0


def test_without_scores_there_is_nothing_to_choose(report, visit):
    assert visit(report[1]).page.locator("[data-layer]").evaluate_all("all => all.map((one) => one.dataset.layer)") == [
        "Edge of assessed ground"
    ]


def test_a_press_on_a_building_shows_its_evidence(report, visit):
    damage_map, path = report
    one = visit(path)
    worst = by_probability(damage_map)[0]
    one.page.locator("#table .body .row").first.click()  # the view flies there
    one.page.keyboard.press("Escape")
    card = one.page.locator("#card")
    assert card.is_hidden()
    one.page.mouse.click(*one.middle("post"))
    row = damage_map.buildings.set_index("id").loc[worst]
    assert card.locator("code").inner_text() == worst
    text = card.inner_text()
    for name, meaning in MEANING.items():
        assert name[3:].replace("_", " ") in text
        assert meaning in text
    shown = card.locator(".piece", has_text="edge loss").locator("output").inner_text()
    assert float(shown) == pytest.approx(row["ev_edge_loss"], abs=0.011)
    assert "before and after compared" in text or "after image only" in text


def test_a_tap_beside_all_buildings_closes_the_card(report, visit):
    one = visit(report[1])
    one.page.locator("#table .body .row").first.click()
    box = one.page.locator("canvas[data-role=pre]").bounding_box()
    one.page.locator("canvas[data-role=pre]").press("0")
    one.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] - 12)
    assert one.page.locator("#card").is_hidden()


def test_the_table_is_sorted_by_probability_and_holds_only_what_is_in_sight(report, visit):
    damage_map, path = report
    one = visit(path)
    listed = one.listed()
    assert 10 < len(listed) < 50
    assert listed == by_probability(damage_map)[: len(listed)]
    one.page.locator("#table").evaluate("table => { table.scrollTop = table.scrollHeight }")
    one.frames()
    assert one.listed()[-1] == by_probability(damage_map)[-1]


def test_chips_status_and_search_filter_table_and_map_alike(report, visit):
    damage_map, path = report
    one = visit(path)
    everything = one.pixels()
    one.page.locator(".chip[data-class=destroyed]").click()
    hidden = (damage_map.buildings["damage"] == "destroyed").sum()
    assert one.page.locator("#listed").inner_text() == f"{60 - hidden} of 60 buildings"
    assert one.pixels() != everything
    one.page.locator(".chip[data-class=destroyed]").click()
    assert one.pixels() == everything
    one.page.select_option("#status", "not_assessed")
    rest = damage_map.buildings[damage_map.buildings["status"] == "not_assessed"]
    assert one.listed() == rest["id"].tolist()
    one.page.select_option("#status", "")
    one.page.fill("#search", "WAY/1007")
    assert one.listed() == ["way/1007"]


def test_everything_is_reached_with_the_keyboard(report, visit):
    damage_map, path = report
    one = visit(path)
    order = by_probability(damage_map)
    one.page.locator("#table").focus()
    one.page.keyboard.press("ArrowDown")
    one.page.keyboard.press("ArrowDown")
    assert one.page.locator("#card code").inner_text() == order[1]
    active = one.page.locator("#table").get_attribute("aria-activedescendant")
    assert one.page.locator(f"#{active}").get_attribute("aria-selected") == "true"
    one.page.keyboard.press("End")
    assert one.page.locator("#card code").inner_text() == order[-1]
    one.page.keyboard.press("p")
    assert one.page.locator("#card code").inner_text() == order[-2]
    one.page.keyboard.press("Escape")
    assert one.page.locator("#card").is_hidden()
    reached = set()
    one.page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        one.page.keyboard.press("Tab")
        reached.add(one.page.evaluate("document.activeElement.id || document.activeElement.dataset.role || ''"))
    assert {"pre", "post", "zoom-in", "fit", "outlines", "search", "status", "csv", "table", "tab-list"} <= reached


def test_the_summary_tells_counts_with_intervals_and_registration(report, visit):
    damage_map, path = report
    one = visit(path)
    one.page.locator("#tab-summary").click()
    text = one.page.locator("#view-summary").inner_text()
    told = summarize(damage_map, make_grid())["by_grade"]["destroyed"]
    low, high = (round(bound) for bound in told["interval_95"])
    assert f"{low}–{high}" in text
    assert "0.42 m" in text
    assert "not validated in the field" in text
    assert "under cloud" in text


def test_the_address_remembers_the_building(report, visit):
    damage_map, path = report
    one = visit(path)
    one.page.locator("#table .body .row").nth(3).click()
    assert one.address().endswith("#id=" + by_probability(damage_map)[3].replace("/", "%2F"))
    again = visit(path)
    again.page.goto(one.address())
    again.page.reload()
    again.page.wait_for_selector("body[data-ready]")
    assert again.page.locator("#card code").inner_text() == by_probability(damage_map)[3]


def test_the_listed_buildings_are_saved_as_csv(report, visit):
    one = visit(report[1])
    one.page.fill("#search", "way/100")
    with one.page.expect_download() as download:
        one.page.locator("#csv").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("id,latitude,longitude,damage,damage_prob,")
    assert len(lines) == 11
    lat, lon = map(float, lines[1].split(",")[1:3])
    assert (lon, lat) == (pytest.approx(-94.56, abs=0.05), pytest.approx(37.03, abs=0.05))


def test_no_saved_cell_is_a_formula(tmp_path, visit):
    ids = ['=cmd|" /C calc"!A0', "@SUM(1)", "\t=1", "-1+1", "-1234", "way/12", "+3.5", "\uff1d1", "-inf", "-1e-09"]
    damage_map = make_map(len(ids))
    damage_map.buildings["id"] = ids
    one = visit(write(damage_map, tmp_path / "report.html"))
    with one.page.expect_download() as download:
        one.page.locator("#csv").click()
    with download.value.path().open(encoding="utf-8", newline="") as file:
        saved = {row["id"] for row in csv.DictReader(file)}
    harmless = {"-1234", "way/12", "+3.5", "-1e-09"}
    assert saved == harmless | {'\'=cmd|" /C calc"!A0', "'@SUM(1)", "'\t=1", "'-1+1", "'\uff1d1", "'-inf"}


@pytest.mark.parametrize("crs", [32615, None])
def test_the_saved_table_is_the_one_of_the_job(visit, tmp_path, crs):
    grid = make_grid(epsg=crs)
    damage_map = make_map(30, grid=grid)
    triangle = shapely.Polygon([(10, 10), (40, 10), (10, 50)])  # its centroid is not the middle of its box
    damage_map.buildings.loc[0, "geometry"] = shapely.affinity.affine_transform(triangle, grid.affine.to_shapely())
    damage_map = replace(
        damage_map, event=EventInfo(name="=Tornado", location="Joplin, east", date_post="2011-05-23"), synthetic=True
    )
    one = visit(write(damage_map, tmp_path / "report.html", grid=grid))
    with one.page.expect_download() as download:
        one.page.locator("#csv").click()
    saved = pd.read_csv(download.value.path(), keep_default_na=False).set_index("id")
    if crs is None:
        assert list(saved.columns[:2]) == ["latitude", "longitude"]
        assert set(saved["latitude"]) == {""}
        assert set(saved["synthetic"]) == {"SYNTHETIC"}
        return
    job = pd.read_csv(write_csv(damage_map, tmp_path / "damage.csv"), keep_default_na=False).set_index("id")
    assert list(saved.columns) == list(job.columns)
    degrees = ["latitude", "longitude"]
    np.testing.assert_allclose(saved.loc[job.index, degrees], job[degrees], rtol=0, atol=2e-7)
    pd.testing.assert_frame_equal(saved.loc[job.index].drop(columns=degrees), job.drop(columns=degrees))


def test_values_that_are_missing_are_the_same_in_the_saved_geojson_and_in_that_of_the_job(report, visit, tmp_path):
    damage_map, path = report
    one = visit(path)
    with one.page.expect_download() as download:
        one.page.locator("#geojson").click()

    def rows_of(file):
        features = json.loads(file.read_text(encoding="utf-8"))["features"]
        return {feature["properties"]["id"]: feature["properties"] for feature in features}

    assert rows_of(download.value.path()) == rows_of(write_geojson(damage_map, tmp_path / "damage.geojson"))


def test_keys_that_zoom_work_without_focus_on_an_image_and_once_with_it(visit, tmp_path):
    one = visit(write(make_map(25), tmp_path / "report.html", grid=make_grid(512)))  # in a corner of the scene
    start = one.pixels()
    one.page.evaluate("document.activeElement.blur()")
    one.page.keyboard.press("+")
    near = one.pixels()
    one.page.locator("canvas[data-role=pre]").press("-")
    assert one.pixels() == start != near, "back by one step"
    one.page.locator("#tab-summary").click()
    one.page.keyboard.press("0")
    whole = one.pixels()
    one.page.keyboard.press("1")
    assert one.pixels() == start != whole
    keys = one.page.locator("#view-summary section", has=one.page.locator("h2", has_text="Keys")).inner_text()
    assert "move, when an image has the focus" in keys


def test_the_sentence_on_the_number_of_damaged_buildings_is_the_same_everywhere(report, visit):
    one = visit(report[1])
    said = report[0].headline()
    told = report[0].page_headline()
    assert one.page.locator("#headline").inner_text() == f"{told.number} {told.sentence}"
    assert one.page.locator("#limit").inner_text() == told.limit
    one.page.locator("#tab-summary").click()
    text = one.page.locator("#view-summary").inner_text()
    assert said in text
    assert "do not include grading errors" in text


def test_one_building_is_no_buildings(visit, tmp_path):
    one = visit(write(make_map(1, assessed=1.1), tmp_path / "report.html"))
    assert one.page.locator("#listed").inner_text() == "1 building"
    assert "of 1 assessed building " in one.page.locator("#headline").inner_text()
    one.page.fill("#search", "nothing")
    assert one.page.locator("#listed").inner_text() == "0 of 1 building"


def test_no_listed_share_is_certain(visit, tmp_path):
    damage_map = make_map(9, assessed=1.1)
    damage_map.buildings["damage_prob"] = np.repeat([0.998, 0.5, 0.003], 3)
    damage_map.buildings["confidence"] = np.repeat([0.5, 0.999, 0.5], 3)
    one = visit(write(damage_map, tmp_path / "report.html"))
    texts = one.page.locator("#table .body .row .prob span:last-child").all_inner_texts()
    assert texts == ["> .99"] * 3 + ["0.50"] * 3 + ["< .01"] * 3
    assert one.page.locator("#table .body .row .num").all_inner_texts()[3] == "> .99"


def test_a_phone_has_both_panels_and_nothing_beyond_the_edge(report, visit):
    one = visit(report[1], PHONE)
    assert one.page.evaluate("document.documentElement.scrollWidth") == 390
    assert one.page.locator("#panels canvas:visible").count() == 2
    one.page.locator("#table .body .row").first.tap()
    one.page.locator("#card .steps button").last.tap()
    assert one.page.locator("#card").is_hidden()
    one.page.evaluate("scrollTo(0, 0)")
    one.page.touchscreen.tap(*one.middle("pre"))
    assert one.page.locator("#card").is_visible()


def test_panels_folded_away_and_back_are_drawn_again(report, visit):
    one = visit(report[1])
    before = one.pixels()
    one.page.evaluate("document.getElementById('maps').style.display = 'none'")
    one.frames()
    one.page.keyboard.press("n")
    one.page.keyboard.press("Escape")
    one.page.evaluate("document.getElementById('maps').style.display = ''")
    one.page.locator("canvas[data-role=pre]").press("1")
    assert one.pixels() == before


def test_dark_and_light_follow_the_system(report, visit):
    one = visit(report[1])
    shades = []
    for scheme in ("light", "dark"):
        one.page.emulate_media(color_scheme=scheme)
        color = one.page.evaluate("getComputedStyle(document.body.querySelector('aside')).backgroundColor")
        shades.append(sum(map(int, color[4:-1].split(","))))
    assert shades[0] > 700 > 150 > shades[1]


def test_a_synthetic_map_says_so_on_top_and_a_real_one_does_not(report, visit, tmp_path):
    assert visit(report[1]).page.locator("#synthetic").is_hidden()
    damage_map = make_map(12)
    damage_map.synthetic = True
    banner = visit(write(damage_map, tmp_path / "report.html")).page.locator("#synthetic")
    assert banner.is_visible()
    assert "SYNTHETIC" in banner.inner_text()


WORTHLESS = Finding(
    "swapped", "worthless", {"message": "The dates seem swapped <b>here</b>.", "remedy": "Swap PRE and POST."}
)
CAUTION = Finding("green", "caution", {"message": "12 roofs lie under trees."})


def test_the_worst_finding_is_the_first_line_and_the_others_unfold(visit, tmp_path):
    damage_map = make_map(12)
    damage_map.findings = (WORTHLESS, CAUTION)
    one = visit(write(damage_map, tmp_path / "report.html"))
    banner, more = one.page.locator("#findings"), one.page.locator("#findings-more")
    assert banner.bounding_box()["y"] == 0
    assert "The dates seem swapped <b>here</b>. Swap PRE and POST." in banner.inner_text()
    assert more.is_hidden()
    one.page.emulate_media(media="print")
    one.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    on_paper = one.page.locator(".sheet-findings")  # paper cannot be unfolded
    assert on_paper.is_visible()
    assert "12 roofs lie under trees." in on_paper.inner_text()
    one.page.emulate_media(media="screen")
    one.page.locator("#findings-button").click()
    assert more.is_visible()
    assert "12 roofs lie under trees." in more.inner_text()
    assert one.page.locator("#findings-button").get_attribute("aria-expanded") == "true"
    one.page.locator("#findings-button").click()
    assert more.is_hidden()
    assert one.page.locator("#quality .light").get_attribute("class") == "light failed"


@pytest.mark.parametrize("options", [PHONE, {"viewport": {"width": 1400, "height": 900}}], ids=["390 px", "1400 px"])
def test_chips_count_what_the_headline_counts_and_keep_the_intervals_of_the_true_numbers(visit, tmp_path, options):
    damage_map = make_map(12)
    limits = {
        "no-damage": (3.4, 1, 7),
        "minor-damage": (2.0, 0, 4),
        "major-damage": (1.2, 0, 3),
        "destroyed": (0.4, 0, 1),
    }
    rows = {name: {"expected": value, "interval_95": [low, high]} for name, (value, low, high) in limits.items()}
    damage_map.estimates = {"buildings": rows | {"damaged": {"expected": 1.6, "interval_95": [0.0, 4.0]}}}
    one = visit(write(damage_map, tmp_path / "report.html"), options)
    one.page.evaluate("document.getElementById('layers').open = true")
    counts, shown = damage_map.buildings["damage"].value_counts(), {}
    for name, (value, low, high) in limits.items():
        chip = one.page.locator(f".chip[data-class={name}]")
        shown[name] = int(chip.locator("b").inner_text())
        assert chip.locator(".chip-range").is_visible()
        assert chip.locator(".chip-range").inner_text() == f"true {low}–{high}"
        assert chip.bounding_box()["x"] + chip.bounding_box()["width"] <= options["viewport"]["width"]
        assert chip.get_attribute("title").startswith(
            f"{chip.locator('.chip-title').inner_text()}: {round(value)} expected, 95 % interval {low}–{high}; "
            f"{shown[name]} classified"
        )
    assert shown == {name: int(counts.get(name, 0)) for name in limits}
    damaged = shown["major-damage"] + shown["destroyed"]
    assert one.page.locator("#headline").inner_text().startswith(f"{damaged} of ")


def test_on_a_phone_the_worst_finding_takes_two_lines_until_it_is_opened_and_chips_wrap(visit, tmp_path):
    damage_map = make_map(12)
    damage_map.findings = (Finding("long", "caution", {"message": "Roofs lie under trees. " * 12}),)
    one = visit(write(damage_map, tmp_path / "report.html"), PHONE)
    worst, button = one.page.locator("#findings-worst"), one.page.locator("#findings-button")
    line_px = worst.evaluate("(node) => parseFloat(getComputedStyle(node).lineHeight)")
    assert worst.bounding_box()["height"] <= 2 * line_px + 1
    assert button.inner_text() == "How sure is this? 1 caution"
    button.tap()
    assert worst.bounding_box()["height"] > 3 * line_px
    button.tap()
    assert worst.bounding_box()["height"] <= 2 * line_px + 1
    assert one.page.locator(".chip").first.is_hidden()
    one.page.locator("#layers-key").tap()
    rows = {round(chip.bounding_box()["y"]) for chip in one.page.locator(".chip").all()}
    assert len(rows) > 1
    assert all(
        chip.bounding_box()["x"] + chip.bounding_box()["width"] <= 390 for chip in one.page.locator(".chip").all()
    )
    short = make_map(12)
    short.findings = (CAUTION,)
    assert visit(write(short, tmp_path / "short.html"), PHONE).page.locator("#findings-button").is_hidden()


def test_a_map_without_findings_has_no_banner(report, visit):
    assert visit(report[1]).page.locator("#findings").count() == 0


def test_ground_without_outlines_is_hatched_and_counted(report, visit, tmp_path):
    damage_map = make_map(60)
    damage_map.extent_without_outlines = damage_map.assessed_extent.copy()
    damage_map.footprints = {
        "read": 65,
        "used": 60,
        "repaired": 2,
        "renamed": 0,
        "made_ids": False,
        "dropped": {"no area": 5},
    }
    one = visit(write(damage_map, tmp_path / "report.html"))
    assert one.pixels() != visit(report[1]).pixels()
    one.page.locator("#tab-summary").click()
    text = one.page.locator("#view-summary").inner_text()
    for word in ("Imaged ground without outlines (hatched)", "Outlines in the file", "65", "Left out: no area"):
        assert word in text


def test_without_a_pre_image_there_is_one_panel(visit, tmp_path):
    damage_map = make_map(12)
    damage_map.registration = {}
    one = visit(write(damage_map, tmp_path / "report.html", with_pre=False))
    assert one.page.locator("#panels canvas").count() == 1
    assert one.page.locator("#blink").is_hidden()
    assert "After image only" in one.page.locator("#quality").inner_text()
    one.page.locator("#table .body .row").first.click()
    assert one.page.locator("#card .close-up canvas").count() == 1


@pytest.mark.parametrize("number", [0, 9])
def test_a_map_with_nothing_assessed_says_so(visit, tmp_path, number):
    one = visit(write(make_map(9, assessed=0.0) if number else empty_map(), tmp_path / "report.html"))
    assert one.page.locator("#headline").inner_text().startswith("Not known No building could be assessed, so")
    assert len(one.listed()) == number
    if number:
        one.page.locator("#table .body .row").first.click()
        assert "Why not: outside the post image" in one.page.locator("#card").inner_text()


def test_a_building_says_when_the_network_alone_graded_it(visit, tmp_path):
    damage_map = make_map(9, assessed=1.0)
    damage_map.buildings["reason"] = ""
    damage_map.buildings.loc[0, "reason"] = "graded by the network alone: roof too narrow"
    one = visit(write(damage_map, tmp_path / "report.html"))
    one.page.fill("#search", str(damage_map.buildings.loc[0, "id"]))
    one.page.locator("#table .body .row").first.click()
    note = one.page.locator("#card .verdicts .note").last
    assert note.inner_text() == "Graded by the network alone: roof too narrow"
    assert note.bounding_box()["width"] > 200, "over the whole width, not in a column of the bars"


def empty_map():
    damage_map = make_map(3)
    damage_map.buildings = damage_map.buildings.iloc[:0]
    return damage_map


def test_ids_are_shown_as_text_whatever_they_hold(visit, tmp_path):
    damage_map = make_map(9, assessed=1.0)
    damage_map.buildings.loc[0, "id"] = NASTY
    one = visit(write(damage_map, tmp_path / "report.html"))
    assert one.page.title() == "Building damage map"
    one.page.fill("#search", "</script>")
    one.page.locator("#table .body .row").first.click()
    assert one.page.locator("#card code").inner_text() == NASTY
