"""Very many buildings are shown together, by squares that hold their shares, until the view is so near that each is drawn."""

import numpy as np
import pytest
from made_up_map import make_grid, make_map
from report_visit import write

from deepnets4eo.outputs.map_page import page as map_page, panels
from deepnets4eo.outputs.map_page.page import class_squares

pytestmark = pytest.mark.browser

DRAWN = """(() => {
    const drawn = window.drawn = [], of = CanvasRenderingContext2D.prototype, draw = of.drawImage;
    of.drawImage = function (source, ...rest) {
        const { role } = this.canvas.dataset;
        if (role) drawn.push(`${role} ${source instanceof HTMLImageElement ? "image" : "buildings"}`);
        return draw.call(this, source, ...rest);
    };
})()"""

# A copy is read back: Chromium complains of a canvas that is read back more than once, which a slow machine has to do.
SHOWS_LIGHT = """() => {
    const canvas = document.querySelector("#panels canvas"), copy = document.createElement("canvas");
    if (!canvas.width || !canvas.height) return false;
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    return context.getImageData(0, 0, copy.width, copy.height).data.some((value) => value > 200);
}"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_page, "MAX_SINGLE", 20)
        patch.setattr(panels, "BASE_TILE_PX", 128)  # several tiles, and so a preview
        damage_map = make_map(60)
        return damage_map, write(damage_map, tmp_path_factory.mktemp("crowded") / "report.html", grid=make_grid())


def test_squares_from_afar_and_buildings_from_near(crowded, visit):
    one = visit(crowded[1])
    note = one.page.locator("#together")
    assert (
        note.inner_text() == "Squares: shares of the classes; larger squares mean more buildings. Zoom in to see each."
    )
    one.page.mouse.click(*one.middle("post"))  # four times as near
    one.rest()
    assert note.is_hidden()
    assert one.page.locator("#card").is_hidden(), "from afar a press chooses no building"
    one.page.keyboard.press("1")
    one.rest()
    assert note.is_visible()
    for chip in ("no-damage", "minor-damage", "not-assessed"):
        one.page.locator(f".chip[data-class={chip}]").click()
    one.rest()
    assert note.is_hidden(), "few are left"
    one.page.locator("#table .body .row").first.click()
    assert one.page.locator("#card").is_visible()


def test_the_first_picture_has_its_images_and_comes_before_the_buildings(crowded, visit):
    one = visit(crowded[1])
    one.page.add_init_script("Response.prototype.arrayBuffer = () => new Promise(() => {})")
    one.page.add_init_script(DRAWN)
    one.page.reload()
    one.page.wait_for_function(SHOWS_LIGHT)
    assert one.page.evaluate("window.drawn")[:2] == ["pre image", "pre buildings"]
    assert one.page.locator("body[data-ready]").count() == 0


def test_squares_count_every_building_once_by_class():
    rng = np.random.default_rng(0)
    cx, cy, classes = rng.uniform(100, 900, 500), rng.uniform(0, 300, 500), rng.integers(0, 4, 500)
    cx[0] = np.nan
    squares = class_squares([100, 0, 900, 300], cx, cy, classes)
    counts = np.reshape(squares["counts"], (-1, squares["columns"], squares["many"]))
    assert squares["side"] == 16
    assert counts.sum(axis=(0, 1)).tolist() == np.bincount(classes[1:]).tolist()
    row, col = (int(values[7] // 16) for values in (cy, cx))
    same = (cx // 16 == col) & (cy // 16 == row)
    assert (
        counts[row - squares["top"], col - squares["left"]].tolist() == np.bincount(classes[same], minlength=4).tolist()
    )
