"""What a fitted model knows: the range of evidence it was fitted on, and where its left-out grades were right.

Takes evidence of graded buildings with grades from fits that left them out; returns the reason why a building lies outside.
The rule has three parts, all measured on the data of the fit: a distance that 99 % of them keep, and limits of roof width
and greenness beyond which buildings left out were graded right too seldom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats

KNOWN_SHARE = 0.99  # of the buildings of the fit lie within the distance
WINDOW = 200  # buildings over which the left-out accuracy is taken, from the end of a column inwards
LEAST_ACCURACY = 0.8  # mean of sensitivity and specificity below which a stretch of a column is not known
LEAST_AT_SITE = 30  # buildings for a site to say what share of its buildings may lie outside
NARROW, GREEN = "ev_roof_width_px", "ev_greenness"
UNLIKE = "evidence unlike any that the model knows"
REASONS = {NARROW: "roof too narrow for the image resolution", GREEN: "greener than the roofs that the model knows"}
ENDS = {NARROW: "least", GREEN: "most"}


@dataclass(frozen=True)
class FittedRange:
    """Range of one variant's evidence.

    farthest : 99 % quantile of the distances in the fit; covariance : (K, K) of the standardised evidence.
    limits : least roof width, most greenness; columns without one are absent.
    place_share : greatest share of a site's buildings outside the range, among the sites of the fit.
    """

    farthest: float
    covariance: Floats
    limits: dict[str, float]
    place_share: float

    def distance(self, standard: Floats) -> Floats:
        """(N,) Mahalanobis distances of (N, K) standardised evidence as the decision takes it, cut at ± 3.

        So what is extreme in the way that damaged or intact buildings are is not far off; an unusual combination is.
        """
        return np.sqrt(np.einsum("ij,ji->i", standard, np.linalg.solve(self.covariance, standard.T)))

    def reasons(self, standard: Floats, frame: pd.DataFrame) -> NDArray[np.object_]:
        """(N,) why each building lies outside, '' where it lies inside.

        standard : (N, K) as `Variant.standardise` returns it; frame : (N rows) with the columns of the limits where known.
        """
        reason = np.where(self.distance(standard) > self.farthest, UNLIKE, "").astype(object)
        for column, limit in self.limits.items():
            if column in frame:
                value = frame[column].to_numpy(float)
                reason[value < limit if ENDS[column] == "least" else value > limit] = REASONS[column]
        return reason

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the model file."""
        return {
            "farthest": round(self.farthest, 3),
            "covariance": [" ".join(f"{value:.4f}" for value in row) for row in self.covariance],
            "limits": {column: round(limit, 3) for column, limit in self.limits.items()},
            "place_share": round(self.place_share, 3),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> FittedRange:
        """Read what `to_dict` wrote. Errors: KeyError, TypeError, AttributeError or ValueError otherwise."""
        limits = {str(column): float(limit) for column, limit in content["limits"].items() if column in ENDS}
        covariance = np.array([row.split() for row in content["covariance"]], float)
        np.linalg.cholesky(covariance)  # refuses what is no covariance, by a ValueError
        return cls(float(content["farthest"]), covariance, limits, float(content["place_share"]))


def fit_range(
    standard: Floats,
    evidence: pd.DataFrame,
    right: NDArray[np.bool_],
    damaged: NDArray[np.bool_],
    site: NDArray[np.object_],
) -> FittedRange:
    """Range of the evidence that a variant was fitted on.

    standard : (N, K) as `Variant.standardise` returns it; evidence : (N rows) all columns; right : (N,) whether the grade
    without the building was on the right side; damaged : (N,) truth; site : (N,) name of the site.
    """
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


def reliable_limit(value: Floats, right: NDArray[np.bool_], damaged: NDArray[np.bool_]) -> float | None:
    """Value above which buildings were graded right too seldom; None where even the largest values are known.

    From the largest values inwards, windows of 200 buildings are left out as long as the mean of their sensitivity and
    specificity is below 0.8.
    """
    order = np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")
    limit = None
    for start in range(0, len(order) - WINDOW, WINDOW):
        window = order[start : start + WINDOW]
        sides = [right[window][damaged[window] == side] for side in (True, False)]
        if np.mean([side.mean() for side in sides if len(side)]) >= LEAST_ACCURACY:
            break
        limit = float(value[window[-1]])
    return limit


def _most_outside(outside: NDArray[np.bool_], site: NDArray[np.object_]) -> float:
    """Greatest share of a site's buildings that lie outside; small sites do not count."""
    shares = pd.Series(outside).groupby(np.asarray(site, dtype=object)).agg(["mean", "size"])
    shares = shares[shares["size"] >= LEAST_AT_SITE]["mean"]
    return float(shares.max()) if len(shares) else float(np.mean(outside))
