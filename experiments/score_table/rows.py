"""One row of a benchmark: a recipe trained on the training scenes, its maps and scores on the test scenes.

Takes recipes by name and scenes as layer → path; a row that was finished with the same recipe, from the same first
weights, is read, not run again, and one that was stopped goes on. Refuses scenes that are trained and tested on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import Protocol, evaluate_pairs
from deepnets4eo.files import read_json, sha256, write_json
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Scene
from deepnets4eo.segmenters import RunFolder, load_run
from deepnets4eo.system import take_share_of_cores
from deepnets4eo.training import Recipe, TrainOptions, load_recipe, train

OUTCOME, BEGUN = "outcome.json", "begun.json"

Sources = Mapping[str, str]


@dataclass(frozen=True)
class BenchmarkScenes:
    """The scenes of a benchmark.

    Parameters
    ----------
    train : scenes to train on: name → layer → path; the layer `labels` is the target
    test : scenes to map, likewise; their `labels` are the reference

    Raises
    ------
    InputError
        When a scene is in both, or one of them is empty.

    Examples
    --------
    >>> west, east = ({"image": f"{side}.tif", "labels": f"{side}_gt.tif"} for side in ("west", "east"))
    >>> list(BenchmarkScenes({"west": west}, {"east": east}).test)
    ['east']
    """

    train: Mapping[str, Sources]
    test: Mapping[str, Sources]

    def __post_init__(self) -> None:
        shared = sorted(self.train.keys() & self.test.keys())
        if shared:
            raise InputError(f"{', '.join(shared)} would be trained and tested on. Name other test scenes.")
        if not self.train or not self.test:
            raise InputError(
                f"there are {len(self.train)} scenes to train on and {len(self.test)} to test on; at least one each is "
                "needed."
            )


@dataclass(frozen=True)
class Row:
    """A row of a table: a recipe.

    Parameters
    ----------
    name : the same as in the published table, where the method is there
    recipe : a name of the catalog, or a file
    overrides : values of the recipe to change, as `section.key=value`
    scored : names of the classes that the method is about; none: all

    Examples
    --------
    >>> Row("U-Net", "unet-mobilenet", ("train.epochs=20",)).scored
    ()
    """

    name: str
    recipe: str | Path
    overrides: tuple[str, ...] = ()
    scored: tuple[str, ...] = ()


@dataclass
class Outcome:
    """The scores and maps of one row.

    Parameters
    ----------
    name : the row's name
    scores : the same as in `Evaluation.to_dict`; fractions 0–1
    scored : names of the classes that the method is about; none: all
    train_seconds, predict_seconds : wall-clock time
    maps : name of a test scene → its label raster

    Examples
    --------
    >>> Outcome("U-Net", {"overall_accuracy": 0.9}).maps
    {}
    """

    name: str
    scores: dict[str, Any]
    scored: tuple[str, ...] = ()
    train_seconds: float = float("nan")
    predict_seconds: float = float("nan")
    maps: dict[str, Path] = field(default_factory=dict)


def run_row(
    row: Row,
    scenes: BenchmarkScenes,
    legend: Legend,
    out: str | Path,
    *,
    protocol: Protocol | None = None,
    options: TrainOptions | None = None,
) -> Outcome:
    """Train, map and score one row under `out/<row>`; a row that was finished before is read.

    Parameters
    ----------
    row : the recipe
    scenes : where to train and where to map
    legend : classes of the scores; also of the recipe, unless the row sets `legend`
    out : folder of all rows
    protocol : how maps are scored; none: all labelled pixels
    options : the options of the training; none: online, and an unfinished training of the same row goes on

    Returns
    -------
    Scores, seconds and maps.

    Raises
    ------
    DeepNets4EOError
        The same as in training, prediction and evaluation.

    Examples
    --------
    ```python
    outcome = run_row(Row("U-Net", "unet-mobilenet"), scenes, legend, "table")
    ```
    """
    folder = Path(out) / _folder_name(row.name)
    training = json.dumps([dict(sources) for sources in scenes.train.values()])
    legend_of = [] if any(one.startswith("legend=") for one in row.overrides) else [f"legend={_legend_value(legend)}"]
    recipe, _ = load_recipe(row.recipe, overrides=[f"data.scenes={training}", *legend_of, *row.overrides])
    maps = {name: folder / f"{_folder_name(name)}.tif" for name in scenes.test}
    key: dict[str, Any] = {"recipe_sha256": recipe.hash, "test": {name: dict(one) for name, one in scenes.test.items()}}
    if first := _first_weights(recipe):
        key["first_weights"] = first
    if protocol is not None:
        key["protocol"] = protocol.to_dict()
    done = _read_outcome(folder / OUTCOME, key, maps)
    if done is not None:
        return Outcome(row.name, done["scores"], row.scored, done["train_seconds"], done["predict_seconds"], maps)
    options = options or _begin_or_go_on(folder, key)
    started = time.perf_counter()
    run = train(recipe, folder / "run", options=options)
    trained = time.perf_counter()
    _predict_all(run, recipe, scenes.test, maps, options)
    predicted = time.perf_counter()
    pairs = [(maps[name], sources[Scene.label_layer]) for name, sources in scenes.test.items()]
    scores = evaluate_pairs(pairs, legend, protocol).to_dict()
    seconds = {"train_seconds": round(trained - started, 2), "predict_seconds": round(predicted - trained, 2)}
    write_json(folder / OUTCOME, {**key, **seconds, "scores": scores})
    return Outcome(row.name, scores, row.scored, **seconds, maps=maps)


def _begin_or_go_on(folder: Path, key: Mapping[str, Any]) -> TrainOptions:
    """Resume the training of a row that was stopped, if it was of the same recipe, first weights and scenes; else begin again."""
    begun = folder / BEGUN
    same = begun.is_file() and read_json(begun) == key
    write_json(begun, dict(key))
    resume = same and RunFolder(folder / "run").recipe.is_file()
    return TrainOptions(resume=resume, overwrite=not resume, online=True)  # an experiment names its own first weights


def run_rows(
    rows: Sequence[Row],
    scenes: BenchmarkScenes,
    legend: Legend,
    out: str | Path,
    *,
    protocol: Protocol | None = None,
    workers: int = 1,
) -> Iterator[Outcome]:
    """Train, map and score several rows; yields them in order.

    Parameters
    ----------
    rows : the recipes
    scenes, legend, out, protocol : the same as in `run_row`
    workers
        Processes that take a row each, on their share of the cores; rows that run side by side take more seconds each.

    Yields
    ------
    Outcome
        One a row.

    Raises
    ------
    DeepNets4EOError
        The same as in `run_row`.

    Examples
    --------
    ```python
    outcomes = list(run_rows(rows, scenes, legend, "table", workers=2))
    ```
    """
    work = partial(_run_one, scenes=scenes, legend=legend, out=Path(out), protocol=protocol)
    if workers <= 1:
        yield from map(work, rows)
        return
    context = get_context("spawn")
    turns = context.Value("i", 0)
    with ProcessPoolExecutor(workers, context, _limit_cores, (turns, workers)) as pool:
        yield from pool.map(work, rows)


def _run_one(row: Row, scenes: BenchmarkScenes, legend: Legend, out: Path, protocol: Protocol | None) -> Outcome:
    return run_row(row, scenes, legend, out, protocol=protocol)


def _limit_cores(turns: Any, workers: int) -> None:
    """Keep a worker to its share of the cores, by its turn."""
    with turns.get_lock():
        number = turns.value
        turns.value += 1
    take_share_of_cores(number, workers)


def _legend_value(legend: Legend) -> str:
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
    """SHA-256 of the files that the network starts from; of a run its card, which holds its weights' own. The recipe
    holds their paths alone, where others may have been trained since."""
    named = map(Path, recipe.model.first_weights)
    files = [RunFolder(source).card if source.is_dir() else source for source in named]
    return [sha256(file) for file in files if file.is_file()]


def _read_outcome(path: Path, key: Mapping[str, Any], maps: Mapping[str, Path]) -> dict[str, Any] | None:
    """The outcome in a file, where it is that of the same recipe, first weights and scenes and its maps exist."""
    if not path.exists() or not all(one.exists() for one in maps.values()):
        return None
    outcome = read_json(path)
    needed = {"scores", "train_seconds", "predict_seconds"}
    if not isinstance(outcome, dict) or not needed <= outcome.keys() or not isinstance(outcome["scores"], dict):
        return None
    return outcome if all(outcome.get(name) == value for name, value in key.items()) else None


def _folder_name(name: str) -> str:
    plain = "".join(letter if letter.isalnum() else "-" for letter in name.lower().replace("+", " plus"))
    return "-".join(part for part in plain.split("-") if part)


def scored_names(outcome: Outcome, names: Sequence[str]) -> set[str]:
    """The classes of a table that an outcome says something about."""
    return set(outcome.scored or names)
