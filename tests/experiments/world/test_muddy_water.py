"""Muddy floods drawn over windows: what becomes water, what stays dry and as it was, and the colours that are drawn."""

from types import SimpleNamespace

import numpy as np
import pytest
from world import muddy_water
from world.muddy_water import closed_forest, draw_muddy, flooded_classes, muddy_look, under_smoke, wet_fields
from world.water_windows import DRY, MUD, WATER, WaterCutter

from deepnets4eo.cards import VOID

BUILDING, GRASS, TREE, BOAT, OPEN_WATER = 1, 2, 3, 6, 7  # legend minicity


@pytest.fixture
def suburb() -> SimpleNamespace:
    """Lawn with a house, a crown and a pond."""
    labels = np.full((96, 96), GRASS, np.uint8)
    labels[10:30, 10:30], labels[40:50, 40:50], labels[70:, 70:] = BUILDING, TREE, OPEN_WATER
    image = np.random.default_rng(1).integers(70, 110, (4, 96, 96)).astype(np.uint8)
    classes = np.where(labels == OPEN_WATER, np.uint8(WATER), np.uint8(DRY))
    return SimpleNamespace(labels=labels, image=image, classes=classes)


def test_a_flood_covers_ground_and_mud_and_leaves_walls_boats_and_crowns() -> None:
    labels = np.array([[GRASS, GRASS, BUILDING, TREE, BOAT, GRASS]], np.uint8)
    classes = np.array([[DRY, MUD, DRY, DRY, DRY, DRY]], np.uint8)
    below = np.array([[True, True, True, True, True, False]])
    assert flooded_classes(classes, labels, below).tolist() == [[WATER, WATER, DRY, DRY, DRY, DRY]]


def test_land_away_from_the_water_keeps_its_pixels_and_water_gets_one_of_the_colours(suburb: SimpleNamespace) -> None:
    water = suburb.classes == WATER
    far = np.ones_like(water)
    far[60:, 60:] = False
    means = []
    for seed in range(12):
        drawn = muddy_look(suburb.image.astype(np.float32), water, np.random.default_rng(seed))
        assert (drawn[:, far] == suburb.image[:, far]).all()
        means.append(drawn[:3, 80:, 80:].mean((1, 2)))
    light = np.clip(suburb.image[:3].mean() / 100, 0.6, 1.5)
    nearest = [np.abs(mean - muddy_water.MUDDY[:, :3] * light).max(axis=1).min() for mean in means]
    assert np.median(nearest) < 25
    assert np.ptp(means, axis=0).min() > 30  # milky in one, dark in another


def test_dry_fields_and_forest_are_drawn_on_the_ground_alone_and_are_dry(suburb: SimpleNamespace) -> None:
    ground = suburb.labels == GRASS
    looks = suburb.image.astype(np.float32)
    field = wet_fields(looks, ground, np.random.default_rng(3))
    assert (field[:, 15:25, 15:25] == looks[:, 15:25, 15:25]).all()
    assert (field != looks).any()
    wooded, classes = closed_forest(looks, suburb.classes, suburb.labels, np.random.default_rng(4))
    changed = np.abs(wooded - looks).max(axis=0) > 20
    assert changed.any()
    assert (classes[suburb.classes == DRY] == DRY).all()
    assert (wooded[:, 15:25, 15:25] == looks[:, 15:25, 15:25]).all()
    everywhere = np.full_like(suburb.classes, WATER)
    assert (
        closed_forest(looks, everywhere, suburb.labels, np.random.default_rng(4))[1][changed & ground] == DRY
    ).mean() > 0.9


def test_thick_smoke_hides_water_and_thin_smoke_does_not(
    suburb: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = suburb.image.astype(np.float32)
    for veil, hidden in ((0.0, False), (1.0, True)):
        monkeypatch.setattr(muddy_water, "_veil", lambda rng, shape, veil=veil: np.full(shape, veil, np.float32))
        seen = {
            int(value)
            for seed in range(8)
            for value in np.unique(
                under_smoke(looks, suburb.classes, suburb.labels, np.random.default_rng(seed))[1][
                    suburb.classes == WATER
                ]
            )
        }
        assert seen == ({WATER, VOID} if hidden else {WATER})


def test_windows_without_muddy_draws_are_those_of_before_and_all_are_of_the_legend(suburb: SimpleNamespace) -> None:
    pair = SimpleNamespace(
        pre=suburb.image, post=suburb.image, labels_pre=suburb.labels, labels_post=suburb.labels, gsd_m=1.0,
        solid_pre=np.zeros((96, 96), np.uint8), solid_post=np.zeros((96, 96), np.uint8),
    )  # fmt: skip
    plain, never = WaterCutter(64), WaterCutter(64, muddy_share=0.0)
    always = WaterCutter(64, muddy_share=1.0, draw_muddy=draw_muddy)
    more = 0
    for seed in range(16):
        one, same, muddy = (cut(pair, np.random.default_rng(seed)) for cut in (plain, never, always))
        assert all((one[key] == same[key]).all() for key in one)
        assert set(np.unique(muddy["mask"])) <= {DRY, WATER, MUD, VOID}
        more += int((muddy["mask"] == WATER).sum()) - int((one["mask"] == WATER).sum())
    assert more > 64 * 64
