"""Withheld points and noise (7, 18) take no part in labels, ground, features, surfaces, bounds and counts."""

from pathlib import Path

import laspy
import numpy as np
import pytest
from made_up_clouds import LEGEND, NeighbourCount, scattered, write_las
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.inspection import inspect
from deepnets4eo.points import LabelOptions, PointCloud, evaluate_cloud, heights_above_ground, label_cloud, open_cloud
from deepnets4eo.points.cloud import has_asprs_noise
from deepnets4eo.points.cloud_data import CloudData, LabelledCloud
from deepnets4eo.points.features import FeatureOptions, RuleLabeller, point_features
from deepnets4eo.points.height_grid import grid_around, height_grid
from deepnets4eo.points.views import SurfaceOptions, make_surface

XYZ = scattered(600)
OUT = np.arange(600) % 7 == 3  # every seventh point is left out
FAR = XYZ + np.where(OUT, 1, 0)[:, None] * [400.0, 0.0, -30.0]


def with_out(path: Path, kind: str, version: str = "1.4", point_format: int = 8, xyz=FAR) -> Path:
    """The points of which every seventh is far off, below the ground, and withheld or noise."""
    write_las(path, xyz, version=version, point_format=point_format)
    cloud = laspy.read(path)
    if kind == "withheld":
        cloud.withheld = OUT.astype(np.uint8)
    else:
        cloud.classification = np.where(OUT, 7 if kind == "low" else 18, np.asarray(cloud.classification)).astype(
            np.uint8
        )
    cloud.write(path)
    return path


@pytest.mark.parametrize(("version", "point_format"), [("1.2", 1), ("1.2", 3), ("1.4", 6), ("1.4", 8)])
@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_withheld_points_are_not_read_and_have_no_part_in_bounds(
    tmp_path: Path, version: str, point_format: int, suffix: str
) -> None:
    file = open_cloud(with_out(tmp_path / f"a{suffix}", "withheld", version, point_format))
    np.testing.assert_allclose(file.read().xyz, XYZ[~OUT], atol=1e-9)
    np.testing.assert_allclose(np.concatenate([part.xyz for part in file.chunks(70)]), XYZ[~OUT], atol=1e-9)
    np.testing.assert_allclose(file.bounds, [XYZ[~OUT].min(axis=0), XYZ[~OUT].max(axis=0)], atol=1e-9)
    described = inspect(str(file.path))
    assert described.facts["points"] == "600"
    assert described.facts["withheld"] == f"{OUT.sum()} of the points, which take no part in anything"
    assert not any("bounds in its header" in problem for problem in described.problems)


@pytest.mark.parametrize("kind", ["withheld", "low", "high"])
@pytest.mark.parametrize(("version", "point_format"), [("1.2", 1), ("1.4", 8)])
def test_other_points_are_labelled_as_without_those_that_do_not_count(
    tmp_path: Path, kind: str, version: str, point_format: int
) -> None:
    path = with_out(tmp_path / "a.laz", kind, version, point_format, XYZ)
    alone = write_las(tmp_path / "alone.laz", XYZ[~OUT], version=version, point_format=point_format)
    label_cloud(alone, NeighbourCount(), tmp_path / "expected.laz")
    result = label_cloud(path, NeighbourCount(), tmp_path / "out.laz", LabelOptions(replace=True))
    written, before = laspy.read(tmp_path / "out.laz"), laspy.read(path)
    np.testing.assert_array_equal(written.pred_class[~OUT], laspy.read(tmp_path / "expected.laz").pred_class)
    code = {"withheld": 255, "low": 7, "high": 18}[kind]
    assert set(written.pred_class[OUT]) == {code}
    np.testing.assert_array_equal(np.asarray(written.classification)[OUT], np.asarray(before.classification)[OUT])
    np.testing.assert_array_equal(np.asarray(written.withheld), np.asarray(before.withheld))
    noise, withheld = (0, OUT.sum()) if kind == "withheld" else (OUT.sum(), 0)
    assert (result.noise, result.withheld, result.without_label) == (noise, withheld, 0)
    assert sum(result.counts.values()) == (~OUT).sum()
    assert str(OUT.sum()) in result.summary()


def test_a_file_of_nothing_but_withheld_points_is_refused_by_name(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.las", XYZ)
    cloud = laspy.read(path)
    cloud.withheld = np.ones(600, np.uint8)
    cloud.write(path)
    for work in (lambda: open_cloud(path).read(), lambda: label_cloud(path, NeighbourCount(), tmp_path / "o.laz")):
        with raises_naming(InputError, "a.las", "600"):
            work()
    assert any("all 600 are withheld" in problem for problem in inspect(str(path)).problems)


def _in_memory(kind: str) -> PointCloud:
    codes = np.where(OUT, 7, 1).astype(np.uint8) if kind == "noise" else None
    return PointCloud(FAR, classification=codes, withheld=OUT if kind == "withheld" else None)


@pytest.mark.parametrize("kind", ["noise", "withheld"])
def test_ground_features_surfaces_and_cells_are_those_without_them(kind: str) -> None:
    cloud, alone = _in_memory(kind), PointCloud(XYZ[~OUT])
    np.testing.assert_array_equal(heights_above_ground(cloud)[~OUT], heights_above_ground(alone))
    options = FeatureOptions(measured=(), radii_m=(2.0,), cylinder_radii_m=(2.0,))
    features = point_features(cloud, options)
    np.testing.assert_array_equal(features[~OUT], point_features(alone, options))
    assert not features[OUT].any()
    scores = RuleLabeller().scores(cloud)
    np.testing.assert_array_equal(scores[~OUT], RuleLabeller().scores(alone))
    assert np.isnan(scores[OUT]).all()
    surface, expected = (make_surface(one, SurfaceOptions(voxel_m=0.5)) for one in (cloud, alone))
    np.testing.assert_array_equal(surface.vertices, expected.vertices)
    np.testing.assert_array_equal(surface.point_index, np.flatnonzero(~OUT)[expected.point_index])
    grid = grid_around((*FAR.min(axis=0)[:2], *FAR.max(axis=0)[:2]), 2.0)
    counts, lowest = (
        height_grid(lambda: [cloud], grid).count.sum(),
        np.nanmin(height_grid(lambda: [cloud], grid).lowest),
    )
    assert (counts, lowest) == ((~OUT).sum(), pytest.approx(XYZ[~OUT, 2].min(), abs=1e-4))


def test_codes_of_other_lists_than_asprs_are_no_noise(tmp_path: Path) -> None:
    """7 is poles in DALES, trees in H3D and shrubs in the text files of Vaihingen."""
    assert [has_asprs_noise(Legend.load(name)) for name in ("dales", "h3d", "asprs_las")] == [False, False, True]
    np.savetxt(
        tmp_path / "a.pts",
        np.column_stack([XYZ[:9] - XYZ[0], np.full(9, 5), *np.ones((2, 9)), np.arange(9)]),
        fmt="%.6g",
    )
    cloud = open_cloud(tmp_path / "a.pts").read()
    assert cloud.classification.tolist() == list(range(9))
    assert cloud.counted.all()


def test_noise_is_not_learnt_but_a_class_with_its_code_is(tmp_path: Path) -> None:
    path = with_out(tmp_path / "a.las", "low", xyz=XYZ)
    data = CloudData(unknown_labels="void", most_points=1000)
    for name, points in (("ign_lidar_hd", (~OUT).sum()), ("h3d", 600)):
        pieces = list(LabelledCloud("a", open_cloud(path), 1.0).pieces(Legend.load(name), data, 0.0))
        assert [(len(piece.cloud), piece.own) for piece in pieces] == [(points, points)]
        assert pieces[0].cloud.counted.all()  # class indices are no codes of ASPRS


@pytest.mark.parametrize("kind", ["withheld", "low"])
def test_points_that_do_not_count_are_not_scored(tmp_path: Path, kind: str) -> None:
    path = with_out(tmp_path / "a.las", kind, xyz=XYZ)
    label_cloud(path, NeighbourCount(), tmp_path / "out.laz")
    predicted = laspy.read(tmp_path / "out.laz").pred_class[~OUT]
    truth = np.array([2, 5, 6])[np.arange(600) % 3][~OUT]
    known = np.isin(truth, LEGEND.values)
    result = evaluate_cloud(tmp_path / "out.laz", path, LEGEND, unknown_is_void=True)
    assert result["overall_accuracy"] == pytest.approx((predicted == truth)[known].mean())
