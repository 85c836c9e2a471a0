"""Limits at which inputs and what is measured of them are judged otherwise, each from both sides."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from geotiff import write_geotiff

from deepnets4eo.cards import Legend
from deepnets4eo.damage.areas import _naming_column
from deepnets4eo.damage.evidences.water import _not_shown
from deepnets4eo.damage.images.dates import _smoothest, is_radar, is_too_coarse
from deepnets4eo.damage.placing import _unusual_fit, outline_position
from deepnets4eo.damage.site.skill import skill_of
from deepnets4eo.damage.structure.coverage import mark_too_little
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.damage.table.vocabulary import is_wide
from deepnets4eo.errors import InputError
from deepnets4eo.floods.clouds import HiddenByClouds
from deepnets4eo.floods.figures import figure_findings
from deepnets4eo.floods.ground import _gap_findings
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.floods.surface_date import SurfaceDate
from deepnets4eo.floods.thresholds import DRY, FLOOD
from deepnets4eo.footprints import read_footprints
from deepnets4eo.formats.hdf5 import _check_chunks
from deepnets4eo.grid import Grid
from deepnets4eo.inspection import inspect
from deepnets4eo.inspection.clouds import cells_of
from deepnets4eo.outputs import EventInfo, Phrase
from deepnets4eo.outputs.served_page.server import RequestRefusedError
from deepnets4eo.prediction.click_page import _whole
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as import Door, scenes
from deepnets4eo.read_as.kinds import declare_empty_heights
from deepnets4eo.read_as.masks import ValuesSeen
from deepnets4eo.training.mask_legend import MaskContent, _recognise


def layer_of(values: np.ndarray, gsd_m: float = 1.0) -> Layer:
    grid = Grid(values.shape[1:], Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), "EPSG:32631")
    return Layer.open(values, grid=grid)


@pytest.mark.parametrize(("share", "is_much"), [(0.49, False), (0.5, True)])
def test_half_of_an_image_under_clouds_is_much(share: float, is_much: bool) -> None:
    assert HiddenByClouds([], share).is_much is is_much


@pytest.mark.parametrize(("flood_ha", "named"), [(50.0, False), (50.1, True)])
def test_a_flood_of_more_than_half_of_the_ground_is_named(flood_ha: float, named: bool) -> None:
    area = {"flood_ha": flood_ha, "seen_ha": 100.0, "flood_share": flood_ha / 100}
    assert [finding.code for finding in figure_findings({"area": area})] == ["most_flooded"] * named


@pytest.mark.parametrize(("share", "named"), [(0.0099, False), (0.01, True)])
def test_a_hundredth_of_the_ground_without_a_layer_is_named(
    share: float, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.floods.ground.unknown_share", lambda *_: share)
    post = layer_of(np.ones((1, 8, 8), np.uint8))
    assert [finding.values["share"] for finding in _gap_findings("dem_has_gaps", post, [post])] == [share] * named
    assert _gap_findings("dem_has_gaps", post, []) == []


@pytest.mark.parametrize(("level_db", "named"), [(2.9, False), (3.0, True), (-3.0, True), (-2.9, False)])
def test_radar_levels_that_differ_by_three_decibel_are_named(level_db: float, named: bool) -> None:
    findings = RadarDate(("VV",), unit="power", level_db=level_db).findings("pre")
    assert [finding.values["direction"] for finding in findings] == [
        Phrase("brighter_all_over" if level_db > 0 else "darker_all_over")
    ] * named


def test_a_surface_is_on_its_side_of_one_half_whatever_the_network_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    classes, water = np.array([[DRY, DRY, FLOOD, FLOOD]]), np.array([[0.1, 0.9, 0.2, 0.8]])
    monkeypatch.setattr(SurfaceDate, "_surfaces", lambda *_: (classes, water))
    tile: Any = None
    np.testing.assert_allclose(SurfaceDate(()).water(tile), [[0.1, 0.49, 0.51, 0.8]])


@pytest.mark.parametrize(
    ("near_m", "near_share", "are_far"), [(11.0, 1.0, True), (9.0, 1.0, False), (5.0, 0.005, True), (5.0, 0.02, False)]
)
def test_heights_are_far_from_zero_if_all_but_a_hundredth_are_ten_metres_away(
    near_m: float, near_share: float, are_far: bool
) -> None:
    heights = np.full(10_000, 250.0, np.float32)
    heights[: round(near_share * heights.size)] = -near_m
    heights[-3000:] = 0  # what is asked about
    assessed = declare_empty_heights(layer_of(heights.reshape(1, 100, 100)), Door("--dsm"))
    assert (assessed.layer.nodata == 0) is are_far is bool(assessed.findings)


@pytest.mark.parametrize(("whole_px", "is_depth"), [(30, True), (31, False)])
def test_depths_of_which_up_to_three_tenths_are_whole_numbers_are_no_classes(whole_px: int, is_depth: bool) -> None:
    seen = ValuesSeen(zero=True, whole=frozenset({1.0, 2.0}), whole_px=whole_px, fraction_px=100 - whole_px)
    assert seen.is_depth("", scaled=False) is is_depth


@pytest.mark.parametrize("finds_any", [True, False])
def test_a_hundred_scenes_are_looked_at_before_any_is_suspected(
    finds_any: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []

    def look(layer: object, door: object) -> Any:
        looked.append(layer)
        return SimpleNamespace(findings=("collar",) * (finds_any and layer == 130))

    monkeypatch.setattr(scenes, "kind_of", lambda name, layer: SimpleNamespace(look=look))
    layers: Any = list(range(131))
    assert len(scenes.look_at_layers(layers, "image")) == 131
    assert len(looked) == (131 if finds_any else 100)


@pytest.mark.parametrize(
    ("inliers", "scales", "codes"),
    [
        (50, (1.0, 1.0), []), (49, (1.0, 1.0), ["registration_few_matches"]), (90, (0.979, 1.0), ["registration_scaled"]),
        (90, (1.0, 1.021), ["registration_scaled"]), (90, (0.981, 1.019), []),
    ],
)  # fmt: skip
def test_half_of_the_matches_agree_and_scales_differ_by_a_fiftieth(
    inliers: int, scales: tuple[float, float], codes: list[str]
) -> None:
    measured = SimpleNamespace(scale_min=scales[0], scale_max=scales[1], inliers=inliers, reliable=100)
    registration: Any = SimpleNamespace(measured=measured)
    assert [finding.code for finding in _unusual_fit(registration)] == codes


@pytest.mark.parametrize(
    ("value", "buildings", "skill", "why"),
    [
        (0.1, 30, 0.1, None), (0.099, 30, 0.0, "skill_too_small"), (0.9, 29, 0.0, "skill_of_few_buildings"), (1.2, 30, 1.0, None),
    ],
)  # fmt: skip
def test_a_skill_of_a_tenth_on_thirty_buildings_counts(
    value: float, buildings: int, skill: float, why: str | None
) -> None:
    found = skill_of(value, buildings, Phrase("skill_auc", {"auc": 0.5}))
    assert (found.value, found.why and found.why.key) == (skill, why)


@pytest.mark.parametrize(("gsd_m", "is_coarse"), [(0.75, False), (0.76, True), (1.4, True)])
def test_a_pre_image_of_more_than_one_and_a_half_times_the_pixels_is_too_coarse(gsd_m: float, is_coarse: bool) -> None:
    pre, post = (layer_of(np.ones((1, 64, 64), np.uint8), size) for size in (gsd_m, 0.5))
    assert is_too_coarse(pre, post) is is_coarse


@pytest.mark.parametrize(("variation", "is_speckled"), [(0.09, False), (0.091, True), (np.nan, False)])
def test_smooth_ground_that_varies_by_more_than_nine_percent_is_radar(
    variation: float, is_speckled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.damage.images.dates._variation", lambda *_: variation)
    assert is_radar(layer_of(np.ones((1, 64, 64), np.uint8))) is is_speckled


@pytest.mark.parametrize(("dropped", "severity"), [(1, "note"), (2, "caution")])
def test_more_than_a_twentieth_of_the_rows_dropped_or_repeated_is_a_caution(dropped: int, severity: str) -> None:
    x = np.arange(20) * 30.0
    shapes = shapely.box(x, 0, x + 10, 10)
    lacking = gpd.GeoDataFrame(geometry=[*shapes[dropped:], *[None] * dropped], crs="EPSG:32631")
    twice = gpd.GeoDataFrame(geometry=[*shapes[dropped:], *shapes[-dropped:]], crs="EPSG:32631")
    for table, code in ((lacking, "footprints_dropped"), (twice, "footprints_repeated")):
        found = {finding.code: finding.severity for finding in read_footprints(table).findings()}
        assert found == {code: severity}


@pytest.mark.parametrize(("bands", "kind"), [(15, "raster"), (16, "cube")])
def test_sixteen_bands_are_described_as_a_cube(bands: int, kind: str, tmp_path: Any) -> None:
    values = np.random.default_rng(0).integers(1, 200, (bands, 12, 12)).astype(np.uint8)
    assert inspect(str(write_geotiff(tmp_path / "a.tif", values))).kind == kind


@pytest.mark.parametrize(("different", "column"), [(9, "district"), (8, "code")])
def test_names_that_differ_in_nine_tenths_of_the_rows_name_areas_although_codes_differ_in_all(
    different: int, column: str
) -> None:
    names = [f"name {min(row, different - 1)}" for row in range(10)]
    table = gpd.GeoDataFrame({"district": names, "code": np.arange(10) + 100}, geometry=[shapely.Point(0, 0)] * 10)
    named = _naming_column(table)
    assert named is not None
    assert named.name == column


def masks_of(pixels: dict[tuple[int, ...], int]) -> MaskContent:
    return MaskContent(pixels, dict.fromkeys(pixels, "mask.png"))


RED, BLUE = (200, 0, 0), (0, 0, 200)
THIRDS = [(150, 0, 50), (100, 0, 100), (50, 0, 150)]


@pytest.mark.parametrize(
    ("blends", "each", "named"),
    [
        (THIRDS, 29, True), (THIRDS, 31, False), (THIRDS[:2], 29, False), ([(150, 0, 50), (100, 3, 100), (50, 0, 150)], 29, True),
        ([(150, 0, 50), (100, 4, 100), (50, 0, 150)], 29, False), ([*THIRDS[:2], (250, 0, 0)], 29, False),
    ],
    ids=["three rare ones", "three of 0.31 %", "two", "beside by 3", "beside by 4", "one beyond"],
)  # fmt: skip
def test_three_rare_colours_between_others_are_blends(blends: list[tuple[int, ...]], each: int, named: bool) -> None:
    rest = 10_000 - each * len(blends)
    content = masks_of({RED: rest // 2, BLUE: rest - rest // 2} | dict.fromkeys(blends, each))
    assert (content.blended_note is not None) is named
    assert content.total == 10_000


@pytest.mark.parametrize(("values", "named"), [(6, True), (5, False)])
def test_of_values_more_are_blends_than_there_are_classes(values: int, named: bool) -> None:
    content = masks_of(
        dict.fromkeys([(0,), (10,), (20,), (30,), (40,)], 2000) | {(row + 1,): 5 for row in range(values)}
    )
    assert (content.blended_note is not None) is named


@pytest.mark.parametrize(("colours", "known"), [(3, True), (2, False)])
def test_a_legend_of_the_catalog_is_recognised_by_three_colours_besides_black_and_white(
    colours: int, known: bool
) -> None:
    legend = Legend.load("loveda")
    own = [entry.color for entry in legend.classes if entry.color not in ((0, 0, 0), (255, 255, 255))][:colours]
    found = _recognise(masks_of(dict.fromkeys([*own, (255, 255, 255)], 100)))
    assert (found is not None) is known
    if found is not None:
        assert {*own} <= {entry.color for entry in found.classes}


def test_ground_darker_than_three_hundredths_of_the_brightest_is_noise() -> None:
    """Dark water varies by half of its mean; the smooth ground next to it does not."""
    rng = np.random.default_rng(0)
    image = (200 + rng.normal(0, 2, (60, 60))).astype(np.float32)
    image[:, :30] = 0.02 * 200 * (1 + 0.5 * rng.standard_normal((60, 30)))
    seen = np.ones((60, 60), bool)
    assert _smoothest(image, seen) < 0.02
    dark = np.where(np.arange(60) < 30, 1.25 * image, image)  # 0.025
    dark[:, 30:] = 200 + 80 * rng.standard_normal((60, 30))
    assert _smoothest(dark, seen) > 0.2  # not that of the smooth dark
    assert np.isnan(_smoothest(image, np.zeros((60, 60), bool)))


@pytest.mark.parametrize(
    ("chunks", "packed_bytes", "refused"),
    [
        (((1 << 27) + 1,), 0, "more than 1,073,741,824"), ((1 << 27,), 0, ""), ((1 << 27,), 1 << 28, ""), ((1 << 27,), 1000, "packed to 1,000"),
        ((1 << 10,), 1, ""),
    ],
    ids=["a GiB and more", "a GiB", "packed to a quarter", "packed to 1000 bytes", "small"],
)  # fmt: skip
def test_chunks_of_a_gigabyte_are_unpacked_if_they_are_as_large_as_they_may_be(
    chunks: tuple[int, ...], packed_bytes: int, refused: str
) -> None:
    stored = SimpleNamespace(get_num_chunks=lambda: 1 if packed_bytes else 0, get_storage_size=lambda: packed_bytes)
    data = SimpleNamespace(chunks=chunks, dtype=np.dtype("float64"), id=stored)
    if refused:
        with pytest.raises(InputError, match=refused):
            _check_chunks(Path("a.h5"), "cube", data)
    else:
        _check_chunks(Path("a.h5"), "cube", data)


@pytest.mark.parametrize(
    ("name", "severity", "remedy"),
    [
        ("", "note", "--event name="),
        ("Flood 2023", "caution", "--water"),
        ("Tornado", None, ""),
        ("Cyclone", "note", "--water"),
    ],
)
def test_an_image_that_shows_no_water_is_named_with_the_hazard_or_the_water_to_give(
    name: str, severity: str | None, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.damage.evidences.water._shows_water", lambda *_: False)
    site: Any = SimpleNamespace(settings=SimpleNamespace(water=None), event=EventInfo(name=name))
    found = _not_shown(site)
    assert [finding.severity for finding in found] == [severity] * (severity is not None)
    assert all(remedy in finding.remedy for finding in found)
    given: Any = SimpleNamespace(settings=SimpleNamespace(water="water.tif"), event=EventInfo(name=name))
    assert _not_shown(given) == ()


@pytest.mark.parametrize(
    ("value", "is_whole"),
    [
        (0, True),
        (-5, True),
        (1 << 31, True),
        ((1 << 31) + 1, False),
        (True, False),
        (1.0, False),
        ("1", False),
        (None, False),
    ],
)
def test_a_request_names_tiles_by_whole_numbers_of_32_bits(value: object, is_whole: bool) -> None:
    if is_whole:
        assert _whole({"row": value}, "row") == value
    else:
        with pytest.raises(RequestRefusedError, match="whole number as row"):
            _whole({"row": value}, "row")


@pytest.mark.parametrize(
    ("shape", "gsd_m", "cell_m", "cells"),
    [
        ((100, 200), 1.0, 4.0, (25, 50)), ((100, 200), 10.0, 10.0, (100, 200)), ((2, 400), 0.5, 4.0, (1, 50)), ((400, 2), 0.5, 4.0, (50, 1)),
        ((64, 20_480), 1.0, 5.0, (13, 4096)),
    ],
    ids=["four metres", "coarser", "few rows", "few columns", "at most 4096"],
)  # fmt: skip
def test_clouds_are_looked_for_in_cells_of_four_metres_or_a_pixel(
    shape: tuple[int, int], gsd_m: float, cell_m: float, cells: tuple[int, int]
) -> None:
    image: Any = SimpleNamespace(shape=shape)
    assert cells_of(image, gsd_m) == (pytest.approx(cell_m), cells)


@pytest.mark.parametrize(("interval", "wide"), [((0.1, 0.6), False), ((0.1, 0.61), True)])
def test_an_interval_of_more_than_half_of_the_buildings_is_wide(interval: tuple[float, float], wide: bool) -> None:
    assert is_wide(interval) is wide


@pytest.mark.parametrize(
    ("inside", "area_px", "reason"),
    [
        (0.71, 200.0, ""), (0.69, 200.0, Reason.CUT), (0.31, 200.0, Reason.CUT), (0.29, 200.0, Reason.OUTSIDE), (1.0, 19.0, Reason.SMALL),
        (1.0, 21.0, ""), (0.69, 19.0, Reason.SMALL), (0.0, 19.0, Reason.OUTSIDE),
    ],
)  # fmt: skip
def test_outlines_of_which_seven_tenths_and_twenty_pixels_are_shown_are_assessed(
    inside: float, area_px: float, reason: str
) -> None:
    reasons = np.array([""], object)
    mark_too_little(reasons, np.array([inside]), np.array([area_px]), np.array([area_px]))  # pixels of a metre
    assert reasons.tolist() == [reason]


def alignment_of(status: str, *, voters: int = 100, in_place: float = 0.0, shift_m: float = 1.0) -> Any:
    return SimpleNamespace(
        status=status, voters=voters, in_place=in_place, shift_m=shift_m, agreeing=0.4, why=Phrase("pre_image")
    )


@pytest.mark.parametrize(
    ("pre", "post", "image", "known", "codes", "fit_after"),
    [
        (alignment_of("ok"), alignment_of("ok"), "pre", True, [], None),
        (alignment_of("ok", shift_m=8.0), None, "pre", True, [], None),
        (alignment_of("ok", shift_m=8.1), None, "pre", True, ["footprints_moved_far"], None),
        (alignment_of("failed", in_place=2.9), alignment_of("ok"), "post", True, [], (0.4, 0.4)),
        (alignment_of("failed", in_place=3.0), alignment_of("ok"), "post", True, [], None),
        (alignment_of("failed", voters=2), alignment_of("ok"), "post", True, [], None),
        (alignment_of("failed", in_place=3.0), alignment_of("failed"), "pre", True, ["alignment_weak"], None),
        (alignment_of("failed", in_place=2.9), alignment_of("failed"), "pre", False, ["alignment_failed"], None),
        (alignment_of("failed"), alignment_of("failed", in_place=3.1), "post", True, ["alignment_weak"], None),
        (alignment_of("failed", voters=2, in_place=9.0), None, "pre", True, ["alignment_unknown"], None),
        (alignment_of("failed", voters=3, in_place=3.0), None, "pre", True, ["alignment_weak"], None),
    ],
)  # fmt: skip
def test_outlines_are_in_place_from_three_deviations_on(
    pre: Any, post: Any, image: str, known: bool, codes: list[str], fit_after: tuple[float, float] | None
) -> None:
    alignments = {role: one for role, one in (("pre", pre), ("post", post)) if one is not None}
    registration: Any = SimpleNamespace(usable=True, why=None)
    position = outline_position(alignments, registration)
    assert (position.image, position.known, position.fit_after) == (image, known, fit_after)
    assert [finding.code for finding in position.findings] == codes
    assert position.reach_m == (0.0 if known else 8.0)
