"""Limits at which points, heights and rubble are judged otherwise, each from both sides."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.points import PointCloud, inspection, tiles
from deepnets4eo.points.files import las_writer
from deepnets4eo.points.files.cloud_file import check_no_degrees, colour_bits, decimal_step
from deepnets4eo.points.files.text import _are_returns
from deepnets4eo.points.label_options import LabelResult
from deepnets4eo.points.rubble import measure
from deepnets4eo.points.rubble.blocks import _with_halo
from deepnets4eo.points.rubble.plans import VerticalFit, fit_vertically, least_loss_m
from deepnets4eo.points.rubble.products import _solids
from deepnets4eo.points.rubble.rubble_map import BuildingState, findings_of, lost_unseen
from deepnets4eo.points.rubble.surfaces import BuildingCells, systematic_offset_m
from deepnets4eo.points.views import surface_construction


@pytest.mark.parametrize(
    ("x", "y", "width", "height", "refused"),
    [
        (179.9, 89.9, 0.1, 10.1, True), (179.9, 89.9, 0.1, 9.9, False), (180.0, 89.0, 0.1, 20.0, False), (100.0, 89.95, 0.1, 20.0, False),
        (0.95, 0.0, 0.1, 20.0, True), (0.85, 0.0, 0.1, 20.0, False),
    ],
    ids=["slender", "100 times as high", "east of 180", "north of 90", "away from the origin", "near the origin"],
)  # fmt: skip
def test_a_cloud_a_hundred_times_as_high_as_wide_is_in_degrees(
    x: float, y: float, width: float, height: float, refused: bool
) -> None:
    bounds = np.array([[x, y, 0.0], [x + width, y + width, height]])
    if refused:
        with pytest.raises(InputError, match="its coordinates look like degrees"):
            check_no_degrees(bounds, "a.las")
    else:
        check_no_degrees(bounds, "a.las")


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([10] * 80 + [300] * 20, 8), ([10] * 79 + [300] * 21, 10), ([300, 1023], 10), ([301, 1024], 12), ([301, 4095], 12), ([301, 4096], 16),
        ([256, 512, 1024], 16), ([257, 514, 1028], 16), ([256, 513, 1000], 10), ([0, 0], 8),
    ],
)  # fmt: skip
def test_colours_have_the_bits_that_hold_the_largest(values: list[int], bits: int) -> None:
    assert colour_bits(np.array(values, np.uint16)) == bits


@pytest.mark.parametrize(("values", "step"), [([0.1, 0.7], 0.1), ([0.1, 0.72], 0.01), ([0.1, 0.723], 0.001), ([0.1, 0.7235], 0), ([0.1, 0.70009], 0.1), ([0.1, 0.70011], 0)])  # fmt: skip
def test_coordinates_are_decimals_up_to_a_thousandth_of_a_step(values: list[float], step: float) -> None:
    assert decimal_step(np.array(values)) == step


@pytest.mark.parametrize(("number", "total", "are"), [(1, 15, True), (15, 15, True), (1, 16, False), (0, 3, False), (4, 3, False), (1.5, 3, False)])  # fmt: skip
def test_returns_are_numbered_from_1_to_15(number: float, total: float, are: bool) -> None:
    assert _are_returns(np.array([1.0, number]), np.array([1.0, total])) is are


def intensities_of(*values: float) -> Any:
    cloud = SimpleNamespace(intensity=np.array(values))
    return las_writer._other_intensities(SimpleNamespace(path=Path("a.ply"), chunks=lambda: [cloud]))  # type: ignore[arg-type]


def test_intensities_of_16_bits_are_written_as_they_are_and_others_shifted_or_scaled() -> None:
    assert intensities_of(0, 65_535) is None
    above, below, wide, parts = (intensities_of(*pair) for pair in ((1, 65_536), (-1, 65_534), (-1, 65_535), (0, 0.5)))
    assert (above.step, below.step) == (1, 1)
    assert wide.step == pytest.approx(65_536 / 65_535)
    assert parts.step == pytest.approx(0.5 / 65_535)
    assert below.to_las(np.array([-1.0, 65_534.0])).tolist() == [0, 65_535]
    assert parts.to_las(np.array([0.0, 0.25, 0.5, 0.6])).tolist() == [0, 32_768, 65_535, 65_535]
    assert "shifted so that they begin at 0" in str(below)
    assert "scaled to 0–65,535" in str(parts)


@pytest.mark.parametrize(("letters", "kept"), [(65_535, True), (65_536, False)])
def test_a_legend_that_fits_into_a_record_is_stored(letters: int, kept: bool) -> None:
    head = len(json.dumps({"title": ""}))
    legend: Any = SimpleNamespace(to_dict=lambda: {"title": "a" * (letters - head)})
    assert len(las_writer._legend_record(legend)) == kept


@pytest.mark.parametrize(("propagated", "named"), [(25, False), (26, True)])
def test_labels_of_nearby_points_are_named_beyond_a_quarter(propagated: int, named: bool) -> None:
    result = LabelResult(Path("a.laz"), 120, {"roof": 60, "tree": 40}, propagated, 20)
    assert [finding.code for finding in result.findings] == ["points_not_seen"] * named


@pytest.mark.parametrize(
    ("low", "high", "beyond"), [(-500, 9000, False), (-500.1, 0, True), (0, 9000.1, True), (-500, 0, False)]
)
def test_heights_of_the_earth_are_from_minus_500_to_9000_metres(
    low: float, high: float, beyond: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "_describe_area_of_use", lambda *_: None)
    sums: Any = SimpleNamespace(points=9, withheld=0, low=np.array([0.0, 0, low]), high=np.array([5.0, 5, high]))
    result: Any = SimpleNamespace(facts={}, problems=[])
    file: Any = SimpleNamespace(file_bounds=np.array([sums.low, sums.high]), max_extent_m=1e6)
    cells: Any = SimpleNamespace(has_point=np.zeros(4, bool))
    inspection._describe_extent(result, file, sums, cells, lengths=True)
    assert any("heights leave" in problem for problem in result.problems) is beyond


@pytest.mark.parametrize(("side_m", "parts"), [(0.5, 1), (0.6, 4)])
def test_tiles_of_half_a_metre_are_not_divided(side_m: float, parts: int, tmp_path: Path) -> None:
    dtype = np.dtype([("xyz", "<f8", 3)])
    records = np.zeros(40, dtype)
    records["xyz"][:, :2] = side_m * (np.stack(np.divmod(np.arange(40) % 4, 2), axis=1) / 2 + 0.1)
    tile = tiles.CloudTile(0, 0.0, 0.0, side_m, 40)
    records.tofile(tiles._path(tmp_path, 0))
    found = tiles._divide(tmp_path, [tile], dtype, 10)
    assert [part.points for part in found] == [40 // parts] * parts


def heights_of(mean: np.ndarray) -> Any:
    return SimpleNamespace(mean=mean.astype(np.float32))


@pytest.mark.parametrize(("cells", "fitted"), [(49, False), (50, True)])
def test_two_dates_are_laid_on_fifty_cells_of_stable_ground(cells: int, fitted: bool) -> None:
    terrain = np.zeros((10, 10), np.float32)
    rise = np.full((10, 10), 0.7)
    rise.ravel()[90:] = 4.99  # ground as well, but not near the others
    built = np.zeros((10, 10), bool)
    built.ravel()[cells:90] = True
    built.ravel()[90:] = True
    found = fit_vertically(heights_of(terrain), heights_of(rise), terrain, built)
    assert found.cells == cells
    assert found.shift_m == pytest.approx(0.7 if fitted else 0.0)
    assert np.isnan(found.nmad_m) if not fitted else found.nmad_m == pytest.approx(0.02), "two centimetres at least"


@pytest.mark.parametrize(
    ("above_m", "rise_m", "stable"), [(0.39, 0.0, True), (0.41, 0.0, False), (0.0, 4.9, True), (0.0, 5.1, False)]
)
def test_stable_ground_is_40_cm_off_the_terrain_and_moves_by_less_than_five_metres(
    above_m: float, rise_m: float, stable: bool
) -> None:
    terrain = np.zeros((10, 10), np.float32)
    found = fit_vertically(
        heights_of(terrain + above_m), heights_of(terrain + above_m + rise_m), terrain, terrain.astype(bool)
    )
    assert found.cells == 100 * stable


@pytest.mark.parametrize(("nmad_m", "least_m"), [(0.1, 0.5), (0.2, 0.6), (np.nan, 0.5)])
def test_a_fall_counts_from_three_times_the_spread_of_stable_ground(nmad_m: float, least_m: float) -> None:
    options: Any = SimpleNamespace(least_loss_m=0.5)
    assert least_loss_m(VerticalFit(nmad_m=nmad_m), options) == pytest.approx(least_m)
    options.least_loss_m = 0.05
    assert least_loss_m(VerticalFit(nmad_m=np.nan), options) == pytest.approx(0.12), "of twice two centimetres"


@pytest.mark.parametrize(
    ("collapsed", "rubble", "loss_m", "height_m", "low", "state"),
    [
        (0.09, 0.5, 0.0, 5.0, 0.0, BuildingState.standing), (0.1, 0.5, 0.0, 5.0, 0.0, BuildingState.partly),
        (0.49, 0.5, 0.0, 5.0, 0.0, BuildingState.partly), (0.5, 0.5, 0.0, 5.0, 0.0, BuildingState.collapsed),
        (0.1, 0.5, 2.5, 8.0, 0.0, BuildingState.collapsed), (0.1, 0.5, 2.49, 8.0, 0.0, BuildingState.partly),
        (0.1, 0.5, 2.99, 10.0, 0.0, BuildingState.partly), (0.1, 0.5, 3.0, 10.0, 0.0, BuildingState.collapsed),
        (0.0, 0.5, 3.0, 8.0, 0.49, BuildingState.standing), (0.0, 0.5, 3.0, 8.0, 0.5, BuildingState.collapsed),
        (0.8, 0.2, 5.0, 8.0, 1.0, BuildingState.collapsed), (0.8, 0.19, 5.0, 8.0, 1.0, BuildingState.cleared),
    ],
)  # fmt: skip
def test_a_building_is_gone_by_half_of_its_plan_or_a_mean_fall_of_a_storey(
    collapsed: float, rubble: float, loss_m: float, height_m: float, low: float, state: str
) -> None:
    one = [np.array([value]) for value in (collapsed, rubble, loss_m, height_m)]
    assert measure.states_of(*one, np.array([True]), np.array([low])).tolist() == [state]
    assert measure.states_of(*one, np.array([False]), np.array([low])).tolist() == [BuildingState.unknown]


@pytest.mark.parametrize(("points", "is_rubble"), [(0.49, False), (0.5, True)])
def test_a_cell_of_which_half_of_the_points_are_rubble_is_rubble(points: float, is_rubble: bool) -> None:
    post: Any = SimpleNamespace(rubble=np.full((5, 5), points))
    assert bool(measure._is_rough(post, np.zeros((5, 5), np.float32))[2, 2]) is is_rubble


@pytest.mark.parametrize(("unseen_m3", "named"), [(10.0, False), (10.1, True)])
def test_a_part_without_heights_that_may_have_lost_a_tenth_again_is_named(unseen_m3: float, named: bool) -> None:
    states = [BuildingState.collapsed, BuildingState.standing, BuildingState.unknown]
    table = gpd.GeoDataFrame({"state": states, "lost_unseen_m3": unseen_m3, "lost_m3": 100.0}, geometry=[shapely.Point(0, 0)] * 3)  # fmt: skip
    assert lost_unseen(table).tolist() == [named, False, False]


@pytest.mark.parametrize(
    ("seen", "cells", "codes"),
    [(0.5, 200, []), (0.49, 200, ["roofs_unseen"]), (0.5, 199, ["little_stable_ground"])],
)
def test_roofs_of_which_half_is_seen_and_two_hundred_cells_of_ground_are_enough(
    seen: float, cells: int, codes: list[str]
) -> None:
    values = {"state": BuildingState.standing, "roof_seen_share": seen, "lost_unseen_m3": 0.0, "lost_m3": 0.0, "rule_m3": 1.0}  # fmt: skip
    table = gpd.GeoDataFrame({name: [value] for name, value in values.items()}, geometry=[shapely.Point(0, 0)])
    fits = [{"cells": cells, "unaligned": None, "stated_offset_m": 0.0}]
    assert [finding.code for finding in findings_of(table, fits, True)] == codes


@pytest.mark.parametrize(
    ("offset_m", "number", "found"), [(0.5, 5, 0.5), (-0.5, 5, -0.5), (0.49, 5, 0.0), (0.5, 4, 0.0)]
)
def test_stated_heights_are_off_by_half_a_metre_over_five_standing_buildings(
    offset_m: float, number: int, found: float
) -> None:
    assert systematic_offset_m(np.array([offset_m] * number + [np.nan] * 3)) == found


@pytest.mark.parametrize(("known", "filled"), [(3, True), (2, False)])
def test_a_cell_without_points_takes_the_mean_of_three_neighbours(known: int, filled: bool) -> None:
    heights = np.full((3, 3), np.nan, np.float32)
    heights.ravel()[:known] = [4, 5, 9][:known]
    cells = BuildingCells(np.zeros(9, np.int64), np.arange(9), 1)
    found = cells.of_heights(heights)
    assert found[:known].tolist() == [4, 5, 9][:known]
    assert found[4] == 6 if filled else np.isnan(found[4])


@pytest.mark.parametrize(("cells", "patches"), [(3, 0), (4, 1)])
def test_a_patch_of_rubble_has_four_cells(cells: int, patches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_heaps", lambda measures, grid, outlines: [np.zeros(len(outlines))] * 3)
    rubble = np.zeros((6, 6), np.int32)
    rubble[2, 1 : 1 + cells] = 1
    grid = GeoBox((6, 6), Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), "EPSG:32631")
    found = measure.rubble_polygons(SimpleNamespace(rubble=rubble), grid, np.array(["a"]))  # type: ignore[arg-type]
    assert len(found) == patches


@pytest.mark.parametrize(("code", "noise"), [(6, False), (7, True), (18, True), (14, False), (36, False)])
def test_codes_7_and_18_are_noise(code: int, noise: bool) -> None:
    cloud = PointCloud(np.zeros((2, 3)), classification=np.array([2, code], np.uint8))
    assert cloud.noise.tolist() == [False, noise]


@pytest.mark.parametrize(("x", "fits"), [(1e10, True), (1.1e10, False)])
def test_coordinates_are_ten_billion_at_most(x: float, fits: bool) -> None:
    xyz = np.array([[0.0, 0, 0], [x, 0, 0]])
    if fits:
        assert len(PointCloud(xyz)) == 2
    else:
        with pytest.raises(InputError, match=r"1e\+10"):
            PointCloud(xyz)


@pytest.mark.parametrize(("bare", "warned"), [(25, False), (26, True)])
def test_a_quarter_of_the_vertices_in_no_triangle_is_named(
    bare: int, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    points = np.random.default_rng(0).random((100, 3)).astype(np.float32)
    used = np.arange(100 - bare)
    faces = np.stack([used, np.roll(used, 1), np.roll(used, 2)], axis=1).astype(np.int32)
    radii: list[float] = []

    def pivot(_: Any, __: Any, chosen: list[float]) -> np.ndarray:
        radii.extend(chosen)
        return faces

    monkeypatch.setattr(surface_construction, "ball_pivoting", pivot)
    attributes: Any = SimpleNamespace(normal=np.tile([0.0, 0, 1], (100, 1)), spacing_m=np.full(100, 0.4))
    options: Any = SimpleNamespace(mesh="balls", voxel_m=0.1, max_edge_m=9.0)
    with caplog.at_level("WARNING"):
        surface_construction.triangles(points, attributes, options)
    assert bool(caplog.messages) is warned
    assert radii == pytest.approx([0.3, 0.4, 0.6, 0.8]), "0.75, 1, 1.5 and 2 times the median spacing"


@pytest.mark.parametrize(("height_m", "solids"), [(0.49, 0), (0.5, 1), (np.nan, 0)])
def test_prisms_are_half_a_metre_high(height_m: float, solids: int) -> None:
    assert len(_solids(shapely.box(0, 0, 4, 4), 100.0, height_m, np.zeros(3), {})) == solids


@pytest.mark.parametrize(("halo", "cut"), [(80, False), (81, True)])
def test_blocks_with_wide_halos_are_cut_to_where_heights_are(halo: int, cut: bool) -> None:
    """Blocks of 2,048 cells have up to 2,208 with their halo."""
    grid = GeoBox((20_000, 20_000), Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000), "EPSG:32631")
    window = Window(10_000, 10_000, 2048, 2048)
    near = (500_000 + 4_900, 5_000_000 - 5_600, 500_000 + 5_600, 5_000_000 - 4_900)
    found = _with_halo(window, grid, halo, near)
    assert (found != window.grow(halo)) is cut
