"""What looks like a flood in made-up images is named by what is measured of it, and a plain flood is not (SYNTHETIC)."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

pytest.importorskip("numba")

from deepnets4eo.floods import FloodOptions, RadarImage, WaterMapper, optical_water, radar_water
from deepnets4eo.floods.date_kinds import KINDS
from deepnets4eo.floods.figures import _flooded_cover
from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.lookalikes import lookalike_findings, order_findings
from deepnets4eo.floods.products import flood_polygons
from deepnets4eo.floods.surface_date import surface_grid
from deepnets4eo.floods.thresholds import DRY, FLOOD, PERMANENT_WATER
from deepnets4eo.grid import Grid, blocks
from deepnets4eo.rasters import Layer, Scene, without_implausible

SIDE = 200


@pytest.fixture(autouse=True)
def coarse_overview(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepnets4eo.floods.lookalikes.OVERVIEW_PX", 100)


def codes(classes: np.ndarray, post: np.ndarray, names: list[str], kind: str, gsd: float) -> dict[str, str]:
    """Code → message of what is named of a map and its image."""
    grid = GeoBox(classes.shape, Affine(gsd, 0, 500_000, 0, -gsd, 5_000_000), "EPSG:32631")
    labels = Layer.open(classes, grid=grid)
    polygons = flood_polygons(labels, labels, FLOOD, FloodOptions())
    image = without_implausible(Layer.open(post, grid=grid).with_names(names))  # as the job reads it
    found = lookalike_findings(labels, image, KINDS[kind](tuple(names)), polygons)
    return {finding.code: finding.message for finding in found}


def radar_pair(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes of two dates with water where the masks say it, and the image after."""
    dates = []
    for seed, water in enumerate((before, after)):
        power = np.random.default_rng(seed).gamma(6, 1 / 6, water.shape) * np.where(water, 0.006, 0.12)
        dates.append(RadarImage(f"{seed}.tif", {"VV": power.astype(np.float32)}))
    return radar_water(*dates).classes, dates[1].bands["VV"][None]


@pytest.mark.parametrize(("colour", "named"), [((232, 236, 240), True), ((120, 105, 80), False)])
def test_a_frozen_lake_is_named_by_its_brightness_and_brown_water_is_not(colour: tuple[int, ...], named: bool) -> None:
    rng = np.random.default_rng(0)
    pre = rng.integers(30, 180, (3, SIDE, SIDE)).astype(np.uint8)
    post = pre.copy()
    post[:, 40:150, 50:170] = np.clip(np.array(colour)[:, None, None] + rng.normal(0, 0.5, (3, 110, 120)), 0, 255)
    classes = optical_water(pre, post, gsd_m=1.0)
    assert (classes == FLOOD).mean() > 0.2
    found = codes(classes, post, ["red", "green", "blue"], "surface", 1.0)
    assert ("flood_is_white" in found) is named
    if named:
        white = (post[:, classes == FLOOD].min(axis=0) > 180).mean()
        assert found["flood_is_white"].startswith(f"{white:.0%} of the mapped flood")


def test_a_salt_flat_is_named_by_its_infrared_and_snow_is_counted() -> None:
    rng = np.random.default_rng(0)
    land, salt, snow = np.array([800.0, 2600, 2000]), np.array([5200.0, 5000, 3100]), np.array([8000.0, 7600, 900])
    image = np.tile(land[:, None, None], (1, SIDE, SIDE)) * rng.normal(1, 0.05, (3, SIDE, SIDE))
    image[:, :80], image[:, 150:, 150:] = salt[:, None, None], snow[:, None, None]
    classes = np.full((SIDE, SIDE), DRY, np.uint8)
    classes[:80] = FLOOD  # by MNDWI, which is 0.25 there
    found = codes(classes, image, ["green", "nir", "swir"], "spectrum", 20.0)
    assert set(found) == {"flood_is_white", "snow_left_out"}
    assert found["snow_left_out"].startswith(
        f"Snow or ice, including frozen lakes, covers {50 * 50 / SIDE**2:.0%} of the ground"
    )


def test_rice_fields_under_water_are_named_by_their_shape() -> None:
    dry, fields = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
    for row in range(10, 180, 30):
        for col in range(10, 180, 24):
            fields[row : row + 22, col : col + 16] = True
    classes, post = radar_pair(dry, fields)
    found = codes(classes, post, ["VV"], "radar", 10.0)
    assert set(found) == {"flood_in_fields"}
    share, number = found["flood_in_fields"].split("% of")[0], fields[:, 10].any() * 6 * 8
    assert int(share) > 80
    assert f"{number} four-sided regions" in found["flood_in_fields"]


def test_a_shore_that_moved_with_the_tide_is_named_by_the_border_that_the_sea_has() -> None:
    low, high, river = (np.zeros((SIDE, SIDE), bool) for _ in range(3))
    low[:, :80], high[:, :110] = True, True
    classes, post = radar_pair(low, high)
    message = codes(classes, post, ["VV"], "radar", 10.0)["shore_of_the_sea"]
    assert message.startswith("100% of the mapped flood")
    assert f"through {(SIDE + 2 * 79) / (4 * SIDE - 4):.0%} of its border" in message
    assert codes(classes, post, ["VV"], "radar", 1.0) == {}  # a tile of 200 m may show a river
    for col in (20, 80, 140):  # a river that crosses the border six times, by a quarter of it in all
        river[:, col : col + 35] = True
    river[100:120, 20:175] = True
    flooded = river.copy()
    flooded[50:150, 10:190] = True
    classes, post = radar_pair(river, flooded)
    assert codes(classes, post, ["VV"], "radar", 10.0) == {}


@pytest.mark.parametrize(
    ("lost_px", "new_px", "known", "named"),
    [
        (100, 20, True, True),
        (99, 0, True, False),  # below a hundredth of the ground
        (100, 21, True, False),  # below five times what is flooded
        (0, 0, False, False),
    ],
)
def test_dates_may_be_swapped_where_a_hundredth_of_the_ground_and_five_times_the_flood_fell_dry(
    lost_px: int, new_px: int, known: bool, named: bool
) -> None:
    shape = (100, 100)

    def image(count: int) -> np.ndarray:
        return np.where(np.arange(10_000).reshape(shape) < count, FLOOD, DRY)

    def probabilities(batch: np.ndarray) -> np.ndarray:
        assert (batch[0] == 1).all(), "the dates are swapped: the first is read as the second"
        return np.eye(FLOOD + 1)[image(lost_px)].transpose(2, 0, 1)[None]

    inputs = SimpleNamespace(prepare=lambda sample: sample[POST])
    swapped = SimpleNamespace(inputs=inputs, predict_proba=probabilities)
    labels = SimpleNamespace(shape=shape, read=lambda _: (image(new_px)[None], np.full(shape, known)))
    scene = SimpleNamespace(read=lambda *_: {FIRST: np.ones(shape), POST: np.zeros(shape)})
    found = order_findings(labels, scene, SimpleNamespace(swap_dates=lambda: swapped))  # type: ignore[arg-type]
    assert [finding.code for finding in found] == ["dates_swapped"] * named
    if named:
        assert found[0].values == {"dried": 0.01, "flooded": 0.002}


@pytest.mark.parametrize(
    ("gsd_m", "shape"), [(0.25, (3, 2)), (0.6, (6, 4)), (0.7, (11, 8)), (1.0, (11, 8)), (3.0, (11, 8))]
)
def test_fine_images_are_averaged_by_whole_pixels_to_about_a_metre(gsd_m: float, shape: tuple[int, int]) -> None:
    grid = GeoBox((11, 8), Affine(gsd_m, 0, 500, 0, -gsd_m, 900), "EPSG:32631")
    working = surface_grid(grid, gsd_m)
    assert working.shape == shape
    assert working.affine.a == pytest.approx(gsd_m * (4 if gsd_m == 0.25 else 2 if gsd_m == 0.6 else 1))
    assert (working.affine.c, working.affine.f) == (500, 900)


def test_flooded_cover_is_summed_by_class_over_what_both_rasters_show() -> None:
    rng = np.random.default_rng(0)
    classes, water = rng.integers(1, 4, (30, 40)), rng.choice([DRY, FLOOD, PERMANENT_WATER], (30, 40))
    known, seen = rng.random((2, 30, 40)) < 0.8
    classes[0, :5] = 255

    def raster(values: np.ndarray, valid: np.ndarray, **more: object) -> Any:
        read = lambda window: (values[None][(slice(None), *window.slices)], valid[window.slices])  # noqa: E731
        return SimpleNamespace(
            read=read,
            blocks=lambda: blocks(values.shape, 16),
            grid=Grid((30, 40), Affine.scale(10, -10), "EPSG:32615"),
            **more,
        )

    legend = SimpleNamespace(values=[1, 2, 3], names=["crops", "forest", "town"])
    rows = _flooded_cover(raster(classes, known, legend=legend), raster(water, seen))
    assert [row["class"] for row in rows] == legend.names
    for value, row in zip(legend.values, rows, strict=True):
        both = (classes == value) & known & seen
        assert row["seen_ha"] == pytest.approx(both.sum() * row["seen_ha"] / both.sum())
        assert row["flood_ha"] / row["seen_ha"] == pytest.approx((both & (water == FLOOD)).sum() / both.sum())
    total = sum(row["seen_ha"] for row in rows)
    assert total == pytest.approx(((classes < 255) & known & seen).sum() / 100, rel=0.02)


def radar(wet: tuple[slice, slice], seed: int) -> Layer:
    """Calibrated VV in dB with a lake."""
    values = np.random.default_rng(seed).normal(-9, 1, (1, 160, 160)).astype(np.float32)
    values[(slice(None), *wet)] -= 12
    return Layer.open(values, grid=Grid((160, 160), Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631")).with_names(["VV"])


def test_the_flood_of_swapped_dates_is_what_fell_dry() -> None:
    west, east = np.s_[20:120, :70], np.s_[20:120, 90:]
    layers = {"pre_1": radar(west, 0), "post": radar(east, 1)}
    mapper = WaterMapper.of_scene(Scene(layers, layers["post"].grid))
    swapped = mapper.swap_dates()
    assert swapped is not None
    assert swapped.dates == {"pre_1": mapper.dates["post"], "post": mapper.dates["pre_1"]}
    for one, dates, flooded in ((mapper, ("pre_1", "post"), east), (swapped, ("post", "pre_1"), west)):
        sample = {name: layers[date].read()[0] for name, date in zip(("pre_1", "post"), dates, strict=True)}
        sample["valid"] = np.ones((160, 160), bool)
        classes = one.predict_proba(one.inputs.prepare(sample)[None])[0].argmax(axis=0)
        expected = np.zeros((160, 160), bool)
        expected[flooded] = True
        assert ((classes == FLOOD) == expected).mean() > 0.97
    assert WaterMapper(mapper.inputs, {"post": mapper.dates["post"]}, mapper.options).swap_dates() is None
