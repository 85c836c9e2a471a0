"""The page of a flood map in a browser: the panels of the damage page, with regions of flood and the probability over them."""

import re

import numpy as np
import pytest
from geotiff import write_geotiff

from deepnets4eo.floods import FloodOptions, map_flood

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def flood(tmp_path_factory):
    """A fine optical pair with a lake that is new."""
    folder, rng = tmp_path_factory.mktemp("flood"), np.random.default_rng(0)
    pre = np.kron(rng.integers(40, 200, (3, 50, 50)), np.ones((1, 4, 4)))
    post = pre.copy()
    post[:, 60:140, 50:150] = np.array([120, 105, 80.0])[:, None, None]
    for name, image in (("pre", pre), ("post", post)):
        write_geotiff(folder / f"{name}.tif", image.astype(np.uint8))
    options = FloodOptions(assume_registered=True)
    return map_flood([str(folder / "pre.tif")], str(folder / "post.tif"), folder / "out", options)


def test_the_page_names_water_its_area_and_its_images(flood, visit):
    one = visit(flood.paths["report.html"])
    headline = one.page.locator("#headline").inner_text()
    assert re.fullmatch(r"0\.[78]\d\d ha flooded, (18|19|20)\.\d% of 4\.00 ha of visible ground\.", headline)
    assert one.page.locator(".chip").first.inner_text().startswith("Flood")
    assert one.listed() == flood.polygons["id"].tolist()
    before = one.pixels()
    one.page.locator("[data-layer=Probability]").click()
    assert all(now != was for now, was in zip(one.pixels(), before, strict=True))


def test_a_map_without_a_date_before_opens_too(flood, visit, tmp_path):
    alone = map_flood([], str(flood.paths["flood.tif"].parent.parent / "post.tif"), tmp_path / "alone")
    one = visit(alone.paths["report.html"])
    assert "of water of unknown age" in one.page.locator("#headline").inner_text()
    assert len(one.pixels()) == 1


def test_an_empty_list_says_what_it_means_and_one_that_is_filtered_says_that(flood, visit, tmp_path):
    folder = flood.paths["flood.tif"].parent.parent
    rng = np.random.default_rng(1)
    noise = np.kron(rng.integers(40, 200, (3, 50, 50)), np.ones((1, 4, 4)))
    write_geotiff(tmp_path / "dry.tif", noise.astype(np.uint8))
    dry = map_flood(
        [str(folder / "pre.tif")], str(tmp_path / "dry.tif"), tmp_path / "dry", FloodOptions(assume_registered=True)
    )
    one = visit(dry.paths["report.html"])
    assert one.listed() == []
    area = dry.summary["area"]
    assert area["unknown_ha"] > 0
    assert re.search(
        r"^0–\d.* ha of .* may be flooded: it is not known how much", one.page.locator("#headline").inner_text()
    )
    unknown = one.page.locator("[data-layer='Not known']")
    assert unknown.get_attribute("aria-pressed") == "true"  # stripes where it is not known
    striped = one.pixels()
    unknown.click()
    assert all(now != was for now, was in zip(one.pixels(), striped, strict=True))
    assert "–" in one.page.locator(".chip").first.inner_text()  # the interval, not only 0 ha
    assert "an empty list is no proof that the ground is dry" in one.page.locator("#empty").inner_text()
    full = visit(flood.paths["report.html"])
    assert full.page.locator("#empty").is_hidden()
    full.page.locator("#search").fill("no such id")
    assert full.page.locator("#empty").inner_text() == "No polygon matches the search and the classes shown."


def test_on_a_page_from_right_to_left_a_number_comes_before_its_unit(flood, visit, tmp_path):
    folder = flood.paths["flood.tif"].parent.parent
    options = FloodOptions(assume_registered=True, language="ar")
    arabic = map_flood([str(folder / "pre.tif")], str(folder / "post.tif"), tmp_path / "arabic", options)
    assert str(folder) not in arabic.paths["report.html"].read_text(encoding="utf-8"), "files are named without folders"
    page = visit(arabic.paths["report.html"]).page
    assert page.locator("h1").inner_text() == "خريطة الفيضان"
    figure = page.locator(".figure bdi")
    left = """(one) => {
        const node = document.createTreeWalker(one, NodeFilter.SHOW_TEXT).nextNode(), range = document.createRange();
        const at = (start) => { range.setStart(node, start); range.setEnd(node, start + 1); return range.getBoundingClientRect().left; };
        return [at(0), at(node.data.length - 1)];
    }"""
    number, unit = figure.evaluate(left)
    assert number < unit
    assert page.locator("#table .body .num").first.inner_text().startswith("\u2066")
