"""The panels have the shape of the scene, so that both images fill them; what they leave shows the first listed objects."""

import pytest
from affine import Affine
from made_up_map import make_map
from odc.geo.geobox import GeoBox
from report_visit import by_probability, write

SCREENS = {"viewport": {"width": 1280, "height": 720}}
COVERED = """() => [...document.querySelectorAll("#panels canvas")].map((canvas) => {
    const { width, height } = canvas, data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    let drawn = 0;
    for (let i = 3; i < data.length; i += 4) drawn += data[i] > 0;
    return drawn / (width * height);
})"""


def shaped(height, width):
    return GeoBox((height, width), Affine(0.5, 0, 360_000, 0, -0.5, 4_100_000), "EPSG:32615")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Scenes by their shape, houses all over them."""
    folder, made = tmp_path_factory.mktemp("shapes"), {}
    for name, grid in {"square": shaped(256, 256), "wide": shaped(128, 512), "tall": shaped(512, 200)}.items():
        damage_map = make_map(60, grid=shaped(256, 256))
        made[name] = damage_map, write(damage_map, folder / f"{name}.html", grid=grid)
    return made


@pytest.mark.parametrize("size", [(1280, 720), (1280, 1024), (1920, 1080), (768, 1024)])
@pytest.mark.parametrize("name", ["square", "wide", "tall"])
def test_both_images_fill_their_panels_and_none_is_cut(pages, visit, name, size):
    one = visit(pages[name][1], SCREENS)
    one.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    one.page.locator("#fit").click()
    one.rest()
    assert min(one.page.evaluate(COVERED)) > (0.6 if name == "tall" and size[0] < 860 else 0.95)
    boxes = [panel.bounding_box() for panel in one.page.locator("#panels canvas").all()]
    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=1)
    assert boxes[0]["height"] == pytest.approx(boxes[1]["height"], abs=1)
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing lies beyond the right edge"


def test_what_a_square_scene_leaves_shows_the_first_listed_buildings(pages, visit):
    damage_map, path = pages["square"]
    one = visit(path, SCREENS)
    one.rest()
    pairs = one.page.locator("#strip button")
    shown = pairs.evaluate_all("buttons => buttons.map((button) => button.dataset.strip)")
    assert shown == by_probability(damage_map)[: len(shown)]
    assert len(shown) >= 3
    assert pairs.first.locator("canvas").count() == 2
    tools = one.page.locator(".tools").bounding_box()
    assert all(
        tools["y"] >= box["y"] + box["height"] for box in (p.bounding_box() for p in one.page.locator(".panel").all())
    )
    pairs.nth(1).click()
    assert one.page.locator("#card code").inner_text() == shown[1]
    one.page.locator("#search").fill(shown[2])
    one.rest()
    assert pairs.evaluate_all("buttons => buttons.map((button) => button.dataset.strip)") == [shown[2]]


@pytest.mark.parametrize("size", [(1400, 900), (1400, 830), (1280, 800), (1280, 1024), (1600, 1200)])
def test_pictures_of_buildings_fill_what_a_square_scene_leaves(pages, visit, size):
    one = visit(pages["square"][1], SCREENS)
    one.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    one.rest()
    room = one.page.locator("#strip").bounding_box()
    boxes = [button.bounding_box() for button in one.page.locator("#strip button").all()]
    ends = [box["y"] + box["height"] for box in boxes]
    assert 0 <= room["y"] + room["height"] - max(ends) <= 8, "no empty strip is left"
    across = sum(box["y"] == boxes[0]["y"] for box in boxes)
    assert len(boxes) % across == 0
    canvas = one.page.locator("#strip canvas").first
    drawn, shown = canvas.evaluate("canvas => canvas.width / canvas.height"), canvas.bounding_box()
    assert shown["width"] / shown["height"] == pytest.approx(drawn, rel=0.03), "pictures are not distorted"


def test_a_scene_without_place_on_the_earth_has_no_arrow_to_the_north(visit, tmp_path):
    nowhere = GeoBox((256, 256), Affine(0.5, 0, 0, 0, 0.5, 0), 'ENGCRS["metres",EDATUM["unknown"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]')  # fmt: skip
    placed = visit(write(make_map(9), tmp_path / "placed.html"))
    assert placed.page.locator("#panels .north").count() == 1
    plane = visit(write(make_map(9, grid=nowhere), tmp_path / "plane.html", grid=nowhere))
    assert plane.page.locator("#panels .north").count() == 0
    assert plane.page.locator("#scale").inner_text().endswith(" m")
