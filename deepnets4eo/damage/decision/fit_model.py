"""Fits the evidence model: per variant and grade border a sign-constrained ridge regression, then its calibration.

Sites count the same, and both sides of a border in each; all scores are of buildings whose group was left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices, Mask, Texts
from deepnets4eo.damage.decision.model import ENDS, WITH_HEIGHT, FittedRange, Variant
from deepnets4eo.damage.decision.reliability import Reliability, fit_reliability, platt
from deepnets4eo.damage.structure.border import balance_weights, fit_border
from deepnets4eo.damage.table.columns import points_of
from deepnets4eo.damage.table.vocabulary import BORDERS, GRADES, MAJOR, POST_ONLY, PRE_POST, is_damaged

RIDGE = 0.05
FOLDS = 8
POST = ("ev_roof_roughness", "ev_roof_vs_ground", "ev_outline_support", "ev_right_angles")
PAIR = (
    "ev_roof_roughness_change",
    "ev_texture_change",
    "ev_outline_loss",
    "ev_right_angle_loss",
    "ev_roof_match",
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
KNOWN_SHARE = 0.99  # of the buildings of the fit lie within the distance
WINDOW_BUILDINGS = 200  # buildings over which the left-out accuracy is taken, from the end of a column inwards
MIN_ACCURACY = 0.8  # mean of sensitivity and specificity below which a stretch of a column is not known
MIN_AT_SITE = 30  # buildings for a site to say what share of its buildings may lie outside


@dataclass(frozen=True)
class GradedEvidence:
    """Evidence of N graded buildings: grade 0–3, domain (the site), and group, style and event, which are left out together.

    calibrates, bounds, teaches : (N,) buildings that reliability, range and weights are measured from; None for all."""

    evidence: pd.DataFrame
    grade: NDArray[np.integer]
    domain: Texts
    group: Texts
    calibrates: Mask | None = None
    style: Texts | None = None
    event: Texts | None = None
    bounds: Mask | None = None
    teaches: Mask | None = None

    def rows(self, keep: Mask) -> GradedEvidence:
        """Return some of the buildings."""
        optional = (None if of is None else of[keep] for of in self._optional())
        return GradedEvidence(self.evidence[keep], self.grade[keep], self.domain[keep], self.group[keep], *optional)

    def _optional(self) -> tuple[NDArray[Any] | None, ...]:
        return self.calibrates, self.style, self.event, self.bounds, self.teaches

    def folds(self) -> Iterator[tuple[Mask, Mask]]:
        """Yield pairs of (N,) bool: buildings to score, and buildings of the fit that scores them."""
        fold = np.unique(self.group if self.style is None else self.style, return_inverse=True)[1] % FOLDS
        event = np.zeros(len(fold), np.intp) if self.event is None else np.unique(self.event, return_inverse=True)[1]
        for number, struck in np.unique(np.stack([fold, event]), axis=1).T:
            taught = (fold != number) & ((event != struck) | (self.event is None))
            yield (fold == number) & (event == struck), taught if self.teaches is None else taught & self.teaches

    @staticmethod
    def concatenate(parts: list[GradedEvidence]) -> GradedEvidence:
        """Join several sites into one table."""
        return GradedEvidence(
            pd.concat([part.evidence for part in parts], ignore_index=True),
            np.concatenate([part.grade for part in parts]),
            np.concatenate([part.domain for part in parts]),
            np.concatenate([part.group for part in parts]),
        )


def fit_model(data: GradedEvidence, ridge: float = RIDGE) -> dict[str, Any]:
    """Fit all variants for which there is evidence, for `coefficients.yaml`."""
    variants = {}
    for name, columns in VARIANTS.items():
        if set(columns) <= set(data.evidence.columns):
            variants[name] = fit_variant(data, columns, ridge)
    return variants


def fit_variant(data: GradedEvidence, columns: tuple[str, ...], ridge: float = RIDGE) -> dict[str, Any]:
    """Fit and calibrate one variant."""
    known = _with_all(data, columns)
    values = known.evidence[list(columns)].to_numpy(float)
    centre, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-9
    evidence = Variant.to_standard_units(values, centre, scale)
    borders, log_odds = {}, np.zeros((len(known.grade), len(BORDERS)))
    for number, grade in enumerate(BORDERS, start=1):
        points = np.array([int(number == 1) if column in REPAIR else points_of(column) for column in columns])
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
    return content | _validity(evidence, known, log_odds)


def left_out_scores(
    evidence: Floats, data: GradedEvidence, beyond: Mask, points: NDArray[np.integer], ridge: float
) -> Floats:
    """Log-odds of each building from a fit to the others."""
    score = np.zeros(len(beyond))
    for tested, taught in data.folds():
        if len(np.unique(beyond[taught])) < 2:
            taught = np.ones_like(taught)  # the others hold one side alone: only a fit to all can score it
        weight = balance_weights(beyond[taught], data.domain[taught])
        border = fit_border(evidence[taught], beyond[taught], weight, points, ridge)
        score[tested] = evidence[tested] @ border.weights + border.intercept
    return score


def _validity(standard: Floats, known: GradedEvidence, log_odds: Floats) -> dict[str, Any]:
    """Range and reliability of a variant from left-out (N, 3) log-odds."""
    damaged = is_damaged(known.grade)
    right = (Reliability().probabilities(log_odds)[:, MAJOR:].sum(axis=1) >= 0.5) == damaged
    bounds = np.ones_like(right) if known.bounds is None else known.bounds
    known_range = fit_range(
        standard[bounds], known.evidence[bounds], right[bounds], damaged[bounds], known.group[bounds]
    )
    used = known_range.reasons(standard, known.evidence) == ""
    used = used if known.calibrates is None else used & known.calibrates
    reliability = fit_reliability(log_odds[used], known.grade[used], known.group[used])
    return {"range": known_range.to_dict(), "reliability": reliability.to_dict()}


def fit_range(standard: Floats, evidence: pd.DataFrame, right: Mask, damaged: Mask, site: Texts) -> FittedRange:
    """Fit the range of the evidence. standard : (N, K); right : (N,) whether the left-out grade was right; damaged : truth."""
    covariance = np.cov(standard.T).reshape(standard.shape[1], -1)
    limits = {}
    for column, end in ENDS.items():
        if column in evidence:
            value = evidence[column].to_numpy(float)
            limit = reliable_limit(value if end == "most" else -value, right, damaged)
            if limit is not None:
                limits[column] = limit if end == "most" else -limit
    open_range = FittedRange(np.inf, covariance, limits, 1.0)
    farthest = float(np.quantile(open_range.distance(standard), KNOWN_SHARE))
    closed = FittedRange(farthest, covariance, limits, 1.0)
    outside = closed.reasons(standard, evidence) != ""
    return FittedRange(farthest, covariance, limits, _most_outside(outside, site))


def reliable_limit(value: Floats, right: Mask, damaged: Mask) -> float | None:
    """Return the value above which windows of 200 buildings have a mean sensitivity and specificity below 0.8, or None."""
    order = np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")
    limit = None
    for start in range(0, len(order) - WINDOW_BUILDINGS, WINDOW_BUILDINGS):
        window = order[start : start + WINDOW_BUILDINGS]
        sides = [right[window][damaged[window] == side] for side in (True, False)]
        if np.mean([side.mean() for side in sides if len(side)]) >= MIN_ACCURACY:
            break
        limit = float(value[window[-1]])
    return limit


def _most_outside(outside: Mask, site: Texts) -> float:
    """Greatest share outside of a site with enough buildings."""
    sites = pd.Series(outside).groupby(np.asarray(site, dtype=object)).agg(["mean", "size"])
    shares = sites.loc[sites["size"] >= MIN_AT_SITE, "mean"].to_numpy(float)
    return float(shares.max()) if len(shares) else float(np.mean(outside))


def grade_numbers(names: pd.Series) -> Indices:
    """Return grades 0–3 from their names."""
    return np.asarray(names.map({name: number for number, name in enumerate(GRADES)}), np.int64)


def _with_all(data: GradedEvidence, columns: tuple[str, ...]) -> GradedEvidence:
    """Return the buildings that have the variant's inputs."""
    needed = [column for column in ("ev_roof_match", HEIGHT[0]) if column in columns]
    return data.rows(data.evidence[needed].notna().all(axis=1).to_numpy())
