"""How the weight-free damage model does at styles and hazards of the miniature world that it never saw. SYNTHETIC.

Usage: python experiments/damage_left_out.py --out FOLDER [--model damage-evidence] [--draws 3] [--cities 28]
                                             [--cache runs/damage-evidence]
Two methods on the evidence of damage_train_evidence.py. `refit`: the fit of that experiment with --draws; a building's log-odds come from
a fit without its style (a city is a style) and without its hazard, and its calibration, thresholds and sets come from
all other hazards, or styles. `model`: the given model as it is; left out of nothing where it was fitted on these pairs.
Grades, false alarms and calibration errors are those at the share of damaged buildings that is estimated for each pair, as in
a job. One line a hazard and one a style: mean ± standard deviation over the draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from damage_reliability import left_out_log_odds, named_grades
from damage_train_evidence import gather_tables, keep_graded, taught_by, world_columns
from numpy.typing import NDArray
from places.damage_scores import scores_of
from places.results import markdown_table
from scipy.special import logit
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.damage.decision import DEFAULT_MODEL, DamageModel
from deepnets4eo.damage.fit_model import Graded
from deepnets4eo.damage.grading_rates import UNKNOWN_RATES, GradingRates, corrected_share, fit_rates
from deepnets4eo.damage.prior import choose_share
from deepnets4eo.damage.reliability import MAJOR, Reliability, adjust_to_share, fit_reliability, fit_to_site
from deepnets4eo.damage.site_shift import MOST_INFORMATION
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_text

KEYS = (
    "auc",
    "auc_pair",
    "log_loss",
    "false_alarms",
    "four_grades",
    "quadratic_kappa",
    "ece_pair",
    "set_held",
    "set_size",
)
LEAST_BUILDINGS = 20  # of a pair whose calibration error counts

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Method:
    """What grades buildings from their log-odds (N, 3)."""

    reliability: Reliability
    rates: GradingRates

    @classmethod
    def fit(cls, log_odds: Array, data: Graded, most_information: float = MOST_INFORMATION) -> Method:
        """Reliability and rates of left-out log-odds."""
        site = np.unique(data.group, return_inverse=True)[1]
        reliability = fit_reliability(log_odds, data.grade, site, most_information)
        called = reliability.probabilities(log_odds)[:, MAJOR:].sum(axis=1) >= 0.5
        return cls(reliability, fit_rates(called, data.grade >= MAJOR, data.group))

    def rows(self, log_odds: Array, data: Graded) -> pd.DataFrame:
        """One row a building, with what `scores_of` reads; the share is estimated for each pair."""
        half = self.reliability.probabilities(log_odds)
        adjusted = np.empty_like(half)
        for pair in np.unique(data.group):
            here = data.group == pair
            at_site = fit_to_site(half[here], np.full(here.sum(), ""), {"": self.reliability})
            if at_site is not None:
                half[here], share = at_site.probabilities, at_site.share
            else:
                damaged = half[here][:, MAJOR:].sum(axis=1)
                second = corrected_share([(self.rates, int((damaged >= 0.5).sum()), int(here.sum()))])
                share = choose_share(logit(np.clip(damaged, 1e-4, 1 - 1e-4)), second).value
            adjusted[here] = adjust_to_share(half[here], share)
        members = np.ones(half.shape, bool)
        if self.reliability.sets is not None:
            members = self.reliability.sets.members(half)
        thresholds = np.tile(self.reliability.thresholds, (len(half), 1))
        return pd.DataFrame({
            "truth": data.grade, "grade": named_grades(adjusted, thresholds), "group": data.group,
            "probability": adjusted[:, MAJOR:].sum(axis=1), "probability_half": half[:, MAJOR:].sum(axis=1),
            "set_held": members[np.arange(len(half)), data.grade], "set_size": members.sum(axis=1),
        })  # fmt: skip


def left_out_rows(
    log_odds: Array,
    data: Graded,
    kind: NDArray[np.object_],
    world: NDArray[np.bool_],
    most_information: float = MOST_INFORMATION,
) -> pd.DataFrame:
    """Rows of the world's buildings, those of each kind with the reliability of all others."""
    parts = []
    for name in np.unique(kind[world]):
        others, here = kind != name, world & (kind == name)
        method = Method.fit(log_odds[others], data.rows(others), most_information)
        parts.append(method.rows(log_odds[here], data.rows(here)))
        parts[-1].index = np.flatnonzero(here)
    return pd.concat(parts).sort_index()


def model_rows(model: DamageModel, variant: str, data: Graded, world: NDArray[np.bool_]) -> pd.DataFrame:
    """Rows of the world's buildings by a model as it is."""
    fitted = model.variants[variant]
    log_odds = fitted.standardise(data.evidence[world]) @ fitted.weights.T + fitted.intercepts
    rows = Method(fitted.reliability, fitted.rates or UNKNOWN_RATES).rows(log_odds, data.rows(world))
    rows.index = np.flatnonzero(world)
    return rows


def scores(rows: pd.DataFrame) -> dict[str, float]:
    """Scores of some buildings: of `scores_of`, and means over their pairs."""
    own: dict[str, float] = scores_of(rows)
    damaged = (rows["truth"] >= MAJOR).to_numpy()
    margin = logit(np.clip(rows["probability_half"].to_numpy(float), 1e-4, 1 - 1e-4))
    losses = np.logaddexp(0, np.where(damaged, -margin, margin))
    both = 0 < damaged.sum() < len(damaged)
    by_pair = [scores_of(part) for _, part in rows.groupby("group")]
    return own | {
        "auc": own["auc_half"],
        "auc_pair": _mean([pair["auc"] for pair in by_pair]),
        "log_loss": float((losses[damaged].mean() + losses[~damaged].mean()) / 2) if both else float("nan"),
        "ece_pair": _mean([pair["ece"] for pair in by_pair if pair["buildings"] >= LEAST_BUILDINGS]),
        "set_held": float(rows["set_held"].mean()), "set_size": float(rows["set_size"].mean()),
    }  # fmt: skip


def table_lines(name: str, rows: pd.DataFrame, kind: pd.Series, draw: pd.Series) -> Iterator[list[str]]:
    """A line a kind, and the mean of the kinds."""
    frame = pd.DataFrame(
        [
            {"kind": key, "draw": number, **scores(part)}
            for (key, number), part in rows.groupby([kind[rows.index], draw[rows.index]])
        ]
    )
    for key, part in frame.groupby("kind"):
        yield [str(key), name, *(spread(part[column], 3) for column in KEYS)]
    means = frame[frame["kind"] != "none"].groupby("draw")[list(KEYS)].mean()
    yield ["**mean**", name, *(spread(means[column], 3) for column in KEYS)]


def _mean(values: list[float]) -> float:
    known = np.array(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="the model to compare with")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--cities", type=int, default=28)
    parser.add_argument("--cache", type=Path, default=Path("runs/damage-evidence"))
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        options.cities, options.draws = 2, 1
        print(NOTE)
    frame = gather_tables(options.cities, None, options.cache, options.draws)
    model = DamageModel.load(options.model)
    parts = ["# SYNTHETIC: styles and hazards that took part in neither the fit nor the calibration"]
    for variant in ("post_only", "pre_post"):
        paired = frame["ev_edge_similarity"].notna() if variant == "pre_post" else np.ones(len(frame), bool)
        some = frame[paired].reset_index(drop=True)
        data, world = keep_graded(some), (some["domain"] != "city").to_numpy()
        assert data.event is not None
        assert data.style is not None
        log_odds = left_out_log_odds(taught_by(data, variant), world_columns(variant))
        as_is = model_rows(model, variant, data, world)
        for title, kind in (("hazard", data.event), ("style", data.style)):
            refit = left_out_rows(log_odds, data, kind, world)
            lines = [
                line
                for name, rows in (("model", as_is), ("refit", refit))
                for line in table_lines(name, rows, pd.Series(kind), some["draw"])
            ]
            parts += [f"## {variant}, by {title}", markdown_table([title, "method", *KEYS], sorted(lines))]
    path = write_text(options.out / "left_out.md", "\n\n".join(parts) + "\n")
    print(path.read_text(encoding="utf-8"))
    print(path)


if __name__ == "__main__":
    with plain_errors():
        main()
