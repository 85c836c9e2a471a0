"""The report page on paper: a sheet with images, legend, scale and north, one with counts and caveats, not the whole table."""

import re

import pytest
import shapely
import shapely.affinity
from made_up_map import make_grid, make_map
from odc.geo.geobox import GeoBox
from report_visit import write

from deepnets4eo.outputs import Finding

pytestmark = pytest.mark.browser

EVENT = {"name": "Tornado", "location": "Joplin", "date_post": "2011-05-29", "credit": "© Somebody", "from_files": {}}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    damage_map = make_map(60)
    damage_map.findings = (
        Finding("green", "caution", {"message": "12 roofs lie under trees.", "remedy": "Look at them."}),
    )
    damage_map.inputs = {"pre": "before.tif", "post": "after.tif", **{f"post_{k}": f"tile_{k}.tif" for k in range(40)}}
    return write(damage_map, tmp_path_factory.mktemp("printed") / "report.html", event=EVENT)


@pytest.mark.parametrize("paper", ["A4", "A3"])
def test_the_page_prints_on_two_sheets_the_images_on_the_first(printed, visit, paper):
    one = visit(printed)
    pdf = one.page.pdf(format=paper, landscape=True)
    assert max(map(int, re.findall(rb"/Count (\d+)", pdf))) == 2
    assert re.search(rb"/Subtype\s*/Image", pdf), "the images are on it"
    assert one.page.locator("#sheet canvas").count() == 0, "what was made for paper is not kept"


@pytest.mark.parametrize("shape", [(256, 256), (128, 512), (512, 200)])
def test_images_are_as_wide_as_the_paper_and_many_findings_are_on_the_second_sheet(visit, tmp_path, shape):
    damage_map, words = (
        make_map(60, grid=make_grid(100)),
        "12 of 300 buildings are not shown by the pre image, and are assessed from the post image alone. ",
    )
    damage_map.findings = tuple(Finding(f"f{k}", "note", {"message": 2 * words, "remedy": words}) for k in range(9))
    damage_map.inputs = {"pre": "before.tif", "post": "after.tif"}
    grid = make_grid()
    one = visit(write(damage_map, tmp_path / "report.html", event=EVENT, grid=GeoBox(shape, grid.affine, grid.crs)))
    one.page.locator("#fit").click()
    assert max(map(int, re.findall(rb"/Count (\d+)", one.page.pdf(format="A4", landscape=True)))) == 2
    one.page.set_viewport_size({"width": 1062, "height": 733})  # what the edges leave of A4
    one.page.emulate_media(media="print")
    one.page.wait_for_selector("#sheet canvas")
    images = [canvas.bounding_box() for canvas in one.page.locator("#sheet canvas").all()]
    legend, columns = (one.page.locator(name).bounding_box() for name in (".sheet-legend", ".sheet-columns"))
    assert sum(box["width"] for box in images) > 0.97 * 1062
    assert legend["y"] + legend["height"] < 733, "on the first sheet"
    assert images[0]["y"] + images[0]["height"] <= legend["y"] < columns["y"]
    findings = one.page.locator("#findings, .sheet-findings").all_inner_texts()
    assert sum(text.count("12 of 300 buildings") for text in findings) == 9 * 3, "each once"
    overlaps = one.page.locator(".sheet-columns table").evaluate_all(
        "all => all.filter((one) => one.scrollWidth > one.parentElement.clientWidth + 1).length"
    )
    assert overlaps == 0, "no table lies over the next column"


def test_the_sheet_holds_what_a_reader_of_paper_needs_and_no_controls(printed, visit):
    one = visit(printed)
    one.page.select_option("#status", "assessed")
    one.page.emulate_media(media="print", color_scheme="dark")
    one.page.wait_for_selector("#sheet canvas")
    text = one.page.locator("body").inner_text()
    words = ("Building damage: Tornado, Joplin", "2011-05-29", "© Somebody", "12 roofs lie under trees. Look at them.")
    words += (
        "Destroyed",
        "Not assessed",
        "not validated in the field",
        "before.tif",
        "Made with",
        "buildings the images show",
    )
    for word in words:
        assert word in text
    for name in ("#table", ".tools", ".find", ".layers", ".tabs"):
        assert one.page.locator(name).is_hidden()
    assert one.page.locator("#sheet canvas").count() == 2
    assert one.page.locator("#sheet .north").is_visible()
    assert one.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)", "also where the screen is dark"
    one.page.emulate_media(media="screen")
    one.page.wait_for_selector("#sheet canvas", state="detached")


@pytest.mark.parametrize("width", [700, 1500])
def test_the_scale_bar_on_paper_is_right_on_any_width(printed, visit, width):
    one = visit(printed)

    def metres_across(scale, canvas):
        return float(scale.locator("span").inner_text().split()[0]) * canvas["width"] / scale.bounding_box()["width"]

    screen = one.page.locator("#panels canvas").last.bounding_box()
    down = metres_across(one.page.locator("#scale"), screen) / screen["width"] * screen["height"]
    one.page.emulate_media(media="print")
    one.page.set_viewport_size({"width": width, "height": 900})
    one.page.wait_for_selector("#sheet canvas")
    paper = one.page.locator("#sheet canvas").last.bounding_box()
    shown = metres_across(one.page.locator("#sheet .scale"), paper) / paper["width"] * paper["height"]
    assert shown == pytest.approx(down, rel=0.03), "as high on the ground as on the screen"


def test_paper_shows_the_image_beyond_the_edges_of_the_screen_too(visit, tmp_path):
    grid, damage_map = make_grid(1500), make_map(1, assessed=1.0)
    a = grid.affine
    beside_a_border_of_tiles = shapely.affinity.affine_transform(
        shapely.box(1300, 1290, 1316, 1310), [a.a, a.b, a.d, a.e, a.c, a.f]
    )
    damage_map.buildings.loc[0, "geometry"] = beside_a_border_of_tiles
    one = visit(write(damage_map, tmp_path / "report.html", grid=grid))
    one.rest(longest_ms=1000)  # a while after the last drawing, images for paper are loaded
    one.page.emulate_media(media="print")
    one.page.wait_for_selector("#sheet canvas")
    opaque = one.page.locator("#sheet canvas").evaluate_all(
        "all => all.map((canvas) => canvas.getContext('2d').getImageData(2, canvas.height / 2, 1, 1).data[3])"
    )
    assert opaque == [255, 255]
