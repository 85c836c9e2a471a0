"""What is wrong in the public code of SnapNet does not happen here: one test each."""

import numpy as np
from made_up_surface import hill_with_house, triangles
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud
from deepnets4eo.points.local_planes import decimate
from deepnets4eo.points.views import Camera, SurfaceOptions, Votes, ZBuffer, make_surface, snapshot, to_points
from deepnets4eo.points.views.camera import FaceView

DOWN = {"eye": np.array([0, 0, 10.0]), "target": np.zeros(3), "up": np.array([0, 1.0, 0])}
PLANE = ((-20, -20, 0), (20, -20, 0), (0, 20, 0))
SMALL = ((-1, -1, 0), (1, -1, 0), (0, 1, 0))


def test_the_middle_of_a_voxel_is_measured_in_metres_not_in_indices():
    """In voxel (50, 50, 50) of 0.1 m: the middle point is kept, not the one nearest to (50, 50, 50) m."""
    middle, corner = (5.05, 5.05, 5.05), (5.099, 5.099, 5.099)
    assert decimate(np.array([corner, middle]), 0.1).tolist() == [1]


def test_voxels_on_both_sides_of_coordinate_0_stay_apart():
    across = np.array([[x, y, z] for x in (-0.05, 0.05) for y in (-0.05, 0.05) for z in (-0.05, 0.05)])
    assert len(decimate(across, 0.1)) == 8


def test_national_grid_coordinates_keep_their_millimetres():
    near = hill_with_house(3000)
    shifted = PointCloud(near.xyz - (651_000, 6_861_000, 35))
    far_surface, near_surface = (make_surface(cloud, SurfaceOptions(voxel_m=1)) for cloud in (near, shifted))
    exact = near.xyz[far_surface.point_index]
    assert np.abs(far_surface.origin + far_surface.vertices - exact).max() < 1e-5
    np.testing.assert_allclose(far_surface.noise, near_surface.noise, atol=1e-3)


def test_vertices_are_points_of_the_cloud_not_corners_of_voxels():
    cloud = hill_with_house(3000)
    surface = make_surface(cloud, SurfaceOptions(voxel_m=1))
    assert (surface.classes == cloud.classification[surface.point_index]).all()
    assert np.abs(surface.origin + surface.vertices - cloud.xyz[surface.point_index]).max() < 1e-5


def test_background_votes_for_no_face_and_the_first_face_is_not_the_last():
    surface = triangles(SMALL, [np.add(corner, (50, 0, 0)) for corner in SMALL])
    view = ZBuffer(surface).view(Camera(**DOWN))
    assert (~view.seen).mean() > 0.9
    votes = Votes(surface, 2)
    votes.add(view, np.full((2, 224, 224), 0.5, np.float32))
    assert (votes._pixels[:3] == view.seen.sum()).all()
    assert (votes._pixels[3:] == 0).all()


def test_a_face_number_equal_to_the_number_of_faces_is_refused():
    surface = triangles(PLANE)
    view = FaceView(np.ones((2, 2), np.int32), np.ones((2, 2), np.float32), Camera(**DOWN))
    with raises_naming(InputError, "faces 1"):
        Votes(surface, 2).add(view, np.full((2, 2, 2), 0.5, np.float32))


def test_background_is_void_and_not_a_class():
    surface = triangles(SMALL, classes=np.zeros(3, np.uint8))
    view = ZBuffer(surface).view(Camera(**DOWN))
    labels = snapshot(surface, view)["labels"]
    assert (labels[view.seen] == 0).all()
    assert (labels[~view.seen] == 255).all()


def test_the_chain_ends_with_a_label_for_every_original_point_and_the_label_is_its_own():
    """Class 0 stays 0: nothing is added to labels on the way."""
    cloud = hill_with_house(3000)
    surface = make_surface(cloud, SurfaceOptions(voxel_m=1))
    one_hot = np.eye(2, dtype=np.float32)[(surface.classes == 6).astype(int)]
    scores, seen = to_points(surface, one_hot, cloud)
    assert len(scores) == len(cloud)
    assert seen.all()
    assert ((scores.argmax(axis=1) == 1) == (cloud.classification == 6)).mean() > 0.97


def test_a_view_of_one_depth_has_a_depth_channel():
    surface = triangles(PLANE)
    view = ZBuffer(surface).view(Camera(**DOWN))
    assert np.ptp(view.depth_m) < 1e-5
    view.depth_m[:] = 10
    assert (snapshot(surface, view)["composite"][2] == 255).all()


def test_a_view_without_faces_is_an_image():
    view = ZBuffer(triangles(SMALL)).view(Camera(np.array([0, 0, 10.0]), np.array([0, 0, 20.0]), np.array([0, 1.0, 0])))
    assert not view.seen.any()
    assert not snapshot(triangles(SMALL), view)["composite"].any()


def test_depth_in_metres_compares_between_zooms():
    surface = triangles(PLANE, [np.add(corner, (0, 0, -3)) for corner in PLANE])
    depths = []
    for height in (10.0, 20.0):
        view = ZBuffer(surface).view(Camera(np.array([0, 0, height]), np.zeros(3), np.array([0, 1.0, 0])))
        depths.append(int(snapshot(surface, view, third="depth_m")["composite"][2, 112, 112]))
    assert depths == [round((1 - (height - 1) / 99) * 255) for height in (10, 20)]


def test_confident_views_do_not_outvote_others():
    """Two views are fairly sure of class 0, one is extremely sure of class 1: means of probabilities say 0."""
    surface = triangles(PLANE)
    view = ZBuffer(surface).view(Camera(**DOWN, width_px=4, height_px=4))
    by_mean, by_logits = Votes(surface, 2), Votes(surface, 2, "logits")
    for logit in (2.0, 2.0, -30.0):
        logits = np.stack([np.full((4, 4), logit), np.zeros((4, 4))]).astype(np.float32)
        by_logits.add(view, logits)
        by_mean.add(view, np.stack([1 / (1 + np.exp(-logits[0])), 1 / (1 + np.exp(logits[0]))]))
    assert by_mean.vertex_scores().argmax(axis=1).tolist() == [0, 0, 0]
    assert by_logits.vertex_scores().argmax(axis=1).tolist() == [1, 1, 1]


def test_all_pixels_of_a_vertex_count_not_one_of_them():
    surface = triangles(PLANE)
    view = ZBuffer(surface).view(Camera(**DOWN, width_px=10, height_px=10))
    share = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    votes = Votes(surface, 2)
    votes.add(view, np.stack([share, 1 - share]))
    np.testing.assert_allclose(votes.vertex_scores(), 0.5, atol=1e-6)
    assert votes._pixels.tolist() == [100, 100, 100]


def test_vertices_that_no_view_sees_are_flagged_and_not_labelled_0():
    surface = triangles(SMALL, [np.add(corner, (50, 0, 0)) for corner in SMALL])
    votes = Votes(surface, 2)
    votes.add(
        ZBuffer(surface).view(Camera(**DOWN)), np.stack([np.zeros((224, 224)), np.ones((224, 224))]).astype(np.float32)
    )
    scores, seen = to_points(surface, votes.vertex_scores(), PointCloud(surface.vertices.astype(float)))
    assert seen.tolist() == [True] * 3 + [False] * 3
    assert (scores.argmax(axis=1) == 1).all()


def test_views_are_not_mirrored():
    east = ((1, 0, -1), (3, 0, -1), (2, 0, 1))
    camera = Camera(np.array([0, -10.0, 0]), np.zeros(3), np.array([0, 0, 1.0]))
    assert np.nonzero(ZBuffer(triangles(east)).view(camera).seen)[1].min() > 112


def test_the_number_of_directions_is_the_published_one_unless_stated():
    surface = make_surface(hill_with_house(500), SurfaceOptions(voxel_m=5))
    assert len(Camera.around(surface, seed=0)) == 1500
