"""Planes through neighbours and places of cameras, by values computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from deepnets4eo.points import PointCloud, local_planes
from deepnets4eo.points.local_planes import drawn_positions, surface_attributes
from deepnets4eo.points.views import Camera, make_surface


def test_the_spacing_of_a_square_lattice_is_its_step() -> None:
    lattice = np.array([(x, y, 0.0) for x in range(9) for y in range(9)])
    assert surface_attributes(lattice, 16).spacing_m[40] == 1


@pytest.mark.parametrize(("share", "normal"), [(0.9e-7, (0, 0, 1)), (1.1e-7, (0, 1, 0))])
def test_points_on_a_line_have_no_normal(share: float, normal: tuple[float, ...]) -> None:
    """Sixteen points along x and, by turns, a little above and below it: a wall if their heights vary enough."""
    x = np.arange(16.0)
    points = np.stack([x, np.zeros(16), np.sqrt(share * x.var()) * np.where(np.arange(16) % 2, 1, -1)], axis=1)
    found = np.abs(surface_attributes(points, 16).normal)
    np.testing.assert_allclose(found, np.tile(normal, (16, 1)), atol=1e-2)


@pytest.mark.parametrize(("number", "normal"), [(2, (0, 0, 1)), (3, (0, 1, 0))])
def test_three_points_make_a_plane(number: int, normal: tuple[float, ...]) -> None:
    wall = np.array([(0, 0, 0), (1, 0, 0), (0.5, 0, 1)], float)[:number]
    np.testing.assert_allclose(np.abs(surface_attributes(wall, 16).normal), np.tile(normal, (number, 1)), atol=1e-6)


@pytest.mark.parametrize(("turn_deg", "mean_deg"), [(9.9, 4.95), (10.1, 0.0)])
def test_planes_up_to_ten_degrees_apart_vote_together(
    turn_deg: float, mean_deg: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    angle = np.radians(turn_deg)
    normals = np.array([[0, np.sin(angle)], [0, 0], [1, np.cos(angle)]], np.float32)[:, None]
    monkeypatch.setattr(local_planes, "_plane_normals", lambda *_: normals)
    voted = local_planes._voted_normal(np.zeros((3, 1, 4), np.float32), np.zeros((2, 3), np.int64))
    assert np.degrees(np.arctan2(voted[0, 0], voted[2, 0])) == pytest.approx(mean_deg, abs=1e-3)


@pytest.mark.parametrize(("cosine", "noise"), [(0.95, 0.4), (1.0, 0.0), (0.5, 1.0)])
def test_normals_that_agree_to_0_95_on_average_are_wholly_noisy(
    cosine: float, noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of five normals differs: the mean of ten pairs is (6 + 4 cos) / 10."""
    sine = np.sqrt(1 - cosine**2)
    normals = iter([[sine, 0, cosine], *[[0, 0, 1.0]] * 4])
    monkeypatch.setattr(local_planes, "_voted_normal", lambda *_: np.array(next(normals), np.float32)[:, None])
    found = local_planes._disagreement(np.zeros((3, 1, 6), np.float32))
    assert found.tolist() == pytest.approx([noise], abs=1e-5)


def test_five_normals_are_each_voted_by_24_planes_of_three_different_points() -> None:
    drawn = drawn_positions(10)
    assert drawn.shape == (5, 24, 3)
    assert all(len(set(plane)) == 3 for plane in drawn.reshape(-1, 3).tolist())


@pytest.fixture(scope="module")
def surface():
    steps = np.arange(0, 60, 2.0)
    x, y = np.meshgrid(steps, steps)
    return make_surface(PointCloud(np.stack([x.ravel(), y.ravel(), 0.01 * x.ravel()], axis=1)))


def forward_of(camera: Camera) -> np.ndarray:
    return np.asarray(camera.axes()[2])


def test_cameras_above_look_down_and_to_four_sides_by_half_a_right_angle(surface) -> None:
    """Pixels of 0.2 m in the middle: a view of 224 pixels is 44.8 m wide, and the next one begins at its middle."""
    cameras = Camera.above(surface)
    down = [camera for camera in cameras if forward_of(camera)[2] < -0.99]
    assert len(cameras) == 5 * len(down)
    assert [round(float(np.degrees(np.arcsin(-forward_of(camera)[2])))) for camera in cameras[:5]] == [
        90,
        45,
        45,
        45,
        45,
    ]
    sides = {round(float(np.degrees(np.arctan2(*forward_of(camera)[:2])))) % 360 for camera in cameras[1:5]}
    assert sides == {0, 90, 180, 270}
    pixel_m = 2 * np.tan(np.radians(cameras[0].field_of_view_deg) / 2) / cameras[0].width_px
    target = surface.vertices[np.argmin(((surface.vertices[:, :2] - cameras[0].eye[:2]) ** 2).sum(axis=1))]
    assert (cameras[0].eye[2] - target[2]) * pixel_m == pytest.approx(0.2, rel=0.02)
    steps = np.unique(np.round([camera.eye[0] for camera in down], 3))
    assert np.diff(steps) == pytest.approx(0.2 * cameras[0].width_px / 2, rel=1e-3)


def test_cameras_around_look_down_by_70_to_90_degrees(surface) -> None:
    cameras = Camera.around(surface, 100, seed=0)
    assert len(cameras) == 300
    angles = np.degrees([np.arcsin(-forward_of(camera)[2]) for camera in cameras])
    assert 70 <= angles.min() < 71
    assert 89 < angles.max() <= 90


def test_cameras_near_another_turn_by_15_degrees_and_move_by_a_tenth(surface) -> None:
    first = Camera.around(surface, 1, seed=0)[0]
    pivot = first.eye + 10 * forward_of(first)
    others = Camera.near(first, 200, seed=1, pivot_m=10.0)
    turns = np.degrees([np.arccos(np.clip(forward_of(one) @ forward_of(first), -1, 1)) for one in others])
    away = np.array([np.linalg.norm(one.eye - pivot) for one in others]) / 10
    assert 14 < turns.max() < 15 * np.sqrt(2)
    assert (away >= 0.9).all()
    assert (away <= 1.1).all()
    assert away.min() < 0.91
    assert away.max() > 1.09
