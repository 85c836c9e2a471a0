"""Votes of views label points: what a network that knows better than any says arrives at the points it sees, and no others."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from made_up_field import BUILDING, COLOURS, GROUND, LEGEND, make_cloud, write_las
from refusals import raises_naming

from deepnets4eo.errors import InputError, MissingExtraError, RunError
from deepnets4eo.points import LabelOptions, PointLabeller, label_cloud, labelling
from deepnets4eo.points.labeller import label_tile
from deepnets4eo.points.snapnet import SnapNetLabeller
from deepnets4eo.points.snapnet.labeller import covered_m2, place_cameras, reach_m
from deepnets4eo.points.snapnet.recipe import ViewSection
from deepnets4eo.points.views import SurfaceOptions, Views
from deepnets4eo.points.views.snapshots import snapshot_inputs
from deepnets4eo.segmenters import Run

AREA_M2 = 800  # of the field
VIEWS = ViewSection(directions=15, area_m2=AREA_M2, distances_m=(20.0,))
SURFACE = SurfaceOptions(voxel_m=0.5)
RED = {code: colour[0] / 255 - 0.5 for code, colour in COLOURS.items()}


class KnowsColours:
    """A network of the layer image: roofs are redder than the field."""

    def __init__(self, views=VIEWS, layers=("image",)):
        self.inputs, self.legend, self.batches = snapshot_inputs(layers, views.third), LEGEND, []

    def predict_raw(self, batch):
        self.batches.append(len(batch))
        middle = (RED[BUILDING] + RED[GROUND]) / 2
        roof = 8 * np.sign(batch[:, 0] - middle)
        return np.stack([-roof, roof], axis=1).astype(np.float32)

    def predict_proba(self, batch):
        powers = np.exp(self.predict_raw(batch))
        return powers / powers.sum(axis=1, keepdims=True)


def labeller(views=VIEWS, **options):
    return SnapNetLabeller(KnowsColours(views), SURFACE, views, **options)


@pytest.mark.parametrize("votes", ["probabilities", "logits"])
def test_points_that_are_seen_have_the_class_that_the_network_sees(votes):
    cloud = make_cloud()
    one = labeller(VIEWS.model_copy(update={"votes": votes}))
    scores = one.scores(cloud)
    seen = np.isfinite(scores[:, 0])
    codes = label_tile(one, cloud, len(cloud))[:, 0]
    assert seen.mean() > 0.5
    assert (codes == cloud.classification)[seen].mean() > 0.98
    assert (codes == cloud.classification).mean() > 0.9
    np.testing.assert_allclose(scores[seen].sum(axis=1), 1, atol=1e-5)


def test_points_that_no_view_shows_have_no_scores():
    cloud, one = make_cloud(), labeller(ViewSection(directions=1, area_m2=AREA_M2, distances_m=(6.0,)))
    scores, labels = one.scores(cloud), label_tile(one, cloud, len(cloud))
    unseen = np.isnan(scores).all(axis=1)
    assert 0.7 < unseen.mean() < 1
    np.testing.assert_array_equal(np.isnan(scores).any(axis=1), unseen)
    np.testing.assert_array_equal(labels[:, 3] == 1, unseen)


def test_scores_do_not_depend_on_how_many_views_are_labelled_at_once():
    cloud = make_cloud()
    few, many = labeller(batch_size=4), labeller(batch_size=1000)
    np.testing.assert_array_equal(few.scores(cloud), many.scores(cloud))
    assert max(few.segmenter.batches) == 4
    assert sum(few.segmenter.batches) == sum(many.segmenter.batches) == many.segmenter.batches[0]


def test_it_is_a_labeller_of_points_and_says_what_it_needs():
    one = labeller()
    assert isinstance(one, PointLabeller)
    assert one.needs == ("colour",)
    assert SnapNetLabeller(KnowsColours(layers=("composite",)), SURFACE, VIEWS).needs == ()
    assert one.legend.values == (GROUND, BUILDING)


def test_the_halo_is_what_the_farthest_camera_sees_beside_its_target():
    assert labeller().halo_m == np.ceil(20 * np.tan(np.pi / 6))
    assert reach_m(ViewSection(cameras="above", gsd_m=0.25)) == 28


def test_tiles_of_any_size_have_as_many_views_a_square_metre():
    cloud, views = make_cloud(), ViewSection(directions=60, area_m2=AREA_M2, distances_m=(10.0, 20.0))
    of_cloud = Views.of_cloud(cloud, SURFACE)
    assert covered_m2(of_cloud.surface.vertices) == AREA_M2 == len({(int(x), int(y)) for x, y in cloud.xyz[:, :2]})
    assert len(place_cameras(of_cloud, views)) == 2 * 60
    for side_m in (20, 10, 5):
        tile = (cloud.xyz[:, :2] // side_m).astype(int) @ (10**6, 1)
        counts = [
            len(place_cameras(Views.of_cloud(cloud.subset(tile == one), SURFACE), views)) for one in np.unique(tile)
        ]
        assert len(counts) == AREA_M2 // side_m**2
        assert 2 * 60 <= sum(counts) < 2 * (60 + len(counts))
    larger = views.model_copy(update={"area_m2": 10 * AREA_M2})
    assert len(place_cameras(of_cloud, larger)) == 2 * 6


def test_small_tiles_leave_hardly_more_points_unseen_than_one_large_tile(tmp_path, monkeypatch):
    field = write_las(make_cloud(), tmp_path / "field.las")
    views = ViewSection(directions=100, area_m2=AREA_M2, distances_m=(3.0,))
    one, many = labeller(views), labeller(views)
    whole = label_cloud(field, one, tmp_path / "whole.laz")
    monkeypatch.setattr(labelling, "MIN_POINTS", 1000)
    tiled = label_cloud(field, many, tmp_path / "tiled.laz", LabelOptions(memory_bytes=1))
    assert sum(one.segmenter.batches) == 100
    assert 100 < sum(many.segmenter.batches) < 3 * 100  # halos are seen as well
    shares = [result.propagated / result.points for result in (whole, tiled)]
    assert 0.1 < shares[0] < 0.9
    assert 0.03 < shares[1] < shares[0] + 0.08  # as draws differ; as many views for every tile would leave almost none


@pytest.mark.parametrize("cameras", ["around", "above", "indoors"])
def test_cameras_of_every_kind_are_placed_anew_alike(cameras):
    views = ViewSection(cameras=cameras, directions=5, area_m2=AREA_M2, distances_m=(2.0, 3.0))
    of_cloud = Views.of_cloud(make_cloud(), SURFACE)
    first, second = (place_cameras(of_cloud, views) for _ in range(2))
    assert first
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.eye, other.eye)
    if cameras != "above":
        assert len(first) == 10
        assert not np.array_equal(first[0].eye, place_cameras(of_cloud, views, seed=1)[0].eye)


def test_the_band_of_heights_is_named_so():
    assert snapshot_inputs(["composite"], "height").layers["composite"].bands[2] == "height"
    assert snapshot_inputs(["composite"], "depth_m").layers["composite"].bands[2] == "depth"


def test_bytes_are_scaled_as_published():
    inputs = snapshot_inputs(["composite"], "depth")
    values = np.full((3, 1, 2), 255, np.uint8)
    values[:, :, 1] = 51
    prepared = inputs.prepare({"composite": values, "valid": np.ones((1, 2), bool)})
    np.testing.assert_allclose(prepared[0, 0], np.array([255, 51]) / 255 - 0.5, atol=1e-6)


def test_clouds_without_colours_are_refused():
    with pytest.raises(InputError, match="no colour"):
        labeller().scores(replace(make_cloud(), colour=None))


def test_runs_of_other_tasks_are_refused(tmp_path):
    run = Run(tmp_path, SimpleNamespace(), {"task": "segmentation"}, {})
    with raises_naming(RunError, "'segmentation'"):
        SnapNetLabeller.from_run(run)


def test_runs_of_before_load_where_their_surface_was_one_of_squares(monkeypatch):
    section = {"voxel_m": 0.3, "drop_mixed": True, "min_angle_deg": 0.0, "max_angle_deg": 180.0}
    for mesh in ("splats", "delaunay"):
        run = SimpleNamespace(recipe={"surface": section | {"mesh": mesh}}, folder="run", segmenter=None)
        monkeypatch.setattr(SnapNetLabeller, "open_run", staticmethod(lambda *_, run=run: run))
        if mesh == "splats":
            assert SnapNetLabeller.from_run("run").surface.voxel_m == 0.3
        else:
            with pytest.raises(RunError, match="learned from triangles seen from above, which are no longer made"):
                SnapNetLabeller.from_run("run")


@pytest.mark.parametrize("mesh", ["ball_pivoting", "poisson"])
def test_votes_on_a_mesh_label_the_points(mesh):
    pytest.importorskip("open3d", exc_type=ImportError)
    cloud, surface = make_cloud(), SurfaceOptions(voxel_m=0.5, mesh=mesh)
    one = SnapNetLabeller(KnowsColours(), surface, VIEWS)
    codes = label_tile(one, cloud, len(cloud))[:, 0]
    assert (codes == cloud.classification).mean() > 0.9


def test_a_run_on_a_mesh_is_refused_without_open3d_before_any_work(monkeypatch):
    run = SimpleNamespace(recipe={"surface": {"mesh": "ball_pivoting"}}, folder="run", segmenter=None)
    monkeypatch.setattr(SnapNetLabeller, "open_run", staticmethod(lambda *_: run))
    monkeypatch.setitem(sys.modules, "open3d", None)
    with raises_naming(MissingExtraError, "deepnets4eo"):
        SnapNetLabeller.from_run("run")
