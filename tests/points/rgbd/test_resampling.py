"""Views around a frame agree with it in 3D, and the votes of a network that knows colours give the frame its labels back."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_room import BOX, COLOURS, LEGEND, WALL, make_frame

from deepnets4eo.errors import RunError
from deepnets4eo.points.rgbd import FrameLabeller, score_frames
from deepnets4eo.points.rgbd.frame import FrameSource
from deepnets4eo.points.rgbd.labeller import own_layers, place_views, rendered_own_layers, resampled_views
from deepnets4eo.points.rgbd.recipe import ResampledViewSection
from deepnets4eo.points.views.snapshots import snapshot_inputs

FRAME = make_frame()
VIEWS = ResampledViewSection(train=3, test=3)
RED = COLOURS[:, 0] / 255 - 0.5


class KnowsColours:
    """A network of the layer image: the box is redder than the wall; each batch is kept."""

    def __init__(self, noise=0.0, legend=LEGEND):
        self.inputs, self.legend, self.noise = snapshot_inputs(["image"], "depth"), legend, noise
        self.rng = np.random.default_rng(0)

    def predict_raw(self, batch):
        box = 4 * np.sign(batch[:, 0] - (RED[BOX] + RED[WALL]) / 2)
        box = box + self.noise * self.rng.normal(size=box.shape)
        return np.stack([-box, box], axis=1).astype(np.float32)

    def predict_proba(self, batch):
        powers = np.exp(self.predict_raw(batch))
        return powers / powers.sum(axis=1, keepdims=True)


class InMemory:
    """Stands for a frame on disk."""

    def __init__(self, frame):
        self.frame, self.name = frame, frame.name

    def read(self):
        return self.frame


def labeller(test=3, noise=0.0, size=FRAME.shape, **views):
    return FrameLabeller(KnowsColours(noise), VIEWS.model_copy(update={"test": test, **views}), size)


def test_each_pixel_of_a_view_shows_the_colour_and_the_label_of_the_point_that_it_sees():
    of_frame = FRAME.views()
    count = 0
    for view, layers in resampled_views(FRAME, of_frame, VIEWS, 3):
        count += 1
        assert 0.5 < view.seen.mean() <= 1
        np.testing.assert_array_equal(layers["labels"] == 255, ~view.seen)
        np.testing.assert_array_equal(layers["valid"], view.seen)
        right, down, forward = view.camera.axes()
        rays = view.camera.rays() * np.where(view.seen, view.depth_m, 1)[..., None]
        points = view.camera.eye + rays @ np.stack([right, down, forward])
        fx, fy, cx, cy = FRAME.intrinsics
        column = np.rint(points[..., 0] / points[..., 1] * fx + cx)[view.seen].astype(int)
        row = np.rint(-points[..., 2] / points[..., 1] * fy + cy)[view.seen].astype(int)
        inside = (np.abs(FRAME.labels[row, column].astype(int) - layers["labels"][view.seen]) == 0).mean()
        assert inside > 0.97
    assert count == 3


def test_views_turn_about_the_middle_of_the_scene_by_so_much_at_most():
    own = FRAME.camera
    for camera in place_views(FRAME, VIEWS, 20):
        pivot = own.eye + FRAME.pivot_m * own.axes()[2]
        np.testing.assert_allclose(camera.target, pivot)
        assert np.linalg.norm(camera.eye - pivot) == pytest.approx(FRAME.pivot_m, rel=0.11)
        assert np.degrees(np.arccos(camera.axes()[2] @ own.axes()[2])) < 15 * np.sqrt(2) + 0.1
    again = [camera.eye.tolist() for camera in place_views(FRAME, VIEWS, 3)]
    assert again == [camera.eye.tolist() for camera in place_views(FRAME, VIEWS, 3)]
    assert again != [camera.eye.tolist() for camera in place_views(FRAME, VIEWS, 3, seed=1)]


def test_a_network_of_geometry_alone_sees_nothing_where_depth_is_unknown():
    of_frame = FRAME.views()
    own = own_layers(FRAME, of_frame, ["composite"])
    np.testing.assert_array_equal(own["valid"], FRAME.known)
    assert (own["composite"][2][FRAME.labels == BOX] == 255).all()
    assert own_layers(FRAME, of_frame, ["image", "composite"])["valid"].all()


@pytest.mark.parametrize("views", [{}, {"votes": "logits"}, {"test": 0}])
def test_votes_give_a_frame_its_labels_back(views):
    scores = labeller(**views).scores(FRAME)
    np.testing.assert_allclose(scores.sum(axis=0), 1, atol=1e-5)
    labelled = FRAME.labels > 0
    assert (scores.argmax(axis=0) + 1 == FRAME.labels)[labelled].mean() > 0.98


def test_votes_of_more_views_make_fewer_errors_than_one_noisy_image():
    source: FrameSource = InMemory(FRAME)
    alone, voted = (score_frames(labeller(count, noise=4), [source])["overall_accuracy"] for count in (0, 5))
    assert voted > alone + 0.05


def test_scores_are_counted_at_the_pixels_of_the_frame_without_void():
    scores = score_frames(labeller(0, size=(32, 48)), [InMemory(FRAME)])
    assert scores["pixels"] == (FRAME.labels > 0).sum()
    assert scores["average_accuracy"] > 0.95
    assert scores["mean_iou"] > 0.9


def test_folders_that_are_no_run_are_refused(tmp_path):
    with pytest.raises(RunError):
        FrameLabeller.from_run(tmp_path)


def test_a_frame_rendered_from_its_surface_is_itself_where_faces_are_and_void_elsewhere():
    of_frame = FRAME.views()
    own = own_layers(FRAME, of_frame, ["image"])
    rendered = rendered_own_layers(FRAME, of_frame, ["image"])
    shown = rendered["valid"]
    assert 0.8 < shown.mean() < 1
    assert not shown[:, 81:83].any()  # no depth
    near = [
        np.roll(own["image"], (down, right), axis=(1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)
    ]  # a pixel shows the first corner of its face: that is the pixel itself or its neighbour
    same = np.any([(rendered["image"] == image).all(axis=0) for image in near], axis=0)
    assert same[shown].all()
    np.testing.assert_array_equal(rendered["image"][:, ~shown], 0)
    assert (rendered["labels"][~shown] == 255).all()
    assert (rendered["labels"] == own["labels"])[shown].mean() > 0.95


def test_a_frame_whose_surface_has_no_face_is_taken_as_it_is():
    lonely = replace(
        FRAME, depth_m=np.where(np.indices(FRAME.shape).sum(axis=0) % 2, FRAME.depth_m, 0).astype(np.float32)
    )
    of_frame = lonely.views()
    assert not len(of_frame.surface.faces)
    rendered = rendered_own_layers(lonely, of_frame, ["image"])
    np.testing.assert_array_equal(rendered["image"], lonely.colour)


def test_a_labeller_shows_its_network_the_rendered_frame():
    shows = {}
    for render_test in (False, True):
        network = Keeps()
        FrameLabeller(network, VIEWS.model_copy(update={"test": 0, "render_test": render_test}), FRAME.shape).scores(
            FRAME
        )
        shows[render_test] = network.batches[0]
    blind = ~FRAME.known
    assert np.abs(shows[False][0][:, blind]).min(axis=0).max() > 0
    assert (shows[True][0][:, blind] == 0).all()  # what shows nothing is 0


class Keeps(KnowsColours):
    """Keeps its batches."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def predict_proba(self, batch):
        self.batches.append(batch)
        return super().predict_proba(batch)
