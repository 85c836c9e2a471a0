"""Leave-block-out scores of the evidence model on the labelled half of Joplin, and what cities alone give there and among
themselves.

Usage: python experiments/damage_joplin.py --joplin FOLDER [--cache runs/damage-evidence] [--cities 28]
Every number is of buildings whose block took no part in the fit. Blocks of several sizes and offsets show how much
the cut matters; intervals are bootstrap draws of whole blocks. The evidence comes from damage_train_evidence.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from damage_train_evidence import BLOCK_M, blocks_of, gather_tables, keep_graded
from numpy.typing import NDArray
from script import plain_errors
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from smoke import NOTE, add_smoke

from deepnets4eo.damage.calibration import calibration_error
from deepnets4eo.damage.evidence.meaning import MEANING
from deepnets4eo.damage.fit_model import VARIANTS, Graded, fit_variant, grade_numbers, predict
from deepnets4eo.damage.vocabulary import GRADES

BLOCK_SIZES_M = (150.0, 200.0, 300.0)
OFFSETS = 2
FOLDS = 4  # of cities
DRAWS = 1000
FOUR = ["ev_edge_similarity", "ev_edge_similarity_in_place", "ev_texture", "ev_texture_change"]

Array = NDArray[np.float64]
Fit = Callable[[Graded], Callable[[pd.DataFrame], Array]]


def evidence_model(variant: str) -> Fit:
    """The shipped recipe: fit and calibrate one variant; returns (N, 4) probabilities."""

    def fit(data: Graded) -> Callable[[pd.DataFrame], Array]:
        content = fit_variant(data, VARIANTS[variant])
        return lambda evidence: predict(content, evidence)

    return fit


def four_numbers(data: Graded) -> Callable[[pd.DataFrame], Array]:
    """A plain baseline: logistic regression on four of the columns."""
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    model.fit(data.evidence[FOUR].fillna(0.0), data.grade >= 2)

    def apply(evidence: pd.DataFrame) -> Array:
        damaged = model.predict_proba(evidence[FOUR].fillna(0.0))[:, 1]
        empty = np.zeros_like(damaged)
        return np.column_stack([1 - damaged, empty, damaged, empty])  # two sides only, no grades

    return apply


def leave_blocks_out(
    joplin: pd.DataFrame, block: NDArray[np.object_], fit: Fit, more: pd.DataFrame | None = None
) -> Array:
    """(N, 4) probabilities of each building from a fit to the other blocks, and to `more` where given."""
    out = np.zeros((len(joplin), len(GRADES)))
    for name in np.unique(block):
        rows = block == name
        train = joplin[~rows] if more is None else pd.concat([joplin[~rows], more], ignore_index=True)
        out[rows] = fit(keep_graded(train))(joplin[rows])
    return out


def cross_validate(
    joplin: pd.DataFrame, fit: Fit, more: pd.DataFrame | None = None, *, most: int | None = None
) -> list[Array]:
    """Left-out probabilities for every block size and offset; most : of these cuts, all by default."""
    rng = np.random.default_rng(0)
    cuts = [(side, tuple(rng.uniform(0, side, 2))) for side in BLOCK_SIZES_M for _ in range(OFFSETS)][:most]
    return [leave_blocks_out(joplin, blocks_of(joplin, side, offset), fit, more) for side, offset in cuts]


def row(name: str, joplin: pd.DataFrame, runs: list[Array]) -> dict[str, object]:
    """Scores over repeated cuts: mean, least and greatest AUC, interval, F1 and calibration at one half."""
    damaged = joplin["damage"].isin(GRADES[2:]).to_numpy()
    scores = [run[:, 2:].sum(axis=1) for run in runs]
    areas = [roc_auc_score(damaged, score) for score in scores]
    low, high = interval(damaged, np.mean(scores, axis=0), blocks_of(joplin, BLOCK_M))
    called_damaged = [score >= 0.5 for score in scores]
    grades = [(run.cumsum(axis=1)[:, :3] <= 0.5).sum(axis=1) for run in runs]
    truth = grade_numbers(joplin["damage"])
    errors = [
        calibration_error(np.maximum(s, 1 - s), n == damaged) for s, n in zip(scores, called_damaged, strict=True)
    ]
    return {
        "model": name,
        "AUC": np.mean(areas),
        "least": min(areas),
        "greatest": max(areas),
        "95 % from": low,
        "to": high,
        "F1": np.mean([f1_score(damaged, one) for one in called_damaged]),
        "accuracy": np.mean([(one == damaged).mean() for one in called_damaged]),
        "four grades": np.mean([(one == truth).mean() for one in grades]),
        "ECE": np.mean(errors),
    }


def interval(damaged: NDArray[np.bool_], score: Array, block: NDArray[np.object_]) -> tuple[float, float]:
    """95 % of the AUCs when whole blocks are drawn with replacement."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(block == name) for name in np.unique(block)]
    areas = []
    for _ in range(DRAWS):
        rows = np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))])
        if 0 < damaged[rows].sum() < len(rows):
            areas.append(roc_auc_score(damaged[rows], score[rows]))
    low, high = np.percentile(areas, [2.5, 97.5])
    return float(low), float(high)


def cities_left_out(cities: pd.DataFrame, fit: Fit, folds: int = FOLDS) -> float:
    """Mean AUC over cities, each scored with a fit to the other folds' cities."""
    fold = np.unique(cities["group"], return_inverse=True)[1] % folds
    areas = []
    for number in range(folds):
        model = fit(keep_graded(cities[fold != number]))
        for _, city in cities[fold == number].groupby("group"):
            areas.append(roc_auc_score(city["damage"].isin(GRADES[2:]), model(city)[:, 2:].sum(axis=1)))
    return float(np.mean(areas))


def single_columns(joplin: pd.DataFrame) -> pd.DataFrame:
    """AUC of each column by itself, no fit at all; below one half where small values are signs of damage."""
    damaged = joplin["damage"].isin(GRADES[2:])
    columns = [name for name in MEANING if name in joplin and joplin[name].notna().all()]
    return pd.DataFrame(
        {
            "evidence": columns,
            "AUC": [roc_auc_score(damaged, joplin[name]) for name in columns],
            **{grade: [joplin.loc[joplin["damage"] == grade, name].median() for name in columns] for grade in GRADES},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joplin", type=Path, required=True)
    parser.add_argument("--cities", type=int, default=28)
    parser.add_argument("--cache", type=Path, default=Path("runs/damage-evidence"))
    add_smoke(parser)
    options = parser.parse_args()
    most = None
    if options.smoke:
        options.cities, most = FOLDS, 1
        print(NOTE)
    frame = gather_tables(options.cities, options.joplin, options.cache)
    everything = frame[frame["domain"] == "joplin"].dropna(axis=1, how="all")
    joplin = everything[everything["damage"].isin(GRADES)].reset_index(drop=True)
    empty = everything[everything["damage"] == "no-building"]
    cities = frame[frame["domain"] == "city"]
    print(single_columns(joplin).to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    rows = [row("four numbers, Joplin", joplin, cross_validate(joplin, four_numbers, most=most))]
    for variant in ("post_only", "pre_post"):
        fit = evidence_model(variant)
        alone = fit(keep_graded(cities))
        rows.append(row(f"{variant}, cities alone", joplin, [alone(joplin)]))
        rows.append(row(f"{variant}, Joplin alone", joplin, cross_validate(joplin, fit, most=most)))
        rows.append(row(f"{variant}, Joplin and cities", joplin, cross_validate(joplin, fit, cities, most=most)))
        share = (alone(empty)[:, 2:].sum(axis=1) >= 0.5).mean()
        print(f"{variant}: {share:.0%} of {len(empty)} outlines without a building are called damaged (cities alone)")
    for variant in VARIANTS:
        print(f"{variant}: mean AUC of cities left out {cities_left_out(cities, evidence_model(variant)):.3f}")
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    with plain_errors():
        main()
