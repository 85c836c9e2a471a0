"""Images of a view hold what is known at the first vertex of each pixel's face, and nothing where background is."""

import gc
import weakref

import numpy as np
import pytest
from made_up_surface import hill_with_house, triangles
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.points.views import Camera, SurfaceOptions, ZBuffer, make_surface, snapshot
from deepnets4eo.points.views.camera import FaceView

CAMERA = Camera(np.array([0, 0, 10.0]), np.zeros(3), np.array([0, 1.0, 0]), width_px=4, height_px=2)
CORNERS = ((0, 0, 0), (1, 0, 0), (0, 1, 0))


def view_of(face, depth=5.0):
    face = np.array(face, np.int32)
    return FaceView(face, np.where(face < 0, np.inf, depth).astype(np.float32), CAMERA)


@pytest.fixture
def surface():
    return triangles(
        CORNERS,
        CORNERS,
        colour=np.arange(18, dtype=np.uint8).reshape(6, 3),
        verticality=np.array([1, 0, 0, 0.2, 0, 0], np.float32),
        noise=np.array([0.4, 0, 0, 0, 0, 0], np.float32),
        height_m=np.array([51, 0, 0, 10.2, 0, 0], np.float32),
        intensity=np.array([0, 10, 20, 30, 40, 50], np.float32),
        classes=np.array([0, 9, 9, 6, 9, 9], np.uint8),
    )


def test_every_layer_is_a_look_up_of_the_first_vertex(surface):
    layers = snapshot(surface, view_of([[0, 1, -1, -1], [1, 0, -1, 1]], [[2, 4, 0, 0], [3, 2, 0, 4]]))
    assert layers["image"][:, 0].T.tolist() == [[0, 1, 2], [9, 10, 11], [0, 0, 0], [0, 0, 0]]
    assert layers["composite"][0].tolist() == [[255, 51, 0, 0], [51, 255, 0, 51]]
    assert layers["composite"][1].tolist() == [[102, 0, 0, 0], [0, 102, 0, 0]]
    assert layers["composite"][2].tolist() == [[255, 0, 0, 0], [128, 255, 0, 0]]
    white = np.percentile(surface.intensity, 98)
    assert layers["intensity"][0, 0].tolist() == [0, round(30 / white * 255), 0, 0]
    assert layers["labels"].tolist() == [[0, 6, 255, 255], [6, 0, 255, 6]]


def test_depth_in_metres_means_the_same_in_every_view(surface):
    for depth in (10.0, 50.0):
        layer = snapshot(surface, view_of([[0, 0, 1, -1]] * 2, depth), third="depth_m")["composite"][2]
        assert layer[0].tolist() == [round((1 - (depth - 1) / 99) * 255)] * 3 + [0]


def test_the_last_channel_may_be_the_height_above_ground(surface):
    layer = snapshot(surface, view_of([[0, 1, -1, 1]] * 2), third="height")["composite"][2]
    assert layer[0].tolist() == [255, 51, 0, 51]
    root = snapshot(surface, view_of([[0, 1, -1, 1]] * 2), third="height_root")["composite"][2]
    assert root[0].tolist() == [255, round(0.2**0.5 * 255), 0, round(0.2**0.5 * 255)]


@pytest.mark.parametrize("third", ["depth", "depth_m", "height", "height_root"])
def test_a_view_of_background_alone_has_empty_layers(surface, third):
    layers = snapshot(surface, view_of([[-1] * 4] * 2), third=third)
    assert (layers["labels"] == 255).all()
    assert all(not layers[name].any() for name in ("image", "composite", "intensity"))


def test_only_what_was_measured_has_a_layer():
    assert list(snapshot(triangles(CORNERS), view_of([[0] * 4] * 2))) == ["composite"]


def test_intensity_that_is_unknown_throughout_is_black():
    surface = triangles(CORNERS, intensity=np.full(3, np.nan, np.float32))
    assert not snapshot(surface, view_of([[0] * 4] * 2))["intensity"].any()


def test_a_view_of_another_surface_is_refused(surface):
    with raises_naming(InputError, "faces 0 to 2", "surface of 2", "-1 to 1"):
        snapshot(surface, view_of([[0, 1, 2, 0]] * 2))


def test_a_surface_is_not_kept_after_its_snapshots():
    surface = triangles(CORNERS)
    snapshot(surface, view_of([[0] * 4] * 2))
    reference = weakref.ref(surface)
    del surface
    gc.collect()
    assert reference() is None


def test_snapshots_of_a_house_from_above_show_its_roof():
    surface = make_surface(hill_with_house(), SurfaceOptions(voxel_m=0.5))
    view = ZBuffer(surface).view(Camera.above(surface, gsd_m=0.3, headings=0)[-1])
    layers = snapshot(surface, view, third="height")
    roof = layers["labels"] == 6
    assert roof.sum() > 100
    assert (layers["image"][0][roof] == 200).all()
    assert np.median(layers["composite"][2][roof]) == pytest.approx(6 / 51 * 255, abs=3)
    assert np.median(layers["composite"][0][roof]) < 20
