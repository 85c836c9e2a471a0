"""Views, windows and small motions from which turned models are proposed, by hand."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine

from deepnets4eo.registration import coarse


def sampler(gsd_m: float, values: np.ndarray | None = None) -> SimpleNamespace:
    """An image that keeps the pixels it was asked for."""
    asked: list[Any] = []

    def read(transform: Affine, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        asked.append((transform, shape))
        grey = np.full(shape, 4.0) if values is None else values
        return grey, np.ones(shape, bool)

    return SimpleNamespace(gsd_m=gsd_m, read=read, asked=asked)


@pytest.mark.parametrize(
    ("sides_m", "gsds_m", "expected_m", "shape"),
    [
        ((3000, 1500), (1.0, 1.0), 2.0, (512, 512)),  # 1,024 pixels of the coarser image
        ((3000, 1500), (0.2, 1.0), 1.6, (512, 512)),  # 4,096 of the finer one
        ((3000, 512), (1.0, 1.0), 2.0, (256, 512)),
        ((100, 60), (1.0, 0.5), 1.0, (60, 100)),
        ((10, 60), (1.0, 1.0), 1.0, (60, 16)),
    ],
)
def test_the_middle_is_seen_in_512_pixels_of_a_bounded_part(
    sides_m: Any, gsds_m: Any, expected_m: float, shape: tuple[int, int]
) -> None:
    pre, post = map(sampler, gsds_m)
    pair: Any = SimpleNamespace(pre=pre, post=post, gsd_m=max(gsds_m), sides=sides_m, middle=np.array([[1000.0, 500.0]]))  # fmt: skip
    *views, gsd_m = coarse.middle_views(pair, 512)
    assert gsd_m == pytest.approx(expected_m)
    for one in (pre, post):
        ((transform, asked),) = one.asked
        assert asked == shape
        assert transform * (shape[1] / 2, shape[0] / 2) == pytest.approx((1000, 500))
        assert (transform.a, transform.e) == pytest.approx((expected_m, expected_m))
    assert all(view.shape == shape and valid.all() for view, valid in views)


def test_pixels_without_a_number_take_the_mean_of_the_others() -> None:
    grey = np.full((16, 16), 2.0)
    grey[:8], grey[0, 0] = 6.0, np.nan
    pair: Any = SimpleNamespace(
        pre=sampler(1.0, grey), post=sampler(1.0, grey * np.nan), gsd_m=1.0, sides=(16, 16), middle=np.array([[8.0, 8.0]])
    )  # fmt: skip
    (pre, pre_valid), (post, post_valid), _ = coarse.middle_views(pair, 512)
    assert pre[0, 0] == pytest.approx((127 * 6 + 128 * 2) / 255)
    assert (pre_valid.sum(), post_valid.sum()) == (255, 0)
    assert not post.any()


@pytest.mark.parametrize(
    ("shape", "side", "rows", "cols"),
    [
        ((200, 512), 128, [0], [0, 128, 256, 384]),
        ((384, 511), 128, [0, 64, 128, 192, 256], [0, 96, 192, 287, 383]),
        ((100, 132), 66, [0], [0, 33, 66]),
        ((90, 90), 60, [0], [0]),
    ],
)
def test_windows_overlap_by_half_where_fewer_than_four_fit(
    shape: tuple[int, int], side: int, rows: list[int], cols: list[int]
) -> None:
    windows = coarse._Windows.over(shape)
    assert windows.side == side
    assert windows.corners == [(row, col) for row in rows for col in cols]
    np.testing.assert_allclose(
        windows.from_middle,
        [(col + side / 2 - shape[1] / 2, row + side / 2 - shape[0] / 2) for row in rows for col in cols],
    )


@pytest.mark.parametrize("down", [-5, -4, 0, 2, 4, 5])
@pytest.mark.parametrize("right", [-5, -3, 0, 1, 5])
def test_a_surface_is_added_where_its_window_moved_from(down: int, right: int) -> None:
    surface = np.arange(25, dtype=np.float32).reshape(5, 5) + 1
    total = np.full((5, 5), 100, np.float32)
    coarse._add_moved(total, surface, down, right)
    for row, col in np.ndindex(5, 5):
        there = 0 <= row + down < 5 and 0 <= col + right < 5
        assert total[row, col] == 100 + (surface[row + down, col + right] if there else 0)


@pytest.mark.parametrize("turn_deg", [-1.5, -0.75, 0, 0.75, 1.5])
@pytest.mark.parametrize("stretch", [-0.025, 0, 0.025])
def test_the_small_turn_and_stretch_bring_the_peaks_of_all_windows_together(turn_deg: float, stretch: float) -> None:
    from_middle = np.array([(200.0, 0.0), (-200.0, 0.0), (0.0, 200.0)])
    turn = np.radians(turn_deg)
    surfaces = np.zeros((3, 31, 31), np.float32)
    for surface, (x, y) in zip(surfaces, from_middle, strict=True):
        right, down = round(stretch * x - turn * y), round(stretch * y + turn * x)
        surface[15 + 2 + down, 15 - 1 + right] = 1  # in addition to a shift of 1 to the left and 2 down
    best, motion = coarse._best_small_motion(surfaces, from_middle)
    assert best == 3
    assert motion[:6] == pytest.approx((1 + stretch, -turn, -1, turn, 1 + stretch, 2))


def test_the_best_models_of_different_turns_are_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {(6, 1.0): 9.0, (9, 1.0): 8.0, (3, 0.95): 7.0, (12, 1.0): 6.0, (-6, 1.05): 5.0, (0, 1.0): 4.0}
    order = product(range(-30, 31, 3), (0.95, 1.0, 1.05))
    view = np.zeros((96, 96), np.float32), np.ones((96, 96), bool)
    radii: list[int] = []
    monkeypatch.setattr(coarse, "middle_views", lambda *_: (view, view, 2.0))
    monkeypatch.setattr(coarse, "orientation_field", lambda grey, _: grey.astype(complex))
    monkeypatch.setattr(coarse, "correlate_spectra", lambda *words: radii.append(words[2]) or np.zeros((1, 3, 3)))
    monkeypatch.setattr(coarse, "_turn_field", lambda field, *_: field)
    small = Affine.translation(1, 2)
    monkeypatch.setattr(coarse, "_best_small_motion", lambda *_: (scores.get(next(order), 0.0), small))
    pair: Any = SimpleNamespace(middle=np.array([[100.0, 50.0]]))
    models = coarse.similarity_hypotheses(pair, 20.0, 30.0)
    assert next(order, None) is None, "all turns and scales are tried"
    assert set(radii) == {11}
    for model, turn_deg, scale in zip(models, (6, 12, -6), (1, 1, 1.05), strict=True):
        cos, sin = scale * np.cos(np.radians(turn_deg)), scale * np.sin(np.radians(turn_deg))
        assert model * (100, 50) == pytest.approx((100 + 2 * cos - 4 * sin, 50 + 2 * sin + 4 * cos))
        assert model[:6:3] + model[1:6:3] == pytest.approx((cos, sin, -sin, cos))


@pytest.mark.parametrize(("shift_m", "rotation_deg", "radius", "count"), [(100, 5.9, 31, 9), (21, 6.0, 12, 15)])
def test_turns_are_tried_within_the_limit_and_shifts_within_the_windows(
    shift_m: float, rotation_deg: float, radius: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = np.zeros((96, 96), np.float32), np.ones((96, 96), bool)
    radii: list[int] = []
    monkeypatch.setattr(coarse, "middle_views", lambda *_: (view, view, 2.0))
    monkeypatch.setattr(coarse, "orientation_field", lambda grey, _: grey.astype(complex))
    monkeypatch.setattr(coarse, "correlate_spectra", lambda *words: radii.append(words[2]) or np.zeros((1, 3, 3)))
    pair: Any = SimpleNamespace(middle=np.array([[100.0, 50.0]]))
    coarse.similarity_hypotheses(pair, shift_m, rotation_deg)
    assert radii == [radius] * count


def test_a_field_is_turned_and_scaled_about_its_middle_and_its_directions_by_twice_the_angle() -> None:
    field = np.zeros((41, 41), np.complex64)
    field[20, 30] = 1
    quarter = coarse._turn_field(field, 90.0, 1.0)
    row, col = np.unravel_index(np.abs(quarter).argmax(), field.shape)
    assert (row, col) == (10, 20)
    assert quarter[row, col] == pytest.approx(-1, abs=1e-5)
    half = coarse._turn_field(field, 0.0, 2.0)
    assert np.unravel_index(np.abs(half).argmax(), field.shape) == (20, 25)


def test_the_height_of_a_peak_is_in_spreads_of_the_other_surface() -> None:
    searched = np.array([[0, 9], [1, 2]], np.float32)
    tested = np.array([[1, 8], [2, 4]], np.float32)  # median 3, deviations 2, 5, 1, 1
    assert coarse._height(searched, tested) == pytest.approx((8 - 3) / (1.4826 * 1.5))
