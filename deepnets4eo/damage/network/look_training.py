"""The task `damage-look`: graded pairs in, a regression of what their buildings look like out, measured at events left out in turn."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from deepnets4eo.arrays import Floats, Mask
from deepnets4eo.damage.network.datasets import read_pairs
from deepnets4eo.damage.network.look import INPUTS
from deepnets4eo.damage.network.look_model import LookModel, by_site, pool_look
from deepnets4eo.damage.network.pairs import POST, LabelledPair
from deepnets4eo.damage.network.recipe import PairFiles
from deepnets4eo.damage.network.stretched_images import image_stretches
from deepnets4eo.damage.site.skill import EvidenceCard
from deepnets4eo.damage.table.vocabulary import MAJOR, is_graded
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_json
from deepnets4eo.lazy import check_extra
from deepnets4eo.outputs import one_or_many
from deepnets4eo.segmenters import RunFolder
from deepnets4eo.training import Recipe, Task, TrainOptions

log = logging.getLogger(__name__)

MIN_BUILDINGS_OF_SIDE = 3  # buildings of either side, without which a site has no AUC
STRENGTH = 1e-4  # of the regression against its penalty
DIRECTIONS, WITHIN = 32, 0.99


class LookRecipe(Recipe):
    """The graded pairs for training; of the other sections only the seed is used, to register pairs of layout vector.

    >>> LookRecipe(data=PairFiles(folders=("xbd",))).data.layout
    'auto'
    """

    task: str = "damage-look"
    data: PairFiles = PairFiles()  # type: ignore[assignment]
    legend: Literal["xbd"] = "xbd"


@dataclass(frozen=True)
class LookSite:
    """Graded buildings of a site: features (n, D) standardised by it, which are damaged (n,), and with whom it is left out."""

    standard: Floats
    damaged: Mask
    group: str

    @property
    def has_both_sides(self) -> bool:
        return bool(min(self.damaged.sum(), (~self.damaged).sum()) >= MIN_BUILDINGS_OF_SIDE)


def train_look(recipe: LookRecipe, out: Path, options: TrainOptions) -> Path:
    """Fit the regression, measure it at events left out in turn, and write it with its scores. Errors: InputError, MissingExtraError."""
    check_extra("deep")
    started = time.perf_counter()
    pairs = read_pairs(recipe.data, recipe.train.seed)
    sites = read_sites(pairs)
    model, left_out = fit_look(sites)
    model.save(out)
    by_event = left_out.astype(object).where(left_out.notna(), None).to_dict("records")
    scores = {
        "protocol": {"name": "events left out in turn, one count a building", "leaky": False},
        "mean_auc": None if left_out["auc"].isna().all() else float(left_out["auc"].mean()),
        "events": by_event,
        "card": asdict(model.card),
        "seconds": round(time.perf_counter() - started, 3),
    }
    write_json(RunFolder(out).metrics, scores)
    log.info("%s", table_of(left_out))
    return out


def read_sites(pairs: Sequence[LabelledPair]) -> list[LookSite]:
    """Return the look of the buildings of pairs, one site per event; for a single event, one site per pair.

    Raises InputError for a single pair."""
    events = [pair.event for pair in pairs]
    groups = events if len(set(events)) > 1 else [pair.name for pair in pairs]
    if len(set(groups)) < 2:
        raise InputError(
            f"{pairs[0].name} is the only pair, and nothing is left to measure the fit. Give pairs of other events, or teach the map of this "
            "one: deepnets4eo review DIR --update."
        )
    features = []
    for number, pair in enumerate(pairs, start=1):
        log.info("looking at %s (%d of %d) …", pair.name, number, len(pairs))
        post = pair.scene.layers[POST]
        features.append(pool_look(post, image_stretches(INPUTS.layers, None, post), pair.gsd_m, pair.outlines))
    sites, small = [], []
    for group in sorted(set(groups)):
        own = [number for number, name in enumerate(groups) if name == group]
        standard = by_site(np.concatenate([features[number] for number in own]))
        grades = np.concatenate([pairs[number].grades for number in own])
        known = np.isfinite(standard).all(axis=1) & is_graded(grades)
        if known.any():
            sites.append(LookSite(standard[known], grades[known] >= MAJOR, group))
        else:
            small.append(group)
    lacking = f"{one_or_many(len(small), 'one event has', f'{len(small)} events have')} fewer than {LookModel.min_buildings} buildings that an image shows"
    if len(sites) < 2:
        raise InputError(f"{lacking}, and {len(sites)} are left, expected two at least. Give more pairs.")
    if small:
        log.warning("%s, and are left out: %s.", lacking, ", ".join(small))
    return sites


def fit_look(sites: Sequence[LookSite]) -> tuple[LookModel, pd.DataFrame]:
    """Return the regression of all sites, with a card measured on left-out groups, and a table of the sites.

    The table has one row per site: group, buildings, damaged, AUC when left out. Raises InputError if a fit has buildings of
    only one side.
    """
    scores = [np.full(len(site.damaged), np.nan) for site in sites]
    for group in sorted({site.group for site in sites}):
        others = [site for site in sites if site.group != group]
        if len({bool(is_damaged) for site in others for is_damaged in site.damaged}) < 2:
            continue
        weights = _regress(others)
        for number, site in enumerate(sites):
            if site.group == group:
                scores[number] = site.standard @ weights
    damaged = np.concatenate([np.zeros(0, bool), *(site.damaged for site in sites)])
    card = EvidenceCard.fit(np.concatenate([np.zeros(0), *scores]), damaged)
    everything = np.concatenate([site.standard for site in sites])
    _, spread, axes = np.linalg.svd(everything - everything.mean(axis=0), full_matrices=False)
    count = min(DIRECTIONS, len(axes))
    directions = axes[:count] / (spread[:count, None] / np.sqrt(len(everything)))
    limit = float(np.quantile(np.linalg.norm(everything @ directions.T, axis=1), WITHIN))
    rows = [
        (site.group, len(site.damaged), int(site.damaged.sum()), _auc(site, scored))
        for site, scored in zip(sites, scores, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["event", "buildings", "damaged", "auc"])
    return LookModel(_regress(sites), directions, limit, card), table


def table_of(left_out: pd.DataFrame) -> str:
    """Return the rows of `fit_look` as Markdown, with their mean."""
    lines = ["| left out | buildings | damaged | AUC |", "|---|---:|---:|---:|"]
    for event, buildings, damaged, auc in left_out.itertuples(index=False):
        lines.append(f"| {event} | {buildings} | {damaged} | {'–' if np.isnan(auc) else f'{auc:.3f}'} |")
    if left_out["auc"].notna().any():
        lines.append(
            f"| mean | {left_out['buildings'].sum()} | {left_out['damaged'].sum()} | {left_out['auc'].mean():.3f} |"
        )
    return "\n".join(lines)


def _regress(sites: Sequence[LookSite]) -> Floats:
    """Weights (D,) of the standardised features."""
    from sklearn.linear_model import LogisticRegression

    features, damaged = (np.concatenate([getattr(site, name) for site in sites]) for name in ("standard", "damaged"))
    model = LogisticRegression(C=STRENGTH, max_iter=300, class_weight="balanced").fit(features, damaged)
    return np.asarray(model.coef_[0])


def _auc(site: LookSite, scores: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    known = site.has_both_sides and bool(np.isfinite(scores).all())
    return float(roc_auc_score(site.damaged, scores)) if known else float("nan")


TASK = Task(train_look, LookRecipe)
