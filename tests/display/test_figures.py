"""Figures of layers, scenes, legends and damage maps: right colours at the right coordinates, at reduced resolution."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from affine import Affine
from geotiff import write_geotiff
from made_up_map import make_grid, make_images, make_map
from matplotlib.axes import Axes
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.damage.table.vocabulary import CLASSES, colors
from deepnets4eo.display import stretch
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.rasters.display import declared_colours, shown_bands

ISPRS = Legend.load("isprs")


@pytest.fixture(autouse=True)
def no_screen() -> Iterator[None]:
    backend = mpl.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


def colors_near(axes: Axes, x: float, y: float, reach_px: int = 0) -> list[tuple[int, int, int]]:
    """The colours of the picture around coordinates of the Axes, as they are written into a file."""
    axes.figure.canvas.draw()
    picture = np.asarray(axes.figure.canvas.buffer_rgba())
    col, up = axes.transData.transform((x, y))
    row, col = picture.shape[0] - 1 - int(up), int(col)
    part = picture[row - reach_px : row + reach_px + 1, col - reach_px : col + reach_px + 1, :3]
    return [(int(red), int(green), int(blue)) for red, green, blue in part.reshape(-1, 3)]


def color_at(axes: Axes, x: float, y: float) -> tuple[int, int, int]:
    (color,) = colors_near(axes, x, y)
    return color


def drawn(axes: Axes) -> np.ndarray:
    """The pixels of the one image."""
    (image,) = axes.images
    return np.asarray(image.get_array())


def labels_of(axes: Axes) -> list[str]:
    key = axes.get_legend()
    return [text.get_text() for text in key.get_texts()] if key else []


def test_bands_are_stretched_between_percentiles_and_what_is_not_valid_is_transparent() -> None:
    band = np.arange(101, dtype=np.uint16).reshape(1, -1, 1)[:, None, :, 0] * 100
    valid = np.ones((1, 101), bool)
    valid[0, 50] = False
    image = stretch(band, valid)
    low, high = np.percentile(band[0][valid], (2, 98))
    expected = (np.clip((band[0] - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    assert np.array_equal(image[valid][:, 0], expected[valid])
    assert (image[..., 0] == image[..., 2]).all()
    assert image[0, :, 3].tolist() == [255] * 50 + [0] + [255] * 50


def test_an_image_of_one_value_or_none_is_drawn_too() -> None:
    flat = stretch(np.full((3, 2, 2), 9.0), np.ones((2, 2), bool))
    assert flat.reshape(-1, 4).tolist() == [[127, 127, 127, 255]] * 4
    assert not stretch(np.full((3, 2, 2), np.nan), np.zeros((2, 2), bool)).any()


GRIDS = {
    "north up": GeoBox((40, 60), Affine(0.5, 0, 500_000, 0, -0.5, 4e6), "EPSG:32615"),
    "turned": GeoBox((40, 60), Affine.translation(5e5, 4e6) * Affine.rotation(30) * Affine.scale(2, -2), "EPSG:32615"),
    "degrees": GeoBox((40, 60), Affine(1e-5, 0, 10, 0, -1e-5, 60), "EPSG:4326"),
    "pixels": None,
}


@pytest.mark.parametrize("name", GRIDS)
def test_pixels_lie_at_their_coordinates(name: str) -> None:
    image = np.zeros((3, 40, 60), np.uint8)
    image[0, :10], image[1, :, :10] = 255, 255  # red at the top, green at the left; blue has one value alone
    layer = Layer.open(image, grid=GRIDS[name])
    axes = layer.plot()
    for col, row, color in (
        (40, 5, (255, 0, 127)),
        (5, 30, (0, 255, 127)),
        (5, 5, (255, 255, 127)),
        (40, 30, (0, 0, 127)),
    ):
        assert color_at(axes, *(layer.grid.affine * (col, row))) == color, (col, row)


def test_degrees_are_drawn_as_wide_as_they_are_on_the_ground() -> None:
    assert Layer.open(np.eye(40, dtype=np.uint8), grid=GRIDS["degrees"].crop((40, 40))).plot().get_aspect() == (
        pytest.approx(2.0, rel=1e-3)
    )  # fmt: skip


def test_red_green_and_blue_are_chosen_by_name_else_the_first_bands(tmp_path: Path) -> None:
    import rasterio

    bands = np.stack([np.roll(np.arange(64, dtype=np.uint8), 16 * k).reshape(8, 8) for k in range(4)])
    path = write_geotiff(tmp_path / "a.tif", bands, alpha="NO")
    unnamed = drawn(Layer.open(path).plot())
    assert np.array_equal(unnamed, drawn(Layer.open(path).plot(bands=[1, 2, 3])))
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("nir", "red", "green", "blue")
    named = drawn(Layer.open(path).plot())
    assert np.array_equal(named, drawn(Layer.open(path).plot(bands=[2, 3, 4])))
    assert not np.array_equal(named, unnamed)
    grey = drawn(Layer.open(path, bands=[1, 4]).plot())
    assert np.array_equal(grey, drawn(Layer.open(path).plot(bands=[1])))
    with raises_naming(InputError, "2 bands"):
        Layer.open(path).plot(bands=[1, 2])


def test_red_green_and_blue_are_chosen_by_the_colour_interpretation_where_no_name_says_which_they_are(tmp_path) -> None:
    import rasterio
    from rasterio.enums import ColorInterp

    path = write_geotiff(tmp_path / "a.tif", np.zeros((4, 8, 8), np.uint16))
    assert declared_colours(Layer.open(path)) is None
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
    assert declared_colours(Layer.open(path)) == shown_bands(Layer.open(path)) == [3, 2, 1]
    assert declared_colours(Layer.open(path, bands=[2, 3, 4])) is None  # chosen by number
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.alpha, ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    assert declared_colours(Layer.open(path)) == [4, 3, 2]
    with rasterio.open(path, "r+") as file:
        file.descriptions = ("nir", "red", "green", "blue")
    assert shown_bands(Layer.open(path)) == [2, 3, 4]


def test_wavelengths_name_the_colours_where_a_band_of_its_own_is_nearest_to_each() -> None:
    @dataclass
    class Known:
        wavelengths_nm: np.ndarray
        band_names, bands, colour_roles = ["band_1", "band_2", "band_3"], [1, 2, 3], None

    assert shown_bands(Known(np.array([480.0, 550, 660]))) == [3, 2, 1]
    assert declared_colours(Known(np.array([840.0, 660, 550]))) is None  # near infrared, red, green


def test_a_large_scene_is_read_at_reduced_resolution(tmp_path: Path, monkeypatch) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.zeros((1, 3000, 1500), np.uint8), compress="deflate", tiled=True)
    monkeypatch.setattr(Layer, "read", lambda *_: pytest.fail("the whole layer was read"))
    assert drawn(Layer.open(path).plot()).shape[:2] == (1000, 500)
    assert drawn(Layer.open(path).plot(max_px=100)).shape[:2] == (100, 50)


def test_labels_have_the_colours_of_their_legend_and_are_never_averaged(tmp_path: Path) -> None:
    labels = np.full((300, 300), 255, np.uint8)
    labels[:, :150] = np.where(np.arange(300) % 2, 4, 0)[:, None]  # averaged, they would be another class
    path = write_geotiff(tmp_path / "labels.tif", labels, nodata=255, tags={"LEGEND": json.dumps(ISPRS.to_dict())})
    axes = Layer.open(path).plot(max_px=60)  # the legend in its tags
    assert {tuple(color) for color in drawn(axes).reshape(-1, 3).tolist()} <= {
        ISPRS.classes[0].color, ISPRS.classes[4].color, ISPRS.void_color,
    }  # fmt: skip
    assert set(labels_of(axes)) <= {"impervious", "car"}
    assert labels_of(axes)
    assert len(drawn(Layer.open(path).plot(bands=[1]))[0, 0]) == 4  # a band, where one is named


def test_values_beyond_the_legend_and_coloured_labels_are_drawn_too() -> None:
    values = np.array([[0, 1, 300, -5]], np.int16)
    assert drawn(Layer.open(values).plot(legend=ISPRS))[0].tolist() == [
        list(ISPRS.classes[0].color), list(ISPRS.classes[1].color), [0, 0, 0], [0, 0, 0],
    ]  # fmt: skip
    in_colors = Layer.open(ISPRS.decode(np.array([[1, 2], [4, 255]], np.uint8)))
    assert labels_of(in_colors.plot(legend=ISPRS)) == ["building", "low_vegetation", "car"]


def test_a_scene_draws_its_layers_beside_each_other_in_one_figure() -> None:
    image, dsm = np.zeros((3, 8, 8), np.uint8), np.arange(64, dtype=np.float32).reshape(8, 8)
    scene = Scene.open(image=image, dsm=dsm, labels=np.ones((8, 8), np.uint8))
    row = scene.plot(legend=ISPRS)
    assert [axes.get_title() for axes in row] == ["image", "dsm", "labels"]
    assert len({axes.figure for axes in row}) == 1
    assert [labels_of(axes) for axes in row] == [[], [], ["building"]]


def test_a_legend_draws_all_classes_and_void() -> None:
    axes = ISPRS.plot()
    names = [f"{value} {name}" for value, name in zip(ISPRS.values, ISPRS.names, strict=True)]
    assert labels_of(axes) == [*names, "255 void"]
    patches = axes.get_legend().get_patches()
    assert [tuple(round(255 * part) for part in patch.get_facecolor()[:3]) for patch in patches] == [
        *(one.color for one in ISPRS.classes), ISPRS.void_color,
    ]  # fmt: skip


@pytest.mark.parametrize("epsg", [32615, 4326, None])
def test_outlines_lie_over_their_roofs_in_the_colours_of_their_grades(epsg: int | None) -> None:
    grid = make_grid(epsg=epsg)
    damage_map = make_map(16, grid=grid)
    post = make_images(grid, damage_map)[1]
    axes = damage_map.plot(post)
    frame = damage_map.buildings
    counts = frame["damage"].fillna("not-assessed").value_counts()
    assert [int(text.rpartition("(")[2][:-1]) for text in labels_of(axes)] == [
        counts[name] for name in CLASSES if name in counts
    ]
    grades = frame["damage"].fillna("not-assessed")
    for outline, grade in zip(frame.geometry, grades, strict=True):
        x, y = outline.exterior.interpolate(0.4, normalized=True).coords[0]
        distance = np.abs(np.array(colors_near(axes, x, y, 1)) - np.array(colors()[grade])).max(axis=1)
        assert distance.min() < 20, (grade, distance)
    assert axes.get_xlim() == pytest.approx(sorted(axes.get_xlim()))
    assert axes.get_title() == "Building damage"


def test_outlines_are_drawn_on_an_image_in_another_crs_and_without_an_image() -> None:
    damage_map = make_map(16)
    post = make_images(make_grid(), damage_map)[1]
    far = post.grid.to_crs("EPSG:3857")
    axes = damage_map.plot(post.on(far))
    left, right = axes.get_xlim()
    assert left < -1e6  # metres of web Mercator, not of UTM
    assert right - left < 300
    center = damage_map.buildings.geometry.iloc[0].centroid
    filled = damage_map.plot(max_px=50)
    grade = damage_map.buildings["damage"].iloc[0]
    assert color_at(filled, center.x, center.y) == colors()[grade]


def test_figures_are_drawn_on_the_axes_that_are_given(tmp_path: Path) -> None:
    axes = plt.subplots(1, 2)[1]
    assert Layer.open(np.eye(4, dtype=np.uint8)).plot(axes[0]) is axes[0]
    assert make_map(4).plot(axes=axes[1]) is axes[1]
    axes[0].figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert len(plt.get_fignums()) == 1
