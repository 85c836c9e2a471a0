"""The page of points in a browser: it works offline by mouse, keys and fingers, and classes can be hidden."""

import numpy as np
import pytest
from report_visit import DESKTOP, FRAMES, PHONE

from deepnets4eo.cards import Legend
from deepnets4eo.points import PointCloud, draw

COUNT = """() => {
    const canvas = document.getElementById("view");
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const data = context.getImageData(0, 0, copy.width, copy.height).data;
    const seen = { red: 0, green: 0, hash: 17 };
    for (let i = 0; i < data.length; i += 4) {
        if (data[i] > 100 && data[i + 1] < 40) seen.red++;
        if (data[i + 1] > 100 && data[i] < 40) seen.green++;
        seen.hash = (Math.imul(seen.hash, 31) + data[i] + 256 * data[i + 1]) | 0;
    }
    return seen;
}"""
DRAWN_BOX = """() => {
    const canvas = document.getElementById("view"), { width, height } = canvas;
    const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    let [left, top, right, bottom] = [width, height, -1, -1];
    for (let i = 0; i < width * height; i++) {
        if (Math.max(data[4 * i], data[4 * i + 1]) < 60) continue;
        const x = i % width, y = Math.floor(i / width);
        [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
    }
    return [width, height, left, top, right, bottom];
}"""
LEGEND = Legend.from_dict(
    {"name": "halves", "classes": [{"value": 2, "name": "west", "color": [0, 255, 0]}, {"value": 6, "name": "east", "color": [255, 0, 0]}]}
)  # fmt: skip


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    rng = np.random.default_rng(0)
    xyz = np.column_stack([rng.uniform(0, 60, (8000, 2)), rng.uniform(0, 0.2, 8000)]) + [400_000, 5_800_000, 100]
    classes = np.where(xyz[:, 0] < 400_030, 2, 6).astype(np.uint8)
    cloud = PointCloud(xyz, classification=classes, colour=np.full((8000, 3), 60, np.uint8))
    return draw(cloud, LEGEND).save(tmp_path_factory.mktemp("look") / "look.html")


def drawn(page):
    page.evaluate(FRAMES)
    return page.evaluate(COUNT)


def test_points_are_drawn_by_class_and_classes_can_be_hidden(visit, page_file):
    page = visit(page_file, DESKTOP).page
    first = drawn(page)
    assert min(first["red"], first["green"]) > 2000
    page.get_by_label("west").uncheck()
    hidden = drawn(page)
    assert hidden["green"] == 0
    assert hidden["red"] > 0.9 * first["red"]
    page.locator("#colour").select_option("own")
    assert drawn(page)["red"] == 0
    page.locator("#colour").select_option("height")
    assert drawn(page)["hash"] not in (first["hash"], hidden["hash"])


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("button", [None, "#top"])
def test_the_whole_scene_is_in_the_picture_at_first(visit, page_file, options, button):
    page = visit(page_file, options).page
    if button:
        page.locator(button).click()
    page.evaluate(FRAMES)
    width, height, left, top, right, bottom = page.evaluate(DRAWN_BOX)
    assert min(left, top, width - 1 - right, height - 1 - bottom) > 0
    assert max((right - left) / width, (bottom - top) / height) > 0.7  # and fills it


def test_keys_mouse_and_wheel_turn_move_and_zoom_and_reset_returns(visit, page_file):
    page = visit(page_file, DESKTOP).page
    first = drawn(page)
    page.locator("#view").focus()
    for _ in range(4):
        page.keyboard.press("-")
    assert drawn(page)["red"] < 0.6 * first["red"]
    page.keyboard.press("r")
    assert drawn(page) == first
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 230, steps=3)
    page.mouse.up()
    assert drawn(page) != first
    page.locator("#reset").click()
    assert drawn(page) == first
    page.locator("#view").focus()
    page.keyboard.press("Shift+ArrowRight")
    moved = drawn(page)
    assert moved["hash"] != first["hash"]
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
