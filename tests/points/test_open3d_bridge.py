"""Clouds go to Open3D and come back as they were; without it the error says what to install."""

import sys

import numpy as np
import pytest
from pyproj import CRS
from refusals import raises_naming

from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.points import PointCloud, from_open3d, to_open3d

RNG = np.random.default_rng(0)
FAR = np.array([700_000.0, 6_600_000.0, 100.0])


def _cloud() -> PointCloud:
    count = 200
    return PointCloud(
        FAR + RNG.uniform(0, 50, (count, 3)),
        colour=RNG.integers(0, 256, (count, 3)).astype(np.uint8),
        near_infrared=RNG.integers(0, 256, count).astype(np.uint8),
        intensity=RNG.uniform(0, 1000, count).astype(np.float32),
        return_number=np.ones(count, np.uint8),
        number_of_returns=np.full(count, 2, np.uint8),
        classification=RNG.integers(0, 20, count).astype(np.uint8),
        crs=CRS("EPSG:2154"),
        withheld=np.arange(count) < 3,
    )


def test_all_that_was_measured_comes_back_with_coordinates_to_the_last_bit() -> None:
    pytest.importorskip("open3d", exc_type=ImportError)
    cloud = _cloud()
    back = from_open3d(to_open3d(cloud), cloud.crs)
    np.testing.assert_array_equal(back.xyz, cloud.xyz)
    assert back.measurements().keys() == cloud.measurements().keys()
    for name, values in cloud.measurements().items():
        np.testing.assert_array_equal(back.measurements()[name], values)
        assert back.measurements()[name].dtype == values.dtype
    np.testing.assert_array_equal(back.withheld, cloud.withheld)
    assert (back.crs, back.asprs) == (cloud.crs, True)


def test_work_in_open3d_does_not_change_the_cloud() -> None:
    pytest.importorskip("open3d", exc_type=ImportError)
    cloud = _cloud()
    before = cloud.xyz.copy()
    moved = to_open3d(cloud).translate([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(cloud.xyz, before)
    np.testing.assert_allclose(from_open3d(moved).xyz, before + [1, 2, 3], atol=1e-6)


def test_the_older_kind_of_cloud_keeps_coordinates_and_colours() -> None:
    pytest.importorskip("open3d", exc_type=ImportError)
    cloud = _cloud()
    back = from_open3d(to_open3d(cloud).to_legacy())
    np.testing.assert_array_equal(back.xyz, cloud.xyz)
    np.testing.assert_array_equal(back.colour, cloud.colour)
    assert back.classification is None


def test_points_without_position_are_left_out_and_labels_are_no_codes_of_asprs() -> None:
    o3d = pytest.importorskip("open3d", exc_type=ImportError)
    xyz = RNG.uniform(0, 1, (5, 3))
    xyz[1, 2] = np.nan
    points = o3d.t.geometry.PointCloud(o3d.core.Tensor(xyz))
    points.point["label"] = o3d.core.Tensor(np.array([[1], [2], [7], [3], [4]], np.int32))
    cloud = from_open3d(points)
    np.testing.assert_array_equal(cloud.classification, [1, 7, 3, 4])
    assert not cloud.noise.any()
    with pytest.raises(InputError, match="no points"):
        from_open3d(o3d.geometry.PointCloud())


def test_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    with raises_naming(MissingExtraError, "open3d", "deepnets4eo"):
        to_open3d(_cloud())


def test_the_error_names_libraries_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    (folder := tmp_path / "open3d").mkdir()  # type: ignore[operator]
    (folder / "__init__.py").write_text("raise ImportError('libEGL.so.1: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "open3d", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with raises_naming(MissingExtraError, "libEGL.so.1", "libegl1"):
        to_open3d(_cloud())
    monkeypatch.delitem(sys.modules, "open3d", raising=False)
