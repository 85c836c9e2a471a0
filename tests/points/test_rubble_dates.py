"""A made-up town of 16 houses, a third of which fell: dates that lie apart are brought to each other, those that cannot claim no loss."""

import json
from types import SimpleNamespace

import geopandas as gpd
import laspy
import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from geopandas.testing import assert_geodataframe_equal
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox
from scipy.spatial.transform import Rotation

from deepnets4eo.cli.main import main
from deepnets4eo.outputs import Phrase
from deepnets4eo.points import PointCloud, RubbleOptions, debris_history, debris_volumes
from deepnets4eo.points.height_grid import grid_around, height_grid
from deepnets4eo.points.rubble import epochs
from deepnets4eo.points.rubble.dates import describe, epoch_findings, motion_that_counts
from deepnets4eo.points.rubble.epochs import EpochFit, register_points, with_walls
from deepnets4eo.points.rubble.motion import RigidMotion
from deepnets4eo.points.rubble.surfaces import Heights
from deepnets4eo.rasters import Layer

CRS = "EPSG:32633"
ORIGIN = np.array([400_000.0, 5_800_000.0])
SIDE, LOT = 92, 22
PLAIN = RubbleOptions(align=False)


@pytest.fixture(scope="module", autouse=True)
def _fewer_points():
    """Of each date, enough for a town as small as this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs, "SCALES", tuple(scale._replace(points=6000) for scale in epochs.SCALES))
        yield


def plan(seed=0):
    """Lower left corner, size, height of each house, and whether it falls; six of sixteen do."""
    rng = np.random.default_rng(seed)
    corners = np.array([(x, y) for x in range(5, SIDE - 20, LOT) for y in range(5, SIDE - 20, LOT)], float)
    sizes, heights = rng.uniform(8, 13, (16, 2)), rng.uniform(4, 8, 16)
    return (
        corners + rng.uniform(-2, 2, (16, 2)),
        sizes,
        heights,
        np.isin(np.arange(16), rng.choice(16, 6, replace=False)),
    )


def scan(after=False, seed=0, all_fell=False, density=3.0):
    """(N, 3) points on a slope of 3 %, with flat and pitched roofs, heaps and noise of 2 cm."""
    rng = np.random.default_rng([seed, after])
    xy = rng.uniform(0, SIDE, (int(density * SIDE**2), 2))
    z = 100 + 0.03 * xy[:, 0] + np.sin(xy[:, 1] / 20)
    for number, (corner, size, height, falls) in enumerate(zip(*plan(seed), strict=True)):
        inside = ((xy > corner) & (xy < corner + size)).all(axis=1)
        if after and (falls or all_fell):
            z[inside] += rng.uniform(0, 1.6, inside.sum())
        else:
            pitch = np.abs(xy[inside, 0] - corner[0] - size[0] / 2) * 0.4 * (number % 2)
            z[inside] += height + 2 * (number % 2) - pitch
    return np.column_stack([xy + ORIGIN, z + rng.normal(0, 0.02, len(xy))])


def cloud(xyz):
    return PointCloud(xyz, crs=pyproj.CRS.from_user_input(CRS))


def moved(xyz, shift=(0, 0, 0), turn_deg=0.0):
    middle = np.array([*(ORIGIN + SIDE / 2), 100])
    return Rotation.from_euler("z", turn_deg, degrees=True).apply(xyz - middle) + middle + shift


def surface_model(xyz, by=(0.0, 0.0), up=0.0):
    grid = grid_around((*(ORIGIN + 1), *(ORIGIN + SIDE - 1)), 1.0, CRS)
    top = height_grid(lambda: [cloud(xyz)], grid).top
    return top + np.float32(up), GeoBox(grid.shape, Affine.translation(*by) * grid.affine, grid.crs)


@pytest.fixture(scope="module")
def houses():
    corners, sizes, *_ = plan()
    boxes = shapely.box(*(corners + ORIGIN).T, *(corners + sizes + ORIGIN).T)
    return gpd.GeoDataFrame({"id": np.arange(16).astype(str)}, geometry=boxes, crs=CRS)


@pytest.fixture(scope="module")
def plainly(houses):
    """The buildings of dates that lie right, compared as they lie."""
    return debris_volumes(
        cloud(scan(True)), houses, cloud(scan()), RubbleOptions(align=False, assume_registered=True)
    ).buildings


def falls(states):
    return (states != "standing").to_numpy()


@pytest.mark.parametrize(("shift", "turn_deg"), [((1.0, -0.66, 0.1), 0.0), ((3.0, 2.0, -0.2), 0.0), ((0, 0, 0), 2.0)])
def test_clouds_that_lie_apart_lose_what_those_lose_that_lie_right(houses, plainly, shift, turn_deg):
    result = debris_volumes(cloud(moved(scan(True), shift, turn_deg)), houses, cloud(scan()), PLAIN)
    np.testing.assert_array_equal(falls(result.buildings["state"]), plan()[3])
    np.testing.assert_allclose(result.buildings["lost_m3"], plainly["lost_m3"], rtol=0.05, atol=12)
    (fit,) = result.registrations
    assert fit.status == "ok"
    np.testing.assert_allclose(fit.applied.apply(moved(scan(True), shift, turn_deg)), scan(True), atol=0.12)
    assert fit.quality.residual_m < 0.15 < fit.quality.residual_before_m
    (said,) = (one for one in result.findings if one.code == "dates_moved")
    assert f"{fit.shift_m[0]:+.2f} m east" in said.message
    assert "hold-out residual" in said.message


def test_dates_that_lie_right_stay_as_they_are_bit_for_bit(houses, plainly):
    result = debris_volumes(cloud(scan(True)), houses, cloud(scan()), PLAIN)
    assert result.registrations[0].status == "ok"
    assert result.registrations[0].applied is None
    assert_geodataframe_equal(result.buildings, plainly)
    assert not [one for one in result.findings if one.code.startswith("dates_")]


@pytest.mark.parametrize(("by", "up"), [((2.0, 0.0), 0.0), ((-3.0, 2.0), 0.0), ((0.0, 0.0), 43.0), ((1.0, 1.0), -8.0)])
def test_a_surface_model_that_lies_off_grades_no_intact_house_as_damaged(houses, by, up):
    pre, post = (
        Layer.open(z, grid=grid, nodata=np.nan)
        for z, grid in (surface_model(scan()), surface_model(scan(True), by, up))
    )
    result = debris_volumes(post, houses, pre, RubbleOptions(align=False, cell_m=1.0))
    np.testing.assert_array_equal(falls(result.buildings["state"]), plan()[3])
    np.testing.assert_allclose(result.registrations[0].shift_m, [*by, up], atol=0.15)


def test_points_against_a_surface_model_are_laid_on_it(houses):
    z, grid = surface_model(scan())
    result = debris_volumes(cloud(moved(scan(True), (2, 1, 0))), houses, Layer.open(z, grid=grid, nodata=np.nan), PLAIN)
    np.testing.assert_array_equal(falls(result.buildings["state"]), plan()[3])


def test_another_town_claims_no_loss_and_ends_with_status_3(houses, tmp_path, capsys):
    files = []
    for name, xyz in (("pre", scan()), ("post", scan(seed=7))):
        z, grid = surface_model(xyz)
        files.append(str(write_geotiff(tmp_path / f"{name}.tif", z, transform=grid.affine, crs=CRS, nodata=np.nan)))
    houses.to_file(tmp_path / "houses.gpkg")
    words = ["rubble", files[1], "--pre", files[0], "--footprints", str(tmp_path / "houses.gpkg"), "--also", "none"]
    assert main([*words, "--out", str(tmp_path / "o")]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "The heights of post.tif do not fit the heights of pre.tif" in said
    assert "none of 16 buildings assessed" in said
    table = gpd.read_file(tmp_path / "o" / "rubble.gpkg", layer="buildings")
    assert set(table["state"]) == {"not-assessed"}
    assert table["lost_m3"].isna().all()
    assert table["height_pre_m"].notna().all()
    (fit,) = json.loads((tmp_path / "o" / "manifest.json").read_text())["registrations"]
    assert (fit["status"], fit["moved"]) == ("failed", False)
    assert main([*words, "--out", str(tmp_path / "p"), "--assume-registered"]) == 0


def test_where_nothing_stands_any_more_the_position_in_the_plane_is_said_to_be_unknown(houses):
    result = debris_volumes(cloud(scan(True, all_fell=True)), houses, cloud(scan()), PLAIN)
    assert falls(result.buildings["state"]).all()
    (said,) = (one for one in result.findings if one.code.startswith("dates_"))
    assert (said.code, said.severity) == ("dates_position_unknown", "caution")


def test_every_date_is_laid_on_the_first_and_one_that_does_not_fit_is_left_out(houses, plainly):
    dates = [cloud(scan()), cloud(scan(seed=7)), cloud(moved(scan(True), (2, 0, 0)))]
    result = debris_history(dates, ("2010", "2014", "2018"), houses, PLAIN)
    assert [fit.status for fit in result.registrations] == ["failed", "ok"]
    rows = result.history.set_index(["date", "id"])
    assert (rows.loc["2014", "state"] == "not-assessed").all()
    np.testing.assert_array_equal(falls(rows.loc["2018", "state"]), plan()[3])
    assert {"dates_do_not_fit": "caution", "dates_moved": "note"}.items() <= {
        one.code: one.severity for one in result.findings
    }.items()


def test_points_of_a_moved_cloud_keep_their_place_and_have_the_class_of_rubble(houses, tmp_path):
    las = laspy.LasData(laspy.LasHeader(version="1.4", point_format=6))
    las.header.scales, las.header.offsets = np.full(3, 0.001), [*ORIGIN, 0]
    las.header.add_crs(pyproj.CRS.from_user_input(CRS))
    las.xyz = moved(scan(True), (3, 2, 0))
    las.write(tmp_path / "post.las")
    pre = las
    pre.xyz = scan()[: len(las.xyz)]
    pre.write(tmp_path / "pre.las")
    houses.to_file(tmp_path / "houses.gpkg")
    files = [str(tmp_path / name) for name in ("post.las", "pre.las", "houses.gpkg", "o")]
    words = ["rubble", files[0], "--pre", files[1], "--footprints", files[2], "--set", "align=no", "--also", "laz"]
    assert main([*words, "--out", files[3]]) == 0
    out, given = laspy.read(tmp_path / "o" / "points.laz"), laspy.read(tmp_path / "post.las")
    np.testing.assert_array_equal(out.xyz, given.xyz)
    corners, sizes, _, fell = plan()
    place = out.xyz[out.classification == 70][:, :2] - ORIGIN - (3, 2)
    inside = ((place[:, None] > corners - 0.7) & (place[:, None] < corners + sizes + 0.7)).all(axis=2)
    assert len(place) > 500
    assert inside[:, fell].any(axis=1).mean() > 0.98


def test_a_surface_model_moves_as_its_points_do():
    z, grid = surface_model(scan())
    motion = RigidMotion(
        Rotation.from_euler("xyz", (0.2, -0.1, 1.5), degrees=True).as_matrix(),
        np.array([2.3, -1.1, 0.4]),
        np.array([*(ORIGIN + 46), 102]),
    )
    laid = Heights(None, Layer.open(z, grid=grid, nodata=np.nan), motion)
    target = grid_around((*(ORIGIN + 20), *(ORIGIN + 70)), 1.0, CRS)
    rows, cols = np.nonzero(np.isfinite(z))
    x, y = grid.affine * (cols + 0.5, rows + 0.5)
    points = cloud(motion.apply(np.column_stack([x, y, z[rows, cols]])))
    other = height_grid(lambda: [points], target).mean
    difference = (laid.on(target).mean - other)[np.isfinite(other)]
    assert np.median(np.abs(difference)) < 0.05
    assert abs(np.median(difference)) < 0.01


def test_a_motion_needs_walls_in_several_places():
    flat = np.column_stack([np.random.default_rng(0).uniform(0, 60, (4000, 2)), np.zeros(4000)])
    fit = register_points(with_walls(flat + (1, 0, 0)), with_walls(flat), flat[:4])
    assert (fit.status, fit.in_plane) == ("degraded", False)
    assert fit.reason.key == "epoch_few_walls"
    assert "0 squares" in fit.reason_text


def test_open3d_finds_the_same_motion():
    o3d = pytest.importorskip("open3d")
    shift = np.array([1.0, -0.66, 0.1])
    fixed, moving = (points - [*ORIGIN, 100] for points in (scan(), scan(True) + shift))
    own = register_points(with_walls(moving), with_walls(fixed), fixed[:4])
    clouds = [o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points)) for points in (moving, fixed)]
    clouds[1].estimate_normals(o3d.geometry.KDTreeSearchParamKNN(16))
    reg, found = o3d.pipelines.registration, np.eye(4)
    for reach_m, tukey_m in ((6, 2.0), (3, 1.0), (1.5, 0.4)):
        loss = reg.TransformationEstimationPointToPlane(reg.TukeyLoss(k=tukey_m))
        found = reg.registration_icp(*clouds, reach_m, found, loss).transformation
    theirs = moving @ found[:3, :3].T + found[:3, 3]
    assert np.sqrt(((own.motion.apply(moving) - theirs) ** 2).sum(axis=1).mean()) < 0.1


@pytest.mark.parametrize(
    ("off_m", "sigmas_m", "in_plane", "applied"),
    [
        ((0.61, 0.0, 0.0), (0.2, 0.1), True, "all"),  # beyond three standard errors
        ((0.59, 0.0, 0.0), (0.2, 0.1), True, None),
        ((0.51, 0.0, 0.0), (0.01, 0.1), True, "all"),  # beyond the least that counts
        ((0.49, 0.0, 0.0), (0.01, 0.1), True, None),
        ((0.51, 0.0, 0.0), (np.nan, 0.1), True, "all"),
        ((0.0, 0.31, 0.0), (0.2, 0.1), True, "all"),
        ((0.0, 0.29, 0.0), (0.2, 0.1), True, None),
        ((0.0, 0.16, 0.0), (0.2, 0.01), True, "all"),
        ((0.0, 0.14, 0.0), (0.2, 0.01), True, None),
        ((9.0, 9.0, 0.0), (0.2, 0.1), False, None),
        ((9.0, 9.0, 2.1), (0.2, 0.1), False, "up"),
        ((0.0, 0.0, 2.1), (0.2, 0.1), True, "up"),
        ((0.0, 0.0, 1.9), (0.2, 0.1), True, None),
    ],
)
def test_a_motion_counts_beyond_its_standard_error_and_the_least_lengths(off_m, sigmas_m, in_plane, applied):
    """off_m : in the plane, by tilt, and up; 0.5 m in the plane, 0.15 m of tilt and 2 m up count at least."""
    motion, quality = SimpleNamespace(centre=np.zeros(3)), SimpleNamespace(sigma_m=sigmas_m[0], sigma_up_m=sigmas_m[1])
    fit = SimpleNamespace(status="ok", off_m=off_m, in_plane=in_plane, quality=quality, motion=motion, shift_m=np.array([0, 0, off_m[2]]))  # fmt: skip
    found = motion_that_counts(fit, 0.5)
    if applied == "up":
        np.testing.assert_allclose(found.apply(np.zeros((1, 3))), [[0, 0, -off_m[2]]])
    else:
        assert found is (motion if applied == "all" else None)
    fit.status = "failed"
    assert motion_that_counts(fit, 0.5) is None


def fit_of(status: str, *, in_plane: bool = True, applied: bool = False, east: float = -0.3) -> EpochFit:
    corners = np.array([[0.0, 0, 0], [100, 0, 0], [0, 100, 0], [100, 100, 0]])
    motion = RigidMotion.upwards(0.2, corners.mean(axis=0))
    quality = SimpleNamespace(residual_m=0.05)
    reason = None if status == "ok" else Phrase("epoch_too_few", {})
    return EpochFit(
        status,
        reason,
        motion,
        quality,
        corners,
        in_plane,
        motion if applied else None,
        ("/a/later.laz", "/a/first.laz"),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("fits", "found"),
    [
        ([fit_of("ok")], []),
        ([fit_of("ok", applied=True)], [("dates_moved", "note")]),
        ([fit_of("failed")], [("dates_do_not_fit", "worthless")]),
        ([fit_of("failed"), fit_of("ok")], [("dates_do_not_fit", "caution")]),
        ([fit_of("degraded", applied=True)], [("dates_moved", "note"), ("dates_fit_weakly", "caution")]),
        ([fit_of("degraded", in_plane=False)], [("dates_position_unknown", "caution")]),
    ],
    ids=["ok", "moved", "no date fits", "one does not fit", "weak", "height alone"],
)
def test_dates_are_named_by_how_they_fit(fits: list[EpochFit], found: list[tuple[str, str]]) -> None:
    findings = epoch_findings(fits)
    assert [(finding.code, finding.severity) for finding in findings] == found
    for finding in findings:
        assert str(finding.values["later"]) == "later.laz"
        assert str(finding.values["first"]) == "first.laz"


def test_an_offset_is_described_as_far_as_it_was_measured() -> None:
    height, whole = describe(fit_of("ok", in_plane=False)), describe(fit_of("ok"))
    assert (height.key, height.values) == ("epoch_offset_in_height", {"up": pytest.approx(-0.2)})
    assert whole.key == "epoch_offset"
    assert whole.values == {
        name: pytest.approx(-0.2 if name == "up" else 0.0) for name in ("east", "north", "up", "turn_deg", "tilt_deg")
    }
