"""Clouds and shadows in cells of an image, function by function, against cells by hand."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.change import doubts
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.grid import Window
from deepnets4eo.inspection import clouds
from deepnets4eo.inspection.shadows import ShadowRules, bands_in_colour
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer

GRID = GeoBox((8, 8), Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32633")
RULES = ShadowRules()


def cells(*columns: tuple[float, float, float], rows: int = 6) -> np.ndarray:
    """Red, green and blue of columns, each two cells wide."""
    return np.repeat(np.repeat(np.array(columns, np.float32).T[:, None], rows, axis=1), 2, axis=2)


GROUND = (100.0, 100.0, 100.0)


@pytest.mark.parametrize(
    ("dark", "core", "edge"),
    [
        ((59, 59, 59), True, True), ((61, 61, 61), False, True), ((74, 74, 74), False, True), ((76, 76, 76), False, False),
        ((50, 50, 46), False, True), ((50, 50, 48), True, True),  # the sky lights shadows
        ((45, 56, 46), False, True), ((45, 54, 46), True, True),  # plants that grew are greener
        ((30, 30, 55), False, True), ((30, 30, 52), True, True),  # the colours of the ground
    ],
)  # fmt: skip
def test_shadow_is_dark_at_one_date_with_the_colours_of_the_ground(dark: Any, core: bool, edge: bool) -> None:
    image, other = cells(dark, *[GROUND] * 4), cells(*[GROUND] * 5)
    seen = np.ones(image.shape[1:], bool)
    found = RULES.masks(image, other, seen)
    assert [mask[0].tolist() for mask in found] == [[core] * 2 + [False] * 8, [edge] * 2 + [False] * 8]
    seen[0] = False
    assert not RULES.masks(image, other, seen)[0][0].any()
    assert not RULES.masks(image, image, seen)[1].any()  # as dark at both dates
    twice = RULES.masks(image, 2 * other, np.ones_like(seen))  # the light of the days does not count
    assert [mask[0, 0] for mask in twice] == [core, edge]


def test_shadows_are_wide_parts_with_their_soft_edge_and_a_penumbra() -> None:
    core, edge = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    core[5:10, 5:10], core[15:17, 2:18], edge[5:10, 10:13] = True, True, True
    found = RULES.wide(core, edge, 20.0)  # three cells wide, 25 of them a hectare
    expected = np.zeros((20, 20), bool)
    expected[4:11, 5:13], expected[5:10, 4:14] = True, True  # one cell of penumbra
    assert found.tolist() == expected.tolist()
    core[9, 9] = core[5, 5] = False
    assert not RULES.wide(core[:12], edge[:12], 18.0).any()  # less than a hectare
    assert not RULES.wide(np.zeros((4, 4), bool), np.zeros((4, 4), bool), 20.0).any()


def test_colours_are_those_that_an_image_states_or_its_three_bands_of_bytes() -> None:
    odd = ["a", "b", "c"]
    plain = bands_in_colour(Layer.open(np.zeros((3, 8, 8), np.uint8), grid=GRID).with_names(odd))
    assert plain is not None
    assert plain.band_names == ["red", "green", "blue"]
    assert bands_in_colour(Layer.open(np.zeros((2, 8, 8), np.uint8), grid=GRID)) is None
    assert bands_in_colour(Layer.open(np.zeros((3, 8, 8), np.uint16), grid=GRID).with_names(odd)) is None
    named = Layer.open(np.arange(4 * 64, dtype=np.uint16).reshape(4, 8, 8), grid=GRID).with_names(["nir", "blue", "green", "red"])  # fmt: skip
    found = bands_in_colour(named)
    assert found is not None
    assert (found.bands, found.band_names) == ([4, 3, 2], ["red", "green", "blue"])


@pytest.mark.parametrize(
    ("shape", "gsd_m", "cell_m", "cells_"),
    [((100, 50), 1.0, 4.0, (25, 12)), ((100, 50), 10.0, 10.0, (100, 50)), ((1, 1), 0.5, 4.0, (1, 1)), ((20_000, 10), 1.0, 20_000 / 4096, (4096, 2))],
)  # fmt: skip
def test_images_are_averaged_to_cells_of_four_metres(shape: Any, gsd_m: float, cell_m: float, cells_: Any) -> None:
    assert clouds.cells_of(SimpleNamespace(shape=shape), gsd_m) == (cell_m, cells_)  # type: ignore[arg-type]


def test_clouds_are_bright_white_smooth_and_new() -> None:
    def cloudy(now: float, was: float, *, tint: float = 0.0) -> bool:
        after, before = np.full((3, 20, 20), 90.0, np.float32), np.full((3, 20, 20), 90.0, np.float32)
        after[:, :, :10], before[:, :, :10] = now, was
        after[0, :, :10] += tint
        seen = np.ones((20, 20), bool)
        return bool(clouds._cloudy_colours({}, after, before, seen, 4.0)[10, 3])

    assert cloudy(240, 90)
    assert not cloudy(240, 240)  # as bright before
    assert not cloudy(240, 90, tint=-90)  # not white
    assert not cloudy(110, 90)  # not bright
    alone = np.full((3, 20, 20), 250.0, np.float32)
    assert clouds._cloudy_colours({}, alone, None, np.ones((20, 20), bool), 4.0).all()
    assert not clouds._cloudy_colours({}, alone - 60, None, np.ones((20, 20), bool), 4.0).any()
    rough = alone.copy()
    rough[:, ::2] = 120
    assert not clouds._cloudy_colours({}, rough, None, np.ones((20, 20), bool), 4.0)[1::2].all()


def test_squares_mirror_the_edge_and_single_values_are_those_of_all_neighbours() -> None:
    image = np.arange(15.0).reshape(1, 3, 5)
    found = clouds._squares(image, 2)
    assert found.shape == (1, 2, 2, 3, 2)
    assert found[0, 1].tolist() == [[[10, 11], [12, 13], [14, 14]]] * 2
    flat = np.ones((2, 5, 5))
    flat[0, 0, 0] = 2
    assert clouds._of_one_value(flat).tolist() == [[row > 1 or col > 1 for col in range(5)] for row in range(5)]


def test_haze_removes_contrast_and_lifts_the_dark() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(20, 120, (1, 16, 32)).astype(np.float32).repeat(3, axis=0)
    after = before.copy()
    after[:, :, :16] = 200 + 0.1 * before[:, :, :16]
    found = clouds._under_haze(after, before, 8)
    assert found[:, :16].all()
    assert not found[:, 16:].any()
    assert not clouds._under_haze(after * np.array([1, 0.7, 0.4], np.float32)[:, None, None], before, 8).any()  # brown
    thin = before.copy()
    thin[:, :, :16] = 100 + 0.5 * before[:, :, :16]
    assert not clouds._under_haze(thin, before, 8).any()
    before[:, 3, 3] = 0  # not known there
    assert not clouds._under_haze(after, before, 8)[:8, :8].any()


def test_clouds_are_bright_in_green_and_near_infrared_and_snow_is_not_in_short_waves() -> None:
    green = np.full((4, 4), 1000.0, np.float32)
    seen = np.ones((4, 4), bool)

    def at(value: float, nir: float, swir: float | None = None, *, before: bool = False) -> bool:
        bands = {"green": green.copy(), "nir": green.copy()}
        bands["green"][0, 0], bands["nir"][0, 0] = value, nir
        if swir is not None:
            bands["swir"] = green.copy()
            bands["swir"][0, 0] = swir
        earlier = np.stack([green] * len(bands)) if before else None
        return bool(clouds._cloudy_spectrum(bands, np.stack([*bands.values()]), earlier, seen, 10.0)[0, 0])

    for before in (False, True):
        assert at(1801, 1801, before=before)
        assert not at(1799, 1801, before=before)
        assert not at(2000, 1399, before=before)  # water
        assert at(2000, 1401, before=before)
        assert not at(2000, 3601, before=before)  # plants
        assert at(2000, 2000, 801, before=before)
        assert not at(2000, 2000, 799, before=before)  # snow


def test_the_offset_of_sentinel_2_is_taken_off_if_all_bands_rose_by_it(caplog: pytest.LogCaptureFixture) -> None:
    before = np.random.default_rng(0).integers(300, 3000, (3, 20, 20)).astype(np.float32)
    seen = np.ones((20, 20), bool)
    seen[0] = False
    with caplog.at_level(logging.WARNING):
        found = clouds._without_offset(before + 1000, before, seen, "a.tif")
    np.testing.assert_array_equal(found, np.where(seen, before, 0))
    assert "a.tif is brighter by 1000 in all bands" in caplog.text
    for other in (before + 1200, before * 2, before + np.array([1000, 1000, 0], np.float32)[:, None, None]):
        assert clouds._without_offset(other, before, seen, "a.tif") is other
    unknown = np.zeros_like(before)
    assert clouds._without_offset(before, unknown, seen, "a.tif") is before


def test_changes_under_clouds_or_in_shadow_of_either_date_are_reported_by_their_share() -> None:
    image = Layer.open(np.zeros((3, 8, 8), np.uint8), grid=GRID)
    cloud, shadow = np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 8), np.uint8)
    cloud[0, :, 0], shadow[0, :, :2] = 1, 1
    doubt = Layer(doubts.DoubtfulGround(image, [Layer.open(cloud, grid=GRID)], [Layer.open(shadow, grid=GRID)]))
    data, valid = doubt.read(Window(0, 0, 8, 8))
    assert (data[:, 0, :3].tolist(), valid.all()) == ([[1, 0, 0], [1, 1, 0]], True)
    assert doubt.subset([2]).read(Window(0, 0, 1, 3))[0].tolist() == [[[1, 1, 0]]]

    def found(columns: int) -> list[Finding]:
        score = np.zeros((1, 8, 8), np.uint8)
        score[0, :, :columns] = 200
        return doubts.doubt_findings(Layer.open(score, grid=GRID), doubt)

    (finding,) = found(8)
    assert (finding.code, finding.severity) == ("change_under_clouds", "caution")
    assert finding.values == pytest.approx({"share": 0.25, "clouds": 0.125, "shadows": 0.25})
    assert finding.share == pytest.approx(0.25)
    assert found(0) == []
    assert doubts.doubt_findings(image, None) == []


@pytest.mark.parametrize(
    ("crs", "shadows", "bright", "doubtful", "cautions"),
    [
        (True, True, True, True, 1), (True, False, True, True, 1), (True, False, False, False, 0),
        (False, True, True, True, 0), (False, False, True, False, 0),  # without a size, white roofs may look like clouds
    ],
)  # fmt: skip
def test_a_change_is_doubtful_under_clouds_and_shadows(crs: bool, shadows: bool, bright: bool, doubtful: bool, cautions: int, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    grid = GRID if crs else GeoBox((8, 8), Affine.identity(), None)
    image, mask = Layer.open(np.zeros((3, 8, 8), np.uint8), grid=grid), Layer.open(np.ones((1, 8, 8), np.uint8), grid=grid)  # fmt: skip
    sizes: list[float | None] = []
    monkeypatch.setattr(doubts, "_shadows", lambda image, other: mask if shadows else None)
    monkeypatch.setattr(doubts, "cloud_finding", lambda *_: Finding("clouds", "caution", share=1.0))
    classified: Any = {DateLayers.post: SimpleNamespace(or_bright=lambda image, other, size: sizes.append(size) or (mask if bright else None))}  # fmt: skip
    ground, findings = doubts.doubtful_ground({DateLayers.pre: image, DateLayers.post: image}, classified)
    assert (ground is not None, len(findings)) == (doubtful, cautions)
    assert sizes == [None if crs else 768 / 8]
