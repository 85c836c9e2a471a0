"""The skill of scores and networks, as their cards state it, and how far each may decide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml, write_yaml
from deepnets4eo.outputs import Finding, Phrase

MIN_SKILL = 0.1  # below, a run counts as one that learnt nothing
MIN_VALIDATED = 30  # validation buildings; fewer say nothing
SHARE = "share"  # note of a card: the network's share of the log-odds that was best beside the weight-free model
EQUAL_SHARE = 0.5
SUFFIX = ".evidence.yaml"


@dataclass(frozen=True)
class NetworkSkill:
    """Skill of a run, 0–1 (the smaller of 2 · AUC − 1 and κ), and the reason why it is 0, else None."""

    value: float
    why: Phrase | None = None

    @property
    def reason(self) -> str:
        """The reason in English; empty without one."""
        return "" if self.why is None else self.why.text()


def validated_skill(card: Mapping[str, Any], head: str | None = None) -> NetworkSkill:
    """Return the skill of a damage network's run from the `notes` of its card, or from the notes of one of its heads."""
    notes = card.get("notes", {})
    own = notes if head is None else notes.get(head, {})
    share = _number(own.get(SHARE))
    if not math.isnan(share):
        return NetworkSkill(min(share / EQUAL_SHARE, 1.0), None if share else Phrase("skill_of_no_help"))
    scores = own.get("validation", {})
    auc, kappa = _number(scores.get("auc_major_or_worse")), _number(scores.get("kappa"))
    if math.isnan(auc) or math.isnan(kappa):
        return NetworkSkill(0.0, Phrase("skill_not_validated"))
    buildings = sum(notes.get("split", {}).get("buildings", {}).get("val", {}).values())
    return skill_of(min(2 * auc - 1, kappa), buildings, Phrase("skill_auc_kappa", {"auc": auc, "kappa": kappa}))


def skill_of(value: float, buildings: int, scores: Phrase) -> NetworkSkill:
    """Return a measured skill; 0 with the reason if it is too small or rests on few buildings. scores : its basis."""
    if buildings < MIN_VALIDATED:
        return NetworkSkill(0.0, Phrase("skill_of_few_buildings", {"number": buildings, "least": MIN_VALIDATED}))
    if value < MIN_SKILL:
        return NetworkSkill(0.0, Phrase("skill_too_small", {"number": buildings, "scores": scores}))
    return NetworkSkill(min(value, 1.0))


def _number(value: Any) -> float:
    """Return a score of a card as a number; NaN if it is missing or null."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


@dataclass(frozen=True)
class EvidenceCard:
    """Calibration and validation of a score.

    Parameters
    ----------
    intercept, slope
        Log-odds of major damage or worse where half of the buildings are damaged: intercept + slope · mean score.
    auc_major_or_worse : area under their ROC curve, 0–1
    buildings : graded buildings that it was measured on
    synthetic : whether these buildings are synthetic, so that no real event confirms the card

    Raises
    ------
    InputError
        A number is not finite, or the area not in 0–1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> damaged = np.arange(200) % 2 == 0
    >>> card = EvidenceCard.fit(0.4 * damaged + rng.uniform(0, 0.6, 200), damaged)
    >>> card.slope > 0, round(card.skill.value, 1)
    (True, 0.9)
    """

    intercept: float
    slope: float
    auc_major_or_worse: float
    buildings: int
    synthetic: bool = False

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, asdict(self).values())) or not 0 <= self.auc_major_or_worse <= 1:
            raise InputError(
                f"an evidence card holds {asdict(self)}; expected finite numbers, an AUC of 0 to 1. Fit it again with "
                "EvidenceCard.fit."
            )

    @property
    def skill(self) -> NetworkSkill:
        """2 · AUC − 1, 0–1; 0 below 0.1, and for fewer than 30 buildings."""
        return skill_of(
            2 * self.auc_major_or_worse - 1, self.buildings, Phrase("skill_auc", {"auc": self.auc_major_or_worse})
        )

    @classmethod
    def fit(cls, scores: ArrayLike, damaged: ArrayLike) -> EvidenceCard:
        """Fit log-odds to graded buildings.

        Parameters
        ----------
        scores : (N,) mean scores: the column `ev_NAME` of a damage map; NaN are left out
        damaged : (N,) bool, True for major damage or worse

        Raises
        ------
        InputError
            Sizes differ, all buildings are of one side, or all scores are the same.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score

        values, truth = np.asarray(scores, float), np.asarray(damaged, bool)
        if values.shape != truth.shape or values.ndim != 1:
            raise InputError(
                f"scores are {values.shape}, damage is {truth.shape}; expected one number a building each."
            )
        known = np.isfinite(values)
        values, truth = values[known], truth[known]
        spread = float(values.std()) if len(values) else 0.0
        if spread == 0 or truth.all() or not truth.any():
            raise InputError(
                f"{int(truth.sum())} of {len(values)} buildings with a score are damaged, the scores' standard deviation "
                f"is {spread:.3g}; expected buildings of both sides with different scores. Grade more buildings."
            )
        centre = float(values.mean())
        model = LogisticRegression(class_weight="balanced").fit(((values - centre) / spread)[:, None], truth)
        slope = float(model.coef_[0, 0]) / spread
        intercept = float(model.intercept_[0]) - slope * centre
        return cls(intercept, slope, float(roc_auc_score(truth, slope * values)), len(values))

    @classmethod
    def read(cls, path: str | Path) -> EvidenceCard:
        """Read a card that `write` wrote.

        Raises
        ------
        InputError
            Not YAML, or a number is missing.
        """
        content = read_yaml(path)
        try:
            return cls(
                float(content["intercept"]), float(content["slope"]), float(content["auc_major_or_worse"]),
                int(content["buildings"]), content.get("synthetic", False) is True,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            names = ", ".join(cls.__dataclass_fields__)
            raise InputError(f"{path} is no evidence card: expected numbers {names}. Fit it again.") from error

    def write(self, raster: str | Path) -> Path:
        """Write the card next to a raster, under the name that the damage job looks for; returns its path."""
        content: dict[str, Any] = {name: value for name, value in asdict(self).items() if value is not False}
        return write_yaml(card_path(raster), content)

    def log_odds(self, scores: Floats) -> Floats:
        """Return (N,) log-odds of major damage or worse of mean scores; NaN stay."""
        return self.intercept + self.slope * scores


def card_path(raster: str | Path) -> Path:
    """Return the path of a raster's card: `score.evidence.yaml` next to `score.tif`."""
    return Path(raster).with_suffix(SUFFIX)


class Score(Protocol):
    """A number per building that can take part in the decision."""

    @property
    def name(self) -> str:
        """Name of the evidence."""

    @property
    def column(self) -> str:
        """Name of its column."""

    @property
    def weight(self) -> float:
        """Share of its log-odds in the decision."""

    def log_odds(self, scores: Floats) -> Floats:
        """Return (N,) log-odds of major damage or worse of scores (N,)."""

    def finding(self, buildings: Buildings) -> Finding:
        """Return the finding on the role of the score in the decision."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the manifest."""


def check_weights(scores: Sequence[Score]) -> None:
    """Refuse weights that are more than 1 together. Errors: InputError."""
    total = sum(score.weight for score in scores)
    if total > 1:
        raise InputError(
            f"evidence {', '.join(score.name for score in scores)} would have a weight of {total:.2f} in the decision, expected at most 1 "
            "together. Give smaller ones, e.g. --set evidence_weight=NAME=0.3 or --set look=0.2."
        )
