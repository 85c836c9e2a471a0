"""Values at their limits: colours of unnamed classes, halos, short sides, long paths, footprints that overlap."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from scipy.special import expit

from deepnets4eo.assistant.folders import Folders
from deepnets4eo.change.areas import changed_area
from deepnets4eo.change.classical.pair_scores import IrMad
from deepnets4eo.change.series import deltas
from deepnets4eo.classification.recipe import ImageRecipe
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation.sampled.review import MapReview
from deepnets4eo.floods import date_kinds
from deepnets4eo.grid import Window
from deepnets4eo.interferometry.coherence import interferometric_coherence
from deepnets4eo.interferometry.complex_image import ComplexImage
from deepnets4eo.interferometry.looks import CoherenceBias, Correlation
from deepnets4eo.objects import extraction
from deepnets4eo.points.local_planes import decimate, surface_attributes
from deepnets4eo.points.rubble import dates
from deepnets4eo.points.rubble.epochs import EpochFit
from deepnets4eo.points.rubble.surfaces import Heights
from deepnets4eo.polygons.extraction import _of_unlike_pixels
from deepnets4eo.rasters import Layer, find_outliers, without_implausible
from deepnets4eo.reprojection import to_crs
from deepnets4eo.segmenters.inputs import LayerInput
from deepnets4eo.segmenters.onnx_card import named_legend
from deepnets4eo.segmenters.onnx_segmenter import DYNAMIC_WORLD, _probe_range, dynamic_world_values, measure_halo
from deepnets4eo.training.ground import overlapping_pairs


def test_classes_of_other_networks_have_colours_around_the_circle_of_hues() -> None:
    """Hues of 0.07 and 0.452, saturations of 0.45 and 0.65, values of 0.9 and 0.896, times 254; the first has one more."""
    assert [entry.color for entry in named_legend(["ground", "roof"], "a").classes] == [(230, 170, 127), (80, 228, 185)]


@pytest.mark.parametrize(
    ("weight", "far_px", "halo_px"), [(1.1e-3, 20, 24), (0.9e-3, 20, 0), (1.0, 24, 24), (1.0, 25, 32), (1.0, 50, 32)]
)
def test_a_halo_reaches_to_a_thousandth_of_the_largest_difference_in_steps_of_eight(
    weight: float, far_px: int, halo_px: int
) -> None:
    layer = LayerInput(("red",), (0.0,), (1.0,), 0.0, 1.0)
    segmenter: Any = SimpleNamespace(
        inputs=SimpleNamespace(layers={"image": layer}),
        raw_output=lambda image: image + weight * np.roll(image, far_px, axis=3),
    )
    assert measure_halo(segmenter, 128) == halo_px


@pytest.mark.parametrize(
    ("high", "dtype", "mean", "limits"),
    [(1000.0, "uint16", 0.0, (0, 1000)), (1001.0, "uint16", 0.0, (0, 250.25)), (10_000.0, "uint8", 0.0, (-1, 1)), (1000.0, "uint16", 5.0, (-1, 1))],
)  # fmt: skip
def test_networks_of_unscaled_values_are_probed_by_a_quarter_of_large_ones(
    high: float, dtype: str, mean: float, limits: tuple[float, float]
) -> None:
    assert _probe_range(LayerInput(("red",), (mean,), (1.0,), 0.0, high, dtype)) == limits


def test_dynamic_world_reads_the_logistic_function_of_logarithms() -> None:
    rows = list(range(len(DYNAMIC_WORLD)))
    values = np.full((1, len(rows), 1, 1), 1234.0, np.float32)
    expected = expit((np.log1p(1234 * 0.005) - DYNAMIC_WORLD[:, 0]) * 5 / DYNAMIC_WORLD[:, 1] - 1)
    np.testing.assert_allclose(dynamic_world_values(values, rows).ravel(), expected, rtol=1e-5)
    assert dynamic_world_values(-values, rows).ravel() == pytest.approx(
        expit(-DYNAMIC_WORLD[:, 0] * 5 / DYNAMIC_WORLD[:, 1] - 1), rel=1e-5
    )


@pytest.mark.parametrize(("length_m", "points"), [(240, 2), (470, 2), (490, 3)])
def test_sides_of_up_to_250_metres_get_no_points_and_longer_ones_if_they_bend_by_five_centimetres(
    length_m: float, points: int
) -> None:
    """Along the parallel of 85° north, 560 km from the pole: 490² / (8 · 560,000) = 0.054 m."""
    end = length_m / (111_695 * np.cos(np.radians(85)))
    side = gpd.GeoSeries([shapely.LineString([(-45, 85), (-45 + end, 85)])], crs="EPSG:4326")
    assert len(shapely.get_coordinates(to_crs(side, "EPSG:3413").iloc[0])) == points


@pytest.mark.parametrize(("letters", "words"), [(1024, "does not exist"), (1025, "outside of the folders")])
def test_paths_of_an_assistant_have_1024_characters(letters: int, words: str, tmp_path: Path) -> None:
    name = "/".join(["a" * 63] * 16) + "a"
    with pytest.raises(InputError, match=words):
        Folders([tmp_path]).to_read(name[:1024] + "a" * (letters - 1024))


@pytest.mark.parametrize(("shared_px", "pairs"), [(0.9, []), (1.1, [(0, 1)])])
def test_scenes_show_the_same_ground_from_a_hundredth_of_the_smaller_one_on(
    shared_px: float, pairs: list[tuple[int, int]]
) -> None:
    def scene_at(left_px: float, cols: int) -> Any:
        grid = GeoBox((100, cols), Affine(10, 0, 500_000 + 10 * left_px, 0, -10, 5_000_000), "EPSG:32631")
        return SimpleNamespace(grid=grid, synthetic=False)

    assert overlapping_pairs([scene_at(0, 300), scene_at(300 - shared_px, 100)]) == pairs


def test_the_bias_of_coherence_is_that_of_its_looks() -> None:
    """Without coherence the mean of L looks is Γ(L) Γ(3/2) / Γ(L + 1/2): 2/3 of two, 16/35 of four."""
    for looks, mean in ((2.0, 2 / 3), (4.0, 16 / 35)):
        assert CoherenceBias(looks).mean_sample(np.zeros(1)) == pytest.approx([mean])
    true = np.array([0.2, 0.7, 0.98, 0.99, 0.995, 1.0])
    bias = CoherenceBias(4.0)
    assert bias.correct(bias.mean_sample(true)) == pytest.approx(true, abs=1e-4)
    assert bias.mean_sample(np.array([0.995]))[0] == pytest.approx((bias.mean_sample(np.array([0.99]))[0] + 1) / 2)


@pytest.mark.parametrize(("part", "compared"), [(0.009, False), (0.011, True)])
def test_regions_up_to_a_hundredth_of_a_raster_are_of_alike_pixels(part: float, compared: bool) -> None:
    """Pixels of 1° at 60° north differ by more than a thousandth along any side."""
    grid = GeoBox((1000, 1000), Affine(0.02, 0, 10, 0, -0.02, 70), "EPSG:4326")
    side = 1000 * part
    region = np.array([shapely.box(5, 500, 6, 500 + side)], object)
    assert bool(_of_unlike_pixels(region, grid).size) is compared


@pytest.mark.parametrize(("cut", "divided"), [(0.04, False), (0.06, True)])
def test_regions_that_fill_95_percent_of_their_hull_have_no_neck(
    cut: float, divided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def split(*arguments: Any, **_: Any) -> Any:
        tried.append(1)
        raise StopIteration

    for name in ("split_at_necks", "split_both"):
        monkeypatch.setattr(extraction, name, split)
    square = shapely.box(10, 10, 50, 50).difference(shapely.box(20, 10, 40, 10 + 80 * cut))
    grid = GeoBox((60, 60), Affine(1, 0, 500_000, 0, -1, 100_000), "EPSG:32631")
    with suppress(StopIteration):
        extraction._split_regions(np.array([square], object), grid, extraction.ObjectRules(), 10_000)
    assert bool(tried) is divided


def test_eight_bands_are_listed_by_thirty_letters_of_their_names() -> None:
    layer: Any = SimpleNamespace(band_names=["a" * 40, *"bcdefghij"])
    assert date_kinds._listed(layer) == "a" * 30 + ", b, c, d, e, f, g, h"


def test_a_sample_of_a_map_has_two_hundred_pixels_and_of_differences_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MapReview, "_write", classmethod(lambda _, path, about, sample, grid, seed: sample))
    labels = np.random.default_rng(0).integers(0, 2, (1, 40, 40)).astype(np.uint8)
    map_sample: Any = MapReview.draw(labels, Path("a.gpkg"))
    again: Any = MapReview.draw(labels, Path("a.gpkg"), looks=200, seed=0)
    differences: Any = MapReview.draw_differences(labels, 1 - labels, Path("a.gpkg"))
    assert (len(map_sample.row), len(differences.row)) == (200, 100)
    np.testing.assert_array_equal(map_sample.row, again.row)
    other: Any = MapReview.draw_differences(labels, 1 - labels, Path("a.gpkg"), looks=100, seed=0)
    np.testing.assert_array_equal(differences.row, other.row)


def test_the_interval_of_a_changed_area_is_that_of_the_first_draw_unless_another_is_named() -> None:
    labels = (np.random.default_rng(0).random((1, 128, 128)) < np.linspace(0, 0.5, 128)).astype(np.uint8)
    layer = Layer.open(labels)
    found, first, second = changed_area(layer), changed_area(layer, seed=0), changed_area(layer, seed=1)
    assert found.area.interval == first.area.interval
    assert found.area.interval != second.area.interval


def test_coherence_is_measured_in_windows_of_seven_pixels() -> None:
    rng = np.random.default_rng(0)
    pre, noise = rng.normal(size=(2, 64, 64)) + 1j * rng.normal(size=(2, 64, 64))
    pre, post = pre.astype(np.complex64), (pre + 0.5 * noise).astype(np.complex64)
    np.testing.assert_array_equal(interferometric_coherence(pre, post), interferometric_coherence(pre, post, (7, 7)))


def test_attributes_of_points_are_of_sixteen_neighbours_and_voxels_of_ten_centimetres() -> None:
    points = np.random.default_rng(0).random((300, 3))
    found, wanted = surface_attributes(points), surface_attributes(points, 16)
    np.testing.assert_array_equal(found.noise, wanted.noise)
    line = np.arange(100)[:, None] * np.array([0.01, 0, 0]) + 0.005
    assert len(decimate(line)) == 10


def test_independent_looks_follow_from_the_correlations_of_both_images() -> None:
    """N² / Σ (N − |lag|) r₁ r₂: 9 / (3 + 2 · (2 · 0.5 · 0.2 + 1 · 0.1 · 0.4)) along rows of three, and 2 along two columns."""
    found = Correlation((2, 3))
    found._sums[0][:] = [[5, 0], [7, 3]]
    found._sums[1][:] = [[10, 5, 1], [100, 20j, -40]]
    assert found.independent_looks() == pytest.approx(2 * 9 / (3 + 2 * (0.2 + 0.04)))


@pytest.mark.parametrize(("latitude", "points"), [(60, 8980), (0, 10_001)])
def test_a_side_gets_ten_thousand_pieces_at_a_time(
    latitude: float, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the parallel of 60° north is flat to 5 cm in 8,979 pieces, half of the equator would be in 17,296."""
    monkeypatch.setattr("deepnets4eo.reprojection.ROUNDS", 1)
    half = gpd.GeoSeries([shapely.LineString([(-134, latitude), (44, latitude)])], crs="EPSG:4326")
    assert len(shapely.get_coordinates(to_crs(half, "EPSG:3413").iloc[0])) == pytest.approx(points, rel=1e-3)


@pytest.mark.parametrize(
    ("pair_values", "step", "estimates"),
    [(4_000_001, 1.1e-3, 50), (4_000_001, 0.9e-3, 2), (4_000_000, 1.1e-6, 200), (4_000_000, 0.9e-6, 2)],
)
def test_weights_of_a_large_pair_are_iterated_up_to_fifty_times_and_of_a_small_one_two_hundred(
    pair_values: int, step: float, estimates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def estimate(method: Any, _: Any) -> int:
        made.append(1)
        method.variates = SimpleNamespace(correlation=np.array([step * len(made)]))
        return pair_values

    monkeypatch.setattr(IrMad, "_estimate", estimate)
    IrMad().fit(list)
    assert len(made) == estimates


def test_a_season_is_known_from_two_of_its_dates_on() -> None:
    values = np.array([[[1.0], [2]], [[3], [9]], [[8], [4]]], np.float32)
    valid = np.array([[True, True], [True, False], [False, False]])
    medians, known = deltas._seasonal(values, valid)
    assert known.tolist() == [True, False]
    assert medians.tolist() == [[2], [0]]


@pytest.mark.parametrize(("value", "kept"), [(0.9e15, True), (1.1e15, False), (-1.1e15, False)])
def test_pixels_beyond_a_thousand_million_million_are_no_values(value: float, kept: bool) -> None:
    data = np.array([[[1.0, value]]], np.float32)
    found, valid = without_implausible(Layer.open(data)).read()
    assert valid.tolist() == [[True, kept]]
    assert found[0, 0, 1] == (np.float32(value) if kept else 0)


@pytest.mark.parametrize(("largest", "is_nodata"), [(9_000, True), (11_000, False)])
def test_a_usual_nodata_value_is_a_tenth_of_the_span_below_zero(largest: float, is_nodata: bool) -> None:
    values = np.r_[np.linspace(0, largest, 1001), [-999.0] * 20]
    found = find_outliers(values)
    assert (found is not None and found.nodata == -999) is is_nodata


@pytest.mark.parametrize(("labelled", "images"), [(10, 512), (512, 512), (700, 700)])
def test_an_epoch_of_images_has_512_at_least(labelled: int, images: int) -> None:
    recipe = ImageRecipe.model_validate({"data": {"windows_per_epoch": 0}})
    assert recipe.with_images(labelled).data.windows_per_epoch == images
    assert ImageRecipe().with_images(labelled).data.windows_per_epoch == 1000, "as the recipe names them"


@pytest.mark.parametrize(("cell_m", "pixel_m", "least_m"), [(0.5, None, 0.125), (0.5, 2.0, 0.5), (4.0, 2.0, 1.0)])
def test_a_motion_of_a_date_counts_from_a_quarter_of_a_cell_or_pixel(
    cell_m: float, pixel_m: float | None, least_m: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown: list[float] = []
    asked: list[float] = []
    sampling = SimpleNamespace(grow=grown.append)
    points = SimpleNamespace(xyz=np.zeros((1, 3)))
    fit = EpochFit("ok", None, None, SimpleNamespace(residual_m=0.1), None)  # type: ignore[arg-type]
    monkeypatch.setattr(dates, "sample_area", lambda *_: sampling)
    monkeypatch.setattr(dates, "surface_points", lambda *_: points)
    monkeypatch.setattr(dates, "register_points", lambda *_: fit)
    monkeypatch.setattr(dates, "describe", lambda _: SimpleNamespace(text=str))
    monkeypatch.setattr(dates, "motion_that_counts", lambda _, least: asked.append(least))
    grid = GeoBox((4, 4), Affine(pixel_m or 1, 0, 0, 0, -(pixel_m or 1), 0), None)
    layer: Any = SimpleNamespace(grid=grid, source="a") if pixel_m else None
    heights = Heights(SimpleNamespace(path="a"), layer)
    dates.lay_on_first(heights, heights, (0, 0, 9, 9), np.zeros((1, 2)), cell_m)
    assert asked == [pytest.approx(least_m)]
    assert grown == [10.0]


def test_parts_of_complex_numbers_are_recognised_by_the_middle_of_512_pixels(tmp_path: Path) -> None:
    """Three tenths of the middle are below zero, and with what is around it 0.22 of the image."""
    parts = np.ones((2, 600, 600), np.float32)
    parts[:, 44:556:10, 44:556] = parts[:, 45:556:10, 44:556] = parts[:, 46:556:10, 44:556] = -1
    path = write_geotiff(tmp_path / "a.tif", parts)
    assert ComplexImage(path).read(Window(44, 44, 1, 1)).tolist() == [[-1 - 1j]]
    parts[:] = 1
    parts[:, :44:2] = -1
    with pytest.raises(InputError, match="the real and the imaginary part"):
        ComplexImage(write_geotiff(path, parts))
