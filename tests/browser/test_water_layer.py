"""The water that was given with a job is a layer of its page: blue where it is, grey stripes where it is not known, and a legend."""

import numpy as np
import pytest
from geotiff import write_geotiff
from made_up_map import make_grid, make_map
from report_visit import PHONE, write

from deepnets4eo.damage.evidences.shown_water import ShownWater
from deepnets4eo.outputs.map_page.panels import MASK_COLOUR, STRIPE_EVERY, STRIPE_PX, UNKNOWN_COLOUR, _mask_colours

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    "options",
    [{"viewport": {"width": 1280, "height": 800}}, {**PHONE, "viewport": {"width": 375, "height": 812}}],
    ids=["1280 px", "375 px"],
)
def test_water_is_shown_on_request_with_a_legend_and_unknown_water_apart(visit, tmp_path, options):
    grid = make_grid()
    mask = np.zeros(grid.shape, np.uint8)
    mask[:, :100], mask[:, 200:] = 1, 9
    path = write_geotiff(tmp_path / "flood.tif", mask, crs=grid.crs, transform=grid.affine, nodata=9)
    water = ShownWater.of_file(str(path), grid)
    one = visit(write(make_map(), tmp_path / "report.html", scores=[water]), options)
    legend, choice = one.page.locator("#mask-legend"), one.page.locator("#score")
    before = one.pixels()
    assert legend.is_hidden()
    assert choice.locator("option").all_inner_texts() == ["none", "Water"]
    choice.select_option("Water")
    assert one.pixels() != before
    assert legend.inner_text().split() == ["New", "water", "not", "known"]
    box, width = legend.bounding_box(), options["viewport"]["width"]
    assert 0 <= box["x"] < box["x"] + box["width"] <= width
    choice.select_option("none")
    assert one.pixels() == before
    assert legend.is_hidden()


def test_water_is_blue_dry_ground_clear_and_unknown_ground_striped():
    mask, valid = np.zeros((8, 24), np.uint8), np.ones((8, 24), bool)
    mask[:, :8], valid[:, 16:] = 1, False
    image = _mask_colours(mask, valid)
    assert (image[:, :8] == MASK_COLOUR).all()
    assert not image[:, 8:16].any()
    striped = (image[:, 16:] == UNKNOWN_COLOUR).all(axis=2)
    assert striped.mean() == 1 / STRIPE_EVERY  # the image is visible between the stripes
    assert striped[0].sum() == STRIPE_PX
