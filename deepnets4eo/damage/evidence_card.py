"""What a raster of scores says about damage, and how far it may decide: a card beside it, fitted on graded buildings.

Takes mean scores of buildings whose damage is known; returns log-odds of major damage or worse, and the skill from which
the weight in the decision follows, as for networks. Refuses scores that rank nothing, and cards that lack a number.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepnets4eo.damage.network_skill import NetworkSkill, skill_of
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml, write_yaml

SUFFIX = ".evidence.yaml"


@dataclass(frozen=True)
class EvidenceCard:
    """Calibration and validation of a score.

    Parameters
    ----------
    intercept, slope
        Log-odds of major damage or worse where half of the buildings are damaged: intercept + slope · mean score.
    auc_major_or_worse
        Area under the ROC curve of these log-odds, 0–1.
    buildings
        Graded buildings that it was measured on.

    Raises
    ------
    InputError
        For numbers that are not finite, or an area beyond 0–1.

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

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, asdict(self).values())) or not 0 <= self.auc_major_or_worse <= 1:
            raise InputError(
                f"an evidence card holds {asdict(self)}; expected finite numbers, an AUC of 0 to 1. Fit it again with "
                "EvidenceCard.fit."
            )

    @property
    def skill(self) -> NetworkSkill:
        """2 · AUC − 1, 0–1; 0 below 0.1, and where fewer than 30 buildings were graded, as for networks."""
        return skill_of(2 * self.auc_major_or_worse - 1, self.buildings, f"its AUC is {self.auc_major_or_worse:.2f}")

    @classmethod
    def fit(cls, scores: ArrayLike, damaged: ArrayLike) -> EvidenceCard:
        """Fit log-odds to graded buildings.

        Parameters
        ----------
        scores
            (N,) mean scores: the column `ev_NAME` of a damage map. NaN are left out.
        damaged
            (N,) bool, True for major damage or worse.

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
                int(content["buildings"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            names = ", ".join(cls.__dataclass_fields__)
            raise InputError(f"{path} is no evidence card: expected numbers {names}. Fit it again.") from error

    def write(self, raster: str | Path) -> Path:
        """Write the card beside a raster, under the name by which the damage job knows it; returns its path."""
        content: dict[str, Any] = asdict(self)
        return write_yaml(card_path(raster), content)

    def log_odds(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) log-odds of major damage or worse of mean scores; NaN stay."""
        return self.intercept + self.slope * scores


def card_path(raster: str | Path) -> Path:
    """Where the card of a raster lies: `score.evidence.yaml` beside `score.tif`.

    >>> card_path("runs/score.tif").name
    'score.evidence.yaml'
    """
    return Path(raster).with_suffix(SUFFIX)
