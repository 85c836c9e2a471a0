"""The page of a label raster's sample in a browser: classes as keys, one or two images, answers that last, and the width of a phone."""

import numpy as np
import pytest
from geotiff import write_geotiff
from report_visit import PHONE
from served import answering, press

from deepnets4eo.evaluation import MapReview
from deepnets4eo.outputs.served_page import Answers

pytestmark = pytest.mark.browser


@pytest.fixture
def review(tmp_path):
    """A flood map of another tool, 0 and 255, with images before and after."""
    flood = np.zeros((160, 200), np.uint8)
    flood[60:100] = 255
    images = []
    for role, water in (("before", np.zeros_like(flood)), ("after", flood)):
        ground = np.random.default_rng(0).integers(60, 200, (3, *flood.shape)).astype(np.uint8)
        images.append(write_geotiff(tmp_path / f"{role}.tif", np.where(water, np.uint8(20), ground)))
    return MapReview.draw(write_geotiff(tmp_path / "flood.tif", flood), tmp_path / "a.gpkg", looks=24, images=images)


def test_points_are_answered_by_keys_and_the_page_states_what_they_show(review, served_pages):
    with answering(review.page(reviewer="Anna")) as server, served_pages(server, ".chip img") as visit:
        page = visit(PHONE)
        assert page.locator("#title").inner_text() == "Point 1 of 24"
        assert [text.split()[0] for text in page.locator("figcaption").all_inner_texts()] == ["Before", "After"]
        assert page.locator(".chip path").count() == 4
        press(page, "3", "Saved: Other class. Point 2 of 24.")
        press(page, "u", "Taken back: not answered. Point 1 of 24.")
        for done, stratum in enumerate(review.about["stratum"], start=1):
            page.keyboard.press("12"[stratum])
            page.locator("#count", has_text=f"{done} of 24 answered").wait_for()
        page.locator("#status", has_text="All points are answered.").wait_for()
        assert {row.reviewer for row in Answers(review.path).rows()} == {"Anna"}
        page.locator("#state li", has_text="100.0% of the map is right").wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert review.result().estimate.overall_accuracy == pytest.approx(1)
    with answering(review.page()) as server, served_pages(server, ".chip img") as visit:
        page = visit({})  # opened again, with the images that it was drawn with
        assert page.locator("#count").inner_text() == "24 of 24 answered"
