"""The water that was given with a job is a layer of its page: blue where it is, grey stripes where it is not known."""

import numpy as np
import pytest
from geotiff import write_geotiff
from made_up_map import make_grid, make_map
from report_visit import PHONE, write

from deepnets4eo.damage.evidences.shown_water import ShownWater
from deepnets4eo.outputs.map_page.panels import STRIPE_EVERY, STRIPE_PX, UNKNOWN_COLOUR, unknown_stripes

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    "options",
    [{"viewport": {"width": 1280, "height": 800}}, {**PHONE, "viewport": {"width": 375, "height": 812}}],
    ids=["1280 px", "375 px"],
)
@pytest.mark.parametrize("wet", [0, 3])
def test_water_is_a_layer_with_its_swatch_shown_where_the_first_lines_count_it(visit, tmp_path, options, wet):
    grid = make_grid()
    mask = np.zeros(grid.shape, np.uint8)
    mask[:, :100], mask[:, 200:] = 1, 9
    path = write_geotiff(tmp_path / "flood.tif", mask, crs=grid.crs, transform=grid.affine, nodata=9)
    water = ShownWater.of_file(str(path), grid)
    damage_map = make_map()
    damage_map.inundation = {"inundated": wet, "structure": 1, "together": wet} if wet else {}
    one = visit(write(damage_map, tmp_path / "report.html", scores=[water]), options)
    assert ("3 stand in new water" in one.page.locator("#headline").inner_text()) is bool(wet)
    one.page.evaluate("document.getElementById('layers').open = true")
    layers = {
        name: one.page.locator(f"[data-layer='{name}']")
        for name in ("New water", "Water not known", "Edge of assessed ground")
    }
    pressed = {name: layer.get_attribute("aria-pressed") for name, layer in layers.items()}
    assert pressed == {
        "New water": str(bool(wet)).lower(),
        "Water not known": "false",
        "Edge of assessed ground": "true",
    }
    assert (
        layers["New water"].locator(".swatch").evaluate("one => getComputedStyle(one).backgroundColor")
        == "rgb(30, 120, 255)"
    )
    seen = [one.pixels()]
    for name, layer in layers.items():
        layer.click()
        assert one.pixels() not in seen, name
        seen.append(one.pixels())
        box, width = layer.bounding_box(), options["viewport"]["width"]
        assert 0 <= box["x"] < box["x"] + box["width"] <= width
    for layer in layers.values():
        layer.click()
    assert one.pixels() == seen[0]


def test_ground_where_water_is_not_known_is_striped():
    valid = np.ones((8, 24), bool)
    valid[:, 16:] = False
    image = unknown_stripes(valid)
    assert not image[:, :16].any()
    striped = (image[:, 16:] == UNKNOWN_COLOUR).all(axis=2)
    assert striped.mean() == 1 / STRIPE_EVERY  # the image is visible between the stripes
    assert striped[0].sum() == STRIPE_PX
