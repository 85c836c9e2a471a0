"""Does a distance head draw smoother borders? One network with a plain and with a distance head, per class, on real tiles.

Usage: python experiments/distance_transform.py --data SAMPLES --out OUT [--tiles dubai loveda vaihingen potsdam] [--seeds 0 1 2] [--windows 768] [--smoke]
       python experiments/distance_transform.py --out OUT                       (miniature city, SYNTHETIC)
       python experiments/distance_transform.py --data ROOT --dataset isprs_potsdam --out OUT  (the whole dataset)

Both heads learn from the same windows in as many steps, from the same first weights but for the last layers. Scored are what Audebert, Boulch, Le Saux, Lefèvre
(CVIU 2019) claim: mean IoU, boundary F1 within 2 px, and the number of fragments (four-connected parts) a class beside that of the reference. Halves of
real tiles are trained and tested on in turn; of Dubai tiles 1 to 3 and 4 to 6. No figures of the paper could be read at their source. Finished trainings are not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from equal_steps import DUBAI, dubai_tiles
from isprs_baselines import contest
from real_tiles import tile_folds
from scipy.ndimage import label
from score_table import BenchmarkScenes, Row, run_row
from script import add_smoke, crop_scenes, plain_errors, shorten, store_results, title_of
from seeds import city_scenes
from zero import largest_class_of_folds

from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.evaluation import Protocol, evaluate_pairs, spread
from deepnets4eo.files import write_text
from deepnets4eo.rasters import Layer, Scene

PLAIN, DISTANCE = "plain head", "distance head"
SMALL = (
    "data.tile_px=128", "train.epochs=1", "train.batch_size=4", "train.lr=1.0e-3", "train.keep=last", "predict.tile_px=320",
    "data.val_share=0", "data.num_workers=0",
)  # fmt: skip
NETWORK = {"encoder_depth": 3, "decoder_channels": [64, 32, 16]}
HEADS = {PLAIN: {}, DISTANCE: {"head": "distance", "head_options": {"clip_px": 16, "weight": 1.0}}}
RADIUS_PX = 2
SAMPLES = ("dubai", "loveda", "vaihingen", "potsdam")

Pairs = list[tuple[Path, str]]
Scores = dict[str, float]


def dubai_folds(folder: Path, out: Path) -> list[BenchmarkScenes]:
    """Tiles 1 to 3 and 4 to 6, each learnt from and tested on."""
    parts = dubai_tiles(folder, out)
    first, second = (
        {name: files for name, files in parts.items() if (name[5] in "123") is half} for half in (True, False)
    )
    return [BenchmarkScenes(first, second), BenchmarkScenes(second, first)]


def fragments(paths: Sequence[str | Path], legend: Legend) -> np.ndarray:
    """(K,) number of four-connected parts of each class in all label rasters."""
    counts = np.zeros(legend.num_classes, int)
    for path in paths:
        classes = legend.to_index()[Layer.open(path, labels=True).read()[0][0]]
        counts += [label(classes == index)[1] for index in range(legend.num_classes)]
    return counts


def scores_of(pairs: Pairs, legend: Legend) -> Scores:
    """Percent: mean IoU and boundary F1; fragments over the reference's; and the last two by class."""
    evaluation = evaluate_pairs(list(pairs), legend, Protocol(boundary_px=RADIUS_PX)).to_dict()
    ours, truth = (fragments([pair[side] for pair in pairs], legend) for side in (0, 1))
    iou = [value for value in evaluation["iou"].values() if value is not None]
    scores = {"mean IoU": 100 * float(np.mean(iou)), "boundary F1": 100 * evaluation["boundaries"]["mean_f1"]}
    scores["fragments, times the reference"] = float(ours.sum() / max(truth.sum(), 1))
    for index, name in enumerate(legend.names):
        if truth[index]:
            scores[f"border of {name}"] = 100 * (evaluation["boundaries"]["f1"].get(name) or 0.0)
            scores[f"parts of {name}"] = ours[index] / truth[index]
    return scores


def measure(folds: Sequence[BenchmarkScenes], legend: Legend, row: Row, out: Path) -> Scores:
    """Scores of one training a fold, the maps of all folds as one."""
    pairs: Pairs = []
    for number, scenes in enumerate(folds, start=1):
        outcome = run_row(row, scenes, legend, out / f"fold-{number}")
        pairs += [(outcome.maps[name], one[Scene.label_layer]) for name, one in scenes.test.items()]
    return scores_of(pairs, legend)


def table(scores: Mapping[str, Sequence[Scores]], title: str) -> str:
    """A row a score: mean ± deviation over the seeds by head, and the difference seed by seed."""
    lines = [
        f"## {title}",
        "",
        f"| percent; parts over those of the reference | {PLAIN} | {DISTANCE} | difference |",
        "|---|---:|---:|---:|",
    ]
    for name in scores[PLAIN][0]:
        plain, distance = ([one[name] for one in scores[head]] for head in (PLAIN, DISTANCE))
        gains = [after - before for before, after in zip(plain, distance, strict=True)]
        digits = 2 if name.startswith(("parts", "fragments")) else 1
        lines.append(
            f"| {name} | {spread(plain, digits)} | {spread(distance, digits)} | {spread(gains, digits, '+')} |"
        )
    return "\n".join([*lines, ""])


def cases(arguments: argparse.Namespace) -> dict[str, tuple[Legend, Sequence[BenchmarkScenes]]]:
    """Name → legend and folds."""
    if arguments.data is None:
        cities = city_scenes(arguments.out / "cities", (0, 1, 2), smoke=arguments.smoke)
        return {"miniature city (SYNTHETIC)": (Legend.load("isprs"), [cities])}
    if arguments.dataset:
        whole = contest(DatasetCard.load(arguments.dataset), arguments.data, None)
        return {arguments.dataset: (Legend.load("isprs"), [whole])}
    named = [tile for tile in arguments.tiles if tile != "dubai"]
    folds: dict[str, tuple[Legend, Sequence[BenchmarkScenes]]] = {}
    if named:
        folds.update(tile_folds(arguments.data, arguments.out / "tiles", named))
    if "dubai" in arguments.tiles:
        folds["dubai"] = (DUBAI, dubai_folds(arguments.data / "dubai", arguments.out / "tiles" / "dubai"))
    return folds


def main() -> None:
    """Train both heads on each case, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="the folder of real samples, or with --dataset a contest's tiles")
    parser.add_argument("--dataset", choices=("isprs_vaihingen", "isprs_potsdam"))
    parser.add_argument("--tiles", nargs="+", choices=SAMPLES, default=SAMPLES[:3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--windows", type=int, default=768, help="learned from, 4 a step")
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    text = ""
    every: dict[str, dict[str, list[Scores]]] = {}
    zeros: dict[str, Any] = {}
    for name, (legend, folds) in cases(arguments).items():
        if arguments.smoke:
            folds = [crop_scenes(folds[0], arguments.out / "smoke" / name)]
        scores: dict[str, list[Scores]] = {}
        zero = largest_class_of_folds(folds, legend)
        zeros[name] = zero.to_dict()
        for head, options in HEADS.items():
            for seed in arguments.seeds[: 1 if arguments.smoke else None]:
                keys: tuple[str, ...] = (
                    f"model.options={json.dumps({**NETWORK, **options})}",
                    f"train.seed={seed}",
                    *SMALL,
                )
                keys += (f"data.windows_per_epoch={arguments.windows}",)
                row = Row(f"{head}, {arguments.windows} windows, seed {seed}", "unet-distance", keys)
                row = shorten(row) if arguments.smoke else row
                scores.setdefault(head, []).append(measure(folds, legend, row, arguments.out / name.partition(" ")[0]))
        every[name] = scores
        text += (
            table(scores, title_of(f"{name}, {arguments.windows} windows", smoke=arguments.smoke))
            + f"\n- {zero.line()}\n"
        )
        write_text(arguments.out / "table.md", text)
        stored = {
            case: {
                head: {score: [round(one[score], 2) for one in seeds] for score in seeds[0]}
                for head, seeds in of_heads.items()
            }
            for case, of_heads in every.items()
        }
        store_results(arguments.out, smoke=arguments.smoke, windows=arguments.windows, zero=zeros, scores=stored)
    print(text)


if __name__ == "__main__":
    with plain_errors():
        main()
