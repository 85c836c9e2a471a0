"""Images and priors together: probabilities, expected numbers of damaged buildings with intervals, and how far the prior is followed.

A prior has a pattern and a level, which are used separately:

pattern : moves the log-odds of single buildings. Its weight depends on how well prior and images agree about the
    damaged buildings.
level : moves the number of damaged buildings, weighed against the interval of the images. It moves nothing if prior
    and images contradict each other (a robust mixture prior, Schmidli et al. 2014), since curves from elsewhere are
    often wrong by a factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit

from deepnets4eo.arrays import Floats
from deepnets4eo.damage.decision.estimates import DRAWS
from deepnets4eo.damage.decision.site_fit import MAX_INFORMATION
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.probabilities import Z95
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.options import plain_options
from deepnets4eo.outputs import Finding, Phrase

if TYPE_CHECKING:
    from deepnets4eo.damage.site.measured_prior import MeasuredPrior

# Alike beforehand. Up to 1, a reversed prior costs twice the AUC at made-up sites, and a true one gains no more.
WEIGHTS = np.linspace(0, 0.5, 5)
LEVEL_SD_LOG_ODDS = 1.5  # log-odds by which a curve of elsewhere is wrong at a site
TRUSTED = 0.5  # probability that the level of a prior says something of this site
ANY_LEVEL = 0.1  # density of log-odds of a level that says nothing
LOCAL_SD_LOG_ODDS = 1.0  # log-odds by which ground that was not seen differs from what was, as `areas.LOCAL_SPREAD`
CLEAR = 0.05  # doubt that images leave where half are damaged, below which a prior changes nothing
NEAREST = 1e-6
STEP = 0.1  # of log-odds; buildings in one step count together
SHIFTS = np.linspace(-12, 12, 61)
NO_BUILDINGS = (
    Reason.NO_BUILDING,
    Reason.EMPTY,
    Reason.LARGE,
    Reason.ENCLOSING,
)  # reasons of outlines that are no buildings


def combine(
    buildings: pd.DataFrame,
    prior: Floats,
    damaged: dict[str, Any],
    share: float,
    weight: float | None = None,
    seed: int = 0,
) -> tuple[Floats, dict[str, Any]]:
    """Return probabilities (N,) by images and prior (N,) together, NaN if not assessed, and numbers for the summary.

    damaged : `expected` and `interval_95` by the images; share : the basis of their probabilities; weight : of the prior's pattern,
    by default 0 to 0.5, all equally likely."""
    table, known = Buildings(buildings), np.isfinite(prior)
    assessed = table.assessed
    seen, rest = assessed & known, ~assessed & known & ~table.because(*NO_BUILDINGS)
    probability = buildings["damage_prob"].where(assessed).to_numpy(float, copy=True)
    images, by_prior = logit(np.clip(probability, NEAREST, 1 - NEAREST)), logit(prior)
    total, rng = int(assessed.sum()), np.random.default_rng([seed, 64])
    result = {"weight": 0.0, "images_alone": damaged, "with_prior": damaged, "assessed": total, "clear": total}
    if not seen.any():
        alone = _unseen(by_prior[rest], np.ones(DRAWS), LEVEL_SD_LOG_ODDS * rng.standard_normal(DRAWS), rng)
        return probability, result | {"not_assessed": alone}
    weights = WEIGHTS if weight is None else np.array([weight])
    base = float(logit(np.clip(share, NEAREST, 1 - NEAREST)))
    free = seen & table.by_structure
    own, room = images[assessed], np.where(free, _room(images - base), 0.0)[assessed]
    offsets, level = np.nan_to_num(by_prior[assessed]) * room, float(logit(prior[seen].mean()))
    moved = np.stack([_balanced(own, weight * offsets, weight * room) for weight in weights])
    alike, one = np.full(seen.sum(), base), np.ones(seen.sum())
    even = np.stack([_balanced(alike, weight * by_prior[seen], weight * one) for weight in weights])
    posterior = _agreement(images[seen] - base, even)
    shift, number = _draw(moved, posterior, _doubt_of_images(own, damaged, rng), level, rng)
    drawn = np.empty(DRAWS)
    for w in np.unique(number):
        steps, count = _cells(moved[w])
        drawn[number == w] = _numbers(steps + shift[number == w, None], count, rng)
    probability[assessed] = posterior @ expit(moved + room * np.median(shift))
    centres = even[:, 0] - weights * by_prior[seen][0]  # log-odds where the prior says one half
    others = _unseen(by_prior[rest], weights[number], centres[number] + shift, rng)
    result |= {"weight": float(weights @ posterior), "with_prior": _row(drawn), "clear": int((room == 0).sum())}
    return probability, result | {"not_assessed": others}


def _room(evidence: Floats) -> Floats:
    """Return (N,) the share of the prior that counts: 1 if images show nothing, 0 if they are sure."""
    doubt, least = expit(evidence) * expit(-evidence), CLEAR * (1 - CLEAR)
    return np.asarray(np.clip((doubt - least) / (0.25 - least), 0, 1))


def _balanced(images: Floats, offsets: Floats, free: Floats) -> Floats:
    """Return (n,) log-odds with offsets, less a constant times `free`, such that the expected number stays."""
    sums = np.array([expit(images + offsets - free * value).sum() for value in SHIFTS])
    return np.asarray(images + offsets - free * np.interp(expit(images).sum(), sums[::-1], SHIFTS[::-1]))


def _agreement(evidence: Floats, prior: Floats) -> Floats:
    """Return (W,) probabilities of the weights, by the evidence (n,) of the images and the prior (W, n) at each weight, both as log-odds."""
    information = min(1.0, MAX_INFORMATION / len(evidence))  # buildings of one site err together
    fit = np.logaddexp(log_expit(prior) + evidence, log_expit(-prior)).sum(axis=1) * information
    table = np.exp(fit - fit.max())
    return np.asarray(table / table.sum())


def _doubt_of_images(images: Floats, damaged: dict[str, Any], rng: np.random.Generator) -> Floats:
    """Return (R,) shifts of all log-odds that make their sum scatter as the interval of the images does."""
    sums = _sums(images)
    middle, low, high = (np.interp(value, sums, SHIFTS) for value in (damaged["expected"], *damaged["interval_95"]))
    normal = rng.standard_normal(4 * DRAWS)
    return np.asarray(normal * np.where(normal > 0, high - middle, middle - low) / Z95)


def _draw(
    moved: Floats, posterior: Floats, shifts: Floats, level: float, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.intp]]:
    """Return (D,) shifts, and numbers of the weights, drawn by how well the share of damaged buildings fits the level of the prior."""
    number = rng.choice(len(posterior), len(shifts), p=posterior)
    sums = np.array([np.interp(shifts, SHIFTS, _sums(row)) for row in moved])
    shares = sums[number, np.arange(len(shifts))] / moved.shape[1]
    apart = (logit(np.clip(shares, NEAREST, 1 - NEAREST)) - level) / LEVEL_SD_LOG_ODDS
    density = (1 - TRUSTED) * ANY_LEVEL + TRUSTED * np.exp(-0.5 * apart**2) / (LEVEL_SD_LOG_ODDS * np.sqrt(2 * np.pi))
    chosen = rng.choice(len(shifts), DRAWS, p=density / density.sum())
    return shifts[chosen], number[chosen]


def _cells(log_odds: Floats) -> tuple[Floats, NDArray[np.intp]]:
    steps, count = np.unique(np.rint(log_odds / STEP), return_counts=True)
    return steps * STEP, count


def _sums(log_odds: Floats) -> Floats:
    """Return (S,) expected numbers at the `SHIFTS`."""
    steps, count = _cells(log_odds)
    return np.asarray(expit(steps + SHIFTS[:, None]) @ count)


def _numbers(log_odds: Floats, count: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """(d,) numbers of damaged buildings, drawn of cells with log-odds (d, M)."""
    p = expit(log_odds)
    noise = rng.standard_normal(len(p)) * np.sqrt((p * (1 - p)) @ count)
    return np.asarray(np.clip(p @ count + noise, 0, count.sum()))


def _unseen(prior: Floats, weight: Floats, shift: Floats, rng: np.random.Generator) -> dict[str, Any] | None:
    """Return the number expected of buildings that were not assessed, at weights and shifts (D,); None without any."""
    steps, count = _cells(prior)
    local = shift + LOCAL_SD_LOG_ODDS * rng.standard_normal(DRAWS)
    drawn = _numbers(np.outer(weight, steps) + local[:, None], count, rng)
    return {"buildings": len(prior), **_row(drawn)} if len(prior) else None


def _row(drawn: Floats) -> dict[str, Any]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"expected": float(drawn.mean()), "interval_95": [float(low), float(high)]}


def count_with_priors(
    buildings: pd.DataFrame, measured: Sequence[MeasuredPrior], damaged: dict[str, Any], share: float, seed: int
) -> tuple[Floats, Floats, dict[str, Any]]:
    """Return the prior (N,), the probabilities (N,) of `combine`, and its numbers with the sources of the priors.

    The priors count as one by their mean log-odds. damaged, share, seed : as of `combine`"""
    table = np.array([logit(evidence.curve.probability(evidence.intensities)) for evidence in measured])
    known = np.isfinite(table)
    sources = [
        {"kind": evidence.kind, "file": evidence.source, "unit": evidence.unit, "buildings": int(rows.sum()),
         "curve": plain_options(evidence.curve)}
        for evidence, rows in zip(measured, known, strict=True)
    ]  # fmt: skip
    with np.errstate(invalid="ignore"):
        prior = expit(np.nansum(table, axis=0) / known.sum(axis=0))
    fixed = [evidence.curve.weight for evidence in measured if evidence.curve.weight is not None]
    probability, result = combine(buildings, prior, damaged, share, float(np.mean(fixed)) if fixed else None, seed)
    return prior, probability, {"sources": sources, **result}


def prior_finding(priors: dict[str, Any]) -> Finding:
    """Return the finding on what the priors of `count_with_priors` change."""
    names = ", ".join(source["kind"] for source in priors["sources"])
    alone, together, rest = (priors[name] for name in ("images_alone", "with_prior", "not_assessed"))
    assumed = [source["kind"] for source in priors["sources"] if source["curve"]["source"].startswith("Assumption")]
    values = {
        "alone": _expected(alone), "assessed": priors["assessed"], "names": Finding.verbatim(names), "together": _expected(together),
        "weight": priors["weight"], "clear": priors["clear"],
        "unseen": rest["buildings"] if rest else None, "rest": _expected(rest) if rest else None,
        "assumed": Finding.verbatim(", ".join(assumed)) if assumed else None,
    }  # fmt: skip
    return Finding("prior_used", "note", values)


def _expected(row: dict[str, Any]) -> Phrase:
    low, high = row["interval_95"]
    return Phrase("expected_between", {"expected": row["expected"], "low": low, "high": high})
