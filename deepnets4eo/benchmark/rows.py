"""One row of a benchmark: a recipe trained on the training scenes, its maps and scores on the test scenes.

Takes recipes by name and scenes as layer → path; a row that was finished with the same recipe, from the same first
weights, is read, not run again. Refuses places that are trained and tested on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Protocol, evaluate_pairs
from deepnets4eo.files import read_json, sha256, write_json
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters.scene import LABELS, Scene
from deepnets4eo.segmenters.checksums import CARD
from deepnets4eo.segmenters.run import load_run
from deepnets4eo.training import load_recipe, train
from deepnets4eo.training.recipe import Recipe
from deepnets4eo.training.tasks import TrainOptions

OUTCOME = "outcome.json"

Sources = Mapping[str, str]


@dataclass(frozen=True)
class BenchmarkScenes:
    """Scenes of a benchmark: name → layer → path; `labels` are those that are trained on and scored against.

    Errors: InputError where a place is in both parts, or a part is empty.
    """

    train: Mapping[str, Sources]
    test: Mapping[str, Sources]

    def __post_init__(self) -> None:
        shared = sorted(self.train.keys() & self.test.keys())
        if shared:
            raise InputError(f"{', '.join(shared)} would be trained and tested on. Name other test places.")
        if not self.train or not self.test:
            raise InputError(
                f"there are {len(self.train)} places to train on and {len(self.test)} to test on; at least one each is "
                "needed."
            )


@dataclass(frozen=True)
class Row:
    """A row of a table.

    name : as in the published table where it is there. recipe : a name of the catalog or a file; overrides : as
    `section.key=value`. scored : the classes that the method is about; none: all.
    """

    name: str
    recipe: str | Path
    overrides: tuple[str, ...] = ()
    scored: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What a row reached: scores as `Evaluation.to_dict` gives them, seconds, and its maps by test place."""

    name: str
    scores: dict[str, Any]
    scored: tuple[str, ...] = ()
    train_seconds: float = float("nan")
    predict_seconds: float = float("nan")
    maps: dict[str, Path] = field(default_factory=dict)


def run_row(
    row: Row,
    places: BenchmarkScenes,
    legend: Legend,
    out: str | Path,
    *,
    protocol: Protocol | None = None,
    options: TrainOptions | None = None,
) -> Outcome:
    """Train, map and score one row under `out/<row>`; returns what it reached.

    Errors: those of training, prediction and evaluation.
    """
    folder = Path(out) / _folder_name(row.name)
    scenes = json.dumps([dict(sources) for sources in places.train.values()])
    legend_of = (
        [] if any(one.startswith("legend=") for one in row.overrides) else [f"legend={_named_or_written(legend)}"]
    )
    recipe, _ = load_recipe(row.recipe, overrides=[f"data.scenes={scenes}", *legend_of, *row.overrides])
    maps = {name: folder / f"{_folder_name(name)}.tif" for name in places.test}
    key: dict[str, Any] = {"recipe_sha256": recipe.hash, "test": {name: dict(one) for name, one in places.test.items()}}
    if first := _first_weights(recipe):
        key["first_weights"] = first
    if protocol is not None:
        key["protocol"] = protocol.to_dict()
    done = _finished(folder / OUTCOME, key, maps)
    if done is not None:
        return Outcome(row.name, done["scores"], row.scored, done["train_seconds"], done["predict_seconds"], maps)
    options = options or TrainOptions(overwrite=True, online=True)  # an experiment names its own first weights
    started = time.perf_counter()
    run = train(recipe, folder / "run", options=options)
    trained = time.perf_counter()
    _predict_all(run, recipe, places.test, maps, options)
    predicted = time.perf_counter()
    pairs = [(maps[name], sources[LABELS]) for name, sources in places.test.items()]
    scores = evaluate_pairs(pairs, legend, protocol).to_dict()
    seconds = {"train_seconds": round(trained - started, 2), "predict_seconds": round(predicted - trained, 2)}
    write_json(folder / OUTCOME, {**key, **seconds, "scores": scores})
    return Outcome(row.name, scores, row.scored, **seconds, maps=maps)


def run_rows(
    rows: Sequence[Row],
    places: BenchmarkScenes,
    legend: Legend,
    out: str | Path,
    *,
    protocol: Protocol | None = None,
    workers: int = 1,
) -> Iterator[Outcome]:
    """What each row reached, in order; `workers` processes take a row each, on their share of the cores.

    Seconds of rows that run side by side are longer than of rows that run alone. Errors: see `run_row`.
    """
    work = partial(_run_one, places=places, legend=legend, out=Path(out), protocol=protocol)
    if workers <= 1:
        yield from map(work, rows)
        return
    context = get_context("spawn")
    turns = context.Value("i", 0)
    with ProcessPoolExecutor(workers, context, _keep_to_share, (turns, workers)) as pool:
        yield from pool.map(work, rows)


def _run_one(row: Row, places: BenchmarkScenes, legend: Legend, out: Path, protocol: Protocol | None) -> Outcome:
    return run_row(row, places, legend, out, protocol=protocol)


def _keep_to_share(turns: Any, workers: int) -> None:
    """Keep a worker to its share of the cores, so that libraries do not start more threads than there is room for."""
    with turns.get_lock():
        number = turns.value
        turns.value += 1
    if hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))[number % workers :: workers]
        os.sched_setaffinity(0, mine or os.sched_getaffinity(0))


def _named_or_written(legend: Legend) -> str:
    """A legend of the catalog by its name, others as the classes themselves."""
    known = legend.name in Legend.available() and Legend.load(legend.name) == legend
    return legend.name if known else json.dumps(legend.to_dict())


def _predict_all(
    folder: Path, recipe: Recipe, test: Mapping[str, Sources], maps: Mapping[str, Path], options: TrainOptions
) -> None:
    run = load_run(folder)
    for name, sources in test.items():
        scene = Scene.open(None, **{layer: sources[layer] for layer in recipe.model.layers})
        predict(run, scene, maps[name], PredictOptions(overwrite=True, device=options.device))


def _first_weights(recipe: Recipe) -> list[str]:
    """SHA-256 of the files that the network starts from; of a run its card, which holds its weights' own.

    The recipe tells their paths alone, behind which others may have been trained since.
    """
    named = map(Path, recipe.model.first_weights)
    files = [source / CARD if source.is_dir() else source for source in named]
    return [sha256(file) for file in files if file.is_file()]


def _finished(path: Path, key: Mapping[str, Any], maps: Mapping[str, Path]) -> dict[str, Any] | None:
    """The outcome in a file, where it is that of the same recipe, first weights and places and its maps are there."""
    if not path.exists() or not all(one.exists() for one in maps.values()):
        return None
    found = read_json(path)
    needed = {"scores", "train_seconds", "predict_seconds"}
    if not isinstance(found, dict) or not needed <= found.keys() or not isinstance(found["scores"], dict):
        return None
    return found if all(found.get(name) == value for name, value in key.items()) else None


def _folder_name(name: str) -> str:
    plain = "".join(letter if letter.isalnum() else "-" for letter in name.lower().replace("+", " plus"))
    return "-".join(part for part in plain.split("-") if part)


def scored_names(outcome: Outcome, names: Sequence[str]) -> set[str]:
    """The classes of a table that an outcome says something about."""
    return set(outcome.scored or names)
