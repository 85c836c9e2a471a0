"""The page in three dimensions, in a browser: it works offline by mouse, keys and fingers, and classes can be hidden."""

import numpy as np
import pytest
import shapely
from report_visit import DESKTOP, FRAMES, PHONE

from deepnets4eo.points import PointCloud
from deepnets4eo.points.display3d.viewer_files import BuildingBox, write_point_page

COUNT = """() => {
    const canvas = document.getElementById("view");
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const data = context.getImageData(0, 0, copy.width, copy.height).data;
    const seen = { red: 0, green: 0, blue: 0 };
    for (let i = 0; i < data.length; i += 4) {
        if (data[i] > 200 && data[i + 1] < 60) seen.red++;
        if (data[i + 1] > 200 && data[i] < 60) seen.green++;
        if (data[i + 2] > 200 && data[i] < 60) seen.blue++;
    }
    return seen;
}"""


@pytest.fixture
def page_file(tmp_path):
    rng = np.random.default_rng(0)
    xyz = np.column_stack([rng.uniform(0, 60, (8000, 2)), rng.uniform(0, 0.2, 8000)]) + [400_000, 5_800_000, 100]
    classes = np.where(xyz[:, 0] < 400_030, 2, 6).astype(np.uint8)
    colour = np.where(classes[:, None] == 2, (0, 255, 0), (255, 0, 0)).astype(np.uint8)
    boxes = [
        BuildingBox("west", shapely.box(400_005, 5_800_020, 400_015, 5_800_030), 100, 106, (0, 0, 255), "collapsed", (("Debris", "120 m³"),)),
        BuildingBox("east", shapely.box(400_040, 5_800_020, 400_050, 5_800_030), 100, 106, (0, 0, 255), "standing"),
    ]  # fmt: skip
    return write_point_page(PointCloud(xyz, colour=colour, classification=classes), tmp_path / "view.html", boxes)


def drawn(page):
    page.evaluate(FRAMES)
    return page.evaluate(COUNT)


def test_points_are_drawn_and_classes_and_groups_can_be_hidden(visit, page_file):
    page = visit(page_file, DESKTOP).page
    first = drawn(page)
    assert min(first.values()) > 200
    page.locator("#classes input").nth(0).uncheck()
    hidden = drawn(page)
    assert hidden["green"] == 0
    assert hidden["red"] > 0.9 * first["red"]
    page.locator("#groups input").nth(0).uncheck()
    page.locator("#groups input").nth(1).uncheck()
    assert drawn(page)["blue"] == 0


def test_keys_mouse_and_the_list_of_buildings_work(visit, page_file):
    page = visit(page_file, DESKTOP).page
    first = drawn(page)
    page.locator("#view").focus()
    for _ in range(4):
        page.keyboard.press("+")
    near = drawn(page)
    assert near["blue"] > first["blue"]
    page.keyboard.press("r")
    assert drawn(page) == first
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 230, steps=3)
    page.mouse.up()
    assert drawn(page) != first
    page.locator("#building").select_option("west")
    assert "120 m³" in page.locator("#card").inner_text()
    page.locator("#top").click()
    above = drawn(page)
    assert above["red"] == pytest.approx(above["green"], rel=0.1)  # both halves of the field are alike from above


def test_on_a_phone_the_page_fits_and_fingers_turn_the_view(visit, page_file):
    page = visit(page_file, PHONE).page
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    first = drawn(page)
    page.evaluate("""() => {
        const canvas = document.getElementById("view");
        const send = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type,
            { pointerId: 1, pointerType: "touch", clientX: x, clientY: y, buttons: 1, bubbles: true }));
        canvas.setPointerCapture = () => {};
        send("pointerdown", 150, 300); send("pointermove", 220, 320); send("pointerup", 220, 320);
    }""")
    assert drawn(page) != first
