"""Pages without scripts, such as the history of buildings: each screen shows all of them (the fixtures look)."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from report_visit import DESKTOP, PHONE

from deepnets4eo.grid import Grid
from deepnets4eo.points import RubbleOptions, debris_history
from deepnets4eo.points.rubble.history import write_history_page
from deepnets4eo.rasters import Layer

CRS, COUNT = "EPSG:32633", 24


def houses(**columns):
    corners = [(400_000 + 20 * (i % 6), 5_800_000 + 20 * (i // 6)) for i in range(COUNT)]
    boxes = [shapely.box(x + 4, y + 4, x + 14, y + 14) for x, y in corners]
    return gpd.GeoDataFrame({"id": [f"h{i}" for i in range(COUNT)], **columns}, geometry=boxes, crs=CRS)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Houses of 6 m, of which the first four fall at the third of eight dates."""
    outlines, days = houses(), [str(year) for year in range(2016, 2024)]
    grid = Grid((90, 130), Affine(1, 0, 399_995, 0, -1, 5_800_085), CRS)
    x, y = np.meshgrid(np.arange(130) + 399_995.5, 5_800_084.5 - np.arange(90))
    dates = []
    for number in range(len(days)):
        surface = np.random.default_rng(number).normal(100, 0.02, grid.shape)
        for index, box in enumerate(outlines.geometry):
            left, bottom, right, top = box.bounds
            inside = (x > left) & (x < right) & (y > bottom) & (y < top)
            surface[inside] += 0.0 if index < 4 and number > 1 else 6.0
        dates.append(Layer.open(surface.astype(np.float32), grid=grid))
    rubble = debris_history(dates, days, outlines, RubbleOptions(align=False, assume_registered=True))
    return write_history_page(rubble, tmp_path_factory.mktemp("history") / "history.html")


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_a_history_shows_each_building_with_a_height_at_each_date(visit, history, options):
    page = visit(history, options).page
    cards = page.locator("article")
    assert cards.count() == COUNT
    assert cards.first.locator("circle").count() == 8
    boxes = cards.first.locator("text").evaluate_all("all => all.map((one) => one.getBoundingClientRect().toJSON())")
    days = sorted(
        (box for box in boxes if box["top"] > max(one["top"] for one in boxes) - 2), key=lambda box: box["left"]
    )
    assert len(days) == 8
    assert all(one["right"] <= other["left"] for one, other in zip(days, days[1:], strict=False)), (
        "dates lie over each other"
    )
