"""The page on which clicks correct a label map, in a browser: keys alone, taps on a phone, two pages at once, hostile names."""

import pytest
from made_up_clicks import HOSTILE, write_clickable
from report_visit import PHONE
from served import answering, press

from deepnets4eo.prediction import ClickServer, click_review, open_scene
from deepnets4eo.segmenters import load_run

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clicks")
    run, scene = write_clickable(folder)
    run = load_run(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(click_review, "TILE_PX", 48)
        review = click_review.ClickReview(run, open_scene(str(scene), run.segmenter), folder / "out")
    with answering(ClickServer(review, HOSTILE)) as server:
        yield server


@pytest.fixture
def visit(served_pages, server):
    with served_pages(server, "#answers button") as open_page:
        yield open_page


def test_labels_are_corrected_by_keys_alone(server, visit):
    page, session = visit(), server.review.session
    assert page.locator("#synthetic").is_visible()
    press(page, "1", "The next click is field.")
    press(page, "n", "Choose its class and press Enter.")
    press(page, "Shift+ArrowRight", "Row")
    press(page, "ArrowDown", "Row")
    press(page, "Enter", "Saved: field.")
    row, col = server.review.session.clicks.pixels[0]
    assert page.locator("#picture").get_attribute("role") == "application"
    assert page.locator("svg circle.over").get_attribute("cx") == str(col + 0.5)
    assert page.evaluate("([row, col]) => labels[row * 48 + col]", [row, col]) == 0
    assert page.locator("#count").inner_text() == "1 click on 1 of 4 tiles"
    press(page, "a", "Weights follow the clicks.")
    assert page.get_by_role("button", name="Weights follow").get_attribute("aria-pressed") == "true"
    press(page, "a", "as they were before any click")
    for key in "uuu":  # faster than they are done
        page.keyboard.press(key)
    page.locator("#undo:disabled").wait_for()
    assert (len(session.clicks), session.follows) == (0, False)
    press(page, "t", "of 4. 0 clicks")
    assert server.review.session is not session
    page.get_by_label("Single keys").uncheck()
    page.keyboard.press("2")
    assert page.locator("#answers button[aria-pressed=true] span").inner_text() == "field"


def test_two_pages_see_each_other_and_names_are_text(server, visit):
    first, second = visit(), visit(PHONE)
    for page in (first, second):
        page.locator("#answers button").nth(1).click()
    first.locator("#picture").click(position={"x": 20, "y": 20})
    first.locator("#status", has_text="Saved").wait_for()
    assert len(server.review.session.clicks) == 1
    second.locator("#picture").tap(position={"x": 90, "y": 90})
    second.get_by_role("alert").wait_for()
    assert "another page has gone on" in second.get_by_role("alert").inner_text()
    assert second.locator("svg circle.over").count() == len(server.review.session.clicks) == 1
    second.locator("#picture").tap(position={"x": 90, "y": 90})
    second.locator("#status", has_text="Saved: <img src=x").wait_for()
    assert len(server.review.session.clicks) == 2
    for page in (first, second):
        assert page.locator("#name").inner_text().startswith("<img src=x")
        assert page.locator("#answers img, #name img").count() == 0
        assert page.title() == "Correction of a label map"
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_a_slider_sets_the_strength_of_the_labels_and_marks_are_seen_on_white_and_black(server, visit):
    page = visit()
    strength = page.locator("#strength")
    page.locator("#labels[style*='opacity: 0.5']").wait_for()
    strength.fill("90")
    assert page.evaluate("getComputedStyle(document.getElementById('labels')).opacity") == "0.9"
    press(page, "n", "Choose its class and press Enter.")
    assert page.evaluate("getComputedStyle(document.getElementById('labels')).opacity") == "0.9", (
        "after it is drawn again"
    )
    widths = page.evaluate(
        "['.under:has(+ .asked)', '.asked'].map((name) => { const { stroke, strokeWidth } = getComputedStyle(document.querySelector(`#picture ${name}`)); return [stroke, parseFloat(strokeWidth)]; })"
    )
    (dark, wide), (light, narrow) = widths
    assert (dark, light) == ("rgb(0, 0, 0)", "rgb(255, 243, 107)")
    assert wide - narrow >= 4, "two pixels of black on either side"


def test_short_names_of_classes_are_not_broken(tmp_path, served_pages):
    run, scene = write_clickable(tmp_path)
    run = load_run(run)
    review = click_review.ClickReview(run, open_scene(str(scene), run.segmenter), tmp_path / "out")
    with answering(ClickServer(review, "scene")) as server, served_pages(server, "#answers button") as open_page:
        page = open_page(PHONE)
        page.evaluate("document.querySelector('#answers button span').textContent = 'low_vegetation'")
        span = page.locator("#answers button span").first
        line = span.evaluate("(one) => parseFloat(getComputedStyle(one).lineHeight)")
        assert span.bounding_box()["height"] < 1.5 * line
        assert span.evaluate("(one) => one.scrollWidth <= one.clientWidth + 1")
