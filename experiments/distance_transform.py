"""Does a distance head draw sharper borders? The same network with a plain and with a distance head, seed by seed.

Usage: python experiments/distance_transform.py --out FOLDER                                 (miniature city, synthetic)
       python experiments/distance_transform.py --out FOLDER --data SAMPLES [--tiles vaihingen]  (halves of real tiles)
       python experiments/distance_transform.py --out FOLDER --data ROOT [--dataset isprs_potsdam]  (the whole dataset)

Both learn from the same windows in as many steps, from the same first weights but for the last layers. Writes table.md
and table.json: mean ± standard deviation over the seeds, and whether distance ≥ plain held in boundary F1. Finished
trainings are not run again. Of Audebert, Boulch, Le Saux, Lefèvre (CVIU 2019) no figures are in the cards to show.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isprs_baselines import BANDS, MAIN, contest
from real_tiles import ABOUT, READERS, Folds, fill_classes
from real_tiles import tile_folds as real_places
from score_table import BenchmarkScenes, Row, run_rows
from script import add_smoke, crop_folds, crop_scenes, plain_errors, shorten, title_of, whole_or_samples
from seeds import city_scenes

from deepnets4eo.cards.dataset_card import DatasetCard
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.evaluation import Protocol, evaluate_pairs, spread
from deepnets4eo.files import write_json, write_text
from deepnets4eo.rasters.scene import LABELS, Layer
from deepnets4eo.synthetic.write import write_raster

RECIPE = "unet-distance"
PLAIN, DISTANCE = "plain head", "distance head"
RADII_PX = (2, 3)
BORDERLESS, REACH_PX = ("vaihingen", "potsdam"), 6  # references where 3 px on both sides of each border are void
SMALL = (
    "data.tile_px=128", "train.epochs=1", "train.batch_size=4", "train.lr=1.0e-3", "train.precision=float32",
    "train.keep=last", "predict.tile_px=320", "data.block_px=64", "data.buffer_px=0", "data.val_share=0.05",
    "data.num_workers=0",
)  # fmt: skip
SMALL_NETWORK = {"encoder_depth": 3, "decoder_channels": [64, 32, 16]}
RGB_BANDS = (0, 1, 2)

Scores = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """What is compared: λ and radius of the distance head, the seeds, and how long each training is."""

    seeds: tuple[int, ...] = (0, 1, 2)
    clip_px: int = 16
    weight: float = 1.0
    windows: int = 1536


def rows(trial: Trial, *, small: bool = True) -> dict[str, list[Row]]:
    """Head → a row a seed. small : a shallow U-Net at 128 px, a minute or two on one core; else the recipe's own."""
    head = {"head": "distance", "head_options": {"clip_px": trial.clip_px, "weight": trial.weight}}
    network, common = (SMALL_NETWORK, (*SMALL, f"data.windows_per_epoch={trial.windows}")) if small else ({}, ())
    settings = f", {trial.clip_px} px, weight {trial.weight:g}"
    of_head: dict[str, list[Row]] = {}
    for name, more, options in ((PLAIN, "", network), (DISTANCE, settings, network | head)):
        for seed in trial.seeds:
            overrides = (f"model.options={json.dumps(options)}", f"train.seed={seed}", *common)
            title = f"{name}{more}, {trial.windows} windows, seed {seed}"
            of_head.setdefault(name, []).append(Row(title, RECIPE, overrides))
    return of_head


def measure_rows(
    table: Mapping[str, Sequence[Row]], folds: Sequence[BenchmarkScenes], legend: Legend, out: Path, workers: int
) -> dict[str, list[Scores]]:
    """Head → scores a seed, the maps of all folds scored as one; classes that the references lack count nowhere."""
    every = [row for of_seed in zip(*table.values(), strict=True) for row in of_seed]
    pairs: dict[str, list[tuple[Path, str]]] = {row.name: [] for row in every}
    seconds = dict.fromkeys(pairs, 0.0)
    for number, scenes in enumerate(folds, start=1):
        for outcome in run_rows(every, scenes, legend, out / f"fold-{number}", workers=workers):
            pairs[outcome.name] += [(outcome.maps[name], one[LABELS]) for name, one in scenes.test.items()]
            seconds[outcome.name] += outcome.train_seconds
    return {
        name: [{**scores_of(pairs[row.name], legend), "train seconds": seconds[row.name]} for row in of_head]
        for name, of_head in table.items()
    }


def scores_of(pairs: Sequence[tuple[Path, str]], legend: Legend) -> Scores:
    """Percent: boundary F1 at each radius, mean F1, overall accuracy, and boundary F1 by class at the widest."""
    scores: Scores = {}
    for radius_px in RADII_PX:
        evaluation = evaluate_pairs(list(pairs), legend, Protocol(boundary_px=radius_px)).to_dict()
        scores[f"boundary F1, {radius_px} px"] = 100 * evaluation["boundaries"]["mean_f1"]
    f1 = {name: value for name, value in evaluation["f1"].items() if name in MAIN or MAIN[0] not in legend.names}
    scores["mean F1"] = 100 * float(np.nanmean([np.nan if one is None else one for one in f1.values()]))
    scores["OA"] = 100 * evaluation["overall_accuracy"]
    borders = evaluation["boundaries"]["f1"]
    return scores | {f"border of {name}": 100 * value for name, value in borders.items() if value is not None}


def report(scores: Mapping[str, Sequence[Scores]], title: str, out: Path, notes: Mapping[str, Any]) -> str:
    """Write and return the table: mean ± standard deviation by head, differences by seed, and the verdict."""
    columns = list(scores[PLAIN][0])
    pairs = zip(scores[PLAIN], scores[DISTANCE], strict=True)
    differences = [{column: float(b[column] - a[column]) for column in columns} for a, b in pairs]
    lines = [["head", *columns], ["---", *["---:"] * len(columns)]]
    for name, values in (*scores.items(), ("difference", differences)):
        lines.append([name, *(spread([one[column] for one in values], 2) for column in columns)])
    verdict = ordering([one[f"boundary F1, {RADII_PX[-1]} px"] for one in differences])
    remarks = [f"- {verdict}", *(f"- {key}: {value}" for key, value in notes.items()), ""]
    text = "\n".join([f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines), "", *remarks])
    write_text(out / "table.md", text)
    write_json(out / "table.json", {"title": title, "notes": dict(notes), "verdict": verdict, "scores": dict(scores)})
    return text


def ordering(differences: Sequence[float]) -> str:
    """Whether the distance head was at least as good in boundary F1, and how surely."""
    verdict = "held" if statistics.fmean(differences) >= 0 else "did not hold"
    seeds = f"{len(differences)} seeds, ahead in {sum(one >= 0 for one in differences)} of them"
    return f"distance ≥ plain in boundary F1 within {RADII_PX[-1]} px {verdict}: {spread(differences, 2)} points over {seeds}"


def with_borders(folds: Folds, legend: Legend) -> Folds:
    """The same scenes with their references' borders put back: void takes the class of the nearest pixel."""
    restored = {}
    for name, sources in {**folds[0].train, **folds[0].test}.items():
        path = Path(sources[LABELS]).with_name("labels_restored.tif")
        layer = Layer.open(sources[LABELS])
        data, valid = layer.read()
        stored = np.where(valid, data[0], VOID).astype(np.uint8)
        filled = fill_classes(stored + np.uint8(1), REACH_PX) - np.uint8(1)  # void 255 becomes its 0, and back
        write_raster(path, layer.grid, filled, {}, legend)
        restored[name] = {**sources, LABELS: str(path)}
    first, second = ({name: restored[name] for name in of_split} for of_split in (folds[0].train, folds[0].test))
    return BenchmarkScenes(first, second), BenchmarkScenes(second, first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a contest's tiles, or the folder of real samples, see real_tiles.py")
    parser.add_argument("--dataset", choices=sorted(BANDS), default="isprs_vaihingen")
    parser.add_argument("--tiles", nargs="+", choices=list(READERS), default=["vaihingen"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--clip-px", type=int, default=Trial.clip_px)
    parser.add_argument("--weight", type=float, default=Trial.weight, help="λ of CE + λ · L1")
    parser.add_argument("--windows", type=int, default=Trial.windows, help="learned from, 4 a step; not with --data")
    parser.add_argument("--workers", type=int, default=1, help="trainings side by side")
    add_smoke(parser)
    arguments = parser.parse_args()
    arguments.data, arguments.samples = whole_or_samples(arguments.data)
    smoke, folder = arguments.smoke, arguments.out
    arguments.seeds = arguments.seeds[: 1 if smoke else None]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    trial = Trial(tuple(arguments.seeds), arguments.clip_px, arguments.weight, arguments.windows)
    table, legend = rows(trial, small=arguments.data is None), Legend.load("isprs")
    if smoke:
        table = {name: [shorten(row) for row in of_head] for name, of_head in table.items()}
    notes = {"seeds": trial.seeds, "distance head": f"clip_px {trial.clip_px}, weight {trial.weight:g}"}
    cases: dict[str, tuple[Legend, Sequence[BenchmarkScenes], dict[str, Any]]] = {}
    if arguments.samples:
        for tile, (legend_of_tile, folds) in real_places(
            arguments.samples, arguments.out / "tiles", arguments.tiles
        ).items():
            folds = crop_folds(folds, folder / "smoke" / tile) if smoke else folds
            about = {"labels": ABOUT[tile], "folds": "two halves, each trained and tested on, 32 px between"}
            if tile in BORDERLESS:
                folds = with_borders(folds, legend_of_tile)
                about["borders"] = f"put back: void within {REACH_PX} px has the nearest class, to train and to score"
            cases[tile] = legend_of_tile, folds, about
    elif arguments.data:
        tiles = contest(DatasetCard.load(arguments.dataset), arguments.data, None)
        tiles = crop_scenes(tiles, folder / "smoke") if smoke else tiles
        cases[arguments.dataset] = legend, [tiles], {"reference": "full"}
    else:
        cities = city_scenes(folder / "cities", RGB_BANDS, smoke=smoke)
        cases["miniature city (SYNTHETIC)"] = legend, [cities], {}
    for name, (case_legend, case_folds, about) in cases.items():
        out = arguments.out / name.partition(" ")[0]
        scores = measure_rows(table, case_folds, case_legend, out, arguments.workers)
        title = title_of(f"Plain and distance head: {name}", smoke=smoke)
        print(report(scores, title, out, notes | about))


if __name__ == "__main__":
    with plain_errors():
        main()
