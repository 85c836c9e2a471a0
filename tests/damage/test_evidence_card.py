"""A card says what a score means for damage, and its skill limits its part in the decision."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import raises_naming

from deepnets4eo.damage import EvidenceCard, PointEvidence, RasterEvidence
from deepnets4eo.damage.evidences.points import PointScore
from deepnets4eo.damage.evidences.rasters import ScoreLayer
from deepnets4eo.damage.site.skill import card_path
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import InputError
from deepnets4eo.rasters import Layer


def scores(seed: int, count: int = 4000, gap: float = 2.0):
    """Two normal distributions `gap` apart with standard deviation 1, one in five damaged."""
    rng = np.random.default_rng(seed)
    damaged = rng.random(count) < 0.2
    return rng.normal(0, 1, count) + gap * damaged, damaged


def test_log_odds_are_those_of_two_normal_distributions_at_equal_shares():
    card = EvidenceCard.fit(*scores(0))
    np.testing.assert_allclose(card.log_odds(np.array([0.0, 1.0, 2.0])), [-2.0, 0.0, 2.0], atol=0.25)
    assert card.auc_major_or_worse == pytest.approx(0.921, abs=0.015)  # Φ(gap / √2)
    assert card.skill.value == pytest.approx(2 * card.auc_major_or_worse - 1)


def test_a_score_that_is_low_where_damage_is_has_a_falling_slope_and_the_same_skill():
    values, damaged = scores(1)
    card, mirrored = EvidenceCard.fit(values, damaged), EvidenceCard.fit(-values, damaged)
    assert mirrored.slope == pytest.approx(-card.slope, rel=1e-3)
    assert mirrored.auc_major_or_worse == pytest.approx(card.auc_major_or_worse)


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (EvidenceCard(0, 1, 0.9, 29), "validated on 29 buildings"),
        (EvidenceCard(0, 1, 0.54, 300), "its AUC is 0.54"),
    ],
)
def test_few_buildings_and_a_weak_score_are_no_skill(card, reason):
    assert card.skill.value == 0
    assert reason in card.skill.reason


def test_a_card_is_written_beside_its_raster_and_read_again(tmp_path):
    card = EvidenceCard.fit(*scores(2))
    path = card.write(tmp_path / "score.tif")
    assert path == card_path(tmp_path / "score.tif") == tmp_path / "score.evidence.yaml"
    assert EvidenceCard.read(path) == card
    assert card.synthetic is False  # unless somebody says so
    made_up = replace(card, synthetic=True)
    assert EvidenceCard.read(made_up.write(tmp_path / "score.tif")) == made_up


@pytest.mark.parametrize("text", ["intercept: 1\nslope: 2\n", "a list", "intercept: x\nslope: 1\n"])
def test_a_card_that_lacks_a_number_is_refused(tmp_path, text):
    (tmp_path / "c.evidence.yaml").write_text(text)
    with pytest.raises(InputError, match="is no evidence card: expected numbers intercept, slope"):
        EvidenceCard.read(tmp_path / "c.evidence.yaml")


def test_numbers_that_are_none_are_refused():
    with raises_naming(InputError, "AUC", "0", "1"):
        EvidenceCard(np.nan, 1, 0.8, 100)


@pytest.mark.parametrize(
    ("values", "damaged", "message"),
    [
        ([0.1, 0.2], [True], r"scores are \(2,\), damage is \(1,\)"),
        ([0.1, np.nan, 0.3], [True, False, True], "2 of 2 buildings with a score are damaged"),
        ([0.5, 0.5], [True, False], "standard deviation is 0"),
    ],
)
def test_buildings_that_cannot_be_ranked_are_refused(values, damaged, message):
    with pytest.raises(InputError, match=message):
        EvidenceCard.fit(values, damaged)


def seen(column: str) -> Buildings:
    """Four buildings: one has no score, one is not assessed."""
    frame = pd.DataFrame({"status": ["assessed"] * 3 + ["not_assessed"], column: [0.1, np.nan, 0.9, 0.5]})
    return Buildings(frame, {column: "a score"})


@pytest.mark.parametrize(("weight", "code"), [(0.0, "points_shown"), (0.4, "points_used")])
def test_points_are_named_with_the_weight_that_they_have(weight: float, code: str) -> None:
    score = PointScore(PointEvidence("post.laz", "pre.laz", weight=weight))
    finding = score.finding(seen(score.column))
    assert (finding.code, finding.values["missing"], finding.values["assessed"]) == (code, 1, 3)
    assert score.weight == pytest.approx(weight)  # an AUC of 1
    if weight:
        assert (finding.values["auc"], finding.values["buildings"]) == (1.0, 808)
        assert score.to_dict()["card"]["intercept"] == -4.761
    assert score.paths == {"points_post": "post.laz", "points_pre": "pre.laz"}


@pytest.mark.parametrize(
    ("card", "weight", "code"),
    [
        (EvidenceCard(0.0, 1.0, 0.9, 100), 0.5, "evidence_used"), (EvidenceCard(0.0, 1.0, 0.9, 100, synthetic=True), 0.5, "evidence_used"),
        (None, 0.5, "evidence_unvalidated"), (EvidenceCard(0.0, 1.0, 0.5, 100), None, "evidence_without_skill"),
    ],
)  # fmt: skip
def test_a_raster_is_named_by_what_its_card_shows(card: EvidenceCard | None, weight: float | None, code: str) -> None:
    layer = ScoreLayer(
        RasterEvidence("score", "score.tif", weight=weight), Layer.open(np.zeros((1, 4, 4))), 1.0, card, None
    )
    finding = layer.finding(seen(layer.column))
    assert (finding.code, finding.values["missing"], finding.values["assessed"]) == (code, 1, 3)
    if code == "evidence_used" and card is not None:
        assert finding.values["synthetic"] == (100 if card.synthetic else None)
        assert finding.values["skill"] == pytest.approx(0.8)
        assert finding.values["weight"] == pytest.approx(layer.weight)
