"""How far the weight-free model's probabilities hold at cities that took no part: calibration, grades, sets, intervals.

Usage: python experiments/damage_reliability.py [--joplin FOLDER] [--cities 28] [--cache runs/damage-evidence]
Every number is of a city whose evidence took part in neither the fit nor the calibration; all fits are of cities alone.
Joplin's labelled half is reported with --joplin, and nothing is chosen on it. The evidence comes from
damage_train_evidence.py. SYNTHETIC, but for Joplin.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from damage_train_evidence import gather_tables, keep_graded
from numpy.typing import NDArray
from scipy.special import expit, logit
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.damage.calibration import calibration_error, calibration_table, fit_beta, platt
from deepnets4eo.damage.conformal import coverage_by_site
from deepnets4eo.damage.decision import FARTHEST, to_decision_table
from deepnets4eo.damage.evidence.meaning import POINTS
from deepnets4eo.damage.fit_model import REPAIR, RIDGE, VARIANTS, Graded, fit_variant, left_out_scores, predict
from deepnets4eo.damage.grading_rates import corrected_share, fit_rates
from deepnets4eo.damage.ordinal import balance_weights, grade_probabilities
from deepnets4eo.damage.prior import choose_share
from deepnets4eo.damage.reliability import Reliability, adjust_to_share, fit_reliability, side_weights
from deepnets4eo.damage.site_estimates import BuildingGround, site_estimates
from deepnets4eo.damage.vocabulary import BORDERS, GRADES
from deepnets4eo.synthetic import Event

SHARES = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
BUILDINGS = 150
DRAWS = 2  # sites of each share from one city

Array = NDArray[np.float64]
Scale = Callable[[Array], Array]


def left_out_log_odds(data: Graded, columns: tuple[str, ...]) -> Array:
    """(N, 3) log-odds of every building from a fit to other cities, not calibrated."""
    values = data.evidence[list(columns)].to_numpy(float)
    scaled = (values - np.nanmean(values, axis=0)) / (np.nanstd(values, axis=0) + 1e-9)
    evidence = np.clip(np.nan_to_num(scaled), -FARTHEST, FARTHEST)
    out = np.zeros((len(values), len(BORDERS)))
    for border in range(len(BORDERS)):
        points = np.array([int(border == 0) if name in REPAIR else POINTS[name] for name in columns])
        out[:, border] = left_out_scores(evidence, data, data.grade > border, points, RIDGE)
    return out


def scale_platt(score: Array, truth: NDArray[np.bool_], weight: Array) -> Scale:
    """Two numbers: slope and shift."""
    slope, shift = platt(score, truth, weight)
    return lambda other: slope * other + shift


def scale_temperature(score: Array, truth: NDArray[np.bool_], weight: Array) -> Scale:
    """One number: the slope."""
    slopes = np.geomspace(0.2, 5, 200)
    margin = slopes[:, None] * score
    slope = slopes[np.argmin(((np.logaddexp(0, margin) - truth * margin) * weight).sum(axis=1))]
    return lambda other: slope * other


SCALES: dict[str, Callable[[Array, NDArray[np.bool_], Array], Scale]] = {
    "temperature": scale_temperature,
    "platt": scale_platt,
    "beta": fit_beta,
}


def compare_scales(log_odds: Array, data: Graded) -> pd.DataFrame:
    """Log loss and calibration error at cities left out, of each way to calibrate and each border."""
    rows = []
    for name, fit in SCALES.items():
        row: dict[str, object] = {"calibration": name}
        for border, grade in enumerate(BORDERS):
            truth, scaled = data.grade > border, np.zeros(len(data.grade))
            for city in np.unique(data.group):
                out = data.group == city
                weight = side_weights(data.grade[~out] >= 2, data.group[~out])
                scaled[out] = fit(log_odds[~out, border], truth[~out], weight)(log_odds[out, border])
            weight = side_weights(data.grade >= 2, data.group)
            row[f"log loss {grade}"] = np.average(np.logaddexp(0, scaled) - truth * scaled, weights=weight)
            row[f"ECE {grade}"] = calibration_error(expit(scaled), truth)
        rows.append(row)
    return pd.DataFrame(rows)


def left_out_reliability(log_odds: Array, data: Graded) -> tuple[Array, Array, NDArray[np.bool_], Array]:
    """Probabilities (N, 4) where half are damaged, thresholds (N, 3), sets (N, 4) and spread (N, 3), of each city from
    the reliability of the others."""
    number = len(data.grade)
    probabilities, thresholds = np.zeros((number, 4)), np.zeros((number, 3))
    members, spread = np.zeros((number, 4), bool), np.zeros((number, 3))
    for city in np.unique(data.group):
        out = data.group == city
        fitted = fit_reliability(log_odds[~out], data.grade[~out], data.group[~out])
        assert fitted.sets is not None
        probabilities[out] = fitted.probabilities(log_odds[out])
        thresholds[out], spread[out] = fitted.thresholds, fitted.spread
        members[out] = fitted.sets.members(probabilities[out])
    return probabilities, thresholds, members, spread


def grade_table(grades: dict[str, NDArray[np.integer]], data: Graded) -> pd.DataFrame:
    """Share of each grade that is right, their mean, and the share of all buildings, for several rules."""
    rows = []
    for name, called in grades.items():
        right = [np.mean(called[data.grade == k] == k) for k in range(4)]
        rows.append({"rule": name, **dict(zip(GRADES, right, strict=True)), "balanced": np.mean(right),
                     "all": np.mean(called == data.grade), "off by": np.abs(called - data.grade).mean()})  # fmt: skip
    return pd.DataFrame(rows)


def median_rule(log_odds: Array, data: Graded) -> NDArray[np.integer]:
    """The rule before: Platt scaling with both sides of each border alike, the median grade."""
    scaled = np.zeros_like(log_odds)
    for city in np.unique(data.group):
        out = data.group == city
        for border in range(len(BORDERS)):
            truth = data.grade[~out] > border
            scale = scale_platt(log_odds[~out, border], truth, balance_weights(truth, data.domain[~out]))
            scaled[out, border] = scale(log_odds[out, border])
    return (grade_probabilities(expit(scaled)).cumsum(axis=1)[:, :3] <= 0.5).sum(axis=1)


def named_grades(probabilities: Array, thresholds: Array) -> NDArray[np.integer]:
    """Grades 0–3 by the thresholds."""
    named = to_decision_table(probabilities, pd.RangeIndex(len(probabilities)), thresholds)["damage"]
    return np.array([GRADES.index(name) for name in named])


def share_table(probabilities: Array, spread: Array, data: Graded) -> pd.DataFrame:
    """Shares and counts at sites of known shares, drawn from the buildings of one city each."""
    rng = np.random.default_rng(0)
    damaged = data.grade >= 2
    called = probabilities[:, 2:].sum(axis=1) >= 0.5
    rows = []
    for city in np.unique(data.group):
        here = data.group == city
        rates = fit_rates(called[~here], damaged[~here], data.group[~here])
        sides = [np.flatnonzero(here & (damaged == side)) for side in (False, True)]
        for share in np.repeat(SHARES, DRAWS):
            wanted = rng.binomial(BUILDINGS, share)
            numbers = min(BUILDINGS - wanted, len(sides[0])), min(wanted, len(sides[1]))
            chosen = np.concatenate(
                [rng.choice(side, n, replace=False) for side, n in zip(sides, numbers, strict=True)]
            )
            rows.append(
                {"share": share, **_share_row(probabilities[chosen], data.grade[chosen], spread[chosen], rates)}
            )
    return pd.DataFrame(rows).groupby("share").mean()


def _share_row(p: Array, grade: NDArray[np.integer], spread: Array, rates: object) -> dict[str, float]:
    """One site: errors of the share by each way, and whether intervals hold the truth."""
    number, truth = len(p), (grade >= 2).mean()
    damaged = p[:, 2:].sum(axis=1)
    second = corrected_share([(rates, int((damaged >= 0.5).sum()), number)])  # type: ignore[list-item]
    share = choose_share(logit(np.clip(damaged, 1e-4, 1 - 1e-4)), second)
    ground = BuildingGround(np.ones(number), np.arange(number) // 8)
    share, estimates = site_estimates(p, spread, ground, share)
    assert share.interval_95 is not None
    assert share.most_likely is not None
    assert second is not None
    adjusted = adjust_to_share(p, share.value)[:, 2:].sum(axis=1)
    row = {
        "true": truth, "used": share.value, "limited": share.status == "limited",
        "error at one half": abs((damaged >= 0.5).mean() - truth), "error by grade": abs((adjusted >= 0.5).mean() - truth),
        "error expected": abs(adjusted.mean() - truth), "error likely": abs(share.most_likely - truth),
        "error second": abs(second - truth), "share held": share.interval_95[0] - 0.5 / number <= truth <= share.interval_95[1] + 0.5 / number,
        "Brier": np.mean((adjusted - (grade >= 2)) ** 2),
    }  # fmt: skip
    for name, true in (("damaged", grade >= 2), *((g, grade == k) for k, g in enumerate(GRADES))):
        low, high = estimates["buildings"][name]["interval_95"]
        row |= {f"{name} held": np.floor(low) <= true.sum() <= np.ceil(high), f"{name} width": (high - low) / number}
    return row


def report_variant(name: str, cities: Graded, joplin: Graded | None) -> None:
    """Print the tables of one variant."""
    log_odds = left_out_log_odds(cities, VARIANTS[name])
    print(f"\n== {name}: {len(cities.grade)} buildings, {len(np.unique(cities.group))} cities")
    _print(compare_scales(log_odds, cities))
    probabilities, thresholds, members, spread = left_out_reliability(log_odds, cities)
    kinds = {city: Event.draw(int(city.split("-")[1])).kind for city in np.unique(cities.group)}
    hazard = np.array([kinds[city] for city in cities.group])
    _print(calibration_table(probabilities, cities.grade, hazard))
    by_city = calibration_table(probabilities, cities.grade, cities.group)
    print(f"ECE of single cities: mean {by_city['ECE'][1:].mean():.3f}, largest {by_city['ECE'][1:].max():.3f}")
    _print(grade_table({"median": median_rule(log_odds, cities), "balanced": named_grades(probabilities, thresholds),
                        "one half": named_grades(probabilities, np.full_like(thresholds, 0.5))}, cities))  # fmt: skip
    coverage = coverage_by_site(members, cities.grade, cities.group)
    held = members[np.arange(len(cities.grade)), cities.grade]
    print("sets, by grade:", {g: round(float(held[cities.grade == k].mean()), 3) for k, g in enumerate(GRADES)})
    print(
        f"sets, by city: mean {np.mean([c for c, _, _ in coverage.values()]):.3f}, size {members.sum(axis=1).mean():.2f}"
    )
    print({city: round(share, 2) for city, (share, _, _) in coverage.items()})
    _print(share_table(probabilities, spread, cities).reset_index())
    if joplin is not None:
        _report_joplin(name, cities, joplin)


def _report_joplin(name: str, cities: Graded, joplin: Graded) -> None:
    """Joplin by the fit of all cities, at one half; reported only."""
    content = fit_variant(cities, VARIANTS[name])
    fitted = Reliability.from_dict(content["reliability"])
    assert fitted.sets is not None
    p = predict(content, joplin.evidence)
    print("Joplin (real), cities alone, at one half")
    _print(calibration_table(p, joplin.grade, np.full(len(p), "joplin")))
    _print(grade_table({"balanced": named_grades(p, np.tile(fitted.thresholds, (len(p), 1)))}, joplin))
    held = fitted.sets.members(p)
    own = held[np.arange(len(p)), joplin.grade]
    print(
        "sets:",
        {g: round(float(own[joplin.grade == k].mean()), 2) for k, g in enumerate(GRADES)},
        held.sum(axis=1).mean(),
    )


def _print(table: pd.DataFrame) -> None:
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joplin", type=Path, default=None)
    parser.add_argument("--cities", type=int, default=28)
    parser.add_argument("--cache", type=Path, default=Path("runs/damage-evidence"))
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.cities = 4
        print(NOTE)
    frame = gather_tables(options.cities, options.joplin, options.cache)
    cities = keep_graded(frame[frame["domain"] == "city"])
    joplin = None if options.joplin is None else keep_graded(frame[frame["domain"] == "joplin"])
    for name in ("post_only", "pre_post"):
        paired = cities.rows(cities.evidence["ev_edge_similarity"].notna().to_numpy())
        report_variant(name, paired if name == "pre_post" else cities, joplin)


if __name__ == "__main__":
    with plain_errors():
        main()
