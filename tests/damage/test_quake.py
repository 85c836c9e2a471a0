"""After an earthquake, roofs that are surely found again count as standing, in the number, its interval and the calls."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm

from deepnets4eo.damage.buildings import NETWORK, Buildings
from deepnets4eo.damage.decision.decision import DecisionModel, name_damaged
from deepnets4eo.damage.decision.estimates import STANDING, confusion_of_grades, site_estimates
from deepnets4eo.damage.decision.network import DamageNetwork
from deepnets4eo.damage.decision.quake import AGAIN, FoundAgain
from deepnets4eo.damage.decision.site_fit import ANCHOR, GIVEN_SHARE, SHARES, SiteFit, SiteShift, fit_to_site
from deepnets4eo.damage.work import TileWork
from deepnets4eo.outputs import EventInfo

JUDGE = DecisionModel.load("damage-evidence")


def frame_of(match: list[float]) -> pd.DataFrame:
    """Buildings of which the evidence is that of the middle of the fit, but for the roofs that are found again."""
    variant = JUDGE.model.variants["pre_post"]
    rows = np.tile(variant.centre, (len(match), 1))
    frame = pd.DataFrame(rows, columns=variant.columns).assign(ev_roof_match=match, ev_roof_width_px=12.0)
    return frame.assign(
        id=[str(number) for number in range(len(match))], status="assessed", reason="", method="pre_post"
    )


def table_of(match: list[float]) -> Buildings:
    frame = frame_of(match)
    return Buildings(frame, {name: "" for name in frame if name.startswith("ev_")})


def unsure_site(found: int, others: int) -> SiteFit:
    """A site of which nothing is known but which roofs were found again."""
    even = np.tile([0.25, 0.25, 0.25, 0.25], (found + others, 1))
    weights = np.full(len(SHARES), 1 / len(SHARES))
    return SiteFit(weights, even, float(weights @ SHARES), standing=np.arange(found + others) < found)


def test_roofs_that_are_found_again_bound_the_number_from_above() -> None:
    site, spread, area = unsure_site(60, 40), np.full((100, 3), 0.5), np.full(100, 50.0)
    bound, totals = site_estimates(site, spread, area)
    free, _ = site_estimates(replace(site, standing=None), spread, area)
    assert free.interval_95[1] > 0.9
    assert bound.interval_95[1] <= 0.43  # 40 of 100, and a few collapsed storeys under whole roofs
    damaged = totals["buildings"]["damaged"]
    assert damaged["expected"] == pytest.approx(site.probabilities[:, 2:].sum())
    assert damaged["expected"] == pytest.approx(
        sum(totals["buildings"][grade]["expected"] for grade in ("major-damage", "destroyed"))
    )
    low, high = totals["built_area_m2"]["damaged"]["interval_95"]
    assert 0 <= low <= high <= 43 * 50.0


def test_a_standing_roof_is_as_seldom_damaged_as_at_other_sites_whatever_the_share_here() -> None:
    site = unsure_site(5, 5)
    for share in (0.02, 0.5, 0.98):
        p = site.at_share(share)[:, 2:].sum(axis=1)
        assert (p[:5] <= STANDING[0] / sum(STANDING)).all()
        assert p[5:] == pytest.approx(share)
    assert site.at_share(0.5).sum(axis=1) == pytest.approx(1)


def test_no_standing_roof_is_named_before_the_others() -> None:
    site = replace(unsure_site(6, 4), weights=np.eye(len(SHARES))[-1], prior=float(SHARES[-1]))
    assert name_damaged(site).tolist() == [False] * 6 + [True] * 4
    table = confusion_of_grades(site, np.full((10, 3), 0.5), np.array([0] * 6 + [3] * 4))
    high = sum(table["no-damage"]["truly"][grade]["interval_95"][1] for grade in ("major-damage", "destroyed"))
    assert high <= 2


def test_roofs_count_as_standing_after_earthquakes_alone_and_where_no_share_is_given() -> None:
    match = [0.9] * 30 + [0.2] * 20
    quake, wind = (JUDGE.decide(table_of(match), event=EventInfo(name=name)) for name in ("Erdbeben", "Tornado"))
    assert quake.buildings.frame["damage_prob"][:30].max() < 0.02 < wind.buildings.frame["damage_prob"][:30].min()
    assert quake.share.interval_95[1] < wind.share.interval_95[1]
    assert [finding.affected for finding in quake.findings if finding.code == "roofs_found_again"] == [30]
    assert not any(finding.code == "roofs_found_again" for finding in wind.findings)
    given = replace(JUDGE, damaged_share=0.5).decide(table_of(match), event=EventInfo(name="Earthquake"))
    assert given.share.status == GIVEN_SHARE
    assert given.buildings.frame["damage_prob"].mean() == pytest.approx(0.5, abs=1e-3)


def test_a_roof_is_found_where_it_was_compared_and_agrees() -> None:
    frame = frame_of([AGAIN, AGAIN - 0.01, 0.9, 0.9, np.nan])
    frame.loc[2, "status"], frame.loc[3, "method"] = "not_assessed", "post_only"
    intact = np.tile([0.9, 0.05, 0.03, 0.02], (5, 1))
    assert FoundAgain.of(Buildings(frame), intact).standing.tolist() == [True, False, False, False, False]
    unmatched = Buildings(frame.drop(columns="ev_roof_match"))
    assert not FoundAgain.of(unmatched, intact).standing.any()
    assert FoundAgain.of(unmatched, intact).findings(unmatched) == ()


def graded_by_network(frame: pd.DataFrame, damaged: list[float]) -> Buildings:
    """A table whose buildings the network calls damaged with these probabilities."""
    p = np.array(damaged)
    values = np.column_stack([1 - p, np.zeros(len(p)), np.zeros(len(p)), p])
    return Buildings(frame.assign(**dict(zip(NETWORK, values.T, strict=True))))


@pytest.mark.parametrize(
    ("by_network", "by_model", "stands"),
    [(0.99, 0.99, False), (0.91, 0.91, False), (0.99, 0.8, True), (0.1, 0.99, True), (np.nan, 0.99, True)],
)
def test_a_roof_that_network_and_model_both_call_damaged_does_not_stand_since_it_is_found_again(
    by_network: float, by_model: float, stands: bool
) -> None:
    table = graded_by_network(frame_of([0.9]), [by_network])
    found = FoundAgain.of(table, np.array([[1 - by_model, 0, 0, by_model]]))
    assert (found.standing.tolist(), found.doubtful.tolist()) == ([stands], [not stands])


def test_a_roof_that_is_found_again_is_one_likelihood_in_odds_if_all_else_calls_it_damaged() -> None:
    p = np.array([0.91, 0.92, 0.95, 0.999])
    even = np.column_stack([1 - p, 0 * p, 0 * p, p])
    table = graded_by_network(frame_of([0.9] * 4), p.tolist())
    found = FoundAgain.of(table, even)
    again = found.weigh(even)[:, 2:].sum(axis=1)
    ratio = (2 / 50) / (231 / 413)  # of the five cities
    np.testing.assert_allclose(again / (1 - again), ratio * p / (1 - p), rtol=1e-6)
    assert found.ruins.tolist() == (again >= 0.5).tolist() == [False, False, True, True]


@pytest.mark.parametrize(("ruins", "roofs", "warns"), [(2, 9, False), (3, 20, True), (3, 200, False), (122, 230, True)])
def test_many_ruins_under_roofs_that_are_found_again_contradict_the_earthquake(
    ruins: int, roofs: int, warns: bool
) -> None:
    damaged = np.where(np.arange(roofs) < ruins, 0.97, 0.1)
    table = graded_by_network(frame_of([0.9] * roofs), damaged.tolist())
    findings = FoundAgain.of(table, np.column_stack([1 - damaged, 0 * damaged, 0 * damaged, damaged])).findings(table)
    assert [finding.code for finding in findings] == ["no_earthquake_in_images"] * warns + ["roofs_found_again"]
    if warns:
        assert findings[0].severity == "caution"
        assert f"{ruins} of {roofs} roofs" in findings[0].message


@pytest.mark.parametrize(
    ("name", "quake"),
    [("Kahramanmaraş earthquake", True), ("Sismo de Ica", True), ("Deprem 2023", True), ("زلزال الحوز", True), ("Tornado", False),
     ("", False), ("Séisme d'Haïti", True), ("Tsunami after an earthquake", True), ("Hurricane Harvey", False)],
)  # fmt: skip
def test_the_name_of_an_event_says_an_earthquake(name: str, quake: bool) -> None:
    assert EventInfo(name=name).is_earthquake is quake


FAR = SiteShift((-2.0, 4.0), (1.0, 2.0), -0.4, 1.7, 3.0)


def test_roofs_that_are_found_again_measure_the_level_of_intact_buildings() -> None:
    """The posterior of both levels is the conditional normal distribution, given the measured level of intact buildings."""
    roofs = -4.5 + 0.9 * norm.ppf((np.arange(60) + 0.5) / 60)
    shift = FAR.with_anchor(roofs)
    assert 0.85 < shift.within < 1.2  # as of these roofs, a little as of other sites
    covariance = np.array([[1.0, -0.8], [-0.8, 4.0]])
    noise = ANCHOR.others_spread**2 + shift.within**2 / 60
    gain = covariance[:, 0] / (covariance[0, 0] + noise)
    level = np.array(FAR.level) + gain * (np.median(roofs) + ANCHOR.others_above - FAR.level[0])
    left = covariance - np.outer(gain, covariance[0])
    np.testing.assert_allclose(shift.level, level)
    np.testing.assert_allclose(np.square(shift.between), np.diag(left))
    assert shift.correlation * shift.between[0] * shift.between[1] == pytest.approx(left[0, 1])


def test_few_roofs_and_roofs_of_several_kinds_measure_nothing() -> None:
    assert FAR.with_anchor(np.full(ANCHOR.min_roofs - 1, -4.0)) is FAR
    damaged_too = np.concatenate([np.linspace(-6, -4, 30), np.linspace(2, 6, 29)])  # as after a storm
    assert FAR.with_anchor(damaged_too) is FAR


def test_damage_below_the_level_of_other_sites_is_named_above_roofs_of_the_own_site() -> None:
    rng = np.random.default_rng(1)
    odds = np.concatenate([rng.normal(-5.5, 0.6, 60), rng.normal(-4.5, 0.6, 30), rng.normal(-0.5, 0.6, 12)])
    rows = np.stack([1 - expit(odds), np.zeros(102), np.zeros(102), expit(odds)], axis=1)
    again = np.arange(102) < 60
    free, anchored = (fit_to_site(rows, np.full(102, "a"), {"a": FAR}, anchors=anchors) for anchors in (None, again))
    assert not name_damaged(free).any()
    assert name_damaged(anchored)[90:].sum() >= 10
    assert not name_damaged(anchored)[:90].any()


@pytest.mark.parametrize(
    ("event", "weight", "graded"), [("Earthquake", 0.5, True), ("Tornado", 0.5, False), ("Earthquake", 1.0, False)]
)
def test_leaning_roofs_are_graded_from_post_at_their_own_position_after_earthquakes(
    event: str, weight: float, graded: bool
) -> None:
    asked = []

    def post_probabilities(post: str, outlines: str, *others: object) -> pd.DataFrame:
        asked.append((post, outlines, others[:3], others[3].tolist()))
        return pd.DataFrame()

    site = SimpleNamespace(
        buildings=SimpleNamespace(leaning=np.array([False, True, True])), event=EventInfo(name=event), post="post", roofs_px="roofs",
        work=SimpleNamespace(tiles=lambda step: TileWork(), run=lambda name, step: step()),
    )  # fmt: skip
    network = DamageNetwork(SimpleNamespace(post_probabilities=post_probabilities), weight, 0.4)
    assert (network.grade_leaning(site) is not None) is graded
    assert asked == ([("post", "roofs", (None, None, "post"), [1, 2])] if graded else [])


def test_a_leaning_roof_has_the_grades_of_post_and_the_others_those_of_the_pair() -> None:
    frame = frame_of([0.9, 0.9, 0.9])
    buildings = replace(Buildings(frame), displaced=np.array([False, True, True]))
    pair, post = np.tile([0.7, 0.1, 0.1, 0.1], (3, 1)), np.full((3, 4), np.nan)
    post[1] = [0.1, 0.1, 0.1, 0.7]
    network = buildings.with_network(pair, post, leaves_displaced=True).network
    np.testing.assert_array_equal(network, [pair[0], post[1], np.full(4, np.nan)])
    np.testing.assert_array_equal(buildings.with_network(pair, post).network, pair)
