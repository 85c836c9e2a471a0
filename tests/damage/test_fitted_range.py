"""What a model knows is measured on the data of its fit, and what lies beyond is named."""

import numpy as np
import pandas as pd
import pytest

from deepnets4eo.damage.decision.fit_model import fit_range, reliable_limit
from deepnets4eo.damage.decision.model import GREEN, NARROW, DamageModel, FittedRange
from deepnets4eo.damage.table.reasons import Reason

MODEL = DamageModel.load()


def test_the_distance_is_that_of_mahalanobis_and_one_in_a_hundred_lies_beyond() -> None:
    rng = np.random.default_rng(0)
    values = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 5000)
    damaged, right = rng.random(5000) < 0.5, np.ones(5000, bool)
    place = np.repeat(np.array(["a", "b"], object), 2500)
    found = fit_range(values, pd.DataFrame(index=range(5000)), right, damaged, place)
    inverse = np.linalg.inv(np.cov(values.T))
    direct = np.array([np.sqrt(row @ inverse @ row) for row in values[:50]])
    np.testing.assert_allclose(found.distance(values[:50]), direct)
    outside = found.reasons(values, pd.DataFrame(index=range(5000))) != ""
    assert outside.mean() == pytest.approx(0.01, abs=0.001)
    assert found.place_share == max(outside[:2500].mean(), outside[2500:].mean())
    # two columns of which each alone is common, but not together
    assert found.reasons(np.array([[2.0, 2.0], [2.0, -2.0]]), pd.DataFrame(index=[0, 1])).tolist() == [
        "",
        Reason.UNLIKE_ANY,
    ]


def test_what_is_extreme_in_a_known_way_is_not_far_and_what_contradicts_itself_is() -> None:
    variant = MODEL.variants["pre_post"]
    signs = np.sign(variant.weights[1])
    agreeing = np.array([signs * strength for strength in (-60.0, -3.0, 3.0, 60.0)])
    contradicting = np.where(np.arange(len(signs)) % 2 == 0, signs, -signs)[None] * 3.0
    rows = variant.centre + np.vstack([agreeing, contradicting, np.full((1, len(signs)), np.nan)]) * variant.scale
    frame = pd.DataFrame(rows, columns=variant.columns).assign(status="assessed", method="pre_post")
    assert MODEL.outside_range(frame).tolist() == ["", "", "", "", Reason.UNLIKE_ANY, ""]


def test_a_limit_lies_where_grades_of_buildings_left_out_become_good_enough() -> None:
    value = np.arange(2000, dtype=float)
    damaged = np.arange(2000) % 2 == 0
    rng = np.random.default_rng(1)
    right = np.where(value >= 1400, rng.random(2000) < 0.6, True)
    assert reliable_limit(value, right, damaged) == pytest.approx(1400, abs=1)
    assert reliable_limit(value, np.ones(2000, bool), damaged) is None
    assert reliable_limit(-value, right, damaged) is None  # the other end is known
    # intact buildings right and damaged ones wrong is not knowing either
    assert reliable_limit(value, ~damaged | (value < 1600), damaged) == pytest.approx(1600, abs=1)


def test_buildings_beyond_a_limit_get_its_reason() -> None:
    known = FittedRange(9.0, np.eye(1), {NARROW: 3.0, GREEN: 0.1}, 0.1)
    frame = pd.DataFrame({NARROW: [2.9, 3.1, np.nan, 8.0], GREEN: [0.0, 0.2, 0.05, np.nan]})
    reasons = known.reasons(np.zeros((4, 1)), frame)
    assert reasons.tolist() == [Reason.TOO_NARROW, Reason.TOO_GREEN, "", ""]


def test_a_range_comes_back_from_its_plain_values() -> None:
    known = FittedRange(5.5, np.array([[1.0, 0.25], [0.25, 1.0]]), {GREEN: 0.1}, 0.2)
    again = FittedRange.from_dict(known.to_dict())
    assert (again.farthest, again.limits, again.place_share) == (5.5, {GREEN: 0.1}, 0.2)
    np.testing.assert_array_equal(again.covariance, known.covariance)


def test_every_variant_of_the_shipped_model_says_what_it_knows() -> None:
    assert len(MODEL.variants) == 4
    for variant in MODEL.variants.values():
        assert variant.known is not None
        assert variant.known.covariance.shape == (len(variant.columns),) * 2
        assert np.linalg.eigvalsh(variant.known.covariance).min() > 0


def test_roofs_under_crowns_and_absurd_evidence_lie_outside_and_average_ones_inside() -> None:
    variant = MODEL.variants["post_only"]
    frame = pd.DataFrame([variant.centre] * 5, columns=variant.columns)
    frame = frame.assign(status="assessed", method="post_only", ev_roof_width_px=12.0, ev_greenness=0.0)
    frame.loc[1, "ev_greenness"] = 0.3
    frame.loc[2, "ev_roof_width_px"] = 1.5
    frame.loc[3, ["ev_roof_roughness", "ev_roof_vs_ground"]] = [0.0, -9.0]  # rough, and far smoother than the ground
    frame.loc[4, ["status", "ev_greenness"]] = ["not_assessed", 0.3]
    assert MODEL.outside_range(frame).tolist() == ["", Reason.TOO_GREEN, Reason.TOO_NARROW, Reason.UNLIKE_ANY, ""]


def test_missing_values_set_no_limit() -> None:
    value = np.arange(2000, dtype=float)
    value[:400] = np.nan
    assert reliable_limit(value, np.arange(2000) >= 400, np.arange(2000) % 2 == 0) is None


def test_narrow_roofs_have_a_least_and_green_ones_a_largest_value() -> None:
    rng = np.random.default_rng(0)
    value = np.arange(2000) / 100
    damaged, right = np.arange(2000) % 2 == 0, (value >= 4) & (value < 16)
    evidence = pd.DataFrame({NARROW: value, GREEN: value})
    found = fit_range(rng.normal(size=(2000, 2)), evidence, right, damaged, np.full(2000, "a", object))
    assert found.limits == pytest.approx({NARROW: 4, GREEN: 16}, abs=0.02)
