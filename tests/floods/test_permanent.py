"""Permanent water is water that the image before shows: brown soil that became dark is none; swapped images are a finding."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from numpy.typing import NDArray

from deepnets4eo.floods import FloodOptions, Recognition, WaterMapper, map_flood, surface_scene
from deepnets4eo.floods.layer_names import PERMANENT
from deepnets4eo.floods.permanent import is_darkened_soil, write_proven_water
from deepnets4eo.floods.thresholds import DRY, FLOOD, NOT_SEEN, PERMANENT_WATER
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer, Scene

SIDE = 128
SOIL, CLEAR, BLACK, BROWN_RIVER, MUD = (95, 86, 78), (30, 45, 40), (55, 60, 52), (104, 108, 90), (126, 124, 110)
LEFT, RIGHT = np.s_[:, :, :60], np.s_[:, :, 60:]


def ground(seed: int, *parts: tuple[tuple[slice, ...], tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Mottled ground whose pattern stays, with smooth parts of one colour; 1 m pixels."""
    image = np.random.default_rng(0).normal([[[90]], [[100]], [[80]]], 12, (3, SIDE, SIDE))
    for part, colour in parts:
        image[part] = np.array(colour)[:, None, None]
    return np.clip(image + np.random.default_rng(seed + 1).normal(0, 0.5, image.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("before", "after", "soil"),
    [(SOIL, BLACK, True), (SOIL, SOIL, False), (SOIL, MUD, False), (BROWN_RIVER, MUD, False), (CLEAR, MUD, False), (BROWN_RIVER, BLACK, False)],
)  # fmt: skip
def test_soil_is_brown_and_becomes_dark_under_water(
    before: tuple[int, int, int], after: tuple[int, int, int], soil: bool
) -> None:
    dates = (ground(seed, (LEFT, colour)).astype(np.float32) for seed, colour in ((0, before), (1, after)))
    found = is_darkened_soil(*dates)
    assert found[8:-8, 8:50].mean() == pytest.approx(float(soil), abs=0.02)
    assert found[:, 68:].mean() < 0.02


def test_permanent_water_without_water_before_is_not_known(tmp_path: Path) -> None:
    pond = np.s_[:, :, 70:]
    pre, post = ground(0, (LEFT, SOIL), (pond, CLEAR)), ground(1, (LEFT, BLACK), (pond, CLEAR))
    scene = surface_scene(Layer.open(pre), Layer.open(post), 1.0)
    mapper = WaterMapper.of_scene(scene, gsd_m=1.0, surfaces_alone=True)
    labels = np.full((1, SIDE, SIDE), DRY, np.uint8)
    labels[LEFT], labels[pond], labels[:, :10] = PERMANENT_WATER, PERMANENT_WATER, FLOOD
    proven, findings = write_proven_water(Layer.open(labels), tmp_path / "proven.tif", scene, mapper)
    classes = proven.read()[0][0]
    assert (classes[20:-8, 8:50] == NOT_SEEN).all()
    assert (classes[20:-8, 80:-8] == PERMANENT_WATER).all()
    assert (classes[:10] == FLOOD).all()
    assert (classes[20:, 60:70] == DRY).all()
    assert [finding.code for finding in findings] == ["age_of_water_unknown"]
    share = (classes == NOT_SEEN).mean()
    assert findings[0].message.startswith(f"{share:.0%} of the ground")
    kept, none = write_proven_water(proven, tmp_path / "again.tif", scene, mapper)
    assert kept is proven
    assert none == ()


def test_a_map_of_permanent_water_states_the_age_of_water_that_no_image_shows(tmp_path: Path) -> None:
    pre, post = ground(0, (LEFT, SOIL)), ground(1, (LEFT, BLACK))
    given = np.zeros((1, SIDE, SIDE), np.uint8)
    given[LEFT] = 1
    labels = np.full((1, SIDE, SIDE), DRY, np.uint8)
    labels[LEFT] = PERMANENT_WATER
    for water, classes_of_water in ((given, {PERMANENT_WATER}), (np.zeros_like(given), {NOT_SEEN})):
        layers = surface_scene(Layer.open(pre), Layer.open(post), 1.0).layers
        scene = Scene({**layers, PERMANENT: Layer.open(water)})
        mapper = WaterMapper.of_scene(scene, gsd_m=1.0, surfaces_alone=True)
        proven, _ = write_proven_water(Layer.open(labels), tmp_path / "proven.tif", scene, mapper)
        assert {*np.unique(proven.read()[0][0][8:-8, 8:50]).tolist()} == classes_of_water


def test_the_area_of_water_of_unknown_age_is_not_known_and_permanent_water_is_a_layer(tmp_path: Path) -> None:
    flood, pond = np.s_[:, :, 56:72], np.s_[:, :, 76:]
    write_geotiff(tmp_path / "pre.tif", ground(0, (LEFT, SOIL), (pond, CLEAR)), gsd=1.0)
    write_geotiff(tmp_path / "post.tif", ground(1, (LEFT, BLACK), (flood, BLACK), (pond, CLEAR)), gsd=1.0)
    found = map_flood(
        [tmp_path / "pre.tif"], tmp_path / "post.tif", tmp_path / "out", FloodOptions(assume_registered=True)
    )
    assert found is not None
    area = json.loads((tmp_path / "out" / "summary.json").read_text())["area"]
    assert area["permanent_water_ha"] == pytest.approx(52 * SIDE / 1e4, rel=0.1)
    assert '"role":"Permanent water"' in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (Recognition(1000, 5, 700, 600, receded=600), True),
        (Recognition(1000, 200, 700, 600, receded=600), False),  # more is new than a wrong order explains
        (Recognition(1000, 0, 60, 60, receded=60), False),  # a river that mud hides
        (Recognition(1000, 0, 700, 600, receded=600, muddy="found"), False),
        (Recognition(), False),
    ],
)
def test_water_that_receded_speaks_for_swapped_images(found: Recognition, named: bool) -> None:
    assert [finding.code for finding in found.order_finding()] == ["dates_swapped"] * named


@pytest.mark.parametrize(
    ("dates", "named"), [({}, True), ({"date_pre": "2020-01-01", "date_post": "2020-01-09"}, False)]
)
def test_swapped_fine_images_are_a_caution_unless_their_dates_are_known(
    tmp_path: Path, dates: dict[str, str], named: bool
) -> None:
    lake = np.s_[:, :, 60:]
    write_geotiff(tmp_path / "flooded.tif", ground(0, (lake, BLACK)), gsd=1.0)
    write_geotiff(tmp_path / "dry.tif", ground(1), gsd=1.0)
    found = map_flood(
        [tmp_path / "flooded.tif"], tmp_path / "dry.tif", tmp_path / "out", FloodOptions(assume_registered=True), event=EventInfo(**dates)
    )  # fmt: skip
    assert found is not None
    assert ("dates_swapped" in {one.code for one in found.findings}) is named
    assert '"role":"Permanent water"' not in (tmp_path / "out" / "report.html").read_text()  # there is none
