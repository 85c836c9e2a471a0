"""What reports and warnings state on both sides of their limits: better maps, shifted heights, sizes of samples, point clouds, lists of arrays."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import VOID
from deepnets4eo.change.series.dated_features import DatedFeatures
from deepnets4eo.change.series.features import CellGrid
from deepnets4eo.damage.network import samples
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.sampled.estimates import MapDifference
from deepnets4eo.footprints.sources import _united
from deepnets4eo.formats import array_files
from deepnets4eo.formats.array_files import _list
from deepnets4eo.grid import Grid, Window
from deepnets4eo.inspection.files import Inspection
from deepnets4eo.inspection.overlap import _apart
from deepnets4eo.metrics.accuracy import sample_size
from deepnets4eo.points import inspection, meshes
from deepnets4eo.rasters import Layer
from deepnets4eo.rasters.colour_order import in_colour_order_of
from deepnets4eo.reprojection import cut_at_antimeridian
from deepnets4eo.segmenters.onnx_card import ROUNDING, _check_scores
from deepnets4eo.terrain.heights import warn_of_shifted_ground


@pytest.mark.parametrize(
    ("p_value", "difference", "verdict"),
    [
        (0.049, 0.1, "the first map is better"),
        (0.049, -0.1, "the second map is better"),
        (0.05, 0.1, "neither is shown to be better"),
        (0.07, -0.1, "neither is shown to be better"),
    ],
)
def test_a_map_is_better_below_five_percent_by_chance(p_value: float, difference: float, verdict: str) -> None:
    found = MapDifference(8, 1, 0, 0, 0.2, p_value, difference, difference - 0.05, difference + 0.05)
    assert found.headline().startswith(f"{verdict}: where they differ (20.0% of the map)")


@pytest.mark.parametrize(
    ("deep", "low", "words"),
    [
        (5, 0.0, ""),  # 5 % far below the ground
        (6, 0.0, "6% of the heights above ground are below -"),
        (6, 50.0, "6% of the heights above ground are below -"),
        (0, 50.0, "95 % of the heights above ground are more than 50.0 m"),
    ],
)
def test_heights_above_ground_are_named_if_more_than_a_twentieth_is_below_it_or_none_is_low(
    deep: int, low: float, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    heights = np.full(101, low)
    heights[:deep] = -100.0
    with caplog.at_level(logging.WARNING):
        warn_of_shifted_ground(heights[: 100 if deep else 101], "ndsm.tif")
        warn_of_shifted_ground(heights[:0], "empty.tif")
    assert len(caplog.messages) == bool(words)
    assert words in "".join(caplog.messages)


def test_a_size_of_a_sample_that_is_a_whole_number_is_not_one_more() -> None:
    z = 1.959963984540054  # of 95 %
    sizes = {number: z * 0.5 / np.sqrt(number) for number in (100, 1437, 2102)}
    for number, half_width in sizes.items():
        assert sample_size([1.0], [0.5], half_width) == number
        assert sample_size([1.0], [0.5], half_width * 0.9999) == number + 1


def cloud_sums(**counts: Any) -> Any:
    sums = inspection._CloudCounts(points=200, intensity_high=7.0, low=np.zeros(3), high=np.array([10.0, 10.0, 5.0]))
    for name, value in counts.items():
        setattr(sums, name, value)
    return sums


@pytest.mark.parametrize(
    ("file", "coloured", "fact"),
    [
        ({"measurements": ("colour",)}, 50, "25.0% of the points"),
        ({"measurements": ("colour",), "colour_bits": 16}, 200, "100.0% of the points"),
        ({"measurements": ("colour",), "colour_bits": 8}, 200, "100.0% of the points, 8-bit values in 16-bit fields"),
        ({"measurements": ("intensity",)}, 0, "none (an orthophoto gives them: label-points --colour)"),
    ],
)
def test_colours_of_a_cloud_are_stated_with_their_share_and_bits(file: Any, coloured: int, fact: str) -> None:
    result = Inspection("a.las", "points")
    inspection._describe_measurements(result, SimpleNamespace(not_measured=(), **file), cloud_sums(coloured=coloured))
    assert result.facts["colours"] == fact
    assert not result.problems


@pytest.mark.parametrize(
    ("counts", "lengths", "problem"),
    [
        ({"high": np.array([1e6, 1e6, 9000.0])}, True, ""),
        ({"high": np.array([1e6 + 1, 10, 5.0])}, True, "more than 1,000 km apart"),
        ({"high": np.array([10, 1e6 + 1, 5.0])}, True, "more than 1,000 km apart"),
        ({"high": np.array([10, 1e6 + 1, 5.0])}, False, ""),
        ({"high": np.array([10, 10, 9001.0])}, True, "heights leave −500 to 9,000 m"),
        ({"low": np.array([0, 0, -500.0])}, True, ""),
        ({"low": np.array([0, 0, -501.0])}, True, "heights leave −500 to 9,000 m"),
        ({"low": np.array([0, 0, -501.0])}, False, ""),
    ],
)
def test_stray_points_are_a_problem_where_coordinates_are_lengths(
    counts: dict[str, Any], lengths: bool, problem: str
) -> None:
    sums, result = cloud_sums(**counts), Inspection("a.las", "points")
    file: Any = SimpleNamespace(max_extent_m=1e6, crs=None, file_bounds=np.array([sums.low, sums.high]))
    cells: Any = SimpleNamespace(has_point=np.ones(100, bool))
    inspection._describe_extent(result, file, sums, cells, lengths=lengths)
    assert len(result.problems) == bool(problem)
    assert problem in "".join(result.problems)


@pytest.mark.parametrize(("points", "named"), [(149, True), (150, False)])
def test_a_cloud_with_fewer_than_one_and_a_half_points_a_square_metre_shows_no_small_objects(
    points: int, named: bool
) -> None:
    result, sums = Inspection("a.las", "points"), cloud_sums(points=points)
    area = int(100 / inspection.CELL_M**2)
    file: Any = SimpleNamespace(max_extent_m=1e6, crs=None, file_bounds=np.array([sums.low, sums.high]))
    inspection._describe_extent(result, file, sums, SimpleNamespace(has_point=np.ones(area, bool)), lengths=True)  # type: ignore[arg-type]
    assert ["about one point" in problem for problem in result.problems] == [True] * named
    assert result.facts["density"].endswith("points/m² on 100 m² with points")


@pytest.mark.parametrize(("count", "more"), [(0, "It holds none."), (20, ""), (21, ", and 1 more"), (45, ", and 25 more")])  # fmt: skip
def test_twenty_arrays_of_a_file_are_listed(count: int, more: str) -> None:
    arrays: Any = [f"array{number:02d}" for number in range(count)]
    text = _list(arrays)
    assert text.count("array") == min(count, 20)
    assert text.endswith(f"{more}." if count else more)
    assert ("more" in text) is (count > 20)


def test_bands_read_in_another_order_are_numbered_from_one(caplog: pytest.LogCaptureFixture) -> None:
    grid = GeoBox((4, 4), Affine(1, 0, 5e5, 0, -1, 4e6), "EPSG:32633")
    image = Layer.open(np.zeros((3, 4, 4), np.uint8), grid=grid)
    named: Any = image.with_names(("red", "green", "blue"))
    layer: Any = SimpleNamespace(
        band_names=("1", "2", "3"), colour_positions={"blue": 0, "green": 1, "red": 2}, count=3, bands=(1, 2, 3), source="b.tif", subset=list
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        assert in_colour_order_of(layer, named) == [3, 2, 1]
    (message,) = caplog.messages
    assert message.endswith("its bands are read in the order 3, 2, 1.")


@pytest.mark.parametrize(("shown_px", "number"), [(4, 0), (5, 1), (10, 1)])
def test_a_building_is_learnt_as_a_whole_if_a_window_shows_half_of_it(shown_px: int, number: int) -> None:
    outline = shapely.box(64 - shown_px, 10, 74 - shown_px, 20)
    pair: Any = SimpleNamespace(outlines=np.array([outline], object), grades=np.array([2]), gsd_m=0.5)
    data: Any = SimpleNamespace(outline_error_m=0.0)
    rng = np.random.default_rng(0)
    grades, numbers = samples._labels_of_made_up(pair, Window(0, 0, 64, 64), data, np.ones((64, 64), bool), rng)
    assert (numbers == 1).sum() == shown_px * 10 * number
    assert set(np.unique(grades)) == ({2, VOID} if number else {VOID})
    assert (numbers[grades == VOID] == 0).all()


@pytest.mark.parametrize("count", [2, 3])
def test_fewer_than_three_points_span_no_triangle(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = SimpleNamespace(triangles=np.zeros((1, 3)), vertices=np.zeros((3, 3)))
    made = SimpleNamespace(create_from_point_cloud_ball_pivoting=lambda *_: mesh, create_from_point_cloud_poisson=lambda *_, **__: (mesh, None))  # fmt: skip
    library = SimpleNamespace(geometry=SimpleNamespace(TriangleMesh=made), utility=SimpleNamespace(DoubleVector=list))
    monkeypatch.setattr(meshes, "import_open3d", lambda: library)
    monkeypatch.setattr(meshes, "_with_normals", lambda *_: None)
    points, normals = np.eye(3, dtype=np.float32)[:count], np.eye(3, dtype=np.float32)[:count]
    assert len(meshes.ball_pivoting(points, normals, [1.0])) == (count == 3)
    assert [len(part) for part in meshes.poisson(points, normals, 0.5)] == ([3, 1] if count == 3 else [0, 0])


@pytest.mark.parametrize(("stride_px", "shape"), [(4, (2, 5)), (2, (4, 9)), (1, (7, 17))])
def test_cells_of_embeddings_are_means_of_the_patches_that_have_any(stride_px: int, shape: tuple[int, int]) -> None:
    vectors = np.zeros((2, 10, 20), np.float32)  # patches of one pixel
    vectors[0], vectors[1] = 3.0, np.arange(20)
    vectors[:, :4, :2] = 0
    features: Any = object.__new__(DatedFeatures)
    features._maps = SimpleNamespace(patch_px=1, compute=lambda *_: vectors)
    cells = CellGrid(Grid((10, 20), Affine.identity(), None), 4, stride_px)
    found = features.measure(np.zeros((1, 10, 20)), np.ones((10, 20), bool), cells)
    assert found.shape == (2, *shape)
    for (row, col), value in np.ndenumerate(found[1]):
        part = vectors[:, row * stride_px :, col * stride_px :][:, :4, :4]
        assert value == pytest.approx(part[1].sum() / max(part.any(axis=0).sum(), 1))
        assert found[0, row, col] == pytest.approx(3.0 if part.any() else 0.0)


def test_rows_of_two_parts_of_a_box_are_taken_once_by_both_numbers() -> None:
    first = gpd.GeoDataFrame({"osm_id": ["1", None], "osm_way_id": [None, "1"]}, geometry=[shapely.Point(0, 0)] * 2)
    second = gpd.GeoDataFrame({"osm_id": [None, "2"], "osm_way_id": ["1", None]}, geometry=[shapely.Point(0, 0)] * 2)
    united = _united([first, second], ("osm_id", "osm_way_id"))
    assert united["osm_id"].fillna("-").tolist() == ["1", "-", "2"]
    assert united.index.tolist() == [0, 1, 2]
    assert _united([first], ("osm_id", "osm_way_id")) is first


def test_both_parts_of_a_shape_across_180_degrees_stay() -> None:
    across = shapely.Polygon([(179.9, 0), (-179.9, 0), (-179.9, 1), (179.9, 1)])
    for shape in (shapely.MultiPolygon([across, shapely.box(10, 0, 11, 1)]), shapely.MultiPolygon([shapely.box(10, 0, 11, 1), across])):  # fmt: skip
        (cut,) = cut_at_antimeridian(np.array([shape], object))
        assert cut.area == pytest.approx(0.2 + 1)


@pytest.mark.parametrize(("limit", "refused"), [(48, False), (47, True)])
def test_lists_of_pixels_are_folded_up_to_a_size(limit: int, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MAX_FOLDED_BYTES", limit)
    pixels = np.arange(24, dtype=np.uint16).reshape(2, 12)
    if refused:
        with pytest.raises(InputError, match="more than 47 bytes"):
            array_files._unfold(Path("a.mat"), pixels, (3, 4, 2))
        return
    image, axes = array_files._unfold(Path("a.mat"), pixels, (3, 4, 2))
    assert (axes, image.shape, image[0, 1, 0], image[1, 0, 1]) == ("bhw", (2, 3, 4), 1, 12 + 3)
    image, axes = array_files._unfold(Path("a.mat"), pixels.T, (3, 4, 2))
    assert (axes, image.shape, image[1, 0, 0], image[0, 1, 1]) == ("hwb", (3, 4, 2), 1, 12 + 3)


@pytest.mark.parametrize(
    ("low", "high", "refused"),
    [(-ROUNDING, 1 + ROUNDING, False), (-1.1 * ROUNDING, 1.0, True), (0.0, 1 + 1.1 * ROUNDING, True)],
)
def test_probabilities_of_a_graph_leave_0_to_1_by_rounding_only(low: float, high: float, refused: bool) -> None:
    raw = np.array([[low, high]])
    segmenter: Any = SimpleNamespace(
        facts=SimpleNamespace(activation="probabilities"), graph=SimpleNamespace(source="a.onnx"), inputs=SimpleNamespace(in_channels=3),
        raw_output=lambda _: raw, predict_raw=lambda _: None,
    )  # fmt: skip
    if refused:
        with pytest.raises(InputError, match="which are no probabilities"):
            _check_scores(segmenter, 8)
    else:
        _check_scores(segmenter, 8)


def test_files_apart_name_exchanged_axes_or_pixels_where_that_explains_it() -> None:
    utm = GeoBox((100, 100), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32633")  # at 15° east, 36° north
    exchanged = GeoBox((2, 2), Affine(0.005, 0, 36.13, 0, -0.005, 15.006), "EPSG:4326")
    image, outlines = Inspection("a.tif", "raster", grid=utm), Inspection("b.gpkg", "vector", grid=exchanged)
    for pair in ((image, outlines), (outlines, image)):
        assert "in b.gpkg, longitude and latitude seem to be exchanged" in _apart(*pair)
    far = Inspection("c.tif", "raster", grid=GeoBox((2, 2), Affine(1, 0, 0, 0, -1, 0), "EPSG:32633"))
    assert "no job takes both" in _apart(image, far)
    plain = Grid((10, 10), Affine.identity(), None)
    pixels: Any = SimpleNamespace()
    first, second = Inspection("d.tif", "raster", grid=plain), Inspection("e.geojson", "vector", grid=plain)
    assert "which have no CRS" in _apart(first, second)
    assert "--footprints-crs" not in _apart(first, second)
    second.in_pixels, second.facts["coordinates"] = pixels, "of a world file"
    assert "If e.geojson is in pixels, state --footprints-crs pixels." in _apart(first, second)
