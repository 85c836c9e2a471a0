"""A benchmark over several folds, whose rows need not all be possible: what cannot be run is named with the reason.

Takes rows, and one pair of places per fold; the maps of all folds are scored as one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from deepnets4eo.benchmark.rows import BenchmarkScenes, Outcome, Row, run_row
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Protocol, evaluate_pairs
from deepnets4eo.rasters.scene import LABELS
from deepnets4eo.training import load_recipe

log = logging.getLogger(__name__)


def run_possible(
    rows: Sequence[Row],
    folds: Sequence[BenchmarkScenes],
    legend: Legend,
    out: str | Path,
    *,
    protocol: Protocol | None = None,
) -> tuple[list[Outcome], dict[str, str]]:
    """What the rows reached that the places allow, and the reason for each other row.

    A row is left out where the places lack a layer or a class that it is about, or where it says itself that it
    cannot learn from them.
    """
    outcomes, left_out = [], {}
    for row in rows:
        reason = _reason(row, folds, legend)
        if not reason:
            try:
                outcomes.append(run_folds(row, folds, legend, out, protocol=protocol))
                log.info("%s: trained in %.0f s", row.name, outcomes[-1].train_seconds)
                continue
            except InputError as error:
                reason = str(error)
        left_out[row.name] = reason
        log.warning("%s is left out: %s", row.name, reason)
    return outcomes, left_out


def run_folds(
    row: Row, folds: Sequence[BenchmarkScenes], legend: Legend, out: str | Path, *, protocol: Protocol | None = None
) -> Outcome:
    """Run a row on each fold, under `out/fold-1/<row>` and so on, and score all their maps as one.

    Seconds are summed. One fold alone lies in `out/<row>`. Errors: those of `run_row`.
    """
    if len(folds) == 1:
        return run_row(row, folds[0], legend, out, protocol=protocol)
    found = [
        run_row(row, places, legend, Path(out) / f"fold-{number}", protocol=protocol)
        for number, places in enumerate(folds, start=1)
    ]
    pairs = [
        (one.maps[name], sources[LABELS])
        for one, places in zip(found, folds, strict=True)
        for name, sources in places.test.items()
    ]
    return Outcome(
        row.name,
        evaluate_pairs(pairs, legend, protocol).to_dict(),
        row.scored,
        sum(one.train_seconds for one in found),
        sum(one.predict_seconds for one in found),
        {name: path for one in found for name, path in one.maps.items()},
    )


def missing_layers(row: Row, folds: Sequence[BenchmarkScenes]) -> list[str]:
    """Layers that a row looks at and that some place lacks."""
    recipe, _ = load_recipe(row.recipe, overrides=row.overrides)
    needed = {*recipe.model.layers, LABELS}
    places = [one for fold in folds for part in (fold.train, fold.test) for one in part.values()]
    return sorted({layer for one in places for layer in needed - one.keys()})


def _reason(row: Row, folds: Sequence[BenchmarkScenes], legend: Legend) -> str:
    if missing := missing_layers(row, folds):
        return f"there is no {', '.join(missing)}"
    absent = [name for name in row.scored if name not in legend.names]
    return f"there is no class {', '.join(absent)}" if absent else ""
