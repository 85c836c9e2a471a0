"""Fits the evidence model: per variant and grade border a sign-constrained ridge regression, then its calibration.

Takes evidence of graded buildings from several sites (domains); every site counts the same, and so do both sides of
each border in it. Scores for the calibration come from buildings whose group (block or city), or style and event, was left
out; so do the rates of right grades, the limits of what the model knows, and its reliability at new sites.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.calibration import platt
from deepnets4eo.damage.decision import FARTHEST, WITH_HEIGHT
from deepnets4eo.damage.evidence.columns import POINTS
from deepnets4eo.damage.fitted_range import fit_range
from deepnets4eo.damage.grading_rates import fit_rates
from deepnets4eo.damage.ordinal import balance_weights, fit_border
from deepnets4eo.damage.reliability import MAJOR, Reliability, fit_reliability
from deepnets4eo.damage.vocabulary import BORDERS, GRADES, POST_ONLY, PRE_POST

RIDGE = 0.05
FOLDS = 8
POST = ("ev_roof_roughness", "ev_roof_vs_ground", "ev_outline_support", "ev_right_angles")
PAIR = (
    "ev_roof_roughness_change",
    "ev_texture_change",
    "ev_outline_loss",
    "ev_right_angle_loss",
    "ev_edge_similarity",
    "ev_edge_similarity_in_place",
    "ev_structural_similarity",
    "ev_shadow_loss",
)
HEIGHT = ("ev_height_loss_m", "ev_height_loss_share")
REPAIR = ("ev_tarp", "ev_colour_change")  # patched roofs: they indicate minor damage, not worse
VARIANTS = {
    POST_ONLY: (*POST, "ev_tarp"),
    PRE_POST: (*POST, *PAIR, *REPAIR),
    POST_ONLY + WITH_HEIGHT: (*POST, "ev_tarp", *HEIGHT),
    PRE_POST + WITH_HEIGHT: (*POST, *PAIR, *REPAIR, *HEIGHT),
}


@dataclass(frozen=True)
class Graded:
    """Evidence of N graded buildings.

    evidence : DataFrame with `ev_…` columns; grade : (N,) 0–3; domain : (N,) the site, all of which count the same;
    group : (N,) what is left out together: a block, a city. calibrates : (N,) bool, buildings from which the reliability at
    new sites may be measured, each of whose groups is a whole site; None for all. style, event : (N,) kind of place and
    what struck it; where they are given, a building's score comes from a fit to other styles and other events.
    bounds : (N,) bool, buildings from which the range of what the model knows is measured; None for all.
    teaches : (N,) bool, buildings from which weights are learnt; None for all.
    """

    evidence: pd.DataFrame
    grade: NDArray[np.integer]
    domain: NDArray[np.object_]
    group: NDArray[np.object_]
    calibrates: NDArray[np.bool_] | None = None
    style: NDArray[np.object_] | None = None
    event: NDArray[np.object_] | None = None
    bounds: NDArray[np.bool_] | None = None
    teaches: NDArray[np.bool_] | None = None

    def rows(self, keep: NDArray[np.bool_]) -> Graded:
        """Some of the buildings."""
        optional = (None if of is None else of[keep] for of in self._optional())
        return Graded(self.evidence[keep], self.grade[keep], self.domain[keep], self.group[keep], *optional)

    def _optional(self) -> tuple[NDArray[Any] | None, ...]:
        return self.calibrates, self.style, self.event, self.bounds, self.teaches

    def folds(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """(N,) bool pairs: buildings to score, buildings of the fit that scores them; every building is scored once.

        Groups, or styles where they are given, are left out in eight folds; each event by itself.
        """
        fold = np.unique(self.group if self.style is None else self.style, return_inverse=True)[1] % FOLDS
        event = np.zeros(len(fold), np.intp) if self.event is None else np.unique(self.event, return_inverse=True)[1]
        for number, struck in np.unique(np.stack([fold, event]), axis=1).T:
            taught = (fold != number) & ((event != struck) | (self.event is None))
            yield (fold == number) & (event == struck), taught if self.teaches is None else taught & self.teaches

    @staticmethod
    def concatenate(parts: list[Graded]) -> Graded:
        """Several sites as one table."""
        return Graded(
            pd.concat([part.evidence for part in parts], ignore_index=True),
            np.concatenate([part.grade for part in parts]),
            np.concatenate([part.domain for part in parts]),
            np.concatenate([part.group for part in parts]),
        )


def fit_variant(data: Graded, columns: tuple[str, ...], ridge: float = RIDGE) -> dict[str, Any]:
    """Fit and calibrate one variant: the content of a variant in a model file."""
    known = _with_all(data, columns)
    values = known.evidence[list(columns)].to_numpy(float)
    centre, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-9
    evidence = np.clip(np.nan_to_num((values - centre) / scale), -FARTHEST, FARTHEST)
    borders, log_odds = {}, np.zeros((len(known.grade), len(BORDERS)))
    for number, grade in enumerate(BORDERS, start=1):
        points = np.array([int(number == 1) if column in REPAIR else POINTS[column] for column in columns])
        beyond = known.grade >= number
        weight = balance_weights(beyond, known.domain)
        taught = np.ones_like(beyond) if known.teaches is None else known.teaches
        own = balance_weights(beyond[taught], known.domain[taught])
        border = fit_border(evidence[taught], beyond[taught], own, points, ridge)
        left_out = left_out_scores(evidence, known, beyond, points, ridge)
        slope, shift = platt(left_out, beyond, weight)
        slope = max(slope, 0.0)
        log_odds[:, number - 1] = slope * left_out + shift
        borders[grade] = {
            "intercept": round(slope * border.intercept + shift, 4),
            "weights": {
                column: round(slope * float(weight), 4) for column, weight in zip(columns, border.weights, strict=True)
            },
        }
    standard = {
        column: {"centre": round(float(middle), 5), "scale": round(float(unit), 5)}
        for column, middle, unit in zip(columns, centre, scale, strict=True)
    }
    content = {"buildings": len(known.grade), "evidence": standard, "borders": borders}
    return content | _validity(evidence, known, log_odds, shifted=HEIGHT[0] not in columns)


def _validity(standard: Floats, known: Graded, log_odds: Floats, *, shifted: bool) -> dict[str, Any]:
    """Range, rates and reliability of a variant from left-out (N, 3) log-odds; the latter two are those within the range.

    The range and its limits come from the sites that bound it, the reliability from those that calibrate. shifted : as of
    `fit_reliability`. With heights not: damaged roofs that lost none have log-odds far from the others, which no normal
    distribution holds.
    """
    damaged = known.grade >= MAJOR
    right = _called(log_odds, Reliability()) == damaged
    bounds = np.ones_like(right) if known.bounds is None else known.bounds
    known_range = fit_range(
        standard[bounds], known.evidence[bounds], right[bounds], damaged[bounds], known.group[bounds]
    )
    inside = known_range.reasons(standard, known.evidence) == ""
    used = inside if known.calibrates is None else inside & known.calibrates
    reliability = fit_reliability(log_odds[used], known.grade[used], known.group[used], shifted=shifted)
    called = _called(log_odds, reliability)
    rates = fit_rates(called[inside], damaged[inside], known.group[inside])
    return {"range": known_range.to_dict(), "rates": rates.to_dict(), "reliability": reliability.to_dict()}


def _called(log_odds: Floats, reliability: Reliability) -> NDArray[np.bool_]:
    """(N,) buildings called damaged where half are."""
    return np.asarray(reliability.probabilities(log_odds)[:, MAJOR:].sum(axis=1) >= 0.5)


def left_out_scores(
    evidence: Floats, data: Graded, beyond: NDArray[np.bool_], points: NDArray[np.integer], ridge: float
) -> Floats:
    """Log-odds of each building from a fit to the others that `Graded.folds` names."""
    score = np.zeros(len(beyond))
    for tested, taught in data.folds():
        if len(np.unique(beyond[taught])) < 2:
            taught = np.ones_like(taught)  # the others hold one side alone: only a fit to all can score it
        weight = balance_weights(beyond[taught], data.domain[taught])
        border = fit_border(evidence[taught], beyond[taught], weight, points, ridge)
        score[tested] = evidence[tested] @ border.weights + border.intercept
    return score


def fit_model(data: Graded, ridge: float = RIDGE) -> dict[str, Any]:
    """All variants for which the data have evidence, ready for `coefficients.yaml`."""
    variants = {}
    for name, columns in VARIANTS.items():
        if set(columns) <= set(data.evidence.columns):
            variants[name] = fit_variant(data, columns, ridge)
    return variants


def predict(content: dict[str, Any], evidence: pd.DataFrame) -> Floats:
    """(N, 4) grade probabilities of a fitted variant, without going through a file."""
    columns = list(content["evidence"])
    centre, scale = (np.array([content["evidence"][column][key] for column in columns]) for key in ("centre", "scale"))
    standard = np.clip(np.nan_to_num((evidence[columns].to_numpy(float) - centre) / scale), -FARTHEST, FARTHEST)
    log_odds = [
        standard @ np.array([border["weights"][column] for column in columns]) + border["intercept"]
        for border in (content["borders"][grade] for grade in BORDERS)
    ]
    return Reliability.from_dict(content["reliability"]).probabilities(np.column_stack(log_odds))


def grade_numbers(names: pd.Series) -> NDArray[np.int64]:
    """Grades 0–3 from their names."""
    return names.map({name: number for number, name in enumerate(GRADES)}).to_numpy(np.int64)


def _with_all(data: Graded, columns: tuple[str, ...]) -> Graded:
    """Buildings that have the variant's inputs: those without heights do not teach what heights mean."""
    needed = [column for column in ("ev_edge_similarity", HEIGHT[0]) if column in columns]
    return data.rows(data.evidence[needed].notna().all(axis=1).to_numpy())
