"""What is said of inputs, at the place where another constant would show."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from geotiff import write_geotiff

from deepnets4eo.catalogues.candidates import Candidate, PlannedImage, best_pair
from deepnets4eo.catalogues.plan import Plan, _in_one_turn
from deepnets4eo.catalogues.search import _Kept
from deepnets4eo.damage.evidences.rasters import values_at_a_glance
from deepnets4eo.damage.images import checks
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.footprints.alignment import _common
from deepnets4eo.footprints.days import parse_days
from deepnets4eo.grid import Grid
from deepnets4eo.inspection import cloud_network, machine, overlap
from deepnets4eo.inspection.cloud_network import CloudNetworkOptions
from deepnets4eo.inspection.clouds import _cloudy_colours, _cloudy_spectrum, cells_of, cloud_finding
from deepnets4eo.inspection.datasets import _folders
from deepnets4eo.inspection.dropped_words import dropped_words
from deepnets4eo.inspection.shadows import ShadowRules
from deepnets4eo.interferometry.complex_image import ComplexImage
from deepnets4eo.interferometry.fringes import FringeField
from deepnets4eo.interferometry.job import CoherenceMap
from deepnets4eo.interferometry.looks import CoherenceBias
from deepnets4eo.rasters import Layer
from deepnets4eo.read_as.assessment import Door
from deepnets4eo.read_as.kinds import report_heights
from deepnets4eo.sharpening.pansharpening import _check_pair


def layer_of(values: np.ndarray, gsd_m: float = 1.0) -> Layer:
    shape = (values.shape[1], values.shape[2])
    return Layer.open(values, grid=Grid(shape, Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_000_000), "EPSG:32631"))


def test_three_parts_of_a_file_that_gdal_drops_are_named() -> None:
    problems: list[str] = []
    with dropped_words(problems):
        for tag in "ABCD":
            logging.getLogger("rasterio").warning("CPLE_AppDefined in a.tif: tag %s ignored.", tag)
    assert "states: tag A ignored; tag B ignored; tag C ignored. Write" in problems[0]


def test_a_hundred_folders_are_looked_through_for_a_dataset(tmp_path: Path) -> None:
    for number in range(101):
        (tmp_path / f"{number:03}").mkdir()
    assert [path.name for path in _folders(tmp_path)][98:] == ["098", "099"]


@pytest.mark.parametrize(("median", "lines"), [(0.1, 1), (0.11, 2)])
def test_a_drop_of_coherence_over_a_tenth_everywhere_is_named(median: float, lines: int) -> None:
    drop = CoherenceMap(Path("drop.tif"), median, 0.0, 10.0, 1.0, Path("drop.evidence.yaml"))
    assert len(drop.lines()) == lines


@pytest.mark.parametrize(("highest", "named"), [(1.5, False), (1.6, True)])
def test_smooth_fractions_beyond_one_and_a_half_may_be_heights(highest: float, named: bool) -> None:
    values = np.broadcast_to(np.linspace(0, highest, 64, dtype=np.float32), (1, 64, 64))
    found = report_heights(layer_of(values), Door.of_image("post", by_camera=True))
    assert len(found.findings) == named


@pytest.mark.parametrize(("memory", "disk", "problems"), [(2e9, 2e9, 0), (1.99e9, 2e9, 1), (2e9, 1.99e9, 1), (0, 0, 2)])
def test_less_than_two_gigabytes_are_a_problem(
    memory: float, disk: float, problems: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=memory, total=8e9))
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=disk))
    assert len(machine._system().problems) == problems


def test_three_hundred_characters_of_a_librarys_message_are_shown() -> None:
    with pytest.raises(InputError) as refused, Reading("f.tif"):
        raise ValueError("-" * 301)
    assert str(refused.value).count("-") == 300


@pytest.mark.parametrize(("value", "unit"), [(1.9, 1.0), (2.1, 10_000.0), (19_000, 10_000.0), (21_000, None)])
def test_values_are_reflectance_up_to_two_or_its_ten_thousandths(value: float, unit: float | None) -> None:
    cells = layer_of(np.full((4, 8, 8), value, np.float32 if value < 3 else np.uint16), 20.0)
    assert cloud_network._unit_of_reflectance(cells, CloudNetworkOptions()) == unit


@pytest.mark.parametrize(
    ("gsd_m", "cells"),
    [(7.9, None), (8.1, (16, 16)), (10.0, (20, 20)), (20.0, (40, 40)), (60.0, (40, 40)), (61.0, None)],
)
def test_images_of_8_to_60_metres_are_classified_in_cells_of_20(
    gsd_m: float, cells: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_network, "is_installed", lambda _: True)
    image = layer_of(np.ones((4, 40, 40), np.uint16), gsd_m).with_names(["B2", "B3", "B4", "B8"])
    found = cloud_network._cells(image, CloudNetworkOptions())
    assert (None if found is None else found.shape) == cells


@pytest.mark.parametrize(("level", "measured"), [(0.077, False), (0.079, True)])
def test_a_fringe_has_a_peak_of_25_times_the_mean_of_its_spectrum(level: float, measured: bool) -> None:
    """The spectrum of 4,096 equal pixels has one peak: level · 4,096 squared over 4,096 is 25 at a level of 0.0781."""
    field, phase = FringeField.empty((32, 32)), np.full((64, 64), level, np.complex64)
    field.measure((0, 0), phase, np.ones((64, 64), bool))
    assert field.measured_share == measured


@pytest.mark.parametrize(("known", "measured"), [(1023, False), (1024, True)])
def test_a_quarter_of_the_pixels_of_a_spectrum_show_a_fringe(known: int, measured: bool) -> None:
    field, valid = FringeField.empty((32, 32)), (np.arange(64**2) < known).reshape(64, 64)
    field.measure((0, 0), valid.astype(np.complex64), valid)
    assert field.measured_share == measured


def test_fringes_are_taken_from_up_to_eight_blocks_away() -> None:
    cycles = np.full((2, 1, 12), np.nan)
    cycles[:, 0, 0] = 0.1
    assert np.isfinite(FringeField(cycles).fill().cycles[0, 0]).tolist() == [True] * 9 + [False] * 3


@pytest.mark.parametrize(
    ("covered", "angle", "codes"),
    [(99.0, 19.9, []), (98.9, 19.9, ["after_covers_a_part"]), (99.0, 20.0, ["after_off_nadir"])],
)
def test_less_than_99_percent_of_the_box_and_20_degrees_off_nadir_are_named(
    covered: float, angle: float, codes: list[str]
) -> None:
    image = PlannedImage(files=["a.tif"], covered=covered, off_nadir_deg=angle)
    plan = Plan(box=[10, 50, 10.1, 50.1], date="2023-02-06", after=image)
    assert [finding.code for finding in plan.findings()] == codes


@pytest.mark.parametrize(
    ("green", "nir", "swir", "cloudy"),
    [
        (1.79, 1.0, 1.0, False), (1.81, 1.0, 1.0, True),
        (3.0, 0.69, 1.0, False), (3.0, 0.71, 1.0, True), (3.0, 1.79, 1.0, True), (3.0, 1.81, 1.0, False),
        (3.0, 1.0, 0.39, False), (3.0, 1.0, 0.41, True),
    ],
)  # fmt: skip
def test_clouds_are_brighter_than_the_ground_and_as_bright_in_the_infrared(
    green: float, nir: float, swir: float, cloudy: bool
) -> None:
    """Green is in units of the usual ground, near and short-wave infrared of green."""
    after = np.ones((3, 1, 9))
    after[:, 0, 4] = green, nir * green, swir * green
    seen: Any = np.ones((1, 9), bool)
    found = _cloudy_spectrum(dict(zip(("green", "nir", "swir"), after, strict=True)), after, None, seen, 10.0)
    assert np.flatnonzero(found).tolist() == [4] * cloudy


def cloudy_colours(after: tuple[int, int, int], before: int | None) -> bool:
    """Return whether a square of colour is cloudy where it had another brightness before, in a place of brightness 60."""
    images = np.full((2, 3, 2, 10), 60.0)
    images[0, :, :, 4:6], images[1, :, :, 4:6] = np.array(after)[:, None, None], before or 0
    found = _cloudy_colours({}, images[0], None if before is None else images[1], np.ones((2, 10), bool), 100.0)
    assert not found[:, :4].any()
    return bool(found[:, 4:6].all())


@pytest.mark.parametrize(
    ("after", "cloudy"),
    [((236, 236, 236), True), ((235, 235, 235), False), ((250, 250, 231), True), ((250, 250, 230), False)],
)
def test_without_another_day_clouds_are_brighter_than_235_and_differ_by_8_percent_between_bands(
    after: tuple[int, int, int], cloudy: bool
) -> None:
    assert cloudy_colours(after, None) is cloudy


@pytest.mark.parametrize(
    ("after", "before", "cloudy"),
    [
        ((126, 126, 126), 60, True), ((125, 125, 125), 60, False),  # brighter than 125
        ((150, 150, 128), 60, True), ((150, 150, 122), 60, False),  # differs by 18 % between bands
        ((160, 160, 160), 119, True), ((160, 160, 160), 120, False),  # by a quarter brighter than before
        ((246, 246, 246), 235, True), ((246, 246, 246), 236, False), ((245, 245, 245), 230, False),  # saturated
    ],
)  # fmt: skip
def test_next_to_another_day_clouds_are_bright_white_and_new(
    after: tuple[int, int, int], before: int, cloudy: bool
) -> None:
    assert cloudy_colours(after, before) is cloudy


@pytest.mark.parametrize(("clouds", "severity"), [(99, "note"), (100, "caution")])
def test_clouds_over_a_hundredth_of_an_image_are_a_caution(clouds: int, severity: str) -> None:
    mask = (np.arange(10_000) < clouds).astype(np.uint8).reshape(1, 100, 100)
    found = cloud_finding(layer_of(mask), layer_of(mask), "post", "give_cloud_mask")
    assert found is not None
    assert found.severity == severity


@pytest.mark.parametrize(
    ("shape", "gsd_m", "cell_m", "cells"),
    [((800, 400), 0.5, 4, (100, 50)), ((80, 40), 10, 10, (80, 40)), ((40_960, 20_480), 0.5, 5, (4096, 2048))],
)
def test_clouds_are_looked_for_in_cells_of_four_metres_and_4096_along_a_side(
    shape: tuple[int, int], gsd_m: float, cell_m: float, cells: tuple[int, int]
) -> None:
    image: Any = SimpleNamespace(shape=shape)
    assert cells_of(image, gsd_m) == (cell_m, cells)


@pytest.mark.parametrize(("place", "chosen"), [(99, "near"), (100, "far")])
def test_the_best_hundred_images_of_a_side_are_paired(place: int, chosen: str) -> None:
    """One image before is seen as the one after is, but `place` others have a better score."""

    def candidate(name: str, role: str, angle: float, score: float) -> Candidate:
        image = PlannedImage(files=[name], name=name, off_nadir_deg=angle, azimuth_deg=0, score=score)
        return Candidate(image, None, None, None, "", "", role)  # type: ignore[arg-type]

    images = [candidate("far", "before", 60, 0.5) for _ in range(place)] + [candidate("near", "before", 0, 0.49)]
    before, after, _ = best_pair([*images, candidate("after", "after", 0, 0.5)])
    assert before is not None
    assert after is not None
    assert (before.image.name, after.image.name) == (chosen, "after")


def test_values_of_an_item_are_kept_six_levels_deep() -> None:
    nested: Any = "value"
    for _ in range(6):
        nested = [nested]
    assert _Kept()._small(nested) == nested
    assert _Kept()._small([nested]) == [[[[[[[None]]]]]]]


@pytest.mark.parametrize(
    ("seconds", "day"), [(99_999_999, None), (100_000_000, "1973-03-03"), (199_999_999, "1976-05-03")]
)
def test_numbers_from_a_hundred_million_are_seconds_since_1970(seconds: int, day: str | None) -> None:
    found = parse_days(pd.Series([seconds]))
    assert (None if found.isna().all() else found.dt.strftime("%Y-%m-%d")[0]) == day


@pytest.mark.parametrize(("files", "by_site"), [(6, False), (7, True)])
def test_more_than_six_files_are_reported_by_their_places(
    files: int, by_site: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap, "_by_site", lambda _: "by site")
    monkeypatch.setattr(overlap, "_overlap", lambda *_: overlap.Overlaps([], []))
    items: Any = [
        SimpleNamespace(kind="raster", path="a", grid=layer_of(np.ones((1, 2, 2)), 1 + n).grid) for n in range(files)
    ]
    assert (overlap.overlaps(items) == "by site") is by_site


@pytest.mark.parametrize(("gsd_m", "is_finer"), [(1.19, False), (1.21, True)])
def test_a_panchromatic_band_is_finer_by_a_fifth(gsd_m: float, is_finer: bool) -> None:
    image, pan = (layer_of(np.ones((bands, 8, 8), np.uint8), size) for bands, size in ((3, gsd_m), (1, 1.0)))
    if is_finer:
        assert _check_pair(image, pan) == pytest.approx(gsd_m)
    else:
        with pytest.raises(InputError, match="a panchromatic band is finer"):
            _check_pair(image, pan)


def test_an_image_is_complex_by_its_middle_512_rows(tmp_path: Path) -> None:
    inner, outer = np.ones((2, 512, 4), np.float32), np.ones((2, 300, 4), np.float32)
    inner[:, ::2] = -1
    assert ComplexImage(write_geotiff(tmp_path / "a.tif", np.concatenate([outer, inner, outer], axis=1)))
    outer[:, ::2] = -1
    inner[:] = 1
    with pytest.raises(InputError, match="the real and the imaginary part"):
        ComplexImage(write_geotiff(tmp_path / "b.tif", np.concatenate([outer, inner, outer], axis=1)))


def test_scores_are_looked_at_in_1024_pixels_along_their_longer_side() -> None:
    assert values_at_a_glance(layer_of(np.ones((1, 2, 2048), np.float32))).shape == (1024,)


@pytest.mark.parametrize(
    ("fine", "coarse", "refused"),
    [
        (0.26, 0.26, ""),
        (0.24, 0.9, "1 pixels apart, correlate with 0.24"),
        (0.9, 0.24, "4 pixels apart, correlate with 0.24"),
    ],
)
def test_neighbours_of_an_image_correlate_by_a_quarter_at_both_scales(
    fine: float, coarse: float, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "neighbour_correlations", lambda _: np.array([fine, coarse]))
    image = layer_of(np.ones((1, 64, 64), np.uint8))
    if refused:
        with pytest.raises(InputError, match=refused):
            checks._require_structure(image, "post")
    else:
        checks._require_structure(image, "post")


@pytest.mark.parametrize(("unseen", "looked_at"), [(6, True), (7, False)])
def test_windows_of_which_nine_tenths_are_valid_show_structure(
    unseen: int, looked_at: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(checks, "neighbour_correlations", lambda _: (seen.append(1), np.array([0.9, 0.9]))[1])
    values = np.ones((1, 64, 64), np.uint8)
    values[:, :unseen] = 0
    checks._require_structure(Layer.open(values, nodata=0), "post")
    assert bool(seen) is looked_at


@pytest.mark.parametrize(
    ("side", "fine", "coarse"), [(31, False, False), (32, True, False), (127, True, False), (128, True, True)]
)
def test_correlations_are_of_32_squares_along_a_side(side: int, fine: bool, coarse: bool) -> None:
    found = checks.neighbour_correlations(np.random.default_rng(0).normal(size=(side, 128)))
    assert np.isfinite(found).tolist() == [fine, coarse]


@pytest.mark.parametrize(
    ("colour", "before", "is_core", "is_edge"),
    [
        ((59, 59, 59), 100, True, True), ((61, 61, 61), 100, False, True),  # six tenths of the other day
        ((74, 74, 74), 100, False, True), ((76, 76, 76), 100, False, False),  # three quarters of it
        ((59, 59, 59), 200, True, True), ((70, 70, 70), 200, False, True), ((81, 81, 81), 200, False, False),  # of the median
        ((30, 30, 53), 100, True, True), ((30, 30, 55), 100, False, True),  # the bands differ by 1.8
        ((50, 50, 48), 100, True, True), ((50, 50, 47), 100, False, True),  # blue over red
        ((40, 47, 40), 100, True, True), ((40, 49, 40), 100, False, True),  # green over blue
    ],
)  # fmt: skip
def test_shadows_are_dark_at_one_date_and_have_the_colours_of_the_ground(
    colour: tuple[int, int, int], before: int, is_core: bool, is_edge: bool
) -> None:
    """In a place of brightness 100 at both dates; a hundredth of it is added to all values."""
    image, other = np.full((2, 3, 1, 9), 100.0)
    image[:, 0, 4], other[:, 0, 4] = colour, before
    core, edge = ShadowRules().masks(image, other, np.ones((1, 9), bool))
    assert np.flatnonzero(core).tolist() == [4] * is_core
    assert np.flatnonzero(edge).tolist() == [4] * is_edge


@pytest.mark.parametrize(("rows", "columns", "grown"), [(12, 13, 0), (13, 13, 21), (7, 25, 33), (6, 40, 0)])
def test_shadows_are_48_metres_wide_and_cover_a_hectare(rows: int, columns: int, grown: int) -> None:
    """Cells of 8 m: 12 by 13 are 9,984 m²; the penumbra of 28 m adds four cells on each side."""
    core = np.zeros((60, 60), bool)
    core[20 : 20 + rows, 10 : 10 + columns] = True
    found = ShadowRules().wide(core, core, 8.0)
    assert found[20 + rows // 2].sum() == grown


@pytest.mark.parametrize(("buildings", "enough"), [(2, False), (3, True)])
def test_three_buildings_may_share_an_offset(buildings: int, enough: bool) -> None:
    scores = np.zeros((buildings, 9, 9), np.float32)
    scores[:, 4, 5] = 1
    found = _common(scores, 4, 0.5)
    assert ("few_footprints" not in repr(found.why)) is enough


def test_full_coherence_has_no_bias() -> None:
    bias = CoherenceBias(25.0)
    assert bias.correct(np.array([1.0])).tolist() == bias.mean_sample(np.array([1.0])).tolist() == [1.0]


def test_shapes_west_of_180_degrees_lie_next_to_those_east_of_it() -> None:
    west, east = _in_one_turn((170, 0, -170, 10), [shapely.box(-175, 0, -172, 5), shapely.box(172, 0, 175, 5)])
    assert (west.bounds, east.bounds) == ((185, 0, 188, 5), (172, 0, 175, 5))
