"""Votes are sums over pixels that see a vertex, counted one by one; points take them from the nearest vertex."""

import numpy as np
import pytest
from made_up_surface import hill_with_house, triangles
from refusals import raises_naming
from scipy.special import softmax

from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud
from deepnets4eo.points.views import Camera, SurfaceOptions, Votes, ZBuffer, make_surface, snapshot, to_points
from deepnets4eo.points.views.camera import FaceView  # fmt: skip

CAMERA = Camera(np.array([0, 0, 10.0]), np.zeros(3), np.array([0, 1.0, 0]), width_px=12, height_px=9)


@pytest.fixture
def surface():
    """Five faces over seven vertices, one of them in no face."""
    corners = np.random.default_rng(0).uniform(0, 5, (7, 3)).astype(np.float32)
    faces = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 2, 4]], np.int32)
    values = dict.fromkeys(("verticality", "noise", "height_m"), np.zeros(7, np.float32))
    return triangles(vertices=corners, faces=faces, point_index=np.arange(7), **values)


def random_views(count=3, classes=4):
    rng = np.random.default_rng(1)
    for _ in range(count):
        face = rng.integers(-1, 5, (9, 12)).astype(np.int32)
        yield (
            FaceView(face, np.where(face < 0, np.inf, 5).astype(np.float32), CAMERA),
            rng.normal(0, 3, (classes, 9, 12)),
        )


@pytest.mark.parametrize("kind", ["probabilities", "logits"])
def test_every_pixel_is_added_to_the_three_vertices_of_its_face(surface, kind):
    votes = Votes(surface, 4, kind)
    sums, counts = np.zeros((7, 4)), np.zeros(7, int)
    for view, logits in random_views():
        scores = logits if kind == "logits" else softmax(logits, axis=0)
        votes.add(view, scores.astype(np.float32))
        for row, column in np.ndindex(9, 12):
            if view.face[row, column] >= 0:
                for vertex in surface.faces[view.face[row, column]]:
                    sums[vertex] += scores[:, row, column]
                    counts[vertex] += 1
    means = sums[:6] / counts[:6, None]
    np.testing.assert_array_equal(votes._pixels, counts)
    np.testing.assert_allclose(
        votes.vertex_scores()[:6], softmax(means, axis=1) if kind == "logits" else means, rtol=1e-5
    )
    assert np.isnan(votes.vertex_scores()[6]).all()


def test_splats_count_once_a_pixel():
    surface = make_surface(
        PointCloud(np.random.default_rng(0).uniform(0, 9, (200, 3)) * (1, 1, 0)), SurfaceOptions(voxel_m=1)
    )
    view = ZBuffer(surface).view(Camera.above(surface, gsd_m=0.1, headings=0)[0])
    votes = Votes(surface, 2)
    votes.add(view, np.full((2, 224, 224), 0.5, np.float32))
    assert votes._pixels.sum() == view.seen.sum()


def test_scores_that_do_not_fit_are_refused(surface):
    view, logits = next(random_views())
    with raises_naming(InputError, "(3, 9, 12)", "(4, 9, 12)"):
        Votes(surface, 4).add(view, logits[:3].astype(np.float32))
    with raises_naming(InputError, "probabilities, 0 to 1"):
        Votes(surface, 4).add(view, logits.astype(np.float32))
    with pytest.raises(InputError, match="expected one each"):
        to_points(surface, np.zeros((3, 4)), PointCloud(np.zeros((1, 3))))


def test_points_take_the_scores_of_the_nearest_vertex():
    cloud = hill_with_house(3000)
    surface = make_surface(cloud, SurfaceOptions(voxel_m=2))
    own = np.random.default_rng(0).dirichlet(np.ones(3), len(surface.vertices)).astype(np.float32)
    own[::3] = np.nan
    scores, seen = to_points(surface, own, cloud)
    known = np.flatnonzero(~np.isnan(own[:, 0]))
    for point in range(0, 3000, 50):
        distances = np.linalg.norm(surface.vertices - (cloud.xyz[point] - surface.origin), axis=1)
        vertex = distances.argmin()
        assert seen[point] == (vertex in known)
        if vertex not in known:
            between = np.linalg.norm(surface.vertices[known] - surface.vertices[vertex], axis=1)
            vertex = known[between.argmin()]
        np.testing.assert_array_equal(scores[point], own[vertex])


def test_where_no_view_saw_anything_points_have_no_scores(surface):
    scores, seen = to_points(surface, Votes(surface, 4).vertex_scores(), PointCloud(np.zeros((5, 3))))
    assert np.isnan(scores).all()
    assert not seen.any()


def test_perfect_images_label_the_cloud():
    """From cloud to views and back: where the network is right, the points get their own classes."""
    cloud = hill_with_house()
    surface = make_surface(cloud, SurfaceOptions(voxel_m=0.5))
    votes, caster = Votes(surface, 2), ZBuffer(surface)
    for camera in Camera.above(surface, gsd_m=0.15):
        view = caster.view(camera)
        labels = snapshot(surface, view)["labels"]
        votes.add(view, np.stack([labels == 2, labels == 6]).astype(np.float32))
    scores, seen = to_points(surface, votes.vertex_scores(), cloud)
    predicted = np.array([2, 6])[scores.argmax(axis=1)]
    assert seen.mean() > 0.9
    assert (predicted == cloud.classification).mean() > 0.99
