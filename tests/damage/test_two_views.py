"""Sites seen from two sides: evidence is weighed by its scatter among roofs found again, and no rate of other sites overrides it."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from deepnets4eo.damage.decision.decision import DecisionModel, name_damaged
from deepnets4eo.damage.decision.network import DamageNetwork
from deepnets4eo.damage.decision.reliability import Judgement, Opinion
from deepnets4eo.damage.decision.site_fit import ANCHOR, GIVEN_SHARE, ShareEstimate, SiteShift, fit_to_site
from deepnets4eo.damage.decision.two_views import AGAIN, COLUMNS, MEASURED, FoundAgain, sum_of_deviations
from deepnets4eo.damage.site.work import TileWork
from deepnets4eo.damage.table.buildings import NETWORK, Buildings
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


def table_of(match: list[float], *, leaning: bool = True, **columns: object) -> Buildings:
    frame = frame_of(match).assign(**columns)
    displaced = np.arange(len(match)) == 0 if leaning else None
    return Buildings(frame, {name: "" for name in frame if name.startswith("ev_")}, displaced=displaced)


def city(leaning: bool = True) -> tuple[Buildings, np.ndarray]:
    """Return 60 standing and 8 collapsed buildings whose texture changes the wrong way round, as in a city seen from two sides."""
    rng = np.random.default_rng(3)
    damaged = np.arange(68) >= 60
    match = np.where(damaged, 0.2, np.where(np.arange(68) < 45, 0.9, 0.4)) + rng.normal(0, 0.03, 68)
    centre, scale = (
        pd.Series(getattr(JUDGE.model.variants["pre_post"], name), JUDGE.model.variants["pre_post"].columns)
        for name in ("centre", "scale")
    )
    shown = {
        name: centre[name] + scale[name] * (rng.normal(0, 0.5, 68) + sign * 1.0 * damaged)
        for name, sign in COLUMNS.items()
        if name in centre
    }
    shown |= {name: rng.normal(0, 0.5, 68) + 1.5 * damaged for name in ("ev_context_change", "ev_context_roughness")}
    misled = {
        name: centre[name] + scale[name] * np.where(damaged, -2.0, 0.8)
        for name in ("ev_texture_change", "ev_light_change", "ev_roof_roughness_change")
    }
    return table_of(match.tolist(), leaning=leaning, **(shown | misled | {"ev_roof_match": match})), damaged


def test_the_sum_is_of_robust_deviations_from_roofs_that_are_found_again() -> None:
    buildings, _ = city()
    again = buildings.values("ev_roof_match") >= AGAIN
    expected = []
    for name, sign in COLUMNS.items():
        if name == "network":  # none took part
            continue
        values = sign * buildings.values(name)
        of = values if name == "ev_roof_match" else values[again]
        deviation = np.median(np.abs(of - np.median(of))) / norm.ppf(0.75)
        expected.append(np.clip((values - np.median(of)) / deviation, -3, 4))
    np.testing.assert_allclose(sum_of_deviations(buildings, again), np.mean(expected, axis=0) * len(COLUMNS))


def test_a_roof_as_those_found_again_is_damaged_in_one_case_of_eighty_and_even_at_a_sum_of_7() -> None:
    """The fit to five cities; half of the decision rests on it."""
    alike = table_of([0.9] * 12)
    found = FoundAgain.of(alike, np.full((12, 4), 0.25))
    opinion = found.opinion(alike)
    assert opinion.weight == 0.5
    np.testing.assert_allclose(expit(opinion.log_odds), 1 / 80, rtol=0.02)
    columns = [name for name in COLUMNS if name in alike.frame]  # three of eight, which count for the missing ones
    scattered = table_of(np.linspace(0.7, 0.9, 12).tolist(), **{name: np.linspace(0, 1, 12) for name in columns[1:]})
    found = FoundAgain.of(scattered, np.full((12, 4), 0.25))
    sums = sum_of_deviations(scattered, found.again)
    assert np.ptp(sums) > 1
    np.testing.assert_allclose(
        found.opinion(scattered).log_odds, np.interp(sums, [-50, 6.8, 50], [-36.36, 0, 27.6]), atol=0.05
    )
    scattered.frame.loc[0, "status"] = "not_assessed"
    assert np.isnan(found.opinion(scattered).log_odds).tolist() == [True] + [False] * 11


def test_the_network_counts_by_its_log_odds_up_to_one_in_a_thousand() -> None:
    p = np.concatenate([np.linspace(0.02, 0.3, 10), [1e-3, 1e-5, 0.6]])
    table = table_of([0.9] * 13, **dict(zip(NETWORK, [1 - p, 0 * p, 0 * p, p], strict=True)))
    of_network = sum_of_deviations(table.with_columns({}, {}), np.arange(13) < 10)
    assert of_network[10] == pytest.approx(of_network[11])
    assert of_network[10] < of_network[0] < of_network[9] < of_network[12]


def test_the_sum_of_the_network_is_of_logits_of_its_probability_of_damage() -> None:
    p = np.array([0.03, 0.05, 0.08, 0.1, 0.2, 0.9])
    network = dict(zip(NETWORK, [1 - p, 0 * p, 0.5 * p, 0.5 * p], strict=True))
    frame = (
        frame_of([0.9] * 6)
        .drop(columns=[name for name in COLUMNS if name != "network"], errors="ignore")
        .assign(**network)
    )
    reference = np.arange(6) < 5
    logits = logit(p)
    middle = np.median(logits[:5])
    deviations = (logits - middle) / (np.median(np.abs(logits[:5] - middle)) / norm.ppf(0.75))
    found = sum_of_deviations(Buildings(frame, {}), reference)
    np.testing.assert_allclose(found, len(COLUMNS) * np.minimum(deviations, 4))  # 4 at most


def test_without_roofs_that_were_looked_for_no_site_is_seen_from_two_sides() -> None:
    table = table_of([0.9] * 30)
    buildings = Buildings(table.frame.drop(columns="ev_roof_match"), {}, displaced=np.arange(30) == 0)
    assert not FoundAgain.of(buildings, np.full((30, 4), 0.25)).leaning


def test_evidence_that_misleads_from_another_side_no_longer_decides() -> None:
    (seen, damaged), (plain, _) = city(), city(leaning=False)
    p, before = (JUDGE.decide(table).buildings.frame["damage_prob"] for table in (seen, plain))
    assert roc_auc_score(damaged, p) > roc_auc_score(damaged, before) + 0.05
    assert roc_auc_score(damaged, p) > 0.95


@pytest.mark.parametrize("name", ["Earthquake", "Tornado", "Wildfire"])
def test_the_name_of_a_hazard_changes_no_grade_where_no_roof_is_displaced(name: str) -> None:
    plain, _ = city(leaning=False)
    named, unnamed = (JUDGE.decide(plain, event=EventInfo(name=words)) for words in (name, ""))
    pd.testing.assert_frame_equal(named.buildings.frame, unnamed.buildings.frame)
    assert named.share == unnamed.share


def test_an_earthquake_makes_roofs_found_again_less_likely_damaged_and_a_given_share_stays() -> None:
    buildings, _ = city()
    again = buildings.values("ev_roof_match") >= AGAIN
    quake, wind = (JUDGE.decide(buildings, event=EventInfo(name=name)) for name in ("Erdbeben", "Tornado"))
    less, more = (decision.buildings.frame["damage_prob"].to_numpy() for decision in (quake, wind))
    assert (less[again] < more[again]).all()
    np.testing.assert_allclose(less[~again], more[~again])
    assert [finding.affected for finding in quake.findings if finding.code == "roofs_found_again"] == [again.sum()]
    given = replace(JUDGE, damaged_share=0.5).decide(buildings, event=EventInfo(name="Earthquake"))
    assert given.share.status == GIVEN_SHARE
    assert given.buildings.frame["damage_prob"].mean() == pytest.approx(0.5, abs=1e-3)


def test_a_roof_is_found_if_it_was_compared_and_agrees() -> None:
    frame = frame_of([0.6, 0.59, 0.9, 0.9, np.nan])
    frame.loc[2, "status"], frame.loc[3, "method"] = "not_assessed", "post_only"
    intact = np.tile([0.9, 0.05, 0.03, 0.02], (5, 1))
    assert FoundAgain.of(Buildings(frame), intact).again.tolist() == [True, False, False, False, False]
    unmatched = FoundAgain.of(Buildings(frame.drop(columns="ev_roof_match")), intact)
    assert not unmatched.again.any()
    assert not unmatched.two_views


def roofs(number: int, ruins: int, *, leaning: bool = True, by_network: float = 0.9) -> FoundAgain:
    """Roofs found again, some of which both models call damaged."""
    ruined = np.where(np.arange(number) < ruins, by_network, 0.1)
    table = table_of(
        [0.9] * number, leaning=leaning, **dict(zip(NETWORK, [1 - ruined, 0 * ruined, 0 * ruined, ruined], strict=True))
    )
    p = np.where(np.arange(number) < ruins, 0.9, 0.1)
    return FoundAgain.of(table, np.column_stack([1 - p, 0 * p, 0 * p, p]))


@pytest.mark.parametrize(
    ("found", "two"),
    [(roofs(30, 0), True), (roofs(30, 10), True), (roofs(30, 11), False), (roofs(30, 20, by_network=0.2), True),
     (roofs(30, 20, by_network=np.nan), False), (roofs(9, 0), False), (roofs(10, 0), True), (roofs(30, 0, leaning=False), False)],
)  # fmt: skip
def test_a_site_is_seen_from_two_sides_if_roofs_are_displaced_and_those_found_again_stand(
    found: FoundAgain, two: bool
) -> None:
    assert found.two_views is two


def test_a_roof_that_is_found_again_is_one_likelihood_in_odds() -> None:
    p = np.array([0.05, 0.5, 0.95, 0.999])
    even = np.column_stack([1 - p, 0 * p, 0 * p, p])
    again = roofs(4, 0).weigh(even)[:, 2:].sum(axis=1)
    np.testing.assert_allclose(again / (1 - again), (2 / 50) / (231 / 413) * p / (1 - p), rtol=1e-6)  # the five cities
    assert again[-1] > 0.95  # no rate overrides what all evidence shows


@pytest.mark.parametrize(
    ("name", "low", "status", "warns"),
    [("Earthquake", 0.4, "estimated", True), ("Earthquake", 0.2, "estimated", False), ("Tornado", 0.9, "estimated", False),
     ("Earthquake", 0.9, GIVEN_SHARE, False)],
)  # fmt: skip
def test_more_damage_than_earthquakes_do_contradicts_the_name(name: str, low: float, status: str, warns: bool) -> None:
    share = ShareEstimate(0.95, status, (low, 1.0), 0.0, 0.5)
    table = table_of([0.9] * 50, leaning=False)
    found = FoundAgain.of(table, np.full((50, 4), 0.25)).findings(table, EventInfo(name=name), share)
    assert [finding.code for finding in found] == ["no_earthquake_in_images"] * warns
    if warns:
        assert found[0].severity == "caution"
        assert "At least 20 of 50 buildings" in found[0].message


def test_a_score_of_measured_reliability_leaves_less_doubt_than_one_that_was_not_measured() -> None:
    judgement = Judgement(
        JUDGE.model.probabilities(frame_of([0.9])), np.array(["pre_post"], object), JUDGE.model.reliabilities
    )
    opinion = [Opinion(0.5, np.array([-3.0]))]
    known, unknown = judgement.pooled_with(opinion, MEASURED), judgement.pooled_with(opinion)
    np.testing.assert_allclose(known.probabilities, unknown.probabilities)
    measured, unmeasured = (one.reliabilities[one.whose[0]] for one in (known, unknown))
    assert measured.spread[0] < unmeasured.spread[0]
    own = JUDGE.model.reliabilities["pre_post"].site
    assert measured.site.level == pytest.approx(tuple(np.mean([own.level, MEASURED.site.level], axis=0)))
    assert measured.site.between == pytest.approx(
        tuple(np.hypot(*(np.array([own.between, MEASURED.site.between]) / 2)))
    )


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
    ("event", "weights", "leaning", "graded"),
    [
        pytest.param("Earthquake", (0.5, 0.4), [False, True, True], True, id="earthquake"),
        pytest.param("Tornado", (0.5, 0.4), [False, True, True], True, id="tornado"),
        pytest.param("Earthquake", (1.0, 0.4), [False, True, True], False, id="the network decides alone"),
        pytest.param("Earthquake", (0.5, 0.0), [False, True, True], False, id="no skill from post"),
        pytest.param("Earthquake", (0.5, 0.4), [False, False, False], False, id="no roof leans"),
    ],
)
def test_leaning_roofs_are_graded_from_post_at_their_own_position_whatever_the_hazard(
    event: str, weights: tuple[float, float], leaning: list[bool], graded: bool
) -> None:
    asked = []

    def post_probabilities(post: str, outlines: str, *others: object) -> pd.DataFrame:
        asked.append((post, outlines, others[:3], others[3].tolist()))
        return pd.DataFrame()

    site = SimpleNamespace(
        buildings=SimpleNamespace(leaning=np.array(leaning)), event=EventInfo(name=event), post="post", roofs_px="roofs",
        work=SimpleNamespace(tiles=lambda step: TileWork(), run=lambda name, step: step()),
    )  # fmt: skip
    network = DamageNetwork(SimpleNamespace(post_probabilities=post_probabilities), *weights)
    assert (network.grade_leaning(site) is not None) is graded
    assert asked == ([("post", "roofs", (None, None, "post"), [1, 2])] if graded else [])
    assert DamageNetwork(None, *weights).grade_leaning(site) is None


@dataclass(frozen=True)
class MeasuredSite:
    """As much of a site as the network changes."""

    buildings: Buildings
    work: TileWork = TileWork()

    def leave_out(self, reasons: np.ndarray) -> "MeasuredSite":
        assert not reasons.any()
        return self


@pytest.mark.parametrize("has_post", [True, False])
@pytest.mark.parametrize("has_leaning", [True, False])
@pytest.mark.parametrize("has_pair", [True, False])
def test_each_building_has_the_probabilities_of_the_images_that_show_it(
    has_pair: bool, has_leaning: bool, has_post: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = frame_of([0.9, 0.9, 0.9]).assign(method=["pre_post", "pre_post", "post_only"])
    site = MeasuredSite(replace(Buildings(frame), displaced=np.array([False, True, False])))
    pair, leaning, post = (pd.DataFrame(np.full((3, 4), np.nan), columns=list("abcd")) for _ in range(3))
    pair.loc[:1], leaning.loc[1], post.loc[2] = [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7], [0.25, 0.25, 0.25, 0.25]
    for step, table, is_there in (
        ("pair", pair, has_pair), ("leaning", leaning, has_leaning and has_pair), ("post", post, has_post),
    ):  # fmt: skip
        monkeypatch.setattr(DamageNetwork, f"grade_{step}", lambda *_, found=table if is_there else None: found)
    if not has_pair:
        monkeypatch.setattr(DamageNetwork, "grade_leaning", lambda *_: pytest.fail("no pair is compared"))
    network = DamageNetwork(weight=0.5).measure(site).buildings.network  # type: ignore[arg-type]
    assert np.isfinite(network[:, 0]).tolist() == [has_pair, has_pair and has_leaning, has_post]
    for row, table in enumerate((pair, leaning, post)):
        if np.isfinite(network[row, 0]):
            np.testing.assert_array_equal(network[row], table.loc[row])


def test_a_leaning_roof_has_the_grades_of_post_and_the_others_those_of_the_pair() -> None:
    frame = frame_of([0.9, 0.9, 0.9])
    buildings = replace(Buildings(frame), displaced=np.array([False, True, True]))
    pair, post = np.tile([0.7, 0.1, 0.1, 0.1], (3, 1)), np.full((3, 4), np.nan)
    post[1] = [0.1, 0.1, 0.1, 0.7]
    network = buildings.with_network(pair, post, leaves_displaced=True).network
    np.testing.assert_array_equal(network, [pair[0], post[1], np.full(4, np.nan)])
    np.testing.assert_array_equal(buildings.with_network(pair, post).network, pair)
