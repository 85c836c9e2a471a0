"""Numbers of pages and pictures at the place where another constant would show: sides, limits of what is drawn, shares."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine

from deepnets4eo.cli.review import review_raster
from deepnets4eo.damage.products import plots, sheet
from deepnets4eo.damage.products.sheet import _layout
from deepnets4eo.display.figures import FigureStyle, make_axes
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid
from deepnets4eo.maps.areas import label_area
from deepnets4eo.maps.region_page import _thinned
from deepnets4eo.outputs.headline import bar_of
from deepnets4eo.outputs.map_page import CLOUD_COLOUR, Overlay, panels
from deepnets4eo.outputs.quantity import Quantity, Unit
from deepnets4eo.outputs.served_page import chips as chips_module
from deepnets4eo.outputs.served_page.chips import Chips
from deepnets4eo.rasters import Layer


def chips_of(side_m: float, gsd_m: float, shapes: int = 1) -> Chips:
    """Return chips around squares in the middle of an image of 64 pixels."""
    grid = Grid((64, 64), Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), "EPSG:32631")
    x, y = 500_000 + 32 * gsd_m, 5_000_000 - 32 * gsd_m
    box = shapely.box(x - side_m / 2, y - side_m / 2, x + side_m / 2, y + side_m / 2)
    image = Layer.open(np.ones((3, 64, 64), np.uint8), grid=grid)
    return Chips({"post": image}, np.array([box] * shapes), range(shapes))


@pytest.mark.parametrize(
    ("side_m", "gsd_m", "side_px", "wide_px"),
    [
        (2.0, 0.25, 160, 480),  # 40 m
        (2.0, 1.0, 64, 192),  # 64 pixels
        (99.9, 1.0, 220, 660),  # 2.2 times the outline
        (1200.0, 1.0, 2640, 3072),  # no more than 3,072 pixels
    ],
)
def test_a_chip_shows_the_surroundings_of_its_outline(side_m: float, gsd_m: float, side_px: int, wide_px: int) -> None:
    chips = chips_of(side_m, gsd_m)
    assert [chips.window(0, wide=wide).width for wide in (False, True)] == [side_px, wide_px]
    assert chips.window(0).height == side_px


@pytest.mark.parametrize(("side_m", "step_px"), [(360.0, 1), (370.0, 2), (1200.0, 4)])
def test_chips_are_shown_in_up_to_800_pixels(side_m: float, step_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outlines of 360, 370 and 1,200 m have chips of 792, 814 and 2,640 pixels."""
    drawn: list[tuple[Any, ...]] = []

    def render(layer: Layer, window: Any, *how: Any) -> Any:
        drawn.append((how[0], how[2]))
        return type("Tile", (), {"webp": b""})

    monkeypatch.setattr(chips_module, "render_window", render)
    chips_of(side_m, 1.0).webp("post", 0)
    assert drawn == [(step_px, 90)]


def test_brightness_is_measured_around_24_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Layer.read
    windows: list[Any] = []
    monkeypatch.setattr(Layer, "read", lambda layer, window=None: (windows.append(window), read(layer, window))[1])
    chips_of(2.0, 1.0, shapes=30)
    assert len(windows) == 24


@pytest.mark.parametrize(
    ("room", "corners", "size"),
    [
        ((200.0, 100.0), [(5, 0), (100, 0)], (90, 90, 190, 100)),  # 5 mm to the left and 10 mm below of each map
        ((100.0, 200.0), [(5, 0), (5, 100)], (90, 90, 95, 200)),
        ((200.0, 25.0), [(5, 0), (30, 0)], (20, 20, 50, 30)),  # 20 mm high at least
    ],
)
def test_maps_of_a_sheet_have_room_for_degrees_and_titles(
    room: tuple[float, float], corners: list[tuple[float, float]], size: tuple[float, ...]
) -> None:
    found = _layout(Grid((50, 50), Affine(1, 0, 500_000, 0, -1, 5_000_000), "EPSG:32631"), 2, room)
    assert found.corners == corners
    assert (found.map_width, found.map_height, found.width, found.height) == size


def test_clouds_and_water_are_translucent_and_what_is_unknown_has_stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "_webp", lambda image: image)
    mask = np.zeros((1, 8, 40), np.uint8)
    mask[0, :, 20:30], mask[0, :, 30:] = 1, 9
    layer = Layer.open(mask, nodata=9)
    for colour, drawn in ((CLOUD_COLOUR, (235, 245, 255, 150)), (panels.WATER_COLOUR, (30, 120, 255, 150))):
        (_, inside), (_, unknown) = panels.render_overlay(Overlay("Mask", layer, colour=colour, unknown="Not known"))
        image: Any = inside.tiles[0].webp
        assert image[3, 25].tolist() == list(drawn)
        assert not image[:, :20].any()
        stripes: Any = unknown.tiles[0].webp
        assert np.flatnonzero(stripes[0, :, 3]).tolist() == [32]
        assert np.flatnonzero(stripes[1, :, 3]).tolist() == [31, 39]
        assert stripes[0, 32].tolist() == [235, 235, 235, 150]


@pytest.mark.parametrize(("corners", "parts"), [(300, 2), (301, 1)])
def test_small_parts_of_shapes_with_more_than_300_corners_may_vanish(corners: int, parts: int) -> None:
    angle = np.linspace(0, 2 * np.pi, corners - 5)
    ring = np.column_stack([100 * np.cos(angle), 100 * np.sin(angle)])
    ring[-1] = ring[0]
    shape = shapely.MultiPolygon([shapely.Polygon(ring), shapely.box(200, 0, 200.2, 0.2)])
    assert shapely.get_num_coordinates(shape) == corners
    assert shapely.get_num_geometries(_thinned(np.array([shape]), 1.0))[0] == parts


def test_blocks_are_drawn_by_the_same_seed_unless_another_is_given() -> None:
    labels = Layer.open(np.random.default_rng(0).integers(0, 2, (1, 128, 128)).astype(np.uint8))
    first, same, other = label_area(labels, 1), label_area(labels, 1, seed=0), label_area(labels, 1, seed=1)
    assert first == same
    assert first.area.interval != other.area.interval


def test_brightness_of_chips_is_that_of_their_pixels() -> None:
    image = Layer.open(np.full((3, 2, 2), 100, np.uint8))
    stretch = Chips({"post": image}, np.array([shapely.box(0, 0, 2, 2)]), [0])._stretch["post"]
    assert stretch[0].tolist() == [100] * 3


@pytest.mark.parametrize(("samples", "message"), [(1, "drawn"), (2, "one sample at a time, not 2")])
def test_a_label_raster_has_one_sample(
    samples: int, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def draw(*_: object, **__: object) -> None:
        raise InputError("drawn")

    monkeypatch.setattr("deepnets4eo.evaluation.MapReview.draw", draw)
    answers = [tmp_path / f"{number}.gpkg" for number in range(samples)]
    with pytest.raises(InputError, match=message):
        review_raster(tmp_path / "labels.tif", answers, 9, [], None, None, serve=False, browser=False)


def test_the_bar_of_a_headline_reaches_over_the_whole_and_the_interval() -> None:
    area, whole = Quantity(5, Unit.hectares, (4, 12)), Quantity(10, Unit.hectares)
    bar = bar_of(area, whole)
    assert bar is not None
    assert (bar.low, bar.high, bar.whole, bar.value, bar.ends[0]) == (4, 12, 12, 5, "0")
    assert "10" in bar.ends[1]
    assert "4.00–12.0 ha" in bar.words
    assert bar_of(Quantity(5, Unit.hectares), whole) is bar_of(area, Quantity(0, Unit.hectares)) is None


def test_figures_have_sides_of_six_inches_and_two_more_for_a_key() -> None:
    import matplotlib.pyplot as plt

    for axes, size in ((make_axes(), [6, 6]), (make_axes(None, FigureStyle.with_key_in), [8, 6])):
        assert axes.get_figure().get_size_inches().tolist() == size  # type: ignore[union-attr]
        plt.close("all")


def test_all_pixels_of_small_images_count_in_their_brightness() -> None:
    values = np.array([[[0, 100], [40, 40]]])
    found = panels.stretch_of(values, np.array([[True, True], [False, False]]))
    assert found.ravel().tolist() == pytest.approx([0.5, 99.5])
    found = panels.stretch_of(values, np.ones((2, 2), bool))
    assert found.ravel().tolist() == pytest.approx([0.6, 99.1])


@pytest.mark.parametrize(("buildings", "width"), [(499, 1.6), (500, 0.6)])
def test_outlines_of_five_hundred_buildings_are_thin(
    buildings: int, width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[float] = []
    monkeypatch.setattr(gpd.GeoSeries, "plot", lambda _, **how: widths.append(how["linewidth"]))
    monkeypatch.setattr(plots, "add_key", lambda axes, _: axes)
    axes: Any = SimpleNamespace(get_xlim=lambda: (0, 1), get_ylim=lambda: (0, 1), set=lambda **_: None)
    image: Any = SimpleNamespace(plot=lambda *_, **__: None, grid=SimpleNamespace(crs=None))
    grades = pd.Series(["destroyed"] * buildings)
    table = SimpleNamespace(counts=lambda: {"destroyed": buildings}, classes=grades, shown_classes=["destroyed"])
    frame = gpd.GeoDataFrame(geometry=shapely.box(np.arange(buildings), 0, np.arange(buildings) + 1, 1))
    content: Any = SimpleNamespace(buildings=frame, table=table, synthetic=False)
    plots.plot_content(content, image, axes, 9)
    assert widths == [width]


def test_a_sheet_has_room_for_three_cautions_and_what_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "_in_words", lambda _, finding: finding)
    monkeypatch.setattr(sheet, "caveats", lambda _: ["b"])
    page: Any = SimpleNamespace(say=lambda text: text)
    cautions: Any = list("123456")
    lines = sheet._words_below(page, None, cautions)  # type: ignore[arg-type]
    assert [text for text, _, _ in lines] == ["1", "2", "3", "Read this before use: b"]
