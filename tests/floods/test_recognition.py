"""Where water is not recognised, ground is not known to be dry; the edge of a moved image is no water."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from numpy.typing import NDArray

from deepnets4eo.floods import (
    FloodOptions,
    Recognition,
    WaterMapper,
    map_flood,
    measure_recognition,
    surface_scene,
    write_sure_water,
)
from deepnets4eo.floods.optical import SurfaceRules, mirror_unseen, without_bare_ground
from deepnets4eo.floods.recognition import _measured_dry, _water_in
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.grid import Window, whole
from deepnets4eo.outputs import EventInfo, Phrase
from deepnets4eo.prediction import predict
from deepnets4eo.rasters import Layer, Scene

SIDE, MUD, LAKE = 200, np.array([110, 96, 70]), np.s_[:, :, :70]


def land(seed: int = 0) -> NDArray[np.uint8]:
    """Mottled ground of several colours, 1 m pixels, whose pattern stays; the noise of the sensor differs."""
    ground = np.random.default_rng(0).normal([[[115]], [[100]], [[95]]], [[[12]], [[9]], [[8]]], (3, SIDE, SIDE))
    image = ground + np.random.default_rng(seed).normal(0, 2, ground.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def with_lake(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    changed = image.copy()
    changed[LAKE] = np.array([60, 80, 50], np.uint8)[:, None, None]
    return changed


def drowned() -> NDArray[np.uint8]:
    """Brown water everywhere, whose streaks are of several colours, so that no surface is seen."""
    noise = np.kron(np.random.default_rng(5).normal(0, 5, (3, SIDE // 2, SIDE // 2)), np.ones((2, 2)))
    return np.clip(MUD[:, None, None] + noise, 0, 255).astype(np.uint8)


def mapped(pre: NDArray[np.uint8], post: NDArray[np.uint8], folder: Path) -> tuple[Scene, WaterMapper, Layer]:
    scene = surface_scene(Layer.open(pre), Layer.open(post), 1.0)
    mapper = WaterMapper.of_scene(scene, gsd_m=1.0, surfaces_alone=True)
    predict(mapper, scene, folder / "water.tif")
    return scene, mapper, Layer.open(folder / "water.tif")


def test_pixels_that_are_not_seen_mirror_those_on_the_other_side_of_the_edge() -> None:
    image = np.arange(6)[None, None] * np.ones((1, 3, 1), int)
    seen = np.ones((3, 6), bool)
    seen[:, 4:] = False
    np.testing.assert_array_equal(mirror_unseen(image, seen)[0, 1], [0, 1, 2, 3, 2, 1])
    np.testing.assert_array_equal(mirror_unseen(image, np.ones_like(seen)), image)
    seen[:, 1:] = False  # farther off than what is seen is wide
    np.testing.assert_array_equal(mirror_unseen(image, seen)[0, 1], [0] * 6)


@pytest.mark.parametrize("alone", [True, False])
def test_the_edge_of_a_moved_image_before_is_no_water(tmp_path: Path, alone: bool) -> None:
    moved = np.array([[1, 0, 30.0], [0, 1, -17.0]])
    scene = surface_scene(Layer.open(land()), Layer.open(land(1)), 1.0, moved)
    mapper = WaterMapper.of_scene(scene, gsd_m=1.0, surfaces_alone=alone)
    predict(mapper, scene, tmp_path / "water.tif")
    classes, valid = Layer.open(tmp_path / "water.tif").read()
    assert 0.6 < valid.mean() < 0.95
    assert set(np.unique(classes[0][valid])) == {DRY}


def test_a_lake_that_is_not_shown_proves_that_water_is_not_recognised(tmp_path: Path) -> None:
    scene, mapper, labels = mapped(with_lake(land()), drowned(), tmp_path)
    found = measure_recognition(scene, mapper, labels)
    assert found.known == pytest.approx(70 * SIDE, rel=0.1)
    assert found.lost == found.known
    assert found.sure == 1
    for flooded, doubted_m in ((None, 80), (True, math.inf), (False, 0)):
        assert found.doubted_m(flooded) == doubted_m
    assert "100% of the water known from before appears as dry ground" in found.finding(None, "").message
    sure = write_sure_water(labels, tmp_path / "sure.tif", scene, mapper).read()[0][0]
    assert (sure == NOT_SEEN).mean() > 0.95


def test_a_lake_that_stays_and_ground_that_is_found_again_are_told(tmp_path: Path) -> None:
    scene, mapper, labels = mapped(with_lake(land()), with_lake(land(1)), tmp_path)
    found = measure_recognition(scene, mapper, labels)
    assert found.lost < 0.1 * found.known
    assert [found.doubted_m(flooded) for flooded in (None, True)] == [0, math.inf]
    sure = write_sure_water(labels, tmp_path / "sure.tif", scene, mapper).read()[0][0]
    assert (sure[40:-40, 100:-40] == DRY).mean() > 0.5
    assert (sure[40:-40, 10:60] == PERMANENT_WATER).all()


@pytest.mark.parametrize(
    ("found", "doubted_m"),
    [
        (Recognition(1000, 0, 100, 60, sure=0.0), 0),  # as a ploughed field at Moore
        (Recognition(1000, 0, 100, 60, sure=0.08), 80),  # as the river at Harvey 377
        (Recognition(1000, 0, 100, 40, sure=0.5), 0),
        (Recognition(), 0),
    ],
)
def test_lost_water_counts_if_some_of_it_was_sure(found: Recognition, doubted_m: float) -> None:
    assert found.doubted_m(None) == doubted_m


@pytest.mark.core("the only map of sure water by its look")
def test_lost_water_leaves_open_its_own_surroundings_and_not_the_city(tmp_path: Path) -> None:
    other = np.ascontiguousarray(land(3)[:, ::-1])  # the pattern of the ground is found again nowhere
    scene, mapper, labels = mapped(with_lake(land()), other, tmp_path)
    found = measure_recognition(scene, mapper, labels)
    assert found.finding(None, "").wording == "water_not_told_nearby"
    assert "Within 80 m of that water" in found.finding(None, "").message
    reach_m = found.doubted_m(None)
    near, everywhere = (
        write_sure_water(labels, tmp_path / f"{name}.tif", scene, mapper, reach_m=reach).read()[0][0]
        for name, reach in (("near", reach_m), ("everywhere", math.inf))
    )
    assert (near[:, :140] == NOT_SEEN).mean() > 0.9
    assert (near[:, 160:] == DRY).all()
    assert (everywhere == NOT_SEEN).mean() > 0.9


def test_ground_under_a_cloud_is_not_certainly_wet(tmp_path: Path) -> None:
    pre, post = land(), np.ascontiguousarray(land(3)[:, ::-1])
    post[LAKE] = np.array([250, 250, 252], np.uint8)[:, None, None]
    scene, mapper, _ = mapped(pre, post, tmp_path)
    labels = Layer.open(
        np.where(np.arange(SIDE) < 70, PERMANENT_WATER, DRY)[None, None] * np.ones((1, SIDE, 1), np.uint8)
    )
    sure = write_sure_water(labels, tmp_path / "sure.tif", scene, mapper).read()[0][0]
    assert (sure[:, :70] == NOT_SEEN).mean() > 0.95


def test_water_known_from_before_stays_certain(tmp_path: Path) -> None:
    scene, mapper, labels = mapped(with_lake(land()), with_lake(np.ascontiguousarray(land(3)[:, ::-1])), tmp_path)
    sure = write_sure_water(labels, tmp_path / "sure.tif", scene, mapper).read()[0][0]
    assert (sure[10:-10, 10:60] == PERMANENT_WATER).all()


def test_surroundings_of_lost_water_reach_over_the_edges_of_blocks(tmp_path: Path) -> None:
    pre, post = (np.random.default_rng(seed).normal(110, 10, (3, 120, 700)).astype(np.uint8) for seed in (0, 1))
    pre[:, :, 420:500] = np.array([60, 80, 50], np.uint8)[:, None, None]
    scene, mapper, labels = mapped(pre, post, tmp_path)
    reach_m = measure_recognition(scene, mapper, labels).doubted_m(None)
    near = write_sure_water(labels, tmp_path / "near.tif", scene, mapper, reach_m=reach_m).read()[0][0] == NOT_SEEN
    assert near[:, 512:575].mean() > 0.8
    assert not near[:, 585:].any()
    assert not near[:, :335].any()


@pytest.mark.parametrize(("colour", "sd"), [((158, 115, 84), 0.5), ((60, 80, 50), 4.5)])
def test_bare_soil_and_mottled_ground_that_were_taken_for_water_are_not_lost_water(
    tmp_path: Path, colour: tuple[int, int, int], sd: float
) -> None:
    field = land()
    noise = np.random.default_rng(9).normal(0, sd, (3, SIDE, 70))
    field[LAKE] = np.clip(np.array(colour)[:, None, None] + noise, 0, 255)
    water = np.zeros((SIDE, SIDE), bool)
    water[:, :70] = True
    lake = with_lake(land())
    assert not without_bare_ground(water, field.astype(np.float32)).any()
    np.testing.assert_array_equal(without_bare_ground(water, lake.astype(np.float32)), water)
    if sd < 1:  # so smooth that surfaces take it for water
        scene, mapper, labels = mapped(field, land(1), tmp_path)
        assert mapper.dates["pre_1"].water(mapper._tile(field.astype(np.float32), np.ones_like(water)))[100, 30] > 0.5
        assert measure_recognition(scene, mapper, labels).known == 0


@pytest.mark.parametrize(
    ("new", "flooded", "reliable"),
    [(200, None, False), (200, True, False), (0, True, False), (0, None, True), (200, False, True)],
)
def test_a_patch_does_not_tell_where_the_water_that_it_shows_ends(
    new: int, flooded: bool | None, reliable: bool
) -> None:
    patch = Recognition(4000, new, small=True)
    assert patch.doubted_m(flooded) == (0 if reliable else math.inf)
    assert (patch.finding(flooded, "Give a map.") is None) is reliable
    assert replace(patch, small=False).doubted_m(flooded) == (0 if reliable or new else math.inf)


@pytest.mark.parametrize(("side", "small"), [(88, True), (92, False)])
def test_an_image_below_8000_m2_is_a_patch(tmp_path: Path, side: int, small: bool) -> None:
    scene, mapper, labels = mapped(land()[:, :side, :side], land(1)[:, :side, :side], tmp_path)
    assert measure_recognition(scene, mapper, labels).small is small


@pytest.mark.parametrize(
    ("name", "flood"),
    [("Flood 2024", True), ("Kachowka dam break", True), ("Inondations", True), ("Earthquake and tsunami", True), ("Überschwemmung", True),
     ("Tornado", False), ("Santa Rosa wildfire", False), ("Hurricane Harvey", True), ("Typhoon", True), ("Storm surge", True), ("Monsoon 2022", True), ("", None), ("Storm", None)],
)  # fmt: skip
def test_the_name_of_an_event_tells_whether_it_is_a_flood(name: str, flood: bool | None) -> None:
    assert EventInfo(name=name).is_flood is flood


OPTIONS = FloodOptions(assume_registered=True, pre_bands="green,nir,swir", post_bands="green,nir,swir")


def dry_pair(folder: Path) -> list[str]:
    paths = []
    for seed, name in enumerate(("pre", "post")):
        land = np.random.default_rng(seed).normal([[[800]], [[3000]], [[2500]]], 60, (3, 128, 128)).astype(np.uint16)
        land[:, 10:40, 10:40] = np.array([700, 300, 200])[:, None, None]
        paths.append(str(write_geotiff(folder / f"{name}.tif", land, gsd=10.0)))
    return paths


def test_a_flood_of_which_nothing_is_found_is_not_told_and_another_event_has_none(tmp_path: Path) -> None:
    pre, post = dry_pair(tmp_path)
    flood, plain = (
        map_flood([pre], post, tmp_path / name, OPTIONS, event=EventInfo(name=name)) for name in ("Flood", "Storm")
    )
    assert flood.headline().startswith("It is not known how much is flooded: 0 ha (0–")
    assert flood.findings[0].code == "water_not_told"
    assert plain.headline().startswith("No flood was found in 16")
    assert "water_not_told" not in {one.code for one in plain.findings}
    assert plain.summary["area"]["flood_ha_interval"] is None
    area = flood.summary["area"]
    assert area["flood_share"] is None
    assert area["flood_ha_interval"] == pytest.approx([0, area["unknown_ha"]])
    assert area["seen_ha"] + area["unknown_ha"] == pytest.approx(plain.summary["area"]["seen_ha"])


def test_colours_do_not_prove_that_there_is_no_flood_unless_the_hazard_is_dry(tmp_path: Path) -> None:
    for seed, name in enumerate(("pre", "post")):
        write_geotiff(tmp_path / f"{name}.tif", land(seed), gsd=1.0)
    unnamed, fire = (
        map_flood(
            [tmp_path / "pre.tif"], tmp_path / "post.tif", tmp_path / f"out{name}", FloodOptions(assume_registered=True),
            event=EventInfo(name=name),
        )
        for name in ("", "Wildfire")
    )  # fmt: skip
    assert unnamed.headline().startswith("It is not known how much is flooded: 0 ha (0–")
    assert (
        0.1 < unnamed.summary["area"]["seen_ha"] < fire.summary["area"]["seen_ha"]
    )  # ground that is found again is dry
    assert fire.headline().startswith("No flood was found in 4")
    assert "water_not_told" not in {one.code for one in fire.findings}


def test_a_dry_hazard_makes_new_water_by_its_colour_unknown_and_a_flood_beside_it_counts(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "pre.tif", land(), gsd=1.0)
    write_geotiff(tmp_path / "post.tif", with_lake(land(1)), gsd=1.0)
    fire, flood = (
        map_flood(
            [tmp_path / "pre.tif"], tmp_path / "post.tif", tmp_path / f"out{name}", FloodOptions(assume_registered=True),
            event=EventInfo(name=name),
        )
        for name in ("Wildfire", "Flood")
    )  # fmt: skip
    (finding,) = (one for one in fire.findings if one.code == "flood_at_dry_hazard")
    assert "Wildfire" in finding.message
    assert "name=Flood" in finding.remedy
    area, wet_ha = fire.summary["area"], flood.summary["area"]["flood_ha"]
    assert wet_ha > 1
    assert area["flood_ha"] == 0
    assert area["unknown_ha"] == pytest.approx(wet_ha)
    assert area["flood_ha_interval"] == pytest.approx([0, wet_ha])
    assert fire.headline().startswith("It is not known how much is flooded: 0 ha (0–")
    assert not len(fire.polygons)
    assert "flood_at_dry_hazard" not in {one.code for one in flood.findings}


def test_colours_without_new_water_are_no_proof_of_dry_ground_unless_the_hazard_decides(tmp_path: Path) -> None:
    mud = measure_recognition(*mapped(land(), drowned(), tmp_path))
    advice = Phrase("name_the_hazard")
    (unnamed, storm, flood, fire) = (
        mud.unproven(*known) for known in ((None, advice), (None, None), (True, None), (False, None))
    )
    assert unnamed is not None
    assert "--event name=" in unnamed.remedy
    assert storm is not None
    assert "--water" in storm.remedy
    assert flood is fire is None
    assert Recognition(1000, 200).unproven(None, advice) is None
    assert len({unnamed.text(language=language) for language in ("en", "es", "fr", "pt", "ar")}) == 5


def test_without_an_image_before_no_ground_is_proven_dry_and_the_area_is_not_told(tmp_path: Path) -> None:
    write_geotiff(tmp_path / "post.tif", land(1), gsd=1.0)
    alone = map_flood([], tmp_path / "post.tif", tmp_path / "out")
    assert alone is not None
    assert alone.headline().startswith("It is not known how much is flooded: 0 ha")
    assert "; 4.00 ha are unknown, 0 ha are certainly wet or dry" in alone.headline()


def test_a_flood_that_is_found_is_told_whatever_the_event(tmp_path: Path) -> None:
    scene, mapper, labels = mapped(land(), with_lake(land(1)), tmp_path)
    assert (labels.read()[0][0] == FLOOD).mean() > 0.2
    assert not measure_recognition(scene, mapper, labels).doubted_m(flooded=True)


def village(seed: int) -> NDArray[np.float64]:
    """Roofs, gardens and streets of 8 m, 1 m pixels."""
    ground = np.kron(np.random.default_rng(0).integers(90, 200, (3, 32, 32)), np.ones((8, 8)))
    return ground + np.random.default_rng(seed).normal(0, 3, ground.shape)


@pytest.mark.parametrize("share", [0.85, 0.95])
def test_thick_haze_over_a_drowned_village_is_not_told_and_neither_dry_nor_old_water(
    tmp_path: Path, share: float
) -> None:
    drowned_village, haze = village(1), np.array([176.0, 180, 186])[:, None, None]
    drowned_village[:, 60:] = MUD[:, None, None] + np.random.default_rng(2).normal(0, 0.5, (3, 196, 256))
    drowned_village[:, :, 128:] += share * (haze - drowned_village[:, :, 128:])
    for name, image in (("pre", village(0)), ("post", drowned_village)):
        write_geotiff(tmp_path / f"{name}.tif", np.clip(np.rint(image), 0, 255).astype(np.uint8), gsd=1.0)
    options = FloodOptions(assume_registered=True)
    found = map_flood([tmp_path / "pre.tif"], tmp_path / "post.tif", tmp_path / "out", options)
    assert found is not None
    classes = Layer.open(found.paths["flood.tif"]).read()[0][0]
    assert set(np.unique(classes[:, 150:])) == {NOT_SEEN}
    assert (classes[80:, :80] == FLOOD).mean() > 0.9
    assert found.summary["area"]["seen_ha"] < 0.55 * classes.size / 1e4
    assert "clouds_post" in {finding.code for finding in found.findings}


def test_ground_is_surely_dry_from_nine_tenths_on() -> None:
    packed = np.array([[[228, 229, 254, 255]]], np.uint8)  # of 254: 0.898, 0.902, 1, and no data
    window = Window(0, 0, 1, 4)
    shares = Layer.open(packed).with_nodata(255)
    assert _measured_dry(window, shares).tolist() == [[False, True, True, False]]
    assert not _measured_dry(window, None).any()


@pytest.mark.parametrize("pixel_m2", [1.0, 4.0])
def test_water_known_from_before_is_of_parts_of_a_minimum_area_on_the_ground(pixel_m2: float) -> None:
    """Two patches, one as large as the minimum and one a pixel smaller; pixels that are not seen do not count."""
    needed = round(SurfaceRules.min_area_m2 / pixel_m2)
    known = np.zeros((12, needed + 20), bool)
    known[2, 5 : 5 + needed] = True
    known[6, 5 : 5 + needed - 1] = True
    known[9, 5 : 5 + needed] = True
    classes = np.where(known, DRY, FLOOD).astype(np.uint8)
    classes[9, 5] = NOT_SEEN
    labels = Layer.open(classes[None])
    mapper: Any = SimpleNamespace(
        dates={"post": SimpleNamespace(by_appearance=False)},
        before=("pre",),
        pixel_m2=pixel_m2,
        known_water=lambda sample: (known, known),
    )
    scene: Any = SimpleNamespace(read=lambda window: None)
    masks = _water_in(scene, mapper, labels, whole(labels.grid))
    assert masks.known.sum(axis=1).nonzero()[0].tolist() == [2]
    assert masks.known.sum() == masks.lost.sum() == masks.sure.sum() == needed
    assert masks.new.sum() == (classes == FLOOD).sum()
    assert not masks.seen[9, 5]
