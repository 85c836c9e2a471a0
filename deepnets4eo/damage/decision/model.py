"""From evidence to a grade with its probability: a small calibrated model, one variant per kind of evidence at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Floats, Mask, Texts
from deepnets4eo.cards import ShippedModel, model_path
from deepnets4eo.damage.decision.reliability import Judgement, Reliability
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.columns import is_measured
from deepnets4eo.damage.table.grades import Grades
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.damage.table.vocabulary import BORDERS, GRADES, POST_ONLY, PRE_POST
from deepnets4eo.errors import Reading, RunError
from deepnets4eo.files import read_yaml

MIN_BUILDINGS = 5  # fewer say nothing about a site

COEFFICIENTS = "coefficients.yaml"
HEIGHT_COLUMN = "ev_height_loss_m"
WITH_HEIGHT = "_height"
FARTHEST = 3.0  # standardised evidence is cut there, so that no value outweighs all others
NARROW, GREEN = "ev_roof_width_px", "ev_greenness"
REASONS = {NARROW: Reason.TOO_NARROW, GREEN: Reason.TOO_GREEN}
ENDS = {NARROW: "least", GREEN: "most"}


@dataclass(frozen=True)
class DamageModel:
    """The variants of a model by name: post_only, pre_post, and each with _height."""

    name: str
    variants: dict[str, Variant]
    about: dict[str, Any]
    default: ClassVar[str] = "damage-evidence"  # the model of the toolbox

    @classmethod
    @Reading.of_source("Is it whole? Copy it again.", RunError)
    def load(cls, folder: str | Path | None = None) -> DamageModel:
        """Read a model by its folder or name, by default the toolbox's. Errors: RunError, InputError."""
        path = (ShippedModel(cls.default).folder if folder is None else model_path(folder)) / COEFFICIENTS
        content = read_yaml(path)
        parts = content.get("variants") if isinstance(content, dict) else None
        if not isinstance(parts, dict) or not {POST_ONLY, PRE_POST} <= parts.keys():
            raise RunError(
                f"{path} is no damage model: expected `variants` with {POST_ONLY} and {PRE_POST}. Fit it again."
            )
        variants = {name: _variant(path, name, part) for name, part in parts.items()}
        return cls(path.parent.name, variants, {key: value for key, value in content.items() if key != "variants"})

    def decide(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Grade every assessed building of a table: grade or None, probability of major damage or worse, confidence."""
        judgement = Judgement(self.probabilities(frame), self.variant_names(frame), self.reliabilities)
        p = judgement.probabilities
        thresholds = judgement.values(lambda fitted: fitted.thresholds)
        return Grades.of_sides(p, thresholds, kept=judgement.members(p)).table(frame.index)

    def probabilities(self, frame: pd.DataFrame) -> Floats:
        """Return (N, 4) probabilities of the grades; NaN for buildings that are not assessed."""
        out = np.full((len(frame), len(GRADES)), np.nan)
        kind = self.variant_names(frame)
        for name, variant in self.variants.items():
            rows = np.flatnonzero(kind == name)
            if len(rows):
                out[rows] = variant.probabilities(frame.iloc[rows])
        return out

    @property
    def reliabilities(self) -> dict[str, Reliability]:
        """Reliability of each variant."""
        return {name: variant.reliability for name, variant in self.variants.items()}

    def outside_range(self, frame: pd.DataFrame) -> Texts:
        """Return (N,) the reason why a building's evidence is outside the range of its variant's fit, '' if it is inside."""
        reason = np.full(len(frame), "", dtype=object)
        kind = self.variant_names(frame)
        for name, variant in self.variants.items():
            rows = np.flatnonzero(kind == name)
            if len(rows) and variant.known is not None:
                part = frame.iloc[rows]
                reason[rows] = variant.known.reasons(variant.standardise(part), part)
        return reason

    @staticmethod
    def can_be_graded_otherwise(outside: Texts) -> Mask:
        """Return (N,) whether a building is outside the range of the fit for another reason than the few pixels of its roof,
        which show nothing to anyone."""
        return (outside != "") & (outside != Reason.TOO_NARROW)

    def variant_names(self, frame: pd.DataFrame) -> Texts:
        """Return the variant for each building, '' if it is not assessed by its structure."""
        buildings = Buildings(frame)
        kind = np.where(buildings.by_structure, buildings.method, "").astype(object)
        if HEIGHT_COLUMN in frame.columns:
            richer = kind + np.where(frame[HEIGHT_COLUMN].notna() & (kind != ""), WITH_HEIGHT, "").astype(object)
            kind = np.where(np.isin(richer, list(self.variants)), richer, kind)
        return kind


@dataclass(frozen=True)
class Variant:
    """Logistic regressions on K standardised columns: centre and scale (K,), intercepts (3,) and weights (3, K) per border."""

    columns: tuple[str, ...]
    centre: Floats
    scale: Floats
    intercepts: Floats
    weights: Floats
    known: FittedRange | None = None
    reliability: Reliability = Reliability()

    def standardise(self, frame: pd.DataFrame) -> Floats:
        """Return (N, K) evidence in standard units, cut at ± 3; 0 if unknown."""
        values = frame.reindex(columns=self.columns).to_numpy(float)
        return self.to_standard_units(values, self.centre, self.scale)

    @staticmethod
    def to_standard_units(values: Floats, centre: Floats, scale: Floats) -> Floats:
        """Return values (N, K) in standard units, cut at ± 3; 0 if unknown."""
        return np.clip(np.nan_to_num((values - centre) / scale), -FARTHEST, FARTHEST)

    def probabilities(self, frame: pd.DataFrame) -> Floats:
        """Return (N, 4) probabilities of the grades at a site with half of the buildings damaged."""
        return self.reliability.probabilities(self.standardise(frame) @ self.weights.T + self.intercepts)


@dataclass(frozen=True)
class FittedRange:
    """Range of a variant's evidence: 99 % of distances, covariance (K, K), limits of columns, greatest share outside at a site."""

    farthest: float
    covariance: Floats
    limits: dict[str, float]
    place_share: float

    def distance(self, standard: Floats) -> Floats:
        """Return (N,) Mahalanobis distances of (N, K) standardised evidence cut at ± 3."""
        return np.sqrt(np.einsum("ij,ji->i", standard, np.linalg.solve(self.covariance, standard.T)))

    def reasons(self, standard: Floats, frame: pd.DataFrame) -> Texts:
        """Return (N,) the reason why each building is outside, else ''. standard : (N, K)."""
        reason = np.where(self.distance(standard) > self.farthest, Reason.UNLIKE_ANY, "").astype(object)
        for column, limit in self.limits.items():
            if column in frame:
                value = frame[column].to_numpy(float)
                reason[value < limit if ENDS[column] == "least" else value > limit] = REASONS[column]
        return reason

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return {
            "farthest": round(self.farthest, 3),
            "covariance": [" ".join(f"{value:.4f}" for value in row) for row in self.covariance],
            "limits": {column: round(limit, 3) for column, limit in self.limits.items()},
            "place_share": round(self.place_share, 3),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> FittedRange:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError, AttributeError, ValueError."""
        limits = {str(column): float(limit) for column, limit in content["limits"].items() if column in ENDS}
        covariance = np.array([row.split() for row in content["covariance"]], float)
        np.linalg.cholesky(covariance)  # refuses what is no covariance, by a ValueError
        return cls(float(content["farthest"]), covariance, limits, float(content["place_share"]))


def _variant(path: Path, name: str, part: dict[str, Any]) -> Variant:
    try:
        evidence, borders = part["evidence"], part["borders"]
        columns = tuple(evidence)
        unknown = [column for column in columns if not is_measured(column)]
        if unknown:
            raise RunError(f"{path} weighs {unknown} in {name}, which this version does not gather. Fit it again.")
        variant = Variant(
            columns,
            np.array([evidence[column]["centre"] for column in columns], float),
            np.array([evidence[column]["scale"] for column in columns], float),
            np.array([borders[grade]["intercept"] for grade in BORDERS], float),
            np.array([[borders[grade]["weights"].get(column, 0.0) for column in columns] for grade in BORDERS], float),
            FittedRange.from_dict(part["range"]) if "range" in part else None,
            Reliability.from_dict(part["reliability"]) if "reliability" in part else Reliability(),
        )
    except RunError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {name} lacks {error}. Fetch or fit it again.") from error
    except (ValueError, OverflowError) as error:
        raise RunError(
            f"{path} is damaged: {name} holds something that is not a number ({error}). Fetch or fit it again."
        ) from error
    numbers = (variant.centre, variant.scale, variant.intercepts, variant.weights)
    if not columns or not all(np.isfinite(values).all() for values in numbers) or not (variant.scale > 0).all():
        raise RunError(
            f"{path} is damaged: {name} needs evidence, finite numbers and scales above 0. Fetch or fit it again."
        )
    return variant


def unlike_the_fit(frame: pd.DataFrame, model: DamageModel, outside: Texts) -> Mask:
    """Return (N,) whether more of the site's buildings of a variant are out of its range than at any site of its fit."""
    unlike = np.zeros(len(frame), bool)
    names = model.variant_names(frame)
    for name, variant in model.variants.items():
        rows = names == name
        if variant.known is not None and rows.sum() >= MIN_BUILDINGS:
            unlike |= rows & bool((outside[rows] != "").mean() > variant.known.place_share)
    return unlike
