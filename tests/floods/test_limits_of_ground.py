"""Limits of the ground that stands in for a hidden ring, of muddy water, and of windows in which dates are tested (SYNTHETIC)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine

from deepnets4eo.floods import lookalikes, mud, permanent, recognition
from deepnets4eo.floods.buildings import water_around
from deepnets4eo.floods.ground_pattern import PATTERN_PX
from deepnets4eo.floods.mud import MuddyGround, MudGroup, _colours, _smoothed_lab, _texture, mud_groups
from deepnets4eo.floods.permanent import is_darkened_soil
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.floods.recognition import Recognition
from deepnets4eo.floods.spectrum_date import SpectrumDate
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.grid import Grid, Window
from deepnets4eo.rasters import Layer


@pytest.mark.parametrize(
    ("gsd_m", "seen_px", "state"),
    [(1.0, 149, "not known"), (1.0, 150, "yes"), (3.0, 19, "not known"), (3.0, 20, "yes")],
)
def test_a_hidden_ring_is_that_of_150_square_metres_and_twenty_pixels_nearby(
    gsd_m: float, seen_px: int, state: str
) -> None:
    labels = np.full((200, 200), 255, np.uint8)
    far = round(15 / gsd_m)
    patch = labels[105 + far : 115 + far, 95 : 95 + 20]
    flat = np.full(patch.size, 255, np.uint8)
    flat[:seen_px] = 2
    patch[:] = flat.reshape(patch.shape)
    grid = Grid(labels.shape, Affine(gsd_m, 0, 500_000, 0, -gsd_m, 100_000), "EPSG:32631")
    x, y = 500_000 + 100 * gsd_m, 100_000 - 100 * gsd_m
    house = np.array([shapely.box(x, y - 5 * gsd_m, x + 5 * gsd_m, y)])
    found = water_around(Layer.open(labels, grid=grid, nodata=255), house)
    assert found.inundated.tolist() == [state]


@pytest.mark.parametrize(("wet_px", "state"), [(9, "yes"), (7, "no")])
def test_a_ring_of_coarse_pixels_is_one_and_a_half_of_them_wide(wet_px: int, state: str) -> None:
    """In pixels of 10 m a ring of 2 to 17 m has the 8 next to the house and 12 beyond them, whose centres are 15 to 16 m away."""
    labels = np.zeros((15, 15), np.uint8)
    labels[6:9, 6:9] = 2
    labels[7, 7] = 0
    wet = np.flatnonzero(labels)
    labels.ravel()[wet[wet_px:]] = 0
    labels[7, 9] = 2 if wet_px > len(wet) else 0
    house = np.array([shapely.box(7, 7, 8, 8)])
    found = water_around(Layer.open(labels, nodata=255), house, pixel_m=10.0)
    assert found.ring_share[0] == pytest.approx(wet_px / 20)
    assert found.inundated.tolist() == [state]


def image_of(light: float = 0.0, side: int = 20) -> np.ndarray:
    return np.broadcast_to(np.float32([150 + light, 130 + light, 100 + light])[:, None, None], (3, side, side)).copy()


@pytest.mark.parametrize(
    ("lightness", "red", "found"), [(9.9, 0.0, True), (10.1, 0.0, False), (0.0, 4.9, True), (0.0, -5.1, False)]
)
def test_patches_of_mud_differ_by_five_in_colour_and_ten_in_lightness(
    lightness: float, red: float, found: bool
) -> None:
    image = image_of()
    colour = tuple((_smoothed_lab(image)[:, 0, 0] + np.array([lightness, red, 0])).tolist())
    ground = MuddyGround((MudGroup(colour, 0.5, (0.0,) * 4, probability=0.8),), 3.0)  # type: ignore[arg-type]
    assert ground._patches(image, 1.0).all() == found
    unsure = MuddyGround((MudGroup(colour, 0.5, (0.0,) * 4, probability=0.79),), 3.0)  # type: ignore[arg-type]
    assert not unsure._patches(image, 1.0).any()


@pytest.mark.parametrize(("texture", "found"), [(5.9, True), (6.1, False)])
def test_patches_of_mud_are_smoother_than_six(texture: float, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    image = image_of()
    colour = tuple(_smoothed_lab(image)[:, 0, 0].tolist())
    monkeypatch.setattr(mud, "_texture", lambda lightness: np.full(lightness.shape, texture))
    ground = MuddyGround((MudGroup(colour, 0.5, (0.0,) * 4, probability=1.0),), 3.0)  # type: ignore[arg-type]
    assert ground._patches(image, 1.0).all() == found


def test_texture_is_of_windows_of_seven_pixels() -> None:
    light = np.zeros((21, 21), np.float32)
    light[10, 10] = 1
    rows, cols = np.nonzero(_texture(light) > 0.05)
    assert (rows.min(), rows.max(), cols.min(), cols.max(), len(rows)) == (7, 13, 7, 13, 49)


def test_ground_has_up_to_fourteen_colours() -> None:
    values = 7.0 * np.arange(20)[:, None] * np.ones(3)
    rng = np.random.default_rng(0)
    assert len(_colours(values, rng)) == 14
    assert len(_colours(values[:5], rng)) == 5


@pytest.mark.parametrize(("now", "was", "roughened"), [(0.6, 1.19, 0), (0.6, 1.21, 1), (0.1, 0.99, 0), (0.1, 1.01, 1)])
def test_ground_was_rough_at_twice_the_texture_of_now(
    now: float, was: float, roughened: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = np.repeat([now, 10.0, 11.0], [120, 200, 80]).reshape(20, 20)
    textures = iter([np.full((20, 20), was), later])
    monkeypatch.setattr(mud, "_texture", lambda _: next(textures))
    groups, limit = mud_groups(image_of(), image_of(20), 1.0)
    assert limit == 4.0
    assert [group.features[mud.FEATURES.index("rough")] for group in groups] == [roughened]


@pytest.mark.parametrize(("side", "window_px", "number"), [(512, 512, 1), (513, 384, 9)])
def test_the_order_of_dates_is_tested_in_nine_windows_of_large_scenes(side: int, window_px: int, number: int) -> None:
    windows: list[Window] = []

    def read(window: Window, _: Any) -> dict[str, Any]:
        windows.append(window)
        return dict.fromkeys((lookalikes.FIRST, lookalikes.POST))

    swapped = SimpleNamespace(
        inputs=SimpleNamespace(prepare=lambda _: np.zeros(1)), predict_proba=lambda _: np.zeros((1, 3, window_px, window_px), np.uint8)
    )  # fmt: skip
    mapper: Any = SimpleNamespace(swap_dates=lambda: swapped)
    scene: Any = SimpleNamespace(read=read)
    labels = Layer.open(np.full((1, side, side), DRY, np.uint8))
    assert lookalikes.order_findings(labels, scene, mapper) == []
    assert {(window.height, window.width) for window in windows} == {(window_px, window_px)}
    assert len(windows) == number


@pytest.mark.parametrize(("side", "window_px", "number"), [(1024, 1024, 1), (1025, 512, 9)])
def test_water_is_recognised_in_nine_windows_of_large_scenes(
    side: int, window_px: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows: list[Window] = []

    def water_in(scene: Any, mapper: Any, labels: Any, window: Window) -> list[Any]:
        windows.append(window)
        return [np.ones(2, bool)] * 6

    monkeypatch.setattr(recognition, "_water_in", water_in)
    mapper: Any = SimpleNamespace(is_patch=lambda _: False)
    found = recognition.measure_recognition(None, mapper, SimpleNamespace(shape=(side, side)))  # type: ignore[arg-type]
    assert {(window.height, window.width) for window in windows} == {(window_px, window_px)}
    assert (len(windows), found.seen) == (number, 2 * number)


@pytest.mark.parametrize(
    ("values", "is_lost"),
    [
        ({"known": 100, "lost": 51, "sure": 0.03}, True), ({"known": 100, "lost": 50, "sure": 0.03}, False), ({"known": 100, "lost": 51, "sure": 0.029}, False),
        ({"known": 900, "lost": 900, "sure": 1.0}, True), ({"known": 901, "lost": 901, "sure": 1.0}, False),
    ],
)  # fmt: skip
def test_known_water_is_lost_if_half_of_it_is_dry_and_some_was_sure(values: dict[str, Any], is_lost: bool) -> None:
    assert Recognition(seen=1000, new=0, **values).is_lost is is_lost


@pytest.mark.parametrize(("new", "none"), [(1, True), (2, False)])
def test_two_thousandths_of_the_ground_are_a_flood(new: int, none: bool) -> None:
    assert Recognition(seen=1000, new=new).is_none_found is none


@pytest.mark.parametrize(
    ("receded", "new", "named"),
    [(100, 20, True), (99, 0, False), (100, 21, False), (500, 100, True), (500, 101, False)],
)
def test_dates_are_swapped_if_a_tenth_of_the_ground_and_five_times_the_flood_fell_dry(
    receded: int, new: int, named: bool
) -> None:
    assert bool(Recognition(seen=1000, new=new, receded=receded).order_finding()) is named


def colour_of(greenness: float, redness: float) -> np.ndarray:
    """Red, green and blue whose sum is 300, with twice green above red and blue and red above blue as shares of it."""
    green = 100 * (1 + greenness)
    red = (300 - green + 300 * redness) / 2
    return np.array([red, green, 300 - green - red], np.float32)


@pytest.mark.parametrize(
    ("greenness", "redness", "darker", "soil"),
    [
        (0.069, 0.07, 12.1, True), (0.071, 0.07, 12.1, False), (0.0, 0.031, 12.1, True), (0.0, 0.029, 12.1, False), (0.0, 0.07, 11.9, False),
    ],
)  # fmt: skip
def test_soil_is_not_green_and_redder_than_blue_and_twelve_darker_than_other_ground(
    greenness: float, redness: float, darker: float, soil: bool
) -> None:
    before = np.broadcast_to(colour_of(greenness, redness)[:, None, None], (3, 40, 40)).astype(np.float32)
    after = before + 5
    after[:, 10:25, 10:25] -= np.float32(darker)
    found = is_darkened_soil(before, after)
    assert found[17, 17] == soil
    assert not found[35, 35]


@pytest.mark.parametrize(("unknown_px", "named"), [(99, False), (100, True)])
def test_the_age_of_water_on_a_hundredth_of_the_ground_is_named(
    unknown_px: int, named: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permanent, "first_by_appearance", lambda _: "pre")
    monkeypatch.setattr(permanent, "_proven_water", lambda _, __, window: np.zeros((window.height, window.width), bool))
    labels = np.full((1, 100, 100), DRY, np.uint8)
    labels.ravel()[:unknown_px] = PERMANENT_WATER
    layer, mapper = Layer.open(labels), SimpleNamespace(before=(), dates={})
    found, findings = permanent.write_proven_water(layer, tmp_path / "a.tif", None, mapper)  # type: ignore[arg-type]
    assert [finding.code for finding in findings] == ["age_of_water_unknown"] * named
    assert (found is layer) is not named


@pytest.mark.parametrize(("bands", "is_radar"), [(1, True), (2, True), (3, False)])
def test_up_to_two_bands_of_fractions_without_names_are_radar(bands: int, is_radar: bool) -> None:
    image = Layer.open(np.ones((bands, 4, 4), np.float32))
    seen = SimpleNamespace(polarised={}, image_bands=image.bands, may_be_radar=True, radar_unit=lambda _: "power")
    layer: Any = SimpleNamespace(sensor=seen, dtype=np.dtype("float32"), subset=lambda _: image)
    assert (RadarDate.recognise(layer, "auto") is not None) is is_radar


@pytest.mark.parametrize(("step", "new"), [(0.25, True), (0.249, False)])
def test_a_flood_moves_ground_a_quarter_of_the_way_to_water(
    step: float, new: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SpectrumDate, "water", lambda _, tile: tile.water)
    monkeypatch.setattr(SpectrumDate, "_towards_water", lambda _, values: values)

    def tile_of(water: float, value: float) -> Any:
        tile = SimpleNamespace(values=np.full((6, 6), value), water=np.full((6, 6), water, np.float32), seen=None)
        tile.search = SimpleNamespace(options=SimpleNamespace(least_px=1))
        tile.within = lambda _: tile
        return tile

    date = SpectrumDate.__new__(SpectrumDate)
    found = date.new_since(date, tile_of(0.1, 0.5), tile_of(0.9, 0.5 + step))
    assert (found.classes == (FLOOD if new else PERMANENT_WATER)).all()


def test_crowns_within_fifteen_metres_of_muddy_water_may_hide_more_of_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = Layer.open(np.full((1, 20, 100), DRY, np.uint8))

    chance = np.zeros((20, 100))
    chance[:, :20], chance[:, 60:65], chance[:, 70:75] = 1, 0.1, 0.09
    monkeypatch.setattr(mud, "first_by_appearance", lambda _: "pre")
    monkeypatch.setattr(mud, "crowns", lambda image: image[0] > 0)

    def pair(_: Any, __: Any, window: Window) -> tuple[Any, ...]:
        grown = np.zeros((3, window.height, window.width), np.float32)
        grown[:, -window.row : 20 - window.row, -window.col : 100 - window.col] = 1
        return grown, grown, grown[0] > 0

    def probability(after: np.ndarray, _: float) -> np.ndarray:
        found = np.zeros(after.shape[1:])
        inside = np.argwhere(after[0] > 0)
        found[tuple(inside.T)] = chance.ravel()
        return found

    monkeypatch.setattr(mud, "read_pair", pair)
    mapper: Any = SimpleNamespace(tiling=SimpleNamespace(halo_px=0), pixel_m2=1.0, known_water=lambda _: (np.zeros((1, 1), bool), None))  # fmt: skip
    scene: Any = SimpleNamespace(read=lambda _: None)
    found = mud.write_with_mud(labels, tmp_path / "a.tif", scene, mapper, SimpleNamespace(probability=probability))  # type: ignore[arg-type]
    row = found.read()[0][0, 10]
    assert (row[:20] == FLOOD).all()
    assert (row[20:35] == NOT_SEEN).all(), "up to 15 pixels of a metre from the last wet one"
    assert (row[60:65] == NOT_SEEN).all(), "ground that may be mud"
    assert (np.delete(row[35:], slice(25, 30)) == DRY).all()


@pytest.mark.parametrize(("pixel_m", "water_px", "counts"), [(1.0, 500, True), (1.0, 499, False), (2.0, 125, True), (2.0, 124, False)])  # fmt: skip
def test_five_hundred_square_metres_of_known_water_raise_the_odds_of_its_colour(
    pixel_m: float, water_px: int, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the smooth ground has the colour of the water, which is all of the water: four times as much."""
    before = np.full((3, 90, 90), 90, np.float32)
    after = np.full((3, 90, 90), 90, np.float32)
    after[:, :30, :22] = np.array([150, 110, 60], np.float32)[:, None, None]
    later = np.repeat([0.6, 10.0, 11.0], [2700, 3600, 1800]).reshape(90, 90)
    textures = iter([later, later])
    monkeypatch.setattr(mud, "_texture", lambda _: next(textures))
    water = np.zeros((90, 90), bool)
    part = water[:30, :20].copy()
    part.ravel()[:water_px] = True
    water[:30, :20] = part
    groups, _ = mud_groups(before, after, pixel_m, water)
    known = [group.known for group in groups]
    assert max(known) == pytest.approx(4 if counts else 1, rel=0.1)
    assert min(known) == 1


@pytest.mark.parametrize(("seen_px", "open_"), [(round(0.3 * PATTERN_PX**2 + 0.5), True), (int(0.3 * PATTERN_PX**2), False)])  # fmt: skip
def test_ground_is_found_again_where_three_tenths_around_it_are_open(
    seen_px: int, open_: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = 3 * PATTERN_PX
    seen = np.zeros((side, side), bool)
    inner = seen[PATTERN_PX : 2 * PATTERN_PX, PATTERN_PX : 2 * PATTERN_PX]
    order = np.argsort(np.hypot(*(np.indices(inner.shape) - PATTERN_PX // 2)).ravel(), kind="stable")
    inner[np.divmod(order[:seen_px], PATTERN_PX)] = True
    assert same_ground_of(seen, None, monkeypatch)[side // 2, side // 2] == open_


def test_eaves_reach_three_metres_over_outlines(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = np.ones((120, 120), bool)
    house = shapely.box(500_050, 99_930, 500_070, 99_950)
    found = same_ground_of(seen, np.array([house], object), monkeypatch)
    assert np.flatnonzero(~found[60]).tolist() == list(range(47, 73))


def same_ground_of(seen: np.ndarray, outlines: Any, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Ground with its earlier pattern, in pixels of a metre, if every pattern is found again where it is seen."""
    around = np.pad(seen, PATTERN_PX)
    image = np.zeros((3, *around.shape), np.float32)
    monkeypatch.setattr(recognition, "first_by_appearance", lambda _: "pre")
    monkeypatch.setattr(recognition, "read_pair", lambda *_: (image, image, around))
    monkeypatch.setattr(recognition, "same_pattern", lambda *_: np.ones(around.shape, bool))
    scene: Any = SimpleNamespace(grid=Grid(seen.shape, Affine(1, 0, 500_000, 0, -1, 100_000), "EPSG:32631"))
    mapper: Any = SimpleNamespace(pixel_m2=1.0)
    return recognition._same_ground(scene, mapper, Window(0, 0, *seen.shape), outlines)
