"""What the model does not know is not judged, and a place unlike those of the fit gets no confident grade."""

from dataclasses import replace

import numpy as np
import pandas as pd
from refusals import raises_naming

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.decision.estimates import BuildingGround
from deepnets4eo.damage.decision.findings import result_findings
from deepnets4eo.damage.decision.network import DamageNetwork
from deepnets4eo.damage.decision.pool import NetworkReliability
from deepnets4eo.damage.decision.reliability import Reliability
from deepnets4eo.damage.decision.site_fit import SiteShift
from deepnets4eo.damage.findings import join_findings
from deepnets4eo.damage.site.skill import NetworkSkill
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.grades import MAX_CONFIDENCE
from deepnets4eo.damage.table.reasons import BY_NETWORK, Reason
from deepnets4eo.errors import RunError
from deepnets4eo.outputs import Finding, Phrase

JUDGE = DecisionModel.load("damage-evidence")
GREEN, NARROW, UNLIKE = Reason.TOO_GREEN.sentence, Reason.TOO_NARROW.sentence, Reason.UNLIKE_ANY.sentence


def table(green: int, buildings: int = 40) -> Buildings:
    """Clear cases, half damaged and half not, of which the first `green` lie under tree crowns."""
    variant = JUDGE.model.variants["post_only"]
    strength = np.where(np.arange(buildings) % 2 == 0, 2.0, -2.0)
    signs = np.sign(variant.weights[1])
    frame = pd.DataFrame(variant.centre + strength[:, None] * signs * variant.scale, columns=variant.columns)
    frame["ev_greenness"] = np.where(np.arange(buildings) < green, 0.3, 0.0)
    frame["ev_roof_width_px"] = 12.0
    frame = frame.assign(id=[str(k) for k in range(buildings)], status="assessed", reason="", method="post_only")
    return Buildings(frame, {name: "" for name in frame if name.startswith("ev_")})


def test_buildings_outside_the_range_get_a_reason_and_no_grade() -> None:
    found = JUDGE.decide(table(green=3))
    frame = found.ungraded.frame
    assert frame["reason"].tolist() == [GREEN] * 3 + [""] * 37
    assert (frame["status"][:3] == "not_assessed").all()
    assert (frame["method"][:3] == "").all()
    assert frame["ev_greenness"][:3].tolist() == [0.3] * 3, "people may still see why"
    assert found.buildings.frame["damage"][:3].isna().all()
    assert found.buildings.frame["damage_prob"][:3].isna().all()
    assert found.buildings.frame["damage"][3:].notna().all()
    assert found.buildings.frame["confidence"].max() > 0.9


def test_a_place_unlike_those_of_the_fit_gets_no_confident_grade() -> None:
    few, many = (JUDGE.decide(table(green)) for green in (4, 12))
    assert few.buildings.frame["confidence"].mean() > 0.8
    assert many.buildings.frame["confidence"].max() <= MAX_CONFIDENCE
    same = slice(12, None)
    sure, doubted = (found.buildings.frame["damage_prob"][same].to_numpy(float) for found in (few, many))
    assert (np.abs(doubted - 0.5) < np.abs(sure - 0.5)).all()
    assert (np.argsort(doubted) == np.argsort(sure)).all()
    assert few.buildings.frame["damage"][same].tolist() == many.buildings.frame["damage"][same].tolist()


def test_buildings_that_are_there_twice_make_no_probability_clearer() -> None:
    once, again = table(green=0, buildings=12), table(green=0, buildings=24)
    columns = list(JUDGE.model.variants["post_only"].columns)
    once.frame[columns] = 0.9 * once.frame[columns].mean() + 0.1 * once.frame[columns]  # none is clear by itself
    again.frame[columns] = np.tile(once.frame[columns], (2, 1))
    ground = BuildingGround(np.full(24, 100.0), np.arange(24) >= 12)
    wanted = JUDGE.decide(once).buildings.frame["damage_prob"].to_numpy()
    twice = JUDGE.decide(again, ground=ground).buildings.frame["damage_prob"].to_numpy()
    np.testing.assert_allclose(twice, np.tile(wanted, 2))
    unaware = JUDGE.decide(again).buildings.frame["damage_prob"].to_numpy()
    assert np.abs(unaware[:12] - 0.5).mean() > np.abs(wanted - 0.5).mean() + 0.01


def test_grades_within_a_side_of_such_a_place_are_named_by_the_measured_thresholds() -> None:
    model = JUDGE.model
    variants = {
        name: replace(one, reliability=replace(one.reliability, thresholds=(0.5, 1e-6)))
        for name, one in model.variants.items()
    }
    named = replace(JUDGE, model=replace(model, variants=variants)).decide(table(12)).buildings.frame["damage"][12:]
    plain = JUDGE.decide(table(12)).buildings.frame["damage"][12:]
    assert set(named[named.isin(GRADES[2:])]) == {"destroyed"}
    assert (named.isin(GRADES[2:]) == plain.isin(GRADES[2:])).all()


def test_what_the_model_does_not_know_is_graded_by_the_network_where_that_was_measured() -> None:
    measured = NetworkReliability(alone={"post_only": Reliability(site=SiteShift((-1.5, 1.5), (0.5, 0.5), 0.0, 1.0))})
    judge = replace(JUDGE, network=DamageNetwork(post_weight=0.5, reliability=measured))
    opinions = np.array([[0.02, 0.02, 0.06, 0.9], [0.9, 0.06, 0.02, 0.02]])
    network = pd.DataFrame(opinions[np.arange(40) % 2 ^ 1])  # each building the other way round than its evidence says
    found = judge.decide(table(green=3).with_network(None, network.to_numpy(float)))
    frame = found.ungraded.frame
    assert frame["reason"].tolist() == [BY_NETWORK + GREEN] * 3 + [""] * 37
    assert (frame["status"] == "assessed").all()
    assert (frame["method"] == "post_only").all()
    assert found.buildings.frame["damage"][:3].tolist() == ["no-damage", "destroyed", "no-damage"]
    assert found.buildings.frame["damage"][3:].notna().all()
    finding = found.findings[0]
    assert finding.severity == "note"
    assert finding.message.startswith("3 of 40 visible buildings were graded only by the network, because")
    for other in (DamageNetwork(post_weight=0.5), DamageNetwork(reliability=measured)):
        assert (
            replace(JUDGE, network=other)
            .decide(table(green=3).with_network(None, network.to_numpy(float)))
            .ungraded.frame["status"][:3]
            == "not_assessed"
        ).all()
    network.iloc[1] = np.nan
    part = judge.decide(table(green=3).with_network(None, network.to_numpy(float)))
    assert part.ungraded.frame["status"].tolist() == ["assessed", "not_assessed"] + ["assessed"] * 38
    for sentence in (
        "1 of 40 visible buildings was not assessed, because",
        "2 of 40 visible buildings were graded only by",
    ):
        assert sentence in part.findings[0].message


def test_the_network_alone_does_not_grade_roofs_of_a_few_pixels() -> None:
    measured = NetworkReliability(alone={"post_only": Reliability(site=SiteShift((-1.5, 1.5), (0.5, 0.5), 0.0, 1.0))})
    evidence = table(green=0)
    evidence.frame["ev_roof_width_px"] = np.where(np.arange(40) < 2, 2.0, 12.0)
    network = pd.DataFrame(np.tile([0.9, 0.06, 0.02, 0.02], (40, 1)))
    found = (
        replace(JUDGE, network=DamageNetwork(post_weight=0.5, reliability=measured))
        .decide(evidence.with_network(None, network.to_numpy(float)))
        .ungraded.frame
    )
    assert (found["status"] == "not_assessed").tolist() == [True] * 2 + [False] * 38
    assert set(found["reason"][:2]) == {NARROW}


def test_a_grade_by_the_network_alone_is_not_confident() -> None:
    measured = NetworkReliability(alone={"post_only": Reliability(site=SiteShift((-4.0, 4.0), (0.5, 0.5), 0.0, 1.0))})
    network = pd.DataFrame(np.where(np.arange(40)[:, None] % 2, [0.999, 0.001, 0, 0], [0, 0, 0.001, 0.999]))
    judge = replace(JUDGE, network=DamageNetwork(post_weight=0.5, reliability=measured))
    found = judge.decide(table(green=3).with_network(None, network.to_numpy(float))).buildings.frame
    assert found["damage_prob"][:3].round().tolist() == [1, 0, 1]
    assert found["confidence"][:3].max() <= MAX_CONFIDENCE


def test_reliability_of_a_card_is_read_and_damaged_notes_are_refused() -> None:
    part = {"post_only": {"weight": 1.0, **Reliability().to_dict()}}
    read = NetworkReliability.of_card({"notes": {"reliability_alone": part}}, "runs/a", 0.5, 0.5)
    assert list(read.alone) == ["post_only"]
    assert read.together == {}
    with raises_naming(RunError, "runs/a", "reliability_alone"):
        NetworkReliability.of_card({"notes": {"reliability_alone": {"post_only": {"weight": 1.0}}}}, "runs/a", 0.5, 0.5)


def test_the_findings_name_numbers_and_grow_worse_with_the_share_outside() -> None:
    severities = {}
    for green in (0, 4, 12, 38):
        findings = [item for item in JUDGE.decide(table(green)).findings if item.code == "evidence_outside_range"]
        assert len(findings) == (green > 0)
        for finding in findings:
            assert f"{green} of 40 visible buildings" in finding.message
            assert f"({green} buildings are greener than the roofs that the model knows)" in finding.message
            assert finding.remedy.startswith("Look at the greener buildings: trees, moss or a green tint")
            severities[green] = finding.severity
    assert severities == {4: "note", 12: "caution", 38: "worthless"}


def test_the_remedy_of_evidence_out_of_range_fits_its_reasons() -> None:
    def found(*reasons: str) -> Finding:
        frame = pd.DataFrame({"status": "not_assessed", "reason": reasons})
        assessed = pd.DataFrame({"status": ["assessed"], "reason": [""]})
        return result_findings(Buildings(pd.concat([frame, *[assessed] * 9])), np.zeros(1, bool), None)[0]

    narrow, unlike = found(NARROW), found(UNLIKE, UNLIKE, NARROW)
    assert "(1 building has a roof too narrow for the image resolution)" in narrow.message
    assert narrow.remedy == "Give finer images: the roofs are too narrow for the pixels."
    assert (
        "(1 building has a roof too narrow for the image resolution; 2 buildings have evidence unlike any"
        in unlike.message
    )
    assert unlike.remedy.startswith(narrow.remedy)
    assert "haze, snow, water" in unlike.remedy
    assert "green" not in unlike.remedy


def test_unbuilt_outlines_unskilled_runs_and_empty_maps_are_findings() -> None:
    frame = pd.DataFrame({"status": ["assessed", "not_assessed"], "reason": ["", Reason.NO_BUILDING.sentence]})
    found = result_findings(Buildings(frame), np.zeros(2, bool), NetworkSkill(0.0, Phrase("skill_not_validated")))
    assert [finding.code for finding in found] == ["not_in_pre", "network_without_skill"]
    assert found[0].message.startswith("1 of 2 outlines")
    assert "its card has no validation" in found[1].message
    assert result_findings(Buildings(frame[:1]), np.zeros(1, bool), NetworkSkill(0.7)) == ()
    nothing = result_findings(
        Buildings(frame.assign(status="not_assessed", reason="under cloud")), np.zeros(2, bool), None
    )
    assert [(finding.code, finding.severity) for finding in nothing] == [("nothing_assessed", "worthless")]
    assert "(2 buildings: under cloud)" in nothing[0].message
    failed, coarse = Finding("alignment_failed", "worthless"), Finding("pre_coarse", "caution")
    assert join_findings((failed,), nothing) == (failed,), "one reason is enough"
    assert join_findings((coarse,), nothing) == (*nothing, coarse)
