"""register: known motions come back, unrelated pairs fail, and every kind of grid is taken."""

import json
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from moved_place import UTM, as_layer, moved, noisy, place
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import GridError, InputError
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import ImagePair, RegisteredPair, RegisterOptions, assume_registered, register

SHAPE = (360, 400)
SHIFT = Affine.translation(9, -5)  # pixels: things lie 9 px further right and 5 px higher in the pre image


@pytest.fixture(scope="module")
def post():
    return place(0, SHAPE)


@pytest.fixture(scope="module")
def shifted(post):
    return register(as_layer(moved(post, SHIFT)), as_layer(noisy(post)))


def test_the_matrix_leads_from_post_pixels_to_where_pre_shows_the_thing(shifted):
    assert shifted.status == "ok"
    assert shifted.model == "translation"
    np.testing.assert_allclose(shifted.matrix, [[1, 0, 9], [0, 1, -5]], atol=0.15)
    assert (shifted.dx_m, shifted.dy_m) == pytest.approx((4.5, -2.5), abs=0.08)
    assert shifted.shift_m == pytest.approx(np.hypot(4.5, 2.5), abs=0.1)


def test_points_move_east_and_north_on_the_ground(shifted):
    here = np.array([[500_100.0, 4_099_900.0]])
    there = shifted.to_pre(here)
    np.testing.assert_allclose(there - here, [[4.5, 2.5]], atol=0.08)
    np.testing.assert_allclose(shifted.to_post(there), here, atol=1e-6)


def test_the_log_has_lengths_in_their_unit_and_none_of_a_registration_that_failed(post, shifted, caplog):
    caplog.set_level("INFO", "deepnets4eo")
    before, after = as_layer(moved(post, SHIFT)), as_layer(noisy(post))
    plain = [Layer.open(layer.read()[0]) for layer in (before, after)]
    failed = register(as_layer(place(1, SHAPE)), after)
    for pair, registration in (((before, after), shifted), (plain, register(*plain)), ((before, after), failed)):
        RegisteredPair(*pair, registration).log_registration()
    on_ground, in_pixels, of_none = (record.message for record in caplog.records if "registration" in record.message)
    assert (
        on_ground == f"registration ok: translation, shift {shifted.shift_m:.2f} m, residual {shifted.residual_m:.2f} m"
    )
    assert in_pixels.startswith("registration ok: translation, shift 10.3")
    assert in_pixels.endswith(" px")
    assert of_none == f"registration failed. {failed.reason}"


@pytest.mark.parametrize("value", [-3.4028234663852886e38, 2e30, -3e200])
def test_values_that_nothing_measures_are_named_and_move_nothing(post, value, caplog):
    image = noisy(post).astype(np.float64)
    image[..., 40:90, 200:260] = value
    found = register(as_layer(moved(post, SHIFT)), Layer.open(image, grid=as_layer(post).grid))
    assert found.status == "ok"
    np.testing.assert_allclose(found.matrix, [[1, 0, 9], [0, 1, -5]], atol=0.2)
    assert caplog.text.count(f"holds values such as {value:g}, which nothing measures") == 1


def test_the_residual_comes_from_held_out_points(shifted):
    ties = shifted.tie_points
    judged = ties[ties.holdout & ties.inlier]
    assert 0 < len(judged) < len(ties)
    assert shifted.residual_m == pytest.approx(np.sqrt((judged.residual_m**2).mean()))
    assert shifted.residual_m < 0.3
    assert shifted.improvement > 0.3
    assert ties.crs.to_epsg() == 32615


def test_the_result_fits_in_json(shifted):
    told = json.loads(json.dumps(shifted.to_dict(), allow_nan=False))
    assert told["status"] == "ok"
    assert told["inliers"] == shifted.inliers
    assert np.shape(told["matrix"]) == (2, 3)


def test_a_place_is_off_by_what_half_of_the_tie_points_near_it_exceed(shifted):
    ties = dict(
        shifted.ties,
        pixel=np.array([(x, 10.0) for x in range(20)]),
        residual_m=np.arange(20.0),
        reliable=np.arange(20) > 0,
    )
    off_m = replace(shifted, ties=ties).error_m(np.array([[0.0, 10.0], [19.0, 90.0], [np.nan, 0.0]]))
    np.testing.assert_allclose(off_m, [4.5, 15.5, np.nan])
    few = ties | {"reliable": np.arange(20) > 12}
    assert np.isnan(replace(shifted, ties=few).error_m(np.array([[0.0, 10.0]]))).all()


def test_the_negative_of_the_place_is_found_too(post):
    found = register(as_layer(255 - moved(post, SHIFT)), as_layer(noisy(post)))
    assert found.status == "ok"
    np.testing.assert_allclose(found.matrix[:, 2], (9, -5), atol=0.15)


def test_another_place_fails_and_keeps_the_metadata_geometry(post):
    post = post[:220, :240]
    found = register(as_layer(place(50, post.shape)), as_layer(post))
    assert found.status == "failed"
    assert found.reason
    np.testing.assert_array_equal(found.matrix, [[1, 0, 0], [0, 1, 0]])
    json.dumps(found.to_dict(), allow_nan=False)


def test_noise_and_plain_images_fail(post):
    post = post[:200, :220]
    noise = np.random.default_rng(0).integers(0, 255, post.shape).astype(np.float32)
    for image in (noise, np.full(post.shape, 7.0)):
        assert register(as_layer(image), as_layer(post)).status == "failed"


def test_a_turn_and_scale_are_found_to_a_fifth_of_a_pixel(post):
    middle = Affine.translation(200, 180)
    motion = middle * Affine.rotation(1.2) * Affine.scale(0.985) * ~middle * Affine.translation(4, 3)
    found = register(as_layer(moved(post, motion)), as_layer(noisy(post)))
    assert found.status in ("ok", "degraded")
    assert found.model == "similarity"
    corners = np.array([[60, 60], [340, 60], [60, 300], [340, 300]], float)
    expected = np.array([motion * tuple(corner) for corner in corners])
    moved_corners = corners @ found.matrix[:, :2].T + found.matrix[:, 2]
    assert np.hypot(*(moved_corners - expected).T).max() < 0.3


def test_a_wide_turn_is_trusted_only_where_it_is_allowed(post):
    post = post[:300, :300]
    middle = Affine.translation(150, 150)
    near, wide = (middle * Affine.rotation(turn) * ~middle * Affine.translation(4, 3) for turn in (9.0, -28.0))
    found = register(as_layer(moved(post, wide)), as_layer(noisy(post)))
    assert found.status == "ok"
    np.testing.assert_allclose(found.matrix, np.reshape(wide[:6], (2, 3)), atol=0.2)
    pre, after = (as_layer(image[50:250, 50:250]) for image in (moved(post, near), noisy(post)))
    assert register(pre, after, max_rotation_deg=6).status == "failed"


def test_an_angle_that_cannot_be_is_refused(post):
    with raises_naming(InputError, "max_rotation_deg", "-1", "0", "45"):
        register(as_layer(post), as_layer(post), max_rotation_deg=-1)


def test_other_crs_resolution_and_bands_meet_on_the_ground(post):
    before = as_layer(np.stack([moved(post, SHIFT)] * 3))
    degrees = before.on(before.grid.to_crs("EPSG:4326", resolution=7e-6), "cubic")
    found = register(Layer.open(degrees.read()[0], grid=degrees.grid, nodata=0), as_layer(noisy(post)))
    assert found.status in ("ok", "degraded")
    assert (found.dx_m, found.dy_m) == pytest.approx((4.5, -2.5), abs=0.25)


def test_without_any_crs_pixels_count(post):
    found = register(as_layer(moved(post, SHIFT), crs=None), as_layer(noisy(post), crs=None))
    assert (found.dx_m, found.dy_m) == pytest.approx((9, -5), abs=0.15)
    assert found.tie_points.crs is None


def test_one_missing_crs_is_taken_pixel_for_pixel_or_refused(post):
    found = register(as_layer(moved(post, SHIFT), crs=None), as_layer(noisy(post)))
    np.testing.assert_allclose(found.matrix[:, 2], (9, -5), atol=0.15)
    with pytest.raises(GridError, match="same size"):
        register(as_layer(post[:300], crs=None), as_layer(post))


def test_images_that_do_not_overlap_are_refused(post):
    away = GeoBox(SHAPE, Affine(0.5, 0, 510_000, 0, -0.5, 4_100_000), UTM)
    with pytest.raises(GridError, match="do not overlap"):
        register(Layer.open(post.astype(np.uint8), grid=away), as_layer(post))


def test_unknown_models_and_distances_are_refused(post):
    with raises_naming(InputError, "'spline'"):
        register(as_layer(post), as_layer(post), model="spline")
    with raises_naming(InputError, "max_shift_m", "0"):
        register(as_layer(post), as_layer(post), max_shift_m=0)


def test_a_larger_shift_than_allowed_is_no_success(post):
    post = post[:200, :220]
    found = register(as_layer(moved(post, Affine.translation(40, 0))), as_layer(post), max_shift_m=8)
    assert found.status == "failed"


def test_nodata_on_half_of_the_place_is_left_out(post):
    before = np.clip(moved(post, SHIFT), 1, 255).astype(np.uint8)
    before[:, 260:] = 0
    layer = Layer.open(before, grid=as_layer(post).grid, nodata=0)
    found = register(layer, as_layer(noisy(post)))
    np.testing.assert_allclose(found.matrix[:, 2], (9, -5), atol=0.2)
    assert found.ties["pixel"][:, 0].max() < 270


def test_the_same_seed_gives_the_same_result(post, shifted):
    again = register(as_layer(moved(post, SHIFT)), as_layer(noisy(post)))
    np.testing.assert_array_equal(again.matrix, shifted.matrix)
    assert again.residual_m == shifted.residual_m


def test_a_pair_can_be_taken_as_registered_without_a_look_at_its_pixels(post, monkeypatch):
    monkeypatch.setattr("deepnets4eo.registration.tiepoints.LayerSampler.read", None)
    taken = assume_registered(as_layer(post), as_layer(post))
    assert taken.status == "ok"
    np.testing.assert_array_equal(taken.matrix, [[1, 0, 0], [0, 1, 0]])
    assert json.loads(json.dumps(taken.to_dict(), allow_nan=False))["residual_m"] is None
    assert len(taken.tie_points) == 0


def test_a_pair_too_small_to_be_measured_can_be_taken_as_registered(post):
    small = as_layer(post[..., :30, :30])
    with raises_naming(GridError, "share 30", "least 48"):
        register(small, small)
    taken = assume_registered(small, small)
    assert taken.status == "ok"
    assert json.loads(json.dumps(taken.to_dict(), allow_nan=False))["residual_m"] is None
    far = Layer.open(np.ones((30, 30), np.uint8), grid=GeoBox((30, 30), Affine(1, 0, 900_000, 0, -1, 4_000_000), UTM))
    with pytest.raises(GridError, match="do not overlap"):
        assume_registered(far, small)


@pytest.mark.slow
@pytest.mark.real_data
def test_joplin_lies_within_a_metre_of_its_metadata(real_data):
    found = register(Layer.open(real_data / "joplin" / "pre"), Layer.open(real_data / "joplin" / "post"))
    assert found.status == "ok"
    assert found.residual_m < 1.0
    assert (found.dx_m, found.dy_m) == pytest.approx((-0.3, -0.7), abs=0.4)


@pytest.mark.real_data
def test_real_images_of_different_places_fail(real_data):
    files = sorted((real_data / "dsifn_cd" / "A").glob("*.png"))
    assert len(files) > 1
    other = files[1].parents[1] / "B" / files[1].name
    assert register(Layer.open(files[0]), Layer.open(other)).status == "failed"


def test_images_that_fill_little_of_their_frame_are_registered_by_windows_that_hold_data(post):
    margin = 1600
    pre, later = (np.pad(image.clip(1, 255), margin) for image in (moved(post, SHIFT), noisy(post)))
    found = register(as_layer(pre).with_nodata(0), as_layer(later).with_nodata(0))
    assert found.status in ("ok", "degraded")
    np.testing.assert_allclose(found.matrix[:, 2], (9, -5), atol=0.3)


def test_the_ground_is_registered_where_more_blocks_lean_each_its_own_way():
    post, rng = place(3, (400, 400)), np.random.default_rng(4)
    pre, leaning = moved(post, SHIFT), 0
    for row in range(0, 400, 40):
        for col in range(0, 400, 40):
            if rng.random() < 0.65:
                lean = rng.choice([-1, 1], 2) * rng.integers(5, 11, 2)
                block = slice(row, row + 40), slice(col, col + 40)
                pre[block] = moved(post, Affine.translation(*lean) * SHIFT)[block]
                leaning += 1
    found = register(as_layer(pre), as_layer(noisy(post)))
    assert leaning > 50  # of 100
    assert found.status == "ok"
    np.testing.assert_allclose(found.matrix[:, 2], [9, -5], atol=0.2)


def test_a_small_pair_of_which_most_changed_is_registered_by_windows_each_held_out_once():
    post, rng = place(8, (256, 256)), np.random.default_rng(4)
    pre, other = moved(post, SHIFT), place(68, (256, 256))
    for row in range(0, 256, 32):
        for col in range(0, 256, 32):
            if rng.random() < 0.75:
                block = slice(row, row + 32), slice(col, col + 32)
                pre[block] = other[block]
    found = register(as_layer(pre), as_layer(noisy(post)))
    assert found.status == "degraded"  # 3 of the 11 windows of one hold-out are as chance would have it
    assert "agree with models made without them" in found.reason
    assert found.measured.significance < 1e-6
    assert found.ties["holdout"].all()
    np.testing.assert_allclose(found.matrix[:, 2], [9, -5], atol=0.2)


def test_speckle_that_hides_a_place_is_seen_through_in_larger_pixels():
    post, rng = place(2, (384, 384)), np.random.default_rng(4)
    pre, later = (0.5 * image * rng.gamma(0.9, 1 / 0.9, post.shape) for image in (moved(post, SHIFT), 255 - post))
    found = register(as_layer(pre), as_layer(later))
    assert found.status == "degraded"
    assert "agree with pixels 2 times as large" in found.reason
    np.testing.assert_allclose(found.matrix[:, 2], [9, -5], atol=1.0)


@pytest.mark.parametrize("role", ["pre", "post"])
def test_an_image_without_a_valid_pixel_is_refused_before_the_search_for_an_offset(role: str) -> None:
    values = np.random.default_rng(0).integers(1, 255, (1, 64, 64)).astype(np.float32)
    images = {"pre": values, "post": values + 1} | {role: np.full_like(values, np.nan)}
    with raises_naming(InputError, f"the {role} image", "no valid pixel"):
        ImagePair.open(images["pre"], images["post"]).register(RegisterOptions())
