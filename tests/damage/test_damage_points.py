"""Clouds as evidence of damage: columns with their meaning, a part in the decision, and refusals before the long work."""

import laspy
import numpy as np
import pandas as pd
import pytest
from refusals import raises_naming

from deepnets4eo.damage import EvidenceCard, PointEvidence, RasterEvidence, Settings, assess, open_inputs
from deepnets4eo.damage.evidences.points import CARDS, COLUMN, MEANING, PointScore
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.points import PointCloud
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City, Event, aerial_scan

pytestmark = pytest.mark.usefixtures("gathered_once")


@pytest.fixture(scope="module")
def city():
    return City(9, 200, 0.5, event=Event(kind="quake", damage_shares=(0.5, 0.1, 0.1, 0.3)))


@pytest.fixture(scope="module")
def clouds(city):
    return [aerial_scan(one, 5.0) for one in (city.pre, city.post)]


@pytest.fixture(scope="module")
def images(city):
    return [Layer.open(one.image, grid=one.grid) for one in (city.pre, city.post)]


@pytest.fixture(scope="module")
def plain(city, images):
    return assess(*images, city.footprints()).buildings


def test_buildings_of_two_images_hold_how_far_the_first_may_lie_off(city, images, plain):
    off_m = plain["pre_off_m"]
    assert off_m[plain["method"] == "pre_post"].between(0, 0.5).all()
    assert off_m[plain["method"] != "pre_post"].isna().all()
    assert (plain["method"] == "pre_post").sum() >= 3
    assert "pre_off_m" not in assess(None, images[1], city.footprints()).buildings


def test_points_add_columns_and_move_the_decision_towards_what_has_come_down(city, clouds, images, plain):
    pre, post = clouds
    result = assess(*images, city.footprints(), points=PointEvidence(post, pre))
    frame = result.buildings
    assert set(MEANING) <= set(frame.columns)
    assert all(result.meaning[name] == MEANING[name] for name in MEANING)
    both = frame["status"].eq("assessed") & frame[COLUMN].notna()
    down, up = both & (frame[COLUMN] > 0.8), both & (frame[COLUMN] < 0.05)
    assert down.sum() >= 3
    assert up.sum() >= 3
    assert (frame.loc[down, "damage_prob"] >= plain.loc[down, "damage_prob"] - 0.02).all()
    assert (frame.loc[up, "damage_prob"] <= plain.loc[up, "damage_prob"] + 0.02).all()
    assert "points_used" in [finding.code for finding in result.findings]
    assert result.parameters["evidence"]["points"]["weight_in_decision"] == pytest.approx(
        0.5 * CARDS["pre_post"].skill.value
    )
    known = frame[both]
    assert (known["ev_points_debris_low_m3"] <= known["ev_points_debris_m3"]).all()
    assert (known["ev_points_debris_m3"] <= known["ev_points_debris_high_m3"]).all()


def test_a_weight_of_zero_only_shows_the_columns(city, clouds, images, plain):
    shown = assess(*images, city.footprints(), points=PointEvidence(clouds[1], weight=0.0))
    pd.testing.assert_series_equal(shown.buildings["damage_prob"], plain["damage_prob"])
    assert shown.buildings[COLUMN].notna().any()
    assert "points_shown" in [finding.code for finding in shown.findings]


def test_the_decision_pools_log_odds_by_the_card():
    score = PointScore(PointEvidence("post.laz", "pre.laz"))
    card = CARDS["pre_post"]
    assert score.log_odds(np.array([0.0, 1.0])) == pytest.approx([card.intercept, card.intercept + card.slope])
    assert score.weight == pytest.approx(0.5 * card.skill.value)
    assert PointScore(PointEvidence("post.laz")).card == CARDS["post_only"]


def test_clouds_that_cannot_be_used_are_refused_before_the_long_work(city, clouds, images):
    post = clouds[1]
    far = PointCloud(post.xyz + [50_000, 0, 0], crs=post.crs)

    def refusal(points, evidence=()):
        open_inputs(*images, city.footprints(), Settings(), points=points, evidence=evidence)

    with pytest.raises(GridError, match="lies on the heights"):
        refusal(PointEvidence(far))
    with pytest.raises(InputError, match="does not exist"):
        refusal(PointEvidence("nowhere.laz"))
    score = RasterEvidence("change", images[1].subset([1]), 0.9, EvidenceCard(0.0, 1.0, 1.0, 100))
    with raises_naming(InputError, "at most 1"):
        refusal(PointEvidence(post, clouds[0]), [score])
    with pytest.raises(InputError, match="lie in pixels"):
        pixels = city.footprints().set_crs(None, allow_override=True)
        points = PointEvidence(post)
        from deepnets4eo.damage.evidences.points import check_point_evidence

        check_point_evidence(points, read_footprints(pixels, assume_crs="pixels"))
    with raises_naming(InputError, "weight of the points", "0 (shown only) to 1"):
        PointEvidence("post.laz", weight=2.0)
    with pytest.raises(InputError, match="job's own column"):
        RasterEvidence("points_debris_m3", "a.tif")


def test_the_identity_of_a_job_includes_its_clouds(city, clouds, images, tmp_path):
    from deepnets4eo.damage.journal import damage_journal

    def folder(points):
        inputs = open_inputs(*images, city.footprints(), Settings(), points=points)
        return damage_journal(tmp_path, inputs, Settings()).folder

    header = laspy.LasHeader(point_format=6, version="1.4")
    header.offsets, header.scales = np.floor(clouds[1].xyz.min(axis=0)), [0.001] * 3
    las = laspy.LasData(header)
    las.x, las.y, las.z = clouds[1].xyz.T
    las.write(tmp_path / "post.laz")
    names = [folder(one) for one in (None, PointEvidence(clouds[1]), PointEvidence(clouds[1], clouds[0]), PointEvidence(tmp_path / "post.laz"), PointEvidence(clouds[1], weight=0.1))]  # fmt: skip
    assert len(set(names)) == len(names)


def test_a_roof_that_was_not_seen_says_nothing_in_the_decision(city, clouds, monkeypatch):
    """Walls and edges do not show whether a roof has come down."""
    from deepnets4eo.damage.evidences import points

    evidence, footprints = PointEvidence(clouds[1], clouds[0]), read_footprints(city.footprints())
    monkeypatch.setattr(points, "MIN_ROOF_SEEN_SHARE", 0.0)
    every = evidence.measure(footprints)
    assert every[COLUMN].notna().any()
    monkeypatch.setattr(points, "MIN_ROOF_SEEN_SHARE", 1.01)
    none = evidence.measure(footprints)
    assert none[COLUMN].isna().all()
    others = [name for name in MEANING if name != COLUMN]
    pd.testing.assert_frame_equal(every[others], none[others])
