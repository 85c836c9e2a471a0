"""Water in optical images: large surfaces of one colour, new where the ground was mottled before."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
from affine import Affine
from geotiff import write_geotiff
from numpy.typing import NDArray
from rasterio.features import rasterize
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.floods import (
    BuildingWater,
    FloodOptions,
    WaterMapper,
    map_flood,
    optical_water,
    surface_scene,
    water_around,
)
from deepnets4eo.floods.buildings import _nearest_ground
from deepnets4eo.floods.ground_pattern import without_seen_ground
from deepnets4eo.floods.optical import hidden_ground, may_show_surface
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.grid import Grid, Window
from deepnets4eo.prediction import predict
from deepnets4eo.rasters import Layer

SIDE = 200
MUD = np.array([110, 96, 70])
RIVER, STREET, BASIN, FIELD = np.s_[:, :60], np.s_[:, 150:156, :], np.s_[:, 170:195, 170:195], np.s_[:, 70:200, :140]


def land(seed: int = 0) -> NDArray[np.uint8]:
    """Mottled ground of several colours, 1 m pixels."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal([[[90]], [[100]], [[60]]], [[[12]], [[9]], [[8]]], (3, SIDE, SIDE)), 0, 255).astype(
        np.uint8
    )


def covered(image: NDArray[np.uint8], *places: tuple[slice, ...], colour: NDArray[np.int_] = MUD) -> NDArray[np.uint8]:
    """The image with places under water, whose waves change the brightness alone."""
    waves = np.rint(3 * np.sin(np.arange(SIDE) / 5.0)).astype(int)
    water = np.broadcast_to(colour[:, None, None] + waves, image.shape)
    changed = image.copy()
    for place in places:
        changed[place] = water[place]
    return changed


def inner(classes: NDArray[np.uint8], place: tuple[slice, ...]) -> set[int]:
    """Classes of a place, without its outermost 5 pixels."""
    return {int(value) for value in np.unique(classes[place[1:]][5:-5, 5:-5])}


def test_new_water_is_a_flood_and_a_river_that_was_there_is_none() -> None:
    pre = covered(land(), RIVER, colour=np.array([70, 95, 55]))
    classes = optical_water(pre, covered(land(1), RIVER, FIELD), gsd_m=1.0)
    assert inner(classes, (slice(None), slice(0, 60), slice(None))) == {PERMANENT_WATER}
    assert inner(classes, FIELD) == {FLOOD}
    assert (classes[75:, 150:] == DRY).all()


def patch_of_a_garden() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """64 m around a house before and in a flood: lawns, a road and a drive, then brown water as mottled as JPEG leaves it."""
    rng = np.random.default_rng(3)
    pre = np.empty((3, 64, 64))
    for cols, colour in (
        (slice(0, 20), (70, 100, 60)),
        (slice(20, 44), (130, 128, 120)),
        (slice(44, 64), (90, 120, 70)),
    ):
        pre[:, :, cols] = np.array(colour)[:, None, None]
    post = np.broadcast_to(MUD[:, None, None], pre.shape) + np.kron(rng.normal(0, 1.2, (3, 8, 8)), np.ones((8, 8)))
    for image in (pre, post):
        image[:, 24:40, 24:40] = np.array([150, 60, 50])[:, None, None]
        image[:, 50:, :] = rng.normal(40, 15, (3, 14, 64))
    return tuple(np.clip(image + rng.normal(0, 2, pre.shape), 0, 255).astype(np.uint8) for image in (pre, post))


def test_a_patch_around_a_house_is_flooded_where_one_colour_covers_what_had_several() -> None:
    pre, post = patch_of_a_garden()
    classes = optical_water(pre, post, gsd_m=1.0)
    assert (classes[3:20, 3:61] == FLOOD).mean() > 0.6
    assert not (classes[26:38, 26:38] == FLOOD).any()
    assert not (classes[53:] == FLOOD).any()
    assert not (optical_water(post, pre, gsd_m=1.0) == FLOOD).any()
    for whole_m2, flooded in ((1e6, False), (8000.0, False), (7999.0, True)):
        assert (optical_water(pre, post, gsd_m=1.0, whole_m2=whole_m2) == FLOOD).any() == flooded
    gap = np.ones((64, 64), bool)
    gap[:, :50] = False
    assert not (optical_water(pre, post, gsd_m=1.0, valid=gap) == FLOOD).any()


@pytest.mark.parametrize("alone", [True, False])
def test_a_job_sees_the_flood_of_a_patch(tmp_path: Path, alone: bool) -> None:
    pre, post = (Layer.open(image) for image in patch_of_a_garden())
    scene = surface_scene(pre, post, 1.0, surfaces_alone=alone)
    predict(WaterMapper.of_scene(scene, gsd_m=1.0, surfaces_alone=True), scene, tmp_path / "water.tif")
    classes = Layer.open(tmp_path / "water.tif").read()[0][0]
    assert (classes[3:20, 3:61] == FLOOD).mean() > 0.6


def test_of_a_patch_it_is_not_told_whether_the_house_stands_in_the_water_that_its_colour_shows(tmp_path: Path) -> None:
    for name, image in zip(("pre", "post"), patch_of_a_garden(), strict=True):
        write_geotiff(tmp_path / f"{name}.tif", image)
    house = [shapely.box(500_024, 4_999_960, 500_040, 4_999_976)]
    gpd.GeoDataFrame({"id": ["house"]}, geometry=house, crs="EPSG:32631").to_file(tmp_path / "house.gpkg")
    options = FloodOptions(assume_registered=True, footprints=str(tmp_path / "house.gpkg"))
    flood = map_flood([tmp_path / "pre.tif"], tmp_path / "post.tif", tmp_path / "out", options)
    assert flood is not None
    assert flood.summary["area"]["flood_ha"] > 0.1
    row = gpd.read_file(flood.paths["flood.gpkg"], layer="buildings").iloc[0]
    assert row["inundated"] == "not known"
    assert row["water_ring_share"] > 0.5
    assert "0 of 1 buildings are known to stand in it, for 1 it is unknown" in flood.headline()
    large = BuildingWater(np.array([0.1, 0.0]), np.array([0.8, 0.2]), np.array(["yes", "no"], object))
    assert large.by_colour().inundated.tolist() == ["not known", "no"]
    np.testing.assert_array_equal(
        large.by_colour().hidden_share, [0.8, np.nan]
    )  # what the probability of damage follows


def test_a_new_lawn_is_no_flood_and_green_water_is() -> None:
    lawn, lake = (
        np.array([45, 92, 44]),
        np.array([60, 78, 48]),
    )  # excess green of 0.53 and 0.25 of the mean, thirds of it of the sum
    classes = optical_water(land(), covered(land(1), FIELD, colour=lawn), gsd_m=1.0)
    assert (classes == DRY).all()
    surely = np.full((SIDE, SIDE), 0.95, np.float32)  # nor where a network takes it for water
    assert (
        optical_water(
            land(),
            covered(land(1), FIELD, colour=lawn),
            gsd_m=1.0,
            before_water=0 * surely,
            after_water=np.where(np.indices((SIDE, SIDE))[0] >= 70, surely, 0) * (np.indices((SIDE, SIDE))[1] < 140),
        )
        == DRY
    ).all()
    assert inner(optical_water(land(), covered(land(1), FIELD, colour=lake), gsd_m=1.0), FIELD) == {FLOOD}


@pytest.mark.parametrize(("colour", "found"), [((110, 118, 128), DRY), ((60, 68, 78), FLOOD), ((128, 118, 100), FLOOD)])
def test_bright_bluish_smoke_is_no_flood_and_dark_or_brown_water_is(colour: tuple[int, int, int], found: int) -> None:
    classes = optical_water(land(), covered(land(1), FIELD, colour=np.array(colour)), gsd_m=1.0)
    assert inner(classes, FIELD) == {found}


def test_small_patches_of_the_colour_of_a_flood_belong_to_it_where_the_ground_had_another() -> None:
    pool, puddle, ditch = np.s_[:, 20:30, 20:30], np.s_[:, 20:24, 60:64], np.s_[:, 20:30, 170:180]
    pre = covered(land(), ditch)
    classes = optical_water(pre, covered(land(1), FIELD, pool, puddle, ditch), gsd_m=1.0)
    assert (classes[22:28, 22:28] == FLOOD).all()  # 100 m²
    assert (classes[20:24, 60:64] == DRY).all()  # 16 m²
    assert (classes[22:28, 172:178] == DRY).all()  # as brown as before
    alone = optical_water(land(), covered(land(1), pool), gsd_m=1.0)
    assert (alone == DRY).all()  # nothing says what colour the flood has


def test_water_that_fills_what_trees_leave_visible_is_enough_and_hidden_ground_is_not_known() -> None:
    wet, image = np.zeros((120, 120), bool), np.full((3, 120, 120), 120, np.float32)
    image[:, :, :60] += np.random.default_rng(0).normal(0, 25, (1, 120, 60)).astype(np.float32)
    image[1, :, :60] += 30  # crowns to the left, bright bare ground to the right
    wet[28:35, 16:44], wet[:8, 100:] = True, True
    image[:, wet] = 70
    hidden = hidden_ground(wet, image, 1.0)
    assert hidden[40:70, 5:40].mean() > 0.7
    assert not hidden[:, 66:].any()
    assert not (hidden & wet).any()
    classes = np.where(hidden_ground(wet, image, 1.0), NOT_SEEN, np.where(wet, FLOOD, DRY)).astype(np.uint8)
    classes[10:70, :60] = np.where(wet, FLOOD, NOT_SEEN)[10:70, :60]  # nothing but crowns and water
    houses = np.array([shapely.box(25, 20, 35, 26), shapely.box(25, 48, 35, 56), shapely.box(90, 40, 98, 48)])
    around = water_around(Layer.open(classes[None]), houses, nearby=False)
    assert around.inundated.tolist() == ["yes", "not known", "no"]


def test_the_nearest_ground_that_is_seen_says_what_crowns_hide() -> None:
    """Three houses whose rings are hidden, 30 m from a flood, from bare ground with a puddle, and from nothing that is seen."""
    classes = np.full((200, 400), NOT_SEEN, np.uint8)
    classes[:60, :120], classes[:60, 180:260] = FLOOD, DRY
    classes[:60, 180:190] = FLOOD
    houses = np.array([shapely.box(50, 80, 60, 90), shapely.box(210, 80, 220, 90), shapely.box(350, 150, 360, 160)])
    roof = shapely.box(30, 30, 90, 60)  # a roof tells nothing of the ground
    labels = classes.copy()
    labels[30:60, 30:90] = DRY
    around = water_around(Layer.open(labels[None]), np.array([*houses, roof]))
    assert around.inundated[:3].tolist() == ["yes", "not known", "not known"]
    seen = [classes[max(0, 80 - reach) : 60, 50 - reach : 60 + reach] for reach in (30, 45)]
    assert around.hidden_share[0] == pytest.approx(1.0)
    assert around.hidden_share[1] < 0.1
    assert np.isnan(around.hidden_share[2])
    assert all((part == FLOOD).all() for part in seen)  # by another count
    unseen = around.where_seen(np.array([False, True, True, True]))  # as under a cloud
    assert unseen.inundated[0] == "not known"
    assert np.isnan(unseen.hidden_share[0])


def test_what_shows_the_pattern_of_the_ground_is_no_new_water_but_a_shadow_or_a_wet_field() -> None:
    """The same patch darkened, with its ruts and paths still seen, and flooded."""
    patch = np.s_[:, 60:140, 60:140]
    rng, ground = np.random.default_rng(3), land()
    ruts = np.kron(rng.normal(0, 22, (3, 50, 50)), np.ones((4, 4))).astype(np.float32)
    pre = np.clip(ground.astype(np.float32) + ruts, 0, 255)
    wet_field = pre + rng.normal(0, 2, pre.shape)
    wet_field[patch] = 70 + 0.1 * (wet_field[patch] - wet_field[patch].mean())
    flooded = pre + rng.normal(0, 2, pre.shape)
    flooded[patch] = 70 + rng.normal(0, 2, flooded[patch].shape)
    mask, seen = np.zeros((200, 200), bool), np.ones((200, 200), bool)
    mask[patch[1:]] = True
    assert not without_seen_ground(mask, pre, wet_field.astype(np.float32), seen, 1.0).any()
    assert (without_seen_ground(mask, pre, flooded.astype(np.float32), seen, 1.0) == mask).all()
    assert (without_seen_ground(mask, pre, wet_field.astype(np.float32), seen, 0.01) == mask).all()  # 64 m² are too few
    elsewhere = np.roll(pre, (37, 23), (1, 2))  # images that do not lie on each other refuse nothing
    assert (without_seen_ground(mask, elsewhere, wet_field.astype(np.float32), seen, 1.0) == mask).all()


@pytest.mark.parametrize("flooded", [True, False])
def test_houses_that_stand_in_a_flood_are_no_pattern_of_the_ground(flooded: bool) -> None:
    """Their edges are the same before and after, and lie a few metres from all ground of a village."""
    rng, ground = np.random.default_rng(3), land()
    ruts = np.kron(rng.normal(0, 22, (3, 50, 50)), np.ones((4, 4))).astype(np.float32)
    pre, roofs = np.clip(ground.astype(np.float32) + ruts, 0, 255), np.zeros((200, 200), bool)
    for row in range(44, 160, 20):
        for col in range(44, 160, 20):
            roofs[row : row + 10, col : col + 10] = True
    pre[:, roofs] = 215
    patch = np.zeros((200, 200), bool)
    patch[40:160, 40:160] = True
    patch &= ~roofs
    post = pre + rng.normal(0, 2, pre.shape)
    kept = 0.0 if flooded else 0.1 * (pre[:, patch] - pre[:, patch].mean())
    post[:, patch] = 70 + kept + rng.normal(0, 0.5, (3, int(patch.sum())))
    left = without_seen_ground(patch, pre, post.astype(np.float32), np.ones((200, 200), bool), 1.0)
    assert left.any() == flooded
    assert (left == patch).all() == flooded


@pytest.mark.parametrize("sure", [True, False])
def test_new_water_needs_a_place_where_the_network_is_sure(sure: bool) -> None:
    probability = np.where(np.arange(200)[None] < 100, 0.7, 0.02) * np.ones((200, 1))
    probability[50:54, 10:20] = 0.95  # 40 m² are a glint
    if sure:
        probability[50:100, 20:60] = 0.95
    before, post = np.full((200, 200), 0.02, np.float32), land(1)
    post[:, :, :100] = np.random.default_rng(6).integers(
        60, 80, (3, 200, 100)
    )  # of no one colour, and the ground does not show
    classes = optical_water(land(), post, gsd_m=1.0, before_water=before, after_water=probability.astype(np.float32))
    assert (classes[:, :95] == FLOOD).mean() == pytest.approx(float(sure), abs=0.1)


def test_a_wide_flood_that_is_brighter_than_crowns_gives_its_colour_to_patches_between_them() -> None:
    mud, gap = np.array([185, 175, 132])[:, None, None], np.s_[:, 30:40, 150:160]
    post = land(1).astype(int)
    post[:, :, :90] = mud
    post[gap] = mud
    post = np.clip(post + np.random.default_rng(4).normal(0, 0.5, post.shape), 0, 255).astype(np.uint8)
    classes = optical_water(land(), post, gsd_m=1.0)
    assert (classes[:, :80] == FLOOD).mean() > 0.9
    assert (classes[31:39, 151:159] == FLOOD).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_an_empty_outline_is_not_known_to_stand_in_water() -> None:
    flooded = Layer.open(np.full((1, 60, 60), FLOOD, np.uint8))
    around = water_around(flooded, np.array([shapely.box(25, 25, 33, 33), shapely.Polygon()]))
    assert around.inundated.tolist() == ["yes", "not known"]


def test_small_or_narrow_surfaces_of_one_colour_are_dry() -> None:
    classes = optical_water(land(), covered(land(1), STREET, BASIN), gsd_m=1.0)  # of 1,200 and 625 m²
    assert (classes == DRY).all()


@pytest.mark.parametrize(("gsd_m", "surface", "pools"), [(1.0, DRY, DRY), (2.0, FLOOD, FLOOD)])
def test_limits_of_areas_are_square_metres_whatever_the_pixels(gsd_m: float, surface: int, pools: int) -> None:
    """Pixels of 1 and 2 m: 1,600 and 6,400 m² of 3,000; a colour from 6,400 and 25,600 m² of 10,000; patches of 36 and 144 m² of 40."""
    small, large, pool = np.s_[:, 100:140, 20:60], np.s_[:, 100:180, 20:100], np.s_[:, 20:26, 60:66]
    assert inner(optical_water(land(), covered(land(1), small), gsd_m=gsd_m), small) == {surface}
    classes = optical_water(land(), covered(land(1), large, pool), gsd_m=gsd_m)
    assert inner(classes, large) == {FLOOD}
    assert (classes[22:24, 62:64] == pools).all()


def test_the_fast_look_misses_no_surface_that_is_large_enough() -> None:
    rng = np.random.default_rng(3)
    assert not may_show_surface(land(), 3000)
    for _ in range(40):
        row, col, height, width = rng.integers((0, 0, 12, 12), (140, 140, 80, 80))
        image = covered(land(1), np.s_[:, row : row + height, col : col + width])
        assert may_show_surface(image, 3000) or not optical_water(None, image, gsd_m=1.0).any()
    assert may_show_surface(covered(land(1), np.s_[:, :50, 140:]), 3000)


def test_pre_is_read_only_where_post_may_show_a_surface() -> None:
    post = np.concatenate([land(1), covered(land(2), FIELD)], axis=2)
    pair = [Layer.open(image) for image in (np.concatenate([land(3), land(4)], axis=2), post)]
    alone, both = (surface_scene(*pair, 1.0, surfaces_alone=alone).layers["pre_1"] for alone in (True, False))
    dry, wet = Window(0, 0, SIDE, SIDE), Window(0, SIDE, SIDE, SIDE)
    assert not alone.read(dry)[0].any()
    assert alone.read(dry)[1].all()
    assert (alone.read(wet)[0] == both.read(wet)[0]).all()


def test_a_pond_that_noise_hid_before_is_no_flood() -> None:
    noise = np.random.default_rng(2).normal(0, 1.4, (3, SIDE, SIDE))
    pre = np.clip(covered(land(), FIELD) + noise, 0, 255).astype(np.uint8)
    classes = optical_water(
        pre, np.clip(covered(land(1), FIELD) + noise[::-1] * 0.7, 0, 255).astype(np.uint8), gsd_m=1.0
    )
    assert FLOOD not in classes


def test_without_pre_water_is_not_known_to_be_new_and_hidden_pixels_are_not_seen() -> None:
    valid = np.ones((SIDE, SIDE), bool)
    valid[:, :30] = False
    classes = optical_water(None, covered(land(), FIELD), gsd_m=1.0, valid=valid)
    assert inner(classes, (slice(None), slice(70, 200), slice(30, 140))) == {PERMANENT_WATER}
    assert (classes[:, :30] == NOT_SEEN).all()


def test_finer_pixels_give_the_same_water() -> None:
    pair = land(), covered(land(1), FIELD)
    coarse = optical_water(*pair, gsd_m=1.0)
    fine = optical_water(*(np.repeat(np.repeat(image, 2, 1), 2, 2) for image in pair), gsd_m=0.5)
    np.testing.assert_array_equal(fine[::2, ::2], coarse)


def test_what_is_no_pair_of_fine_colour_images_is_refused() -> None:
    with raises_naming(InputError, "pixels of 10", "at most 2"):
        optical_water(None, land(), gsd_m=10.0)
    with raises_naming(InputError, "3", "100", "200"):
        optical_water(land()[:, :100], land(), gsd_m=1.0)
    with raises_naming(InputError, "1", "200"):
        optical_water(None, land()[:1], gsd_m=1.0)


@pytest.mark.real_data
@pytest.mark.parametrize(("tile", "surrounded"), [("00000000", 5), ("00000006", 4), ("00000004", 0)])
def test_all_houses_in_real_flood_water_are_found_and_none_on_dry_ground(
    real_data: Path, tile: str, surrounded: int
) -> None:
    folder = real_data / "xbd_more" / f"midwest-flooding_{tile}"
    pre, post = (Layer.open(folder / f"{date}.png").read(Window(0, 0, 1024, 1024))[0][:3] for date in ("pre", "post"))
    classes = optical_water(pre.astype(np.uint8), post.astype(np.uint8), gsd_m=0.5)
    table = gpd.read_file(folder / "footprints_px.geojson")
    outlines = table.set_crs(None, allow_override=True).geometry
    rings = outlines.buffer(24).difference(outlines.buffer(4))  # 2 to 12 m around a house
    shares = np.array([(classes[rasterize([ring], classes.shape) > 0] == FLOOD).mean() for ring in rings])
    assert ((shares > 0.4) == table["grade"].isin(["major-damage", "destroyed"])).all()
    assert np.count_nonzero(shares > 0.4) == surrounded


def test_enough_seen_ground_is_counted_in_square_metres_whatever_the_pixels() -> None:
    """Pixels of 2 m: dry ground up to 13 m around a house, and water beyond, which decides nothing."""
    seen = np.ones((60, 60), np.uint8)
    seen[22:38, 22:38] = DRY
    grid = Grid((60, 60), Affine(2, 0, 500_000, 0, -2, 4_000_000), "EPSG:32615")
    house = np.array([shapely.box(500_056, 3_999_936, 500_064, 3_999_944)], object)
    water = Layer.open(seen[None] * np.uint8(FLOOD), grid=grid)
    assert _nearest_ground(water, house, np.array([0]), [FLOOD], 2.0, 1).tolist() == [0.0]
