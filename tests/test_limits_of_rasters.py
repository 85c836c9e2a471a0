"""Limits at which grids, bands, tiles and radar are read otherwise, each from both sides."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import GridError, InputError, LabelError
from deepnets4eo.floods.buildings import water_around
from deepnets4eo.grid import Window
from deepnets4eo.interferometry import coherence, job
from deepnets4eo.interferometry.fringes import FringeField
from deepnets4eo.interferometry.looks import CoherenceBias, Correlation
from deepnets4eo.objects.density import density_grid
from deepnets4eo.rasters import Layer, band_subset, mosaic
from deepnets4eo.rasters.band_roles import roles_by_wavelength
from deepnets4eo.rasters.clouds import _fmask_rule
from deepnets4eo.rasters.radar_bands import relative_orbit
from deepnets4eo.rasters.values import is_usual_nodata, whole_numbers
from deepnets4eo.rasters.xarray_sources import _same_corners, _step
from deepnets4eo.terrain.heights import impossible
from deepnets4eo.tiling.sampling import _cell_side
from deepnets4eo.zonal.fine_pixels import FinePixels

ARRAY: Any = SimpleNamespace(name="a", attrs={}, dims=("y", "x"), sizes={})


@pytest.mark.parametrize(("bend", "on_a_line"), [(0.4, True), (0.6, False)])
def test_coordinates_are_a_twentieth_of_a_pixel_beside_a_line(bend: float, on_a_line: bool) -> None:
    values = 10.0 * np.arange(20) + 5_000_000
    values[7] += bend
    if on_a_line:
        assert _step(ARRAY, "y", values) == 10
    else:
        with pytest.raises(GridError, match=r"up to 0.06 pixels beside even distances of 10"):
            _step(ARRAY, "y", values)


@pytest.mark.parametrize(("step", "fits"), [(1.1, True), (0.9, False)])
def test_coordinates_of_single_precision_tell_pixels_apart_if_they_are_rounded_by_less_than_half(
    step: float, fits: bool
) -> None:
    """Numbers around 5,000,000 have steps of 0.5 in 32 bits."""
    values = (step * np.arange(40) + 5_000_000).astype(np.float32)
    if fits:
        assert _step(ARRAY, "y", values) == pytest.approx(step, rel=0.02)
    else:
        with pytest.raises(GridError):
            _step(ARRAY, "y", np.array([0, 0.5, 0.5, 2.5]) + np.float32(5_000_000))


@pytest.mark.parametrize(("off_px", "same"), [(0.0009, True), (0.0011, False)])
def test_transforms_are_one_to_a_thousandth_of_a_pixel(off_px: float, same: bool) -> None:
    grid = Affine(10, 0, 500_000, 0, -10, 5_000_000)
    assert _same_corners(grid * Affine.translation(off_px, 0), grid, (20, 20)) is same
    assert _same_corners(grid * Affine.scale(1 + off_px / 20), grid, (20, 20)) is same


@pytest.mark.parametrize(("soft", "is_mask"), [(50, True), (51, False)])
def test_a_fourth_band_is_a_mask_if_half_of_it_is_at_the_top(
    soft: int, is_mask: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.full(120, 255, np.uint8)
    values[:soft], values[100:] = 240, 0  # 0.94 of the largest; pixels of 0 do not count
    monkeypatch.setattr(band_subset, "_look", lambda *_: values)
    dataset: Any = SimpleNamespace(descriptions=[""])
    assert band_subset._is_mask(dataset, 1) is is_mask


@pytest.mark.parametrize(("offset_px", "named"), [(0.05, False), (0.051, True), (3.0, False), (-0.06, True)])
def test_tiles_that_are_moved_by_a_twentieth_of_a_pixel_are_named(
    offset_px: float, named: bool, caplog: pytest.LogCaptureFixture
) -> None:
    tiles: Any = [SimpleNamespace(path=f"{number}-{offset_px}.tif") for number in range(2)]
    with caplog.at_level(logging.WARNING):
        mosaic._name_moved_tiles(tiles, [(0.0, 0.0), (offset_px, 0.0)])
    assert bool(caplog.records) is named


@pytest.mark.parametrize(
    ("product", "track"),
    [
        ("S1A_IW_GRDH_1SDV_20230206T150000_20230206T150025_000073_05A3C2_1234", 1), ("S1A_IW_GRDH_1SDV_20230206T150000_20230206T150025_047123_05A3C2_1234", 151),
        ("S1B_IW_GRDH_1SDV_20200206T150000_20200206T150025_000027_05A3C2_1234", 1), ("S1B_IW_GRDH_1SDV_20200206T150000_20200206T150025_000026_05A3C2_1234", 175),
        ("S1C_IW_GRDH_1SDV_20250206T150000_20250206T150025_000172_05A3C2_1234", 1), ("S1C_IW_GRDH_1SDV_20250206T150000_20250206T150025_000347_05A3C2_1234", 1),
    ],
)  # fmt: skip
def test_the_relative_orbit_of_sentinel_1_repeats_after_175(product: str, track: int) -> None:
    assert relative_orbit(f"/data/{product}.tif", {}) == track


@pytest.mark.parametrize(
    ("value", "is_label"), [(2.0**31, True), (2.0**31 + 1024, False), (-(2.0**31), True), (0.5, False)]
)
def test_labels_that_are_stored_as_fractions_are_whole_numbers_of_32_bits(value: float, is_label: bool) -> None:
    values = np.array([[value, 3]])
    if is_label:
        assert whole_numbers(values, np.ones((1, 2), bool), "a.tif").tolist() == [[int(value), 3]]
    else:
        with pytest.raises(LabelError):
            whole_numbers(values, np.ones((1, 2), bool), "a.tif")


@pytest.mark.parametrize(
    ("value", "usual"),
    [(0.9e15, False), (1e15, True), (-1e15, True), *((value, True) for value in (-999.0, 9999.0, 99999.0, -999999.0, 999999.0, 32767.0, 65535.0, -(2.0**31), 2.0**31 - 1, 2.0**32 - 1, -10_000.0, -99.0, -28_672.0, -3000.0, -32_766.0)), *((value, False) for value in (-1998.0, 19998.0, 65534.0, 2.0**32, -20_000.0, -198.0, -6000.0))],
)  # fmt: skip
def test_numbers_that_programs_write_without_data(value: float, usual: bool) -> None:
    assert is_usual_nodata(value) is usual


@pytest.mark.parametrize(
    ("role", "centre_nm"), [("red", 660), ("green", 560), ("blue", 480), ("nir", 840), ("swir", 1610), ("swir2", 2200)]
)
def test_a_band_serves_up_to_a_tenth_beside_its_wavelength(role: str, centre_nm: float) -> None:
    for off, serves in ((0.99, True), (-0.99, True), (1.01, False), (-1.01, False)):
        found = roles_by_wavelength(np.array([centre_nm * (1 + 0.1 * off)]))
        assert (role in found) is serves


@pytest.mark.parametrize(("highest", "cloudy"), [(4, [2, 4]), (5, [2, 3, 4, 5])])
def test_fmask_has_classes_up_to_4_and_bits_beyond(highest: int, cloudy: list[int]) -> None:
    values = np.arange(highest + 1, dtype=np.uint8)
    rule = _fmask_rule(Layer.open(values.reshape(1, 1, -1)))
    assert np.flatnonzero(rule(values.astype(np.int64))).tolist() == cloudy


@pytest.mark.parametrize(
    ("height", "is_impossible"), [(-500.0, False), (-500.1, True), (9000.0, False), (9000.1, True)]
)
def test_no_ground_is_below_minus_500_or_above_9000_metres(height: float, is_impossible: bool) -> None:
    assert impossible(np.array([height])).tolist() == [is_impossible]


@pytest.mark.parametrize(("side", "cell_px"), [(39, 8), (96, 19), (240, 48)])
def test_windows_of_small_scenes_have_24_cells_of_samples(side: int, cell_px: int) -> None:
    assert _cell_side([Window(0, 0, side, side)]) == cell_px
    assert _cell_side([Window(0, 0, 30, 30)]) == 8


@pytest.mark.parametrize(("cell_m", "fits"), [(0.625, True), (0.62, False)])
def test_cells_of_a_density_are_a_sixteenth_of_a_pixel_at_least(cell_m: float, fits: bool) -> None:
    grid = GeoBox((20, 20), Affine(10, 0, 0, 0, -10, 0), None)
    if fits:
        assert tuple(density_grid(grid, cell_m).shape) == (320, 320)
    else:
        with pytest.raises(InputError, match="at least a sixteenth of a pixel"):
            density_grid(grid, cell_m)


@pytest.mark.parametrize(
    ("areas", "words"),
    [
        ([19.0] * 90 + [20.0] * 10, ""), ([19.0] * 91 + [20.0] * 9, "at most about 0.5 m"), ([7.9] * 100, ""), ([8.0] * 100, "0.3 m"),
        ([280.0] * 3, ""),
    ],
)  # fmt: skip
def test_pixels_are_too_coarse_if_nine_tenths_of_the_buildings_have_fewer_than_twenty(
    areas: list[float], words: str
) -> None:
    """Structure shows from 70 pixels on: √(19 / 70) = 0.52 m and √(8 / 70) = 0.34 m."""
    found = FinePixels().problem(np.array(areas), 1.0)
    assert bool(found) == bool(words)
    assert words in found


def house_in(wet_px: int, seen_px: int | None = None, **options: Any) -> tuple[str, int]:
    """State of a house of 10 m in a ring of 2 to 12 m around it, some of whose pixels of 1 m are wet and some of them seen."""
    labels = np.zeros((100, 100), np.uint8)
    house = shapely.box(45, 45, 55, 55)
    rows, cols = np.indices(labels.shape) + 0.5
    away = shapely.distance(house, shapely.points(cols, rows))
    ring = np.flatnonzero((away > 2) & (away <= 12))
    if seen_px is not None:
        labels[:] = 255
        labels.ravel()[ring[:seen_px]] = 0
    labels.ravel()[ring[:wet_px]] = 2
    return str(water_around(Layer.open(labels, nodata=255), np.array([house]), **options).inundated[0]), len(ring)


@pytest.mark.parametrize(
    ("wet", "seen", "options", "state"),
    [
        (0.41, None, {}, "yes"), (0.39, None, {}, "no"), (0.49, None, {"reach_m": 0.01}, "no"), (0.51, None, {"reach_m": 0.01}, "yes"),
        (0.09, 0.09, {}, "yes"), (0.07, 0.07, {"nearby": False}, "not known"), (0.0, 0.51, {"nearby": False}, "no"),
        (0.0, 0.49, {"nearby": False}, "not known"),
    ],
)  # fmt: skip
def test_a_house_is_in_water_that_fills_two_fifths_of_the_ring_around_it(
    wet: float, seen: float | None, options: dict[str, Any], state: str
) -> None:
    number = house_in(0)[1]
    found = house_in(round(wet * number), None if seen is None else round(seen * number), **options)
    assert found[0] == state


@pytest.mark.parametrize(("seen", "void"), [(37, False), (36, True)])
def test_coherence_is_known_where_three_quarters_of_a_window_are(seen: int, void: bool) -> None:
    side = FringeField.block_px
    valid = np.ones((side + 6, side + 6), bool)
    inside = np.zeros(49, bool)
    inside[:seen] = True
    valid[:7, :7] = inside[::-1].reshape(7, 7)
    image = np.ones(valid.shape, np.complex64)
    raw, share = coherence.sample_coherence(image, image, valid, np.zeros((2, 1, 1)), (7, 7))
    assert share[0, 0] == pytest.approx(seen / 49)
    assert bool(np.isnan(raw[0, 0])) is void


def test_looks_of_cut_windows_are_rounded_up_in_five_steps() -> None:
    """A window of 20 looks has 15, 16, … 20 by its share of 0.75, 0.8, … 1."""
    raw, share = np.full(4, 0.5, np.float32), np.array([0.75, 0.76, 0.8, 1.0], np.float32)
    expected = [CoherenceBias(looks).correct(np.float32(0.5)) for looks in (15.0, 16.0, 16.0, 20.0)]
    np.testing.assert_allclose(coherence.without_bias(raw, share, 20.0), expected, rtol=1e-6)


@pytest.mark.parametrize(("distance", "known"), [(8, True), (9, False)])
def test_fringes_are_taken_from_eight_blocks_away(distance: int, known: bool) -> None:
    cycles = np.full((2, 1, 12), np.nan)
    cycles[:, 0, 0] = 0.1, 0.2
    assert bool(np.isfinite(FringeField(cycles).fill().cycles[0, 0, distance])) is known


@pytest.mark.parametrize(("times", "found"), [(24.9, False), (25.1, True)])
def test_a_fringe_is_a_peak_of_25_times_the_noise(times: float, found: bool) -> None:
    """Pixels of one phase whose squared sum is so many times their number; the others cancel out."""
    phase = np.zeros((64, 64), np.complex64)
    number = 4096
    level = np.sqrt(times * number) / number
    phase[:] = level
    field = FringeField.empty((32, 32))
    field.measure((0, 0), phase, np.ones((64, 64), bool))
    assert bool(np.isfinite(field.cycles).all()) is found


@pytest.mark.parametrize(("share", "measured"), [(0.25, True), (0.249, False)])
def test_a_fringe_is_measured_if_a_quarter_of_the_pixels_has_values(share: float, measured: bool) -> None:
    valid = (np.arange(4096) < share * 4096).reshape(64, 64)
    field = FringeField.empty((32, 32))
    field.measure((0, 0), valid.astype(np.complex64), valid)
    assert bool(np.isfinite(field.cycles).all()) is measured


def test_bright_pixels_are_dimmed_to_three_times_the_root_mean_square() -> None:
    image = np.ones((1, 400), np.complex64)
    image[0, 0] = 100
    found = Correlation((1, 2))
    found.add((image, image), np.ones((1, 400), bool))
    level = 3 * np.sqrt((100**2 + 399) / 400)
    assert found._sums[1][0, 0] == pytest.approx(1 + 399 / level**2)


@pytest.mark.parametrize(("median", "lines"), [(0.1, 1), (0.11, 2)])
def test_a_median_drop_of_more_than_a_tenth_is_named(median: float, lines: int) -> None:
    found: Any = SimpleNamespace(looks=20.0, fringe_share=1.0, void_share=0.0, median=median, card=object())
    assert len(job.CoherenceMap.lines(found)) == lines


@pytest.mark.parametrize(
    ("sides_m", "window"),
    [((10.0, 10.0), (7, 7)), ((2.3, 14.0), (3, 17)), ((1.0, 100.0), (1, 31)), ((100.0, 1.0), (31, 3))],
)
def test_windows_of_coherence_have_49_pixels_and_sides_of_31_at_most(
    sides_m: tuple[float, float], window: tuple[int, int]
) -> None:
    grid = GeoBox((100, 100), Affine(sides_m[0], 0, 0, 0, -sides_m[1], 0), "EPSG:32633")
    assert job.window_of(grid) == window
