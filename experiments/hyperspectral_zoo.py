"""Hyperspectral methods on real cubes: the random split that is published beside one of disjoint blocks, with the leakage.

Usage: python experiments/hyperspectral_zoo.py --out FOLDER --data SAMPLES [--names salinas_a houston_crop …] [--presentations 60000]
       python experiments/hyperspectral_zoo.py --out FOLDER --cube pavia_university=FOLDER [--cube …]
       python experiments/hyperspectral_zoo.py --out FOLDER --data SAMPLES --steps 200     (a short training, see below)
--smoke tries all of it in minutes; its figures mean nothing.

Rows are recipes hyperspectral/NAME, all with the same pixels: 10 % at random (as published), and folds of blocks with a buffer of a
patch less 1, so that no test patch shares a pixel with a training patch. Seed s draws other random pixels, tests on fold s, and
starts from other weights. --presentations: networks learn as in their recipes, but for fewer epochs where more pixels would be presented, so that
both splits present as many. --steps: all networks learn by Adam for so many batches of 32 pixels instead.
Writes table.md, table.json, results.json, and a sheet of maps a cube; what is finished is not run again, and other rows of a results.json that is there are kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hyperspectral_cubes import SAMPLES, RealCube, card_cube, sample_cubes
from score_table import Outcome, contact_sheet
from script import NOTE, add_smoke, kept_results, number_or_nan, plain_errors, store_results, title_of

from deepnets4eo.cards import VOID, SplitPart
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.grid import whole
from deepnets4eo.hyperspectral import Cube
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import Recipe, TrainOptions, load_recipe, make_split, open_labelled, train

log = logging.getLogger(__name__)

METHODS = ("svm", "random-forest", "hu", "hamida", "li", "hybridsn")
RANDOM, DISJOINT = "random", "disjoint"
FOLDS, RANDOM_TEST_SHARE = 5, 0.9
PATCH_PX, SMALL_PATCH_PX = 25, 9  # of HybridSN, the largest: as published, and on scenes too small for its buffer
BATCH, SHORT_LR, SHORT_LRS = 32, 2e-3, {"hu": 3e-2}  # of the short training, and of networks that learn slower
SHORT = (
    "train.optimizer=adam", f"train.batch_size={BATCH}", "train.schedule=one_cycle", "train.weight_decay=0.0",
    "train.warmup_share=0.3",
)  # fmt: skip
HEAD = (
    "method",
    "split",
    "OA",
    "AA",
    "kappa",
    "mean F1",
    "leakage %",
    "pixels learnt from",
    "tested on",
    "train s",
    "map s",
)
SCORES = ("overall_accuracy", "average_accuracy", "kappa", "mean_f1")
SHEET_SCENES = 2  # of cubes in many tiles, those with most test pixels
GRSM = "the table of the review of 2019 (GRSM) could not be checked at its source, and is left out"


@dataclass(frozen=True)
class Trial:
    """What is run: recipes, splits and seeds.

    steps : batches of the short training, 0 for the recipes' own. presentations : labelled pixels that a network of the recipes' own
    training is presented at most, each of them once an epoch; 0: no limit. maps : whether the first seed draws maps of whole cubes.
    """

    methods: tuple[str, ...] = METHODS
    splits: tuple[str, ...] = (RANDOM, DISJOINT)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 0
    presentations: int = 0
    maps: bool = True

    def jobs(self) -> Iterator[tuple[str, str, int]]:
        """Method, split and seed of each run; all methods of a split after one another."""
        yield from ((method, split, seed) for split in self.splits for method in self.methods for seed in self.seeds)


def method_overrides(method: str, cube: RealCube) -> tuple[str, ...]:
    """What a recipe needs for a cube: its files, bands, and patches that fit."""
    scenes = [dict(sources) for sources in cube.scenes.values()]
    layers = [layer for layer in ("image", "rgb") if layer in scenes[0]] if method == "two-sensor" else ["image"]
    kept = [{layer: sources[layer] for layer in (*layers, Scene.label_layer)} for sources in scenes]
    common = (
        f"data.scenes={json.dumps(kept)}", f"legend={json.dumps(cube.legend.to_dict())}",
        f"data.bands={{image: {list(cube.bands)}}}", "data.num_workers=0", f"model.layers={json.dumps(layers)}",
    )  # fmt: skip
    if method == "hybridsn" and not cube.large:
        return (*common, f"model.options.patch_px={SMALL_PATCH_PX}")
    if method == "two-sensor":
        other = Layer.open(scenes[0][layers[-1]]).count
        return (*common, f"model.options.streams=[{len(cube.bands)}, {other}]")
    return common


def split_overrides(cube: RealCube, split: str, seed: int) -> tuple[str, ...]:
    """The split of a seed: 10 % at random; the fold of that number with a buffer of the largest patch less 1, or other tiles."""
    weights = f"train.seed={seed}"
    if split == RANDOM:
        return weights, "data.split=random_pixels", f"data.val_share={RANDOM_TEST_SHARE}", f"data.split_seed={seed}"
    if cube.whole_scenes:
        return weights, "data.split=scenes", f"data.val_share={1 / FOLDS}", f"data.split_seed={seed}"
    buffer_px = (PATCH_PX if cube.large else SMALL_PATCH_PX) - 1
    block = (f"data.block_px={cube.block_px}",) if cube.block_px else ()
    return (
        weights, "data.split=folds", f"data.folds={FOLDS}", f"data.fold={seed % FOLDS}", f"data.buffer_px={buffer_px}", *block,
    )  # fmt: skip


def short_epochs(learnt: int, steps: int) -> int:
    """Epochs of about so many batches on so many pixels, one at least."""
    return max(1, round(steps / math.ceil(learnt / BATCH)))


def make_recipe(
    cube: RealCube, method: str, split: str, seed: int, *, steps: int = 0, presentations: int = 0
) -> Recipe:
    """The recipe of one run, as resolved. steps, presentations : as in `Trial`."""
    overrides = (*method_overrides(method, cube), *split_overrides(cube, split, seed))
    recipe, _ = load_recipe(f"hyperspectral/{method}", overrides=overrides)
    if not ((steps or presentations) and recipe.model.network):
        return recipe
    learnt = sum(int(one.sum()) for one, _ in split_masks(recipe))
    length: tuple[str, ...] = (f"train.epochs={min(recipe.train.epochs, max(1, round(presentations / learnt)))}",)
    if steps:
        length = (*SHORT, f"train.lr={SHORT_LRS.get(method, SHORT_LR)}", f"train.epochs={short_epochs(learnt, steps)}")
    return load_recipe(f"hyperspectral/{method}", overrides=(*overrides, *length))[0]


def split_masks(recipe: Recipe) -> list[tuple[np.ndarray, np.ndarray]]:
    """Labelled pixels of each scene that are learnt from and tested on, (h, w) bool each."""
    split = make_split(open_labelled(recipe)[1], recipe.data)
    masks = []
    for number, named in enumerate(split.scenes):
        window = whole(named.grid)
        known = named.labels.reader.read(window) != VOID
        masks.append(
            (split.mask(number, SplitPart.train, window) & known, split.mask(number, SplitPart.val, window) & known)
        )
    return masks


def run_one(cube: RealCube, method: str, split: str, seed: int, trial: Trial, out: Path) -> dict[str, Any]:
    """Scores and seconds of one training, and maps of the first seed; read where it was finished with the same recipe."""
    folder = out / cube.name / split / method / f"seed-{seed}"
    recipe = make_recipe(cube, method, split, seed, steps=trial.steps, presentations=trial.presentations)
    done = read_json(folder / "outcome.json") if (folder / "outcome.json").exists() else {}
    if done.get("recipe_sha256") == recipe.hash:
        return dict(done)
    started = time.perf_counter()
    run = train(recipe, folder / "run", options=TrainOptions(overwrite=True))
    trained = time.perf_counter()
    segmenter, maps = load_run(run), {}
    for name, sources in cube.scenes.items() if trial.maps and seed == trial.seeds[0] else ():
        layers = {
            layer: Layer.open(sources[layer], bands=recipe.data.bands.get(layer)) for layer in recipe.model.layers
        }
        scene = Scene.open(None, **layers)
        maps[name] = str(
            predict(segmenter, scene, folder / f"{name}.tif", PredictOptions(overwrite=True)).paths[Scene.label_layer]
        )
    predicted = time.perf_counter()
    scores = read_json(run / "metrics.json")
    pixels = scores["protocol"]["pixels"].values()
    outcome = {
        "recipe_sha256": recipe.hash, "scores": scores, "maps": maps,
        "leakage": scores["protocol"]["leakage"]["share_patch_overlaps"],
        "learnt": sum(one["train"] for one in pixels), "tested": sum(one["test"] for one in pixels),
        "epochs": recipe.train.epochs if recipe.model.network else None,
        "train_seconds": round(trained - started, 2), "map_seconds": round(predicted - trained, 2) if maps else None,
    }  # fmt: skip
    write_json(folder / "outcome.json", outcome)
    return outcome


Outcomes = dict[tuple[str, str], list[dict[str, Any]]]
"""(method, split) → outcomes, one a seed."""


def run_cube(cube: RealCube, trial: Trial, out: Path) -> tuple[Outcomes, dict[str, str]]:
    """All runs on a cube, and why some were left out."""
    outcomes: Outcomes = {}
    left_out: dict[str, str] = {}
    for method, split, seed in trial.jobs():
        try:
            outcome = run_one(cube, method, split, seed, trial, out)
        except DeepNets4EOError as error:
            left_out[f"{method}, {split}, seed {seed}"] = str(error)
            continue
        outcomes.setdefault((method, split), []).append(outcome)
        scores = outcome["scores"]
        log.info(
            "%s, %s, %s, seed %d: OA %.1f, %.0f s", cube.name, method, split, seed,
            100 * scores["overall_accuracy"], outcome["train_seconds"],
        )  # fmt: skip
    return outcomes, left_out


def markdown(cube: RealCube, outcomes: Outcomes, title: str) -> str:
    """The table of a cube in Markdown, mean ± sd over the seeds, scores in percent; published rows above."""
    lines = [HEAD, ("---", "---", *["---:"] * (len(HEAD) - 2)), *_published_lines(cube)]
    for (method, split), of_seeds in outcomes.items():
        percents = [[100 * number_or_nan(one["scores"][score]) for one in of_seeds] for score in SCORES]
        learnt, tested = (spread([one[key] for one in of_seeds], 0) for key in ("learnt", "tested"))
        train_s, map_s = ([number_or_nan(one[key]) for one in of_seeds] for key in ("train_seconds", "map_seconds"))
        leakage = spread([100 * one["leakage"] for one in of_seeds])
        lines.append((method, split, *map(spread, percents), leakage, learnt, tested, spread(train_s), spread(map_s)))
    return f"## {title}\n\n" + _table(lines)


def _published_lines(cube: RealCube) -> list[tuple[str, ...]]:
    rows = []
    for name, scores in cube.published.items():
        values = (scores.overall_accuracy, None, None if scores.kappa is None else 100 * scores.kappa, None)
        cells = ["–" if value is None else f"{value:.1f}" for value in values]
        rows.append((name, f"published: {scores.protocol}", *cells, *["–"] * (len(HEAD) - 6)))
    return rows


def leakage_worth(outcomes: Outcomes) -> str:
    """Points of overall accuracy by which the random split is above the disjoint one, by method, as lines of Markdown."""
    lines = []
    for method in dict.fromkeys(method for method, _ in outcomes):
        leaky, honest = (_mean_accuracy(outcomes.get((method, split), [])) for split in (RANDOM, DISJOINT))
        if leaky is not None and honest is not None:
            lines.append(f"- {method}: {leaky:.1f} at random, {honest:.1f} disjoint, {leaky - honest:+.1f} points")
    return "\n".join(lines) + "\n"


def _mean_accuracy(of_seeds: Sequence[Mapping[str, Any]]) -> float | None:
    return 100 * float(np.mean([one["scores"]["overall_accuracy"] for one in of_seeds])) if of_seeds else None


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def draw_sheet(cube: RealCube, outcomes: Outcomes, trial: Trial, out: Path, title: str) -> Path:
    """The image, the reference, and of the first seed: its test pixels, and the maps of both splits beside each other."""
    methods = list(dict.fromkeys(method for method, _ in outcomes))
    splits = [split for split in trial.splits if any(one == split for _, one in outcomes)]
    masks = split_masks(make_recipe(cube, methods[0], splits[-1], trial.seeds[0]))
    tested = dict(zip(cube.scenes, (int(one.sum()) for _, one in masks), strict=True))
    names = sorted(tested, key=tested.__getitem__, reverse=True)[:SHEET_SCENES]
    test = {
        name: {"image": str(_colours(cube, name, out)), Scene.label_layer: cube.scenes[name][Scene.label_layer]}
        for name in names
    }
    panels = [
        Outcome(f"tested on, {split}", {}, maps=_tested(cube, methods[0], split, trial, names, out)) for split in splits
    ]
    for method in methods:
        for split in trial.splits:
            of_seeds = outcomes.get((method, split))
            if of_seeds and of_seeds[0]["maps"]:
                maps = {name: Path(of_seeds[0]["maps"][name]) for name in names}
                panels.append(Outcome(f"{method}, {split}", {}, maps=maps))
    return contact_sheet(
        panels, test, cube.legend, out / f"maps-{cube.name}.png", title=title, columns=2 * len(trial.splits)
    )


def _colours(cube: RealCube, name: str, out: Path) -> Path:
    """The scene in red, green and blue as GeoTIFF."""
    path = out / cube.name / "colours" / f"{name}.tif"
    layer = Layer.open(cube.scenes[name]["image"])
    _write(path, layer, Cube.open(cube.scenes[name]["image"]).false_colour(bands=cube.colour_bands))
    return path


def _tested(cube: RealCube, method: str, split: str, trial: Trial, names: Sequence[str], out: Path) -> dict[str, Path]:
    """Label rasters of the first seed's test pixels alone, by scene."""
    masks = split_masks(make_recipe(cube, method, split, trial.seeds[0]))
    by_scene = dict(zip(cube.scenes, masks, strict=True))
    paths = {}
    for name in names:
        paths[name] = out / cube.name / split / f"tested-{name}.tif"
        layer = Layer.open(cube.scenes[name][Scene.label_layer])
        _write(paths[name], layer, np.where(by_scene[name][1], layer.read()[0], 0).astype(np.uint8))
    return paths


def _write(path: Path, like: Layer, data: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with CogWriter(path, like.grid, count=len(data), dtype=str(data.dtype)) as cog:
        cog.write(whole(like.grid), data)


def figures_of(rows: Mapping[str, Sequence[Mapping[str, Any]]], trial: Trial) -> dict[str, dict[str, Any]]:
    """Return the scores of each row in percent, one per seed, with the leakage, the number of pixels learnt from, and how long networks learnt."""
    return {
        name: {
            "steps": trial.steps,
            "presentations": trial.presentations,
            **{score: [round(100 * number_or_nan(one["scores"][score]), 2) for one in of_seeds] for score in SCORES},
            "leakage": [round(100 * one["leakage"], 2) for one in of_seeds],
            "learnt": [one["learnt"] for one in of_seeds],
        }
        for name, of_seeds in rows.items()
    }


def write_tables(cubes: Sequence[RealCube], trial: Trial, out: Path, *, smoke: bool) -> str:
    """Run all cubes; table.md and table.json grow with each of them. Returns the Markdown."""
    texts, tables = [], {}
    figures: dict[str, dict[str, Any]] = kept_results(out, smoke=smoke).get("cubes", {})
    rates = f"one cycle up to {SHORT_LR}, of " + ", ".join(f"{name} {rate}" for name, rate in SHORT_LRS.items())
    learning = "as in the recipes" + (
        f", but {trial.presentations:,} presentations of pixels at most" if trial.presentations else ""
    )
    learning = f"{trial.steps} batches of {BATCH} by Adam, {rates}" if trial.steps else learning
    for cube in cubes:
        outcomes, left_out = run_cube(cube, trial, out)
        title = title_of(cube.title, smoke=smoke)
        notes = {
            "protocol": "random: 10 % of the pixels of each class; disjoint: "
            + (
                "a fifth of the tiles, others for each seed"
                if cube.whole_scenes
                else f"{FOLDS} folds of blocks, seed s tests on fold s"
            ),
            "seeds": ", ".join(map(str, trial.seeds)),
            "networks learn": learning,
            "bands": len(cube.bands),
            "leakage": "test pixels whose patch overlaps a training pixel's patch",
            "published": GRSM,
            **({"labels": cube.notes} if cube.notes else {}),
            **{f"{name} is left out": reason for name, reason in left_out.items()},
        }
        table = markdown(cube, outcomes, title) + "\n" + leakage_worth(outcomes)
        texts.append(table + "\n" + "".join(f"- {key}: {value}\n" for key, value in notes.items()))
        tables[cube.name] = {f"{method}, {split}": of_seeds for (method, split), of_seeds in outcomes.items()}
        write_text(out / "table.md", "\n".join(texts))
        write_json(out / "table.json", tables)
        figures[cube.name] = figures.get(cube.name, {}) | figures_of(tables[cube.name], trial)
        store_results(out, smoke=smoke, cubes=figures)
        if outcomes and trial.maps:
            draw_sheet(cube, outcomes, trial, out, title)
    return "\n".join(texts)


def main() -> None:
    """Run what is chosen, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="FOLDER",
        help="the folder of real samples, or CARD=FOLDER, a cube of a dataset card",
    )
    parser.add_argument("--names", nargs="+", choices=list(SAMPLES), help="samples to use; all by default")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="recipes hyperspectral/NAME")
    parser.add_argument("--splits", nargs="+", choices=(RANDOM, DISJOINT), default=[RANDOM, DISJOINT])
    parser.add_argument("--seeds", type=int, default=3, help="number of them")
    parser.add_argument("--steps", type=int, default=0, help="batches of a short training; 0: as in the recipes")
    parser.add_argument(
        "--presentations", type=int, default=0, help="of pixels at most, by fewer epochs; 0: as in the recipes"
    )
    parser.add_argument("--no-maps", action="store_true", help="only scores, to save time")
    parser.add_argument("--every-band", type=int, default=1, metavar="N", help="use every N-th band, to save time")
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    log.setLevel(logging.INFO)
    cubes = []
    for text in options.data:
        named = not Path(text).exists() and "=" in text
        cubes += (
            [card_cube(*_name_and_folder(text))]
            if named
            else sample_cubes(Path(text), options.out / "cubes", options.names)
        )
    cubes = [cube.every(options.every_band) for cube in cubes]
    if not cubes:
        parser.error(f"there is no cube in {', '.join(options.data)}: give the folder of real samples, or CARD=FOLDER")
    trial = Trial(
        tuple(options.methods), tuple(options.splits), tuple(range(options.seeds)), options.steps, options.presentations,
        maps=not options.no_maps,
    )  # fmt: skip
    if options.smoke:
        print(NOTE)
        cubes, trial = cubes[:1], Trial(trial.methods, trial.splits, (0,), 2)
    print(write_tables(cubes, trial, options.out, smoke=options.smoke))


def _name_and_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    return name, Path(folder)


if __name__ == "__main__":
    with plain_errors():
        main()
