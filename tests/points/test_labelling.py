"""Labelled files: no seam shows, and nothing is lost that the file had."""

from pathlib import Path

import laspy
import lazrs
import numpy as np
import pytest
from block_jobs import KilledError, OneByOne
from hypothesis import given, settings, strategies as st
from made_up_clouds import LEGEND, NeighbourCount, scattered, write_las
from pyproj import CRS
from refusals import raises_naming

from deepnets4eo.errors import InputError, OutputError
from deepnets4eo.points import LabelOptions, PointCloud, label_cloud, labelling, load_labeller, open_cloud
from deepnets4eo.points.look.page import look_at

SMALL = 10_000_000  # bytes: tiles of 10,000 points, the least


def codes_of(labeller: NeighbourCount, cloud: PointCloud) -> np.ndarray:
    """What a labeller says without tiles; 255 where it knows nothing."""
    scores = labeller.scores(cloud)
    known = np.isfinite(scores).all(axis=1)
    return np.where(known, np.array(LEGEND.values)[np.nan_to_num(scores).argmax(axis=1)], 255)


@given(st.integers(0, 1000), st.sampled_from([0.5, 2.0, 9.0]), st.sampled_from([30, 100, 1000]))
@settings(max_examples=8)
def test_labels_of_tiles_are_those_of_the_whole(tmp_path_factory, seed: int, reach_m: float, most_points: int) -> None:
    folder = tmp_path_factory.mktemp("seams")
    path = write_las(folder / "a.las", scattered(600, seed=seed))
    labeller = NeighbourCount(reach_m)
    expected = codes_of(labeller, open_cloud(path).read())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labelling, "MIN_POINTS", most_points)
        label_cloud(path, labeller, folder / "out.las", LabelOptions(memory_bytes=1))
    np.testing.assert_array_equal(laspy.read(folder / "out.las").pred_class, expected)


def test_tiles_labelled_by_other_processes_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "MIN_POINTS", 100)
    path, few = write_las(tmp_path / "a.las", scattered(600)), {"memory_bytes": 1}
    whole = OneByOne()
    for out, how in (("alone", None), ("shared", whole)):
        label_cloud(path, load_labeller("rules"), tmp_path / f"{out}.las", LabelOptions(**few), executor=how)
    expected = (tmp_path / "alone.las").read_bytes()
    assert (tmp_path / "shared.las").read_bytes() == expected
    first, second, out = OneByOne(stop=2), OneByOne(), tmp_path / "killed.las"
    with pytest.raises(KilledError):
        label_cloud(path, load_labeller("rules"), out, LabelOptions(**few), executor=first)
    label_cloud(path, load_labeller("rules"), out, LabelOptions(resume=True, **few), executor=second)
    assert out.read_bytes() == expected
    assert len(first.done) + len(second.done) == len(whole.done) > 3
    with pytest.raises(InputError, match="a NeighbourCount that was not loaded cannot work in other processes"):
        label_cloud(path, NeighbourCount(), tmp_path / "own.las", LabelOptions(**few), executor=OneByOne())


@pytest.mark.parametrize(("version", "point_format"), [("1.2", 1), ("1.2", 3), ("1.4", 6), ("1.4", 8)])
@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_all_that_a_file_holds_is_kept(tmp_path: Path, version: str, point_format: int, suffix: str) -> None:
    path = write_las(tmp_path / "a.laz", scattered(300), version=version, point_format=point_format)
    out = tmp_path / f"out{suffix}"
    label_cloud(path, NeighbourCount(), out)
    before, after = laspy.read(path), laspy.read(out)
    assert after.header.point_format.id == point_format
    for name in before.point_format.dimension_names:
        np.testing.assert_array_equal(np.asarray(after[name]), np.asarray(before[name]), err_msg=name)
    np.testing.assert_array_equal(after.header.scales, before.header.scales)
    np.testing.assert_array_equal(after.header.offsets, before.header.offsets)
    assert after.header.vlrs.get_by_id("someone")[0].record_data == b"keep me"
    assert after.header.parse_crs() == before.header.parse_crs()
    assert set(np.unique(after.pred_class)) <= set(LEGEND.values)
    np.testing.assert_array_equal(np.unique(after.pred_prob), [0.75])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.125)) / np.log(3)
    np.testing.assert_allclose(np.unique(after.entropy), [entropy], atol=0.005)


@pytest.mark.parametrize(("version", "point_format", "wanted"), [("1.2", 1, 6), ("1.2", 3, 7), ("1.4", 6, 6)])
def test_replaced_codes_above_31_get_a_point_format_that_holds_them(
    tmp_path: Path, version: str, point_format: int, wanted: int
) -> None:
    path = write_las(tmp_path / "a.las", scattered(300), version=version, point_format=point_format)
    label_cloud(path, NeighbourCount(), tmp_path / "out.las", LabelOptions(replace=True))
    before, after = laspy.read(path), laspy.read(tmp_path / "out.las")
    assert (str(after.header.version), after.header.point_format.id) == ("1.4", wanted)
    np.testing.assert_array_equal(after.classification, after.pred_class)
    assert 64 in after.classification
    assert after.header.parse_crs() == CRS("EPSG:2154")
    for name in ("X", "Y", "Z", "intensity", "return_number", "gps_time", "deviation", "point_source_id", "user_data"):
        np.testing.assert_array_equal(np.asarray(after[name]), np.asarray(before[name]), err_msg=name)
    if version == "1.2":
        np.testing.assert_allclose(after.scan_angle * 0.006, before.scan_angle_rank, atol=0.003)


def test_unknown_points_take_the_label_of_the_nearest_and_are_counted(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.laz", scattered(500))
    labeller = NeighbourCount(unknown_every=2)
    result = label_cloud(path, labeller, tmp_path / "out.laz")
    cloud = open_cloud(path).read()
    alone = codes_of(labeller, cloud)
    unknown = alone == 255
    after = laspy.read(tmp_path / "out.laz")
    np.testing.assert_array_equal(np.asarray(after.propagated) == 1, unknown)
    assert result.propagated == unknown.sum() > 0
    assert result.without_label == 0
    distances = np.linalg.norm(cloud.xyz[unknown, None] - cloud.xyz[None, ~unknown], axis=2)
    np.testing.assert_array_equal(np.asarray(after.pred_class)[unknown], alone[~unknown][distances.argmin(axis=1)])
    assert sum(result.counts.values()) == result.points == 500


def test_many_points_that_nothing_shows_are_a_finding_of_the_result(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.laz", scattered(500))
    many, few = (label_cloud(path, NeighbourCount(unknown_every=every), tmp_path / f"{every}.laz") for every in (2, 10))
    (finding,) = many.findings
    assert (finding.code, finding.severity, finding.affected) == ("points_not_seen", "caution", many.propagated)
    assert "surface.max_edge_m" in finding.remedy
    assert many.to_dict()["findings"] == [finding.to_dict()]
    assert few.propagated > 0
    assert few.to_dict()["findings"] == []
    assert open_cloud(many.path).stored_findings() == many.findings
    assert open_cloud(few.path).stored_findings() == ()
    pages = [look_at(result.path).html() for result in (many, few)]
    assert [f"<b>Caution</b> {finding.whole}" in page for page in pages] == [True, False]
    again = label_cloud(many.path, NeighbourCount(unknown_every=10), tmp_path / "again.laz")
    assert open_cloud(again.path).stored_findings() == ()


def test_a_labeller_that_knows_nothing_leaves_the_classification(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.laz", scattered(50))
    result = label_cloud(path, NeighbourCount(unknown_every=1), tmp_path / "out.laz", LabelOptions(replace=True))
    after = laspy.read(tmp_path / "out.laz")
    assert result.without_label == 50
    assert (np.asarray(after.pred_class) == 255).all()
    np.testing.assert_array_equal(after.classification, laspy.read(path).classification)


def test_a_labelled_file_can_be_labelled_again_and_names_its_legend(tmp_path: Path) -> None:
    first, second = tmp_path / "first.laz", tmp_path / "second.laz"
    label_cloud(write_las(tmp_path / "a.laz", scattered(300)), NeighbourCount(2.0), first)
    label_cloud(first, NeighbourCount(5.0), second)
    after = laspy.read(second)
    assert list(after.point_format.extra_dimension_names).count("pred_class") == 1
    np.testing.assert_array_equal(after.pred_class, codes_of(NeighbourCount(5.0), open_cloud(first).read()))
    assert open_cloud(second).stored_legend() == LEGEND


def test_a_file_in_feet_is_labelled_in_metres_and_written_in_feet(tmp_path: Path) -> None:
    xyz = scattered(400)
    feet = write_las(
        tmp_path / "feet.las", np.round((xyz - xyz.min(axis=0)) / 0.3048, 4) + 1000, crs="EPSG:2992", scale=1e-4
    )
    label_cloud(feet, NeighbourCount(3.0), tmp_path / "out.las")
    after = laspy.read(tmp_path / "out.las")
    np.testing.assert_array_equal(after.X, laspy.read(feet).X)
    xy = np.round(np.asarray(after.xyz)[:, :2] * 0.3048, 9)
    counts = (np.linalg.norm(xy[:, None] - xy[None], axis=2) <= 3.0).sum(axis=1)
    agree = np.array(LEGEND.values)[counts % 3] == np.asarray(after.pred_class)
    assert agree.mean() > 0.95  # the labeller rounds to centimetres


def test_text_becomes_las_1_4_with_millimetres(tmp_path: Path) -> None:
    xyz = scattered(200)
    np.savetxt(tmp_path / "a.xyz", xyz, fmt="%.3f")
    label_cloud(tmp_path / "a.xyz", NeighbourCount(), tmp_path / "out.laz", LabelOptions(crs="EPSG:2154"))
    after = laspy.read(tmp_path / "out.laz")
    assert (str(after.header.version), after.header.point_format.id) == ("1.4", 6)
    np.testing.assert_allclose(after.xyz, xyz, atol=0.0006)
    assert after.header.parse_crs() == CRS("EPSG:2154")


class StoppedError(Exception):
    """The job was stopped."""


def test_an_interrupted_job_goes_on_at_the_next_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelling, "MIN_POINTS", 100)
    path, out = write_las(tmp_path / "a.laz", scattered(600)), tmp_path / "out.laz"
    whole = NeighbourCount()
    label_cloud(path, whole, tmp_path / "whole.laz", LabelOptions(memory_bytes=1))

    class Stopping(NeighbourCount):
        def scores(self, cloud: PointCloud) -> np.ndarray:
            if self.calls == 3:
                raise StoppedError
            return super().scores(cloud)

    stopping = Stopping()
    stopping.__class__.__name__ = "NeighbourCount"
    with pytest.raises(StoppedError):
        label_cloud(path, stopping, out, LabelOptions(memory_bytes=1))
    assert not out.exists()
    folder = next(tmp_path.rglob("labelled"))
    (folder / "1000.npz").write_bytes((folder / "0.npz").read_bytes()[:9])  # that was cut off, as by a full disk
    again = NeighbourCount()
    label_cloud(path, again, out, LabelOptions(memory_bytes=1, resume=True))
    assert again.calls == whole.calls - 3
    np.testing.assert_array_equal(laspy.read(out).pred_class, laspy.read(tmp_path / "whole.laz").pred_class)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.laz", "out.laz", "whole.laz"]


@pytest.mark.parametrize("lost", ["0.points", "tiles.json"])
def test_points_that_are_gone_are_sorted_again(tmp_path: Path, lost: str) -> None:
    path, out = write_las(tmp_path / "a.laz", scattered(100)), tmp_path / "out.laz"

    class Failing(NeighbourCount):
        def scores(self, cloud: PointCloud) -> np.ndarray:
            raise StoppedError

    failing = Failing()
    failing.__class__.__name__ = "NeighbourCount"
    with pytest.raises(StoppedError):
        label_cloud(path, failing, out)
    next(tmp_path.rglob(lost)).unlink()
    label_cloud(path, NeighbourCount(), out, LabelOptions(resume=True))
    np.testing.assert_array_equal(laspy.read(out).pred_class, codes_of(NeighbourCount(), open_cloud(path).read()))


def test_another_labeller_does_not_take_over_the_tiles_of_the_first(tmp_path: Path) -> None:
    path, out = write_las(tmp_path / "a.laz", scattered(100)), tmp_path / "out.laz"

    class Failing(NeighbourCount):
        def scores(self, cloud: PointCloud) -> np.ndarray:
            raise StoppedError

    with pytest.raises(StoppedError):
        label_cloud(path, Failing(9.0), out)
    label_cloud(path, NeighbourCount(), out, LabelOptions(resume=True))
    np.testing.assert_array_equal(laspy.read(out).pred_class, codes_of(NeighbourCount(), open_cloud(path).read()))


def test_what_a_labeller_needs_is_checked_before_the_work(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.laz", scattered(20))
    with raises_naming(InputError, "--colour"):
        label_cloud(path, NeighbourCount(needs=("colour",)), tmp_path / "out.laz")
    (tmp_path / "a.xyz").write_text("1 2 3\n4 5 6\n")
    with pytest.raises(
        InputError, match="no intensity, which the model needs. Choose a model that was trained without"
    ):
        label_cloud(tmp_path / "a.xyz", NeighbourCount(needs=("intensity",)), tmp_path / "out.laz")


def test_outputs_are_not_overwritten_unless_allowed(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.laz", scattered(20))
    with pytest.raises(OutputError, match="is read by this job"):
        label_cloud(path, NeighbourCount(), path, LabelOptions(overwrite=True))
    (tmp_path / "out.laz").write_text("mine")
    with raises_naming(OutputError, "--overwrite"):
        label_cloud(path, NeighbourCount(), tmp_path / "out.laz")
    with pytest.raises(OutputError, match=r"Name it \.laz or \.las"):
        label_cloud(path, NeighbourCount(), tmp_path / "out.ply")


def test_a_disk_that_is_full_leaves_the_finished_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise lazrs.LazrsError("IoError: no space left")

    path, out = write_las(tmp_path / "a.laz", scattered(50)), tmp_path / "out.laz"
    with monkeypatch.context() as patch:
        patch.setattr(laspy.LasWriter, "write_points", fail)
        with raises_naming(OutputError, "out.laz", "--resume"):
            label_cloud(path, NeighbourCount(), out)
    assert not out.exists()
    labeller = NeighbourCount()
    assert label_cloud(path, labeller, out, LabelOptions(resume=True)).points == 50
    assert labeller.calls == 0


def test_scores_of_a_wrong_shape_are_refused(tmp_path: Path) -> None:
    class Wrong(NeighbourCount):
        def scores(self, cloud: PointCloud) -> np.ndarray:
            return super().scores(cloud)[:, :2]

    with raises_naming(InputError, "(20, 2)", "(20, 3)"):
        label_cloud(write_las(tmp_path / "a.laz", scattered(20)), Wrong(), tmp_path / "out.laz")


@pytest.mark.parametrize(
    ("intensities", "stored", "how"),
    [
        ([-2048, -1, 0, 2047], [0, 2047, 2048, 4095], "shifted so that they begin at 0"),
        ([0, 0.25, 0.5, 1], [0, 16384, 32768, 65535], "scaled to 0–65,535"),
        ([0, 7, 65536, 131070], [0, 4, 32768, 65535], "scaled to 0–65,535"),
    ],
)
def test_intensities_that_las_does_not_hold_are_kept_beside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, intensities: list[float], stored: list[int], how: str
) -> None:
    lines = [f"{at} {at % 2} 3 {value}" for at, value in enumerate(intensities)]
    (tmp_path / "a.txt").write_text("\n".join(["x y z intensity", *lines]))
    label_cloud(tmp_path / "a.txt", NeighbourCount(), tmp_path / "out.laz")
    written = laspy.read(tmp_path / "out.laz")
    assert np.asarray(written.intensity).tolist() == stored
    assert np.asarray(written.measured_intensity).tolist() == intensities
    assert f"a.txt has intensities from {intensities[0]} to {intensities[-1]}" in caplog.text
    assert how in caplog.text


def test_intensities_that_las_holds_stay_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.txt").write_text("0 0 3 0\n1 1 3 65535\n2 0 3 12\n")
    label_cloud(tmp_path / "a.txt", NeighbourCount(), tmp_path / "out.laz")
    written = laspy.read(tmp_path / "out.laz")
    assert np.asarray(written.intensity).tolist() == [0, 65535, 12]
    assert "measured_intensity" not in written.point_format.dimension_names
    assert not caplog.messages


@pytest.mark.parametrize("name", ["out.copc.laz", "out.COPC.las"])
def test_a_name_of_copc_is_refused_with_the_name_to_take(tmp_path: Path, name: str) -> None:
    with raises_naming(OutputError, "writers.copc"):
        label_cloud(write_las(tmp_path / "a.las", scattered(50)), NeighbourCount(), tmp_path / name)
    assert not (tmp_path / name).exists()
