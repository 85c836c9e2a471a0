"""Pairs of both dates with their truth."""

from itertools import islice

import numpy as np
import pytest
from small_world_plan import small_plan
from world.paint_world import paint
from world.pair import PairSample, draw_pair, pair_stream, render_pair, seasons_of
from world.sensor import WorldSensor, _sharpen_row, expose
from world.shade import CLOUD_PX, _cloud_line
from world.style import WorldStyle

from deepnets4eo.cards import Legend

SIDE_PX, MARGIN_PX = 128, 24


def pair(seed: int) -> PairSample:
    plan = small_plan((SIDE_PX + 2 * MARGIN_PX) * 0.5, 4)
    style = WorldStyle.load("suburb")
    return render_pair(seed, plan, style=style, size_px=SIDE_PX, gsd_m=0.5, margin_px=MARGIN_PX)


def test_the_same_seed_gives_the_same_pair():
    first, again, other = pair(5), pair(5), pair(6)
    for name in ("pre", "post", "labels_pre", "labels_post", "roofs_pre", "roofs_post", "outlines", "height_post"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.pre, other.pre)


def test_all_arrays_have_the_images_size_and_their_types():
    sample = pair(7)
    for name, dtype in (
        ("labels_pre", np.uint8), ("labels_post", np.uint8), ("roofs_pre", np.int32), ("roofs_post", np.int32),
        ("outlines", np.int32), ("height_pre", np.float32), ("height_post", np.float32),
    ):  # fmt: skip
        assert (getattr(sample, name).shape, getattr(sample, name).dtype) == ((SIDE_PX, SIDE_PX), dtype)
    assert sample.pre.shape == sample.post.shape == (4, SIDE_PX, SIDE_PX)
    assert len(sample.grades) == len(sample.visible) == len(sample.polygons()) == len(sample.plan.buildings)
    assert set(np.unique(sample.labels_pre)) <= {entry.value for entry in Legend.load("minicity").classes}


def test_shapes_cover_the_outlines_and_roofs_lie_near_them():
    sample = pair(8)
    area = np.bincount(sample.outlines.ravel(), minlength=len(sample.grades) + 1)[1:]
    for number, shape in enumerate(sample.polygons()):
        assert area[number] == pytest.approx(shape.area, rel=0.15, abs=25)
    both = (sample.roofs_pre > 0) & (sample.outlines > 0)
    assert (sample.roofs_pre[both] == sample.outlines[both]).mean() > 0.95


def test_misregistration_moves_the_ground_of_post():
    from scipy.ndimage import shift as moved

    plan = small_plan((SIDE_PX + 2 * MARGIN_PX) * 0.5, 4)
    style = WorldStyle.load("suburb")
    for seed in range(3):
        sample = render_pair(seed, plan, style=style, size_px=SIDE_PX, gsd_m=0.5, margin_px=MARGIN_PX)
        whole = tuple(round(value) for value in sample.post_shift_px)
        ground = (sample.height_pre == 0) & (moved(sample.height_post, (-whole[0], -whole[1]), order=0) == 0)
        back = moved(sample.labels_post, (-whole[0], -whole[1]), order=0)
        inner = (slice(4, -4), slice(4, -4))
        assert (back[inner] == sample.labels_pre[inner])[ground[inner]].mean() > 0.99
        assert np.hypot(*sample.post_shift_px) <= 2.5


def test_a_sensor_moves_the_scene_by_parts_of_a_pixel():
    row, col = np.indices((64, 64))
    spot = np.exp(-0.5 * ((row - 32) ** 2 + (col - 32) ** 2) / 9).astype(np.float32)
    radiance = np.repeat((0.05 + spot)[..., None], 4, axis=2)
    sensor = WorldSensor(
        blur_px=0.5, sharpening=0.0, pan=0.0, colour_shift_px=(0, 0), median=60, black=20, white=230, gain=(1, 1, 1, 1),
        cast=(0, 0, 0, 0), saturation=1.0, chroma=255, noise=0.0, stripes=0.0, jpeg=0,
    )  # fmt: skip
    still, moved = (
        expose(radiance, sensor, np.random.default_rng(1), shift_px=shift)[1].astype(float)
        for shift in ((0.0, 0.0), (0.4, -0.3))
    )
    for axis, wished in ((0, 0.4), (1, -0.3)):
        line = np.arange(64)[:, None] if axis == 0 else np.arange(64)[None]
        positions = [((image - image.min()) * line).sum() / (image - image.min()).sum() for image in (still, moved)]
        assert positions[1] - positions[0] == pytest.approx(wished, abs=0.06)


def test_a_stream_repeats_itself_from_its_seed_and_keeps_to_the_names():
    first, again = (list(islice(pair_stream(3, styles=["suburb"], hazards=["none"], size_px=64), 2)) for _ in range(2))
    assert [sample.seed for sample in first] == [sample.seed for sample in again]
    np.testing.assert_array_equal(first[1].post, again[1].post)
    assert {sample.style for sample in first} == {"suburb"}
    assert {sample.hazard for sample in first} == {"none"}
    assert not first[0].grades.any()


def test_mixed_colours_change_the_images_of_a_stream_and_not_its_places():
    names = ["suburb", "informal", "old-town"]
    own, mixed = (
        next(pair_stream(5, styles=names, hazards=["none"], size_px=96, mixed_share=share)) for share in (0.0, 1.0)
    )
    assert (own.seed, own.style) == (mixed.seed, mixed.style)
    np.testing.assert_array_equal(own.roofs_pre, mixed.roofs_pre)
    assert np.abs(own.pre.astype(int) - mixed.pre).mean() > 3


def test_a_hazard_gives_grades_to_the_buildings_of_the_plan():
    sample = draw_pair(4, style="suburb", hazard="tornado", size_px=96, gsd_m=0.5)
    assert len(sample.grades) == len(sample.plan.buildings)
    assert sample.grades.max() <= 3
    assert (sample.visible <= sample.grades).all()


def test_the_seasons_of_a_seed_are_known_without_its_images(monkeypatch):
    painted = []

    def keep_season(plan, gsd_m, shape, season, *others, **named):
        painted.append(season)
        return paint(plan, gsd_m, shape, season, *others, **named)

    monkeypatch.setattr("world.pair.paint", keep_season)
    draw_pair(2, style="high-rise", hazard="none", size_px=128)
    assert tuple(painted) == seasons_of(2, "continental")


def test_pan_sharpening_gives_a_pixel_the_coarse_colour_at_the_fine_brightness() -> None:
    rng = np.random.default_rng(0)
    fine, coarse = (rng.uniform(0.2, 1, (size, 4)).astype(np.float32) for size in (8, 4))
    place = (np.arange(8) + 0.5) / 4
    colour = np.stack([np.interp(place, np.arange(4), coarse[:, band]) for band in range(4)], axis=1)
    ratio = 1 + 0.8 * (fine.sum(axis=1) / colour.sum(axis=1) - 1)
    sharpened = fine.copy()
    _sharpen_row(sharpened, coarse, np.float32(0.8))
    np.testing.assert_allclose(sharpened, colour * ratio[:, None], rtol=1e-4)


def test_clouds_are_linear_between_the_points_of_their_lattice() -> None:
    lattice = np.random.default_rng(0).uniform(0, 1, (4, 5)).astype(np.float32)
    row = 21
    between = lattice[1] + (lattice[2] - lattice[1]) * (row / CLOUD_PX - 1)
    line = np.empty(3 * CLOUD_PX, np.float32)
    _cloud_line(lattice, row, line)
    np.testing.assert_allclose(line, np.interp(np.arange(len(line)) / CLOUD_PX, np.arange(5), between), atol=1e-5)
