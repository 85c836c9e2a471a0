"""A benchmark over several folds, whose rows need not all be possible: what cannot be run is named with the reason.

Takes rows, and the training and test scenes of each fold; the maps of all folds are scored as one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Protocol, evaluate_pairs
from deepnets4eo.rasters import Scene
from deepnets4eo.training import load_recipe
from score_table.rows import BenchmarkScenes, Outcome, Row, run_row

log = logging.getLogger(__name__)


def run_possible(
    rows: Sequence[Row],
    folds: Sequence[BenchmarkScenes],
    legend: Legend,
    out: str | Path,
    *,
    protocol: Protocol | None = None,
) -> tuple[list[Outcome], dict[str, str]]:
    """Run the rows that the scenes allow.

    A row is left out where the scenes lack a layer or a class that it is about, or where its training refuses them.

    Parameters
    ----------
    rows : the recipes
    folds : training and test scenes of each fold
    legend, out, protocol : the same as in `run_row`

    Returns
    -------
    The outcomes, and name → reason for each row that was left out.

    Raises
    ------
    DeepNets4EOError
        The same as in `run_row`, but for `InputError`, which leaves the row out; where that leaves none, an
        `InputError` with the
        reasons.

    Examples
    --------
    ```python
    outcomes, left_out = run_possible(rows, [scenes], legend, "table")
    ```
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
    check_not_empty(outcomes, left_out)
    return outcomes, left_out


def check_not_empty(outcomes: Collection[Any], left_out: Mapping[str, str]) -> None:
    """Refuse a table without rows; left_out : name → reason. Errors: InputError with the reasons, each once."""
    if not outcomes and left_out:
        reasons = "; ".join(dict.fromkeys(left_out.values()))
        raise InputError(
            f"none of the {len(left_out)} rows can be run on these scenes, so there is no table: {reasons}"
        )


def run_folds(
    row: Row, folds: Sequence[BenchmarkScenes], legend: Legend, out: str | Path, *, protocol: Protocol | None = None
) -> Outcome:
    """Run a row on each fold, under `out/fold-1/<row>` and so on, and score all their maps as one.

    Parameters
    ----------
    row, legend, out, protocol : the same as in `run_row`
    folds : training and test scenes of each fold. One fold alone is written to `out/<row>`.

    Returns
    -------
    The scores of all maps together, and the sum of the seconds.

    Raises
    ------
    DeepNets4EOError
        The same as in `run_row`.

    Examples
    --------
    ```python
    outcome = run_folds(row, [scenes, BenchmarkScenes(scenes.test, scenes.train)], legend, "table")
    ```
    """
    if len(folds) == 1:
        return run_row(row, folds[0], legend, out, protocol=protocol)
    outcomes = [
        run_row(row, scenes, legend, Path(out) / f"fold-{number}", protocol=protocol)
        for number, scenes in enumerate(folds, start=1)
    ]
    pairs = [
        (one.maps[name], sources[Scene.label_layer])
        for one, scenes in zip(outcomes, folds, strict=True)
        for name, sources in scenes.test.items()
    ]
    return Outcome(
        row.name,
        evaluate_pairs(pairs, legend, protocol).to_dict(),
        row.scored,
        sum(one.train_seconds for one in outcomes),
        sum(one.predict_seconds for one in outcomes),
        {name: path for one in outcomes for name, path in one.maps.items()},
    )


def missing_layers(row: Row, folds: Sequence[BenchmarkScenes]) -> list[str]:
    """Layers that a row takes and that some scene lacks.

    Parameters
    ----------
    row : the recipe
    folds : training and test scenes of each fold

    Returns
    -------
    Names of layers, sorted.

    Raises
    ------
    InputError
        For a recipe that cannot be used.

    Examples
    --------
    >>> sources = {"image": "image.tif", "labels": "labels.tif"}
    >>> row = Row("U-Net", "unet-mobilenet", ("legend=isprs", "model.layers=[image, dsm]"))
    >>> missing_layers(row, [BenchmarkScenes({"west": sources}, {"east": sources})])
    ['dsm']
    """
    recipe, _ = load_recipe(row.recipe, overrides=row.overrides)
    needed = {*recipe.model.layers, Scene.label_layer}
    scenes = [sources for fold in folds for part in (fold.train, fold.test) for sources in part.values()]
    return sorted({layer for sources in scenes for layer in needed - sources.keys()})


def _reason(row: Row, folds: Sequence[BenchmarkScenes], legend: Legend) -> str:
    if missing := missing_layers(row, folds):
        return f"there is no {', '.join(missing)}"
    absent = [name for name in row.scored if name not in legend.names]
    return f"there is no class {', '.join(absent)}" if absent else ""
