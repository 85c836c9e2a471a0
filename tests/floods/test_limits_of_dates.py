"""What the kinds of dates decide, and the limits of two modes, each from both sides."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from deepnets4eo.floods import FloodOptions, mapper, spectrum_date, thresholds
from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.mask_date import MaskDate
from deepnets4eo.floods.radar import CROSS, LIKE
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.floods.scene import _date_findings
from deepnets4eo.floods.spectrum_date import SpectrumDate
from deepnets4eo.floods.surface_date import SurfaceDate
from deepnets4eo.floods.thresholds import bimodal_tiles, find_water_threshold, is_bimodal
from deepnets4eo.grid import Window

RADAR, SURFACE, SPECTRUM, MASK = RadarDate(("VV",)), SurfaceDate(()), SpectrumDate(()), MaskDate(())


@pytest.mark.parametrize(
    ("first", "post", "codes"),
    [
        (None, SURFACE, ["no_date_before"]), (None, SPECTRUM, ["no_date_before", "no_cloud_mask"]), (SURFACE, SURFACE, []),
        (RADAR, RADAR, ["registration_assumed"]), (SPECTRUM, SPECTRUM, ["no_cloud_mask"]), (MASK, SURFACE, []),
        (MASK, RADAR, ["registration_assumed"]), (SURFACE, SPECTRUM, ["registration_assumed", "no_cloud_mask"]),
    ],
)  # fmt: skip
def test_what_the_kinds_of_dates_mean_for_a_map_is_named(first: Any, post: Any, codes: list[str]) -> None:
    dates = {POST: post} | ({} if first is None else {FIRST: first})
    assert [finding.code for finding in _date_findings(dates, FloodOptions(), masked=False)] == codes


@pytest.mark.parametrize(
    ("date", "by_network", "is_optical", "from_the_side", "lasting", "halo_px"),
    [
        (RADAR, False, False, True, False, 64), (SURFACE, True, True, False, True, 128), (SPECTRUM, False, True, False, False, 64),
        (MASK, False, False, False, True, 64),
    ],
)  # fmt: skip
def test_only_surfaces_need_a_network_and_their_surroundings_and_only_radar_looks_from_the_side(
    date: Any, by_network: bool, is_optical: bool, from_the_side: bool, lasting: bool, halo_px: int
) -> None:
    assert (date.uses_network, date.optical, date.side_looking, date.shows_lasting) == (by_network, is_optical, from_the_side, lasting)  # fmt: skip
    tiling = mapper._tiling(512, {POST: date})
    assert (tiling.halo_px, tiling.tile_px) == (halo_px, 512 + 2 * halo_px)


@pytest.mark.parametrize(("share", "apart"), [(0.09, False), (0.11, True)])
def test_the_smaller_mode_has_a_tenth_of_a_tile(share: float, apart: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 20_000) + 12 * (np.arange(20_000) < share * 20_000)
    assert is_bimodal(values.reshape(100, 200).astype(np.float32)) == apart


def test_sixty_four_tiles_of_each_size_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,024 pixels: 1, 4, 16 and 64 tiles of 1,024 to 128 pixels, and 64 of the 256 of 64."""
    tested: list[tuple[int, ...]] = []
    monkeypatch.setattr(thresholds, "is_bimodal", lambda values, _: tested.append(values.shape))
    assert bimodal_tiles(np.zeros((1024, 1024), np.float32)) == []
    assert [tested.count((side, side)) for side in (1024, 512, 256, 128, 64)] == [1, 4, 16, 64, 64]


@pytest.mark.parametrize(
    ("separation", "levels", "whole", "value", "measured"),
    [
        (2.39, LIKE, False, -15, False), (2.4, LIKE, False, -13, True), (2.99, LIKE, False, -13, True), (3.0, LIKE, False, -11, True),
        (2.0, LIKE, True, -15, False), (2.0, CROSS, True, -11, True), (2.39, CROSS, False, -22, False), (2.4, CROSS, False, -20, True),
        (3.0, replace(LIKE, lowest=-9.0), False, -9, True), (2.0, None, False, -11, True),
    ],
)  # fmt: skip
def test_a_valley_counts_as_it_is_between_modes_that_are_three_deviations_apart(
    separation: float, levels: Any, whole: bool, value: float, measured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = SimpleNamespace(separation=separation, means=(-25.0, -5.0))
    histogram = SimpleNamespace(two_gaussians=lambda: modes, threshold=lambda _: -11.0)
    tile = Window(0, 0, 128, 128) if whole else Window(0, 0, 64, 64)
    monkeypatch.setattr(thresholds, "bimodal_tiles", lambda *_: [tile])
    monkeypatch.setattr(thresholds, "_histogram", lambda _: histogram)
    found = find_water_threshold(np.zeros((128, 128), np.float32), "otsu", levels)
    assert found is not None
    assert (found.value, found.measured) == (value, measured)


def test_a_pixel_is_between_land_and_water_by_the_mean_of_its_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without two modes land is −0.5 and water 0.5; modes that are closer than 0.1 count as 0.1 apart."""
    far, near = (SimpleNamespace(classes=SimpleNamespace(means=np.array(means))) for means in ((0.6, -0.2), (0.05, 0.0)))  # fmt: skip
    for values, modes, expected in (
        ({"ndwi": 0.25}, {"ndwi": None}, 0.75), ({"ndwi": 0.2}, {"ndwi": far}, 0.5), ({"ndwi": 0.05}, {"ndwi": near}, 0.5),
        ({"ndwi": 0.25, "mndwi": 0.2}, {"ndwi": None, "mndwi": far}, 0.625),
    ):  # fmt: skip
        indices = {name: np.full((2, 2), value, np.float32) for name, value in values.items()}
        monkeypatch.setattr(spectrum_date, "water_indices", lambda _, indices=indices: (indices, None))
        date: Any = SimpleNamespace(thresholds=modes, _named=lambda _: {})
        np.testing.assert_allclose(SpectrumDate._towards_water(date, np.zeros((1, 2, 2))), np.full((2, 2), expected), rtol=1e-5)  # fmt: skip
