"""The page in other languages: nothing of it stays English but findings and evidence, on a telephone it is not wider than the screen."""

import re

import pytest
from made_up_map import MEANING, make_grid, make_images, make_map
from report_visit import PHONE

from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.summary import summarize

pytestmark = pytest.mark.browser


def test_an_arabic_page_says_all_but_names_in_arabic(visit, tmp_path):
    grid, damage_map = make_grid(), make_map(40)
    damage_map.buildings.loc[damage_map.buildings["status"] != "assessed", "reason"] = "under cloud"
    damage_map.add_areas("grid:50")
    pre, post = make_images(grid, damage_map)
    path = tmp_path / "report.html"
    one = visit(write_report(damage_map, summarize(damage_map, grid), path, post=post, pre=pre, language="ar"), PHONE)
    one.page.locator("#table .body .row").first.click()
    card = one.page.locator("#card").inner_text()
    one.page.keyboard.press("Escape")
    one.page.locator("#tab-summary").click()
    said = one.page.locator("body").inner_text() + card
    commands = one.page.locator(".command").all_inner_texts()
    for text in (*commands, *MEANING.values(), *(name[3:].replace("_", " ") for name in MEANING)):
        said = said.replace(text, "")
    names = (
        r"OpenStreetMap|deepnets4eo|manifest\.json|GeoJSON|EPSG:\d+|CSV|KML|UTC|px|Escape|array|way/\d+|\b[BNPOSm]\b|km"
    )
    assert re.findall(r"[A-Za-z]{2,}", re.sub(names, "", said)) == []
    assert "القرائن" in card
    assert one.page.evaluate("document.documentElement.scrollWidth") == 390
    labels = one.page.locator("button, canvas, input, select, [role]").evaluate_all(
        "(all) => all.map((each) => (each.ariaLabel ?? '') + (each.title ?? '')).join()"
    )
    assert re.findall("[A-Za-z]{2,}", re.sub(f"{names}|UTF-8|Google Earth", "", labels)) == []
