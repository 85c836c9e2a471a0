"""Footprints find their roofs: one common offset, small ones of their own, and nothing where there is nothing."""

import itertools
import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from moved_place import UTM, as_layer, houses, place, roofs
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.footprints import align_footprints
from deepnets4eo.footprints.alignment import _building_sides, _scores, edge_agreement, in_place_score, squared_normals
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import orientation_field
from deepnets4eo.registration.ground import LayerSampler, MetricFrame
from deepnets4eo.registration.tiepoints import find_peaks
from deepnets4eo.zonal import Sides

SHAPE = (500, 500)
OFF = (3.2, -2.1)  # metres that the footprints lie too far east and north (right and up)


@pytest.fixture(scope="module")
def true_outlines():
    return houses(0, 64, 250.0)


@pytest.fixture(scope="module")
def image(true_outlines):
    return as_layer(roofs(true_outlines, SHAPE))


@pytest.fixture(scope="module")
def footprints(true_outlines):
    shifted = shapely.transform(true_outlines, lambda xy: xy + (OFF[0], -OFF[1]))
    return gpd.GeoDataFrame({"id": [f"b{i}" for i in range(64)]}, geometry=shifted, crs=UTM)


@pytest.fixture(scope="module")
def aligned(image, footprints):
    return align_footprints(image, footprints)


def test_the_common_offset_leads_back_to_the_roofs(aligned):
    assert aligned.status == "ok"
    assert (aligned.dx_m, aligned.dy_m) == pytest.approx((-OFF[0], -OFF[1]), abs=0.2)
    assert aligned.agreeing > 5 * aligned.chance
    assert aligned.ratio > 1.3


def test_applied_the_outlines_cover_the_roofs(aligned, footprints, true_outlines):
    moved = aligned.apply(footprints)
    assert moved["id"].tolist() == footprints["id"].tolist()
    assert moved.crs == footprints.crs
    off = np.array([a.centroid.distance(b.centroid) for a, b in zip(moved.geometry, true_outlines, strict=True)])
    assert np.median(off) < 0.25
    assert (off < 0.8).mean() > 0.95


def test_footprints_in_degrees_move_by_the_same_metres(image, footprints, aligned):
    degrees = footprints.to_crs("EPSG:4326")
    found = align_footprints(image, degrees)
    assert (found.dx_m, found.dy_m) == pytest.approx((aligned.dx_m, aligned.dy_m), abs=0.05)
    assert found.apply(degrees).crs.to_epsg() == 4326


def test_neighbourhoods_may_lie_off_differently(true_outlines, image):
    east = np.array([outline.centroid.x > 500_125 for outline in true_outlines])
    shifts = np.where(east[:, None], (1.5, 0.0), (-1.0, 0.5))
    moved = np.array(
        [shapely.affinity.translate(outline, *shift) for outline, shift in zip(true_outlines, shifts, strict=True)],
        object,
    )
    found = align_footprints(image, gpd.GeoDataFrame(geometry=moved, crs=UTM))
    assert found.offsets_m[east, 0].mean() == pytest.approx(-1.5, abs=0.3)
    assert found.offsets_m[~east, 0].mean() == pytest.approx(1.0, abs=0.3)


def test_agreement_is_that_of_the_outline_where_it_was_moved_to(true_outlines, image):
    """Unlike offsets along both axes, so that a score read at the wrong shift is another number."""
    east = np.array([outline.centroid.x > 500_125 for outline in true_outlines])
    shifts = np.where(east[:, None], (2.5, -0.5), (-0.5, 2.0))
    polygons = [shapely.affinity.translate(one, *shift) for one, shift in zip(true_outlines, shifts, strict=True)]
    footprints = gpd.GeoDataFrame(geometry=polygons, crs=UTM)
    found = align_footprints(image, footprints)
    data, valid = image.read()
    field = orientation_field(data[0].astype(np.float32), valid)
    whole_px = np.rint(found.offsets_m / 0.5)
    back = [1 / 0.5, 0, 0, -1 / 0.5, -500_000 / 0.5, 4_100_000 / 0.5]
    pixels = [
        shapely.affinity.translate(shapely.affinity.affine_transform(one, back), *shift)
        for one, shift in zip(polygons, whole_px, strict=True)
    ]
    expected = edge_agreement(field, Sides.of(np.array(pixels, object)).trace(1.25), 2)[:, 2, 2]
    assert found.own.sum() > 30
    assert np.abs(whole_px[found.own, 0] - whole_px[found.own, 1]).min() >= 1
    np.testing.assert_allclose(found.agreement, expected, atol=0.02)


def test_a_place_without_these_houses_fails_and_moves_nothing(footprints):
    found = align_footprints(as_layer(np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.float32)), footprints)
    assert found.status == "failed"
    assert "chance" in found.reason
    assert (found.offsets_m == 0).all()
    json.dumps(found.to_dict())


def test_footprints_outside_the_image_take_the_common_offset(image, footprints):
    far = gpd.GeoDataFrame({"id": ["far"]}, geometry=[shapely.box(600_000, 4_100_000, 600_010, 4_100_010)], crs=UTM)
    both = gpd.GeoDataFrame(gpd.pd.concat([footprints, far], ignore_index=True), crs=UTM)
    found = align_footprints(image, both)
    assert found.offsets_m[-1] == pytest.approx((found.dx_m, found.dy_m))
    assert np.isnan(found.agreement[-1])
    assert align_footprints(image, far).status == "failed"


def test_outlines_narrower_than_a_pixel_have_no_say(image, footprints, true_outlines, aligned):
    slivers = [
        shapely.LineString(side).buffer(0.1, cap_style="flat")
        for house in true_outlines
        for side in itertools.pairwise(house.exterior.coords)
    ]  # on the walls of the image, which are not where the footprints have them
    both = gpd.GeoDataFrame(geometry=[*footprints.geometry, *slivers], crs=UTM)
    found = align_footprints(image, both)
    assert (found.dx_m, found.dy_m) == (aligned.dx_m, aligned.dy_m)
    np.testing.assert_array_equal(found.offsets_m[:64], aligned.offsets_m)
    assert np.isnan(found.agreement[64:]).all()


def test_outlines_that_the_images_projection_does_not_reach_have_no_sides_and_stop_nothing(image, footprints, aligned):
    beyond = gpd.GeoDataFrame(
        {"id": ["far"]}, geometry=[shapely.box(-3, 0, -2.9, 0.1)], crs=4326
    )  # 90° off its meridian
    both = gpd.GeoDataFrame(gpd.pd.concat([footprints.to_crs(4326), beyond], ignore_index=True), crs=4326)
    found = align_footprints(image, both)
    assert (found.dx_m, found.dy_m) == pytest.approx((aligned.dx_m, aligned.dy_m), abs=0.05)
    assert np.isnan(found.agreement[-1])
    assert np.isfinite(found.apply(both).geometry[:64].area).all()


def test_empty_tables_and_missing_crs_are_refused(image, footprints):
    with raises_naming(InputError, "0 rows"):
        align_footprints(image, footprints.iloc[:0])
    with raises_naming(GridError, "CRS"):
        align_footprints(image, footprints.set_crs(None, allow_override=True))


def test_without_any_crs_outlines_are_in_pixels():
    outlines = houses(2, 36, 200.0)
    pixels = shapely.transform(outlines, lambda xy: (xy - (500_000, 4_100_000)) / (0.5, -0.5))
    image = Layer.open(as_layer(roofs(outlines, (400, 400))).read()[0])
    off = gpd.GeoDataFrame(geometry=shapely.transform(pixels, lambda xy: xy + (4, -3)))
    found = align_footprints(image, off)
    assert (found.dx_m, found.dy_m) == pytest.approx((-4, 3), abs=0.4)


def test_outlines_on_the_borders_of_pixels_agree_the_same_after_the_rounding_of_a_change_of_crs():
    field = orientation_field(np.random.default_rng(0).random((40, 40)).astype(np.float32))
    outline = np.array([shapely.box(10, 12, 24, 30)], object)
    wanted = edge_agreement(field, Sides.of(outline).trace(1.0), 3)
    for noise in (2e-9, -2e-9):
        moved = shapely.transform(outline, lambda points, noise=noise: points + noise)
        np.testing.assert_allclose(edge_agreement(field, Sides.of(moved).trace(1.0), 3), wanted, atol=1e-5)


def test_edge_agreement_is_the_mean_along_the_outline_by_hand():
    field = orientation_field(place(1, (80, 80)))
    outlines = Sides.of(np.array([shapely.box(20, 25, 40, 50), shapely.box(45, 10, 60, 30)], object)).trace(1.0)
    scores = edge_agreement(field, outlines, 4)
    for building in (0, 1):
        part = slice(outlines.starts[building], outlines.starts[building + 1])
        for dy, dx in ((-4, 2), (0, 0), (3, -1)):
            col, row = np.floor(outlines.points[part]).astype(int).T
            expected = (field[row + dy, col + dx] * np.conj(squared_normals(outlines)[part])).real.mean()
            assert scores[building, dy + 4, dx + 4] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("metres", [2e6, 9e8])
def test_giants_change_no_offset_and_cost_no_points(image, footprints, aligned, metres, monkeypatch):
    made = []
    trace = Sides.trace

    def watched(self, *inputs):
        found = trace(self, *inputs)
        made.append(len(found.points))
        return found

    monkeypatch.setattr(Sides, "trace", watched)
    middle = shapely.box(500_100 - metres, 4_099_900 - metres, 500_100 + metres, 4_099_900 + metres)
    road = shapely.box(500_100 - metres, 4_099_900, 500_100 + metres, 4_099_900.2)
    shapes = [*footprints.geometry, middle, middle]
    found = align_footprints(image, gpd.GeoDataFrame(geometry=shapes, crs=UTM))
    assert np.array_equal(found.offsets_m[:-2], aligned.offsets_m)
    assert found.offsets_m[-1] == pytest.approx((found.dx_m, found.dy_m))
    align_footprints(image, gpd.GeoDataFrame(geometry=[*footprints.geometry, road], crs=UTM))
    assert made
    assert max(made) < 64 * 100 + 4 * 1000


def test_buildings_compared_a_few_at_a_time_have_the_same_scores(image, footprints):
    frame, numbers = MetricFrame.of(image.grid), np.arange(len(footprints))
    some, every = (_building_sides(image.grid, frame, footprints, 0.5, **limit) for limit in ({"chunk": 10}, {}))
    for one, other in zip((some.centres, some.sides.begin), (every.centres, every.sides.begin), strict=True):
        assert np.array_equal(one, other)
    place = LayerSampler(image, frame), some, numbers, 0.5, 8, np.zeros(2)
    assert np.array_equal(_scores(*place, most_points=150), _scores(*place))


def test_a_lone_roof_is_found_where_it_is():
    image = np.full((80, 80), 50, np.float32)
    image[30:55, 20:50] = 200
    outline = np.array([shapely.box(24, 27, 54, 52)], object)
    peaks = find_peaks(edge_agreement(orientation_field(image), Sides.of(outline).trace(1.0), 8))
    assert (peaks.cols[0], peaks.rows[0]) == pytest.approx((-4, 3), abs=0.6)


@pytest.mark.slow
@pytest.mark.real_data
def test_joplin_footprints_move_south_east_onto_the_roofs(real_data):
    folder = real_data / "joplin"
    table = gpd.read_file(folder / "footprints_overlap.geojson")
    found = align_footprints(Layer.open(folder / "pre"), table)
    assert found.status == "ok"
    assert 0.7 < found.dx_m < 2.5
    assert 1.5 < found.dy_m < 3.2


@pytest.mark.parametrize("off", [(18.0, -15.0), (-24.0, 6.0)])
def test_footprints_that_lie_far_off_find_their_roofs(image, true_outlines, off):
    moved = shapely.transform(true_outlines, lambda xy: xy + (off[0], -off[1]))
    found = align_footprints(image, gpd.GeoDataFrame(geometry=moved, crs=UTM), local=False)
    assert found.status == "ok"
    assert (found.dx_m, found.dy_m) == pytest.approx((-off[0], -off[1]), abs=0.3)
    near = align_footprints(image, gpd.GeoDataFrame(geometry=moved, crs=UTM), local=False, wide_shift_m=8.0)
    assert near.status == "failed"


def test_footprints_of_another_place_are_found_nowhere(image):
    foreign = shapely.transform(houses(77, 64, 250.0), lambda xy: xy + (16.0, 16.0))  # half a lot: between the houses
    found = align_footprints(image, gpd.GeoDataFrame(geometry=foreign, crs=UTM))
    assert found.status == "failed"
    assert found.shift_m == 0
    assert found.in_place < 3


def test_outlines_on_their_roofs_are_in_place(image, true_outlines, footprints):
    there = align_footprints(image, gpd.GeoDataFrame(geometry=true_outlines, crs=UTM), local=False)
    assert there.in_place > 8
    assert align_footprints(image, footprints, local=False).in_place < 3
    assert there.voters == 64


def test_the_rank_of_the_middle_is_compared_with_chance():
    rng = np.random.default_rng(0)
    chance = [in_place_score(rng.normal(size=(50, 11, 11)).astype(np.float32)) for _ in range(40)]
    assert np.std(chance) == pytest.approx(1, abs=0.35)
    assert abs(np.mean(chance)) < 0.6
    votes = rng.normal(size=(50, 11, 11)).astype(np.float32)
    votes[:, 5, 5] += 10
    assert in_place_score(votes) == pytest.approx((0.5 - 9 / 121) * np.sqrt(12 * 50))  # the nine best ones are one
    assert np.isnan(in_place_score(np.zeros((4, 11, 11), np.float32)))
