"""Muddy water found by one smooth brown colour over ground that had many covers; never dry ground."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from skimage.color import lab2rgb

from deepnets4eo.floods import FloodOptions, Recognition, WaterMapper, map_flood, mud, surface_scene
from deepnets4eo.floods.mud import (
    MuddyGround,
    MudGroup,
    MudRules,
    WithMud,
    fitted_card,
    measure_mud,
    mud_groups,
    muddy_ground,
    with_mud,
    write_with_mud,
)
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.grid import Window
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer
from deepnets4eo.tiling import Packed

SIDE = 144
SHEET = np.s_[:, :, :56]  # where water lies
BROWN, WHITE, SHADE = (124, 110, 80), (235, 236, 238), (18, 20, 22)
COVERS = np.array([(70, 95, 55), (150, 120, 95), (95, 95, 98), (190, 180, 165), (50, 66, 44), (128, 136, 84)])


def town(seed: int = 0) -> NDArray[np.float32]:
    """Ground of six covers in patches of 6 m, each with texture, as another sensor sees it for another seed."""
    places = np.random.default_rng(3).integers(len(COVERS), size=(SIDE // 6, SIDE // 6))
    image = np.kron(np.moveaxis(COVERS[places], -1, 0), np.ones((6, 6)))
    image = image + np.random.default_rng(3).normal(0, 14, image.shape)
    return np.clip(image + np.random.default_rng(seed).normal(0, 3, image.shape), 0, 255).astype(np.float32)


def sheet(image: NDArray[np.float32], colour: tuple[int, int, int]) -> NDArray[np.float32]:
    """The image with one smooth colour on its left side, streaked a little."""
    covered = image.copy()
    noise = np.random.default_rng(9).normal(0, 1.0, covered[SHEET].shape)
    covered[SHEET] = np.array(colour)[:, None, None] + noise
    return covered


def wet(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.bool_]:
    found = muddy_ground(before, after, 1.0)
    return (found.probability(after, 1.0) >= MudRules.sure) & found.is_found


def test_a_brown_sheet_over_many_covers_is_muddy_water() -> None:
    mask = wet(town(), sheet(town(1), BROWN))
    truth = np.zeros((SIDE, SIDE), bool)
    truth[SHEET[1:]] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (town(), town(1)),
        (sheet(town(), BROWN), sheet(town(1), BROWN)),
        (town(), sheet(town(1), WHITE)),
        (town(), sheet(town(1), SHADE)),
    ],
    ids=["nothing new", "brown before as well", "white", "dark, as shadow"],
)
def test_other_ground_is_none(before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
    assert not wet(before, after).any()


def test_the_evidence_of_a_sheet_is_as_counted_by_hand() -> None:
    groups, _ = mud_groups(town(), sheet(town(1), BROWN), 1.0)
    share = sum(group.share for group in groups if group.may_be_mud and group.features[3] > 0.9)
    assert share == pytest.approx(56 / SIDE, abs=0.05)
    weights, constant = fitted_card()
    assert (weights > 0).all(), "each raises the odds"
    assert constant < 0, "ground without evidence is dry"


def test_only_enough_sure_ground_is_found_and_likely_ground_is_suspected() -> None:
    def ground(*groups: tuple[float, float]) -> MuddyGround:
        return MuddyGround(tuple(MudGroup((50, 0, 15), share, (1,) * 4, 1.0, chance) for share, chance in groups), 2.0)

    assert ground((0.02, 0.95), (0.02, 0.99)).is_found
    assert not ground((0.02, 0.95), (0.2, 0.6)).is_found
    assert ground((0.02, 0.95), (0.2, 0.6)).is_suspected
    assert not ground((0.02, 0.95)).is_suspected
    assert not ground((0.04, 0.95)).is_suspected, "what is found is no suspicion"


@pytest.mark.parametrize(
    ("colour", "share", "moved", "is_mud"),
    [
        ((35, -12, 8), 0.003, 0.2, True),
        ((78, 4, 28), 0.003, 0.2, True),
        ((34.9, 0, 15), 0.1, 0.5, False),  # shadow
        ((78.1, 0, 15), 0.1, 0.5, False),  # smoke
        ((50, -12.1, 15), 0.1, 0.5, False),  # a lawn
        ((50, 4.1, 15), 0.1, 0.5, False),  # red soil
        ((50, 0, 7.9), 0.1, 0.5, False),  # concrete
        ((50, 0, 28.1), 0.1, 0.5, False),  # dry grass
        ((50, 0, 15), 0.0029, 0.5, False),  # too little of the image
        ((50, 0, 15), 0.1, 0.19, False),  # as before
    ],
)
def test_brown_and_new_ground_of_some_extent_may_be_mud(
    colour: tuple[float, float, float], share: float, moved: float, is_mud: bool
) -> None:
    features = tuple(moved if name == "moved" else 1.0 for name in mud.FEATURES)
    assert MudGroup(colour, share, features).may_be_mud is is_mud


@pytest.mark.parametrize(
    ("share", "chance", "found", "suspected", "may_be"),
    [
        (0.03, 0.8, True, False, True),
        (0.029, 0.8, False, False, False),
        (0.03, 0.79, False, True, True),
        (0.03, 0.5, False, True, True),
        (0.03, 0.49, False, False, True),
        (
            0.03,
            1 / 21 + 0.001,
            False,
            False,
            True,
        ),  # odds of one to 20, which the colour of known water may raise 20-fold
        (0.03, 1 / 21 - 0.001, False, False, False),
    ],
)
def test_mud_is_found_suspected_or_possible_by_its_share_and_probability(
    share: float, chance: float, found: bool, suspected: bool, may_be: bool
) -> None:
    ground = MuddyGround((MudGroup((50, 0, 15), share, (1,) * 4, 1.0, chance),), 2.0)
    assert (ground.is_found, ground.is_suspected, ground.may_be_suspected) == (found, suspected, may_be)


def test_no_ground_with_more_texture_than_calm_water_counts_as_smooth() -> None:
    """A deviation of lightness of 4 is the limit; in an image with less, 35 % of its pixels are smooth."""
    grain = np.random.default_rng(2).normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    rough, calm = (np.clip(128 + scale * grain, 0, 255)[None].repeat(3, axis=0) for scale in (90, 8))
    assert mud_groups(town(), rough, 1.0)[1] == 4.0
    _, limit = mud_groups(town(), calm, 1.0)
    assert limit < 4.0
    assert (mud._texture(mud._smoothed_lab(calm)[0]) < limit).mean() == pytest.approx(0.35, abs=0.005)


@pytest.mark.parametrize(("rows", "read"), [(1024, [(0, 1024)]), (1025, [(0, 512), (256, 512), (513, 512)])])
def test_large_scenes_are_measured_in_three_windows_along_each_side(
    rows: int, read: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    windows: list[Window] = []

    def pair(scene: object, first: str, window: Window) -> tuple[np.ndarray, ...]:
        windows.append(window)
        return (
            *np.zeros((2, 3, window.height, window.width), np.float32),
            np.ones((window.height, window.width), bool),
        )

    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(mud, "first_by_appearance", lambda mapper: "pre_1")
    monkeypatch.setattr(mud, "read_pair", pair)
    monkeypatch.setattr(mud, "muddy_ground", lambda before, *_: asked.append(before.shape) or MuddyGround((), 2.0))
    mapper: Any = SimpleNamespace(pixel_m2=1.0)
    measured = measure_mud(None, mapper, Layer.open(np.zeros((1, rows, 40), np.uint8)))  # type: ignore[arg-type]
    assert measured == MuddyGround((), 2.0), "nothing is suspected, whatever the water before is"
    assert [(window.row, window.height) for window in windows] == read
    assert asked == [(3, read[0][1], 40 * len(read))]


def test_colours_are_smoothed_by_one_pixel_along_rows_and_columns_and_not_across_bands() -> None:
    image = np.zeros((3, 15, 15), np.float32)
    image[:, 7, 7] = 255  # white: lightness 100, a and b 0
    lightness, *colour = mud._smoothed_lab(image)
    kernel = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    expected = 100 * np.outer(kernel, kernel) / kernel.sum() ** 2
    np.testing.assert_allclose(lightness[3:12, 3:12], expected, atol=1e-3)
    assert np.abs(colour).max() < 0.01


def test_ground_counts_as_smooth_by_its_lightness() -> None:
    rng = np.random.default_rng(0)
    grey = np.tile(rng.normal(120, 30, (1, 48, 48)), (3, 1, 1)).astype(np.float32)
    grey[:, :, :24] = np.array([124.0, 110, 80])[:, None, None]
    numbers = mud.group_numbers(grey, [(80.0, 0.0, 0.0), (46.0, 2.0, 18.0)], 2.0)
    assert (numbers[:, :16] == 1).all()
    assert (numbers[:, 32:] == -1).mean() > 0.9


@pytest.mark.parametrize(("side", "found"), [(14, True), (8, False)], ids=["196 m²", "64 m²"])
def test_patches_of_the_colour_of_mud_cover_a_hundred_square_metres(side: int, found: bool) -> None:
    mud_colour = (50.0, 2.0, 18.0)
    lab = np.tile([50.0, -30.0, 30.0], (60, 60, 1))  # as green as grass, and as light as mud
    lab[20 : 20 + side, 20 : 20 + side] = mud_colour
    image = (255 * np.moveaxis(lab2rgb(lab), -1, 0)).astype(np.float32)
    ground = MuddyGround((MudGroup(mud_colour, 0.1, (1,) * 4, 1.0, 0.95),), 2.0)  # type: ignore[arg-type]
    patches = ground._patches(image, 1.0)
    inner = np.s_[22 : 18 + side, 22 : 18 + side]
    assert patches[inner].all() == patches[inner].any() == found
    patches[18 : 22 + side, 18 : 22 + side] = False
    assert not patches.any()


def test_suspected_mud_makes_all_ground_unknown_and_a_dry_hazard_none() -> None:
    suspected = Recognition(1000, 0, muddy="suspected")
    finding = suspected.finding(None, "give_water")
    assert finding is not None
    assert finding.code == "water_not_told"
    assert "brown ground" in finding.message
    assert suspected.finding(False, "give_water") is None
    assert Recognition(1000, 0).finding(None, "give_water") is None


def flooded_map(folder: Path, name: str, colour: tuple[int, int, int] = BROWN):
    write_geotiff(folder / "pre.tif", town().astype(np.uint8), gsd=1.0)
    write_geotiff(folder / "post.tif", sheet(town(1), colour).astype(np.uint8), gsd=1.0)
    options = FloodOptions(assume_registered=True)
    return map_flood([folder / "pre.tif"], folder / "post.tif", folder / name, options, event=EventInfo(name=name))


def test_a_map_that_already_shows_water_is_left_as_it_is(tmp_path: Path) -> None:
    labels = Layer.open(np.full((1, SIDE, SIDE), FLOOD, np.uint8))
    seen = Recognition(SIDE**2, SIDE**2)
    assert with_mud(labels, tmp_path / "mud.tif", None, None, seen) == (labels, seen)  # type: ignore[arg-type]
    assert not (tmp_path / "mud.tif").exists()


def test_muddy_water_is_probably_no_dry_ground() -> None:
    shares = Layer.open(np.full((3, 8, 8), 230, np.uint8))
    mapped = Layer.open(np.full((1, 8, 8), DRY, np.uint8))
    muddy = np.full((1, 8, 8), DRY, np.uint8)
    muddy[:, :4] = FLOOD
    values = Layer(WithMud(shares, mapped, Layer.open(muddy))).read()[0]
    assert (values[0, :4] <= 0.2 * Packed.one + 1).all()
    assert (values[0, 4:] == 230).all()
    assert (values[1:] == 230).all()


@pytest.mark.parametrize("name", ["Earthquake", "Wildfire"])
def test_a_named_dry_hazard_excludes_muddy_water(name: str, tmp_path: Path) -> None:
    made = flooded_map(tmp_path, name)
    assert made.summary["area"]["flood_ha"] == 0
    assert "muddy_water_found" not in {finding.code for finding in made.findings}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("place", "gsd_m", "least_ha", "most_ha"),
    [
        ("events_more/hurricane-harvey_00000377", 0.92, 2.0, 12.0),
        ("xbd_more/joplin-tornado_00000000", 0.5, 0.0, 0.0),
        ("events_more/moore_tornado", 0.5, 0.0, 0.0),
    ],
)
def test_brown_water_of_a_storm_has_a_number_and_dry_towns_have_none(
    place: str, gsd_m: float, least_ha: float, most_ha: float, real_data: Path, tmp_path: Path, shipped_networks: None
) -> None:
    suffix = "png" if (real_data / place / "pre.png").exists() else "tif"
    pre, post = (real_data / place / f"{date}.{suffix}" for date in ("pre", "post"))
    area = map_flood([pre], post, tmp_path / "out", FloodOptions(gsd_m=gsd_m)).summary["area"]
    assert least_ha <= area["flood_ha"]
    if least_ha:
        assert area["flood_ha_interval"][1] <= most_ha
    else:
        assert area["flood_ha"] == 0


@pytest.mark.core("the only map with muddy water")
def test_only_dry_ground_becomes_flood_or_unknown_and_nothing_becomes_dry(tmp_path: Path) -> None:
    scene = surface_scene(Layer.open(town().astype(np.uint8)), Layer.open(sheet(town(1), BROWN).astype(np.uint8)), 1.0)
    mapper = WaterMapper.of_scene(scene, gsd_m=1.0, surfaces_alone=True)
    before = np.repeat(np.array([DRY, PERMANENT_WATER, NOT_SEEN, FLOOD], np.uint8), SIDE // 4)[:, None] * np.ones(
        SIDE, np.uint8
    )
    labels, found = Layer.open(before[None], nodata=NOT_SEEN), measure_mud(scene, mapper, Layer.open(before[None]))
    assert found is not None
    assert found.is_found
    after = write_with_mud(labels, tmp_path / "mud.tif", scene, mapper, found).read()[0][0]
    assert (after == before)[before != DRY].all()
    assert ((after == FLOOD) & (before == DRY))[4:30, 6:50].mean() > 0.9
    assert set(np.unique(after[before == DRY])) <= {DRY, FLOOD, NOT_SEEN}


def test_the_nearest_colours_are_those_that_a_tree_finds():
    rng = np.random.default_rng(0)
    values, centres = rng.normal(50, 20, (3, 20_000)).astype(np.float32), rng.normal(50, 20, (14, 3))
    assert np.array_equal(mud._nearest(values, centres), cKDTree(centres).query(values.T)[1])
