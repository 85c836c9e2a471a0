"""Frozen deep features under a linear SVM on real images: ImageNet's weights, random weights, colours, and what each key of the recipe costs.

Usage: python experiments/deep_features.py --data SAMPLES --out FOLDER [--tiles vaihingen potsdam] [--rows NAME …] [--seeds 0 1 2]
       [--smoke]

SAMPLES is the folder of real samples, see real_tiles.py. Each ISPRS crop is cut into halves, and each half is tested on once. With `--tiles dubai`, three folds of two
whole tiles, only for the rows with one pass over a tile. A seed's overall accuracy and mean F1 are those of all folds' pixels together; all rows have sites 16 px apart.
Writes table.md and results.json; what is finished is not run again, and tiles of a results.json that is there are kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from dubai import folds_of, matrix_of_recipe
from equal_steps import Fold
from real_tiles import tile_folds
from script import add_smoke, kept_results, plain_errors, store_results, title_of
from zero import Zero, class_counts, largest_class

from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.rasters import Scene

CROPS, DUBAI = ("vaihingen", "potsdam"), "dubai"
DEEP, COLOURS = "baselines/deep-svm", "baselines/hsv-svm"
DENSE = ("deep.looks=dense", "deep.scales=[2]", "deep.patch_px=null", "deep.input_px=null")
BALANCED = ("model.sampling=balanced", "estimator.class_weight=balanced")
FORMER = (  # keys of the recipe until its weights were measured on real images
    "deep.looks=dense", "deep.input_px=null", "deep.scales=[1, 0.5]", "deep.components=64", "deep.reduction=16",
    "estimator.search_c=[0.01, 0.1]", *BALANCED,
)  # fmt: skip
ROWS: dict[str, tuple[str, tuple[str, ...]]] = {  # row -> recipe, overrides
    "colours (HSV histogram)": (COLOURS, ()),
    "recipe": (DEEP, ()),
    "one pass over a tile": (DEEP, DENSE),
    "one pass, patches averaged": (DEEP, (*DENSE, "deep.patch_px=128")),
    "one pass, balanced classes": (DEEP, (*DENSE, *BALANCED)),
    "random weights": (DEEP, ("deep.weights=null",)),
    "former keys": (DEEP, FORMER),
    "former keys, random ResNet-18": (DEEP, (*FORMER, "deep.encoder=resnet18", "deep.weights=null")),
}
QUICK = ("one pass over a tile", "former keys")


def folds(tile: str, data: Path, out: Path) -> Iterator[Fold]:
    """Yield the folds of a tile."""
    if tile == DUBAI:
        yield from folds_of(data / DUBAI, out / "tiles", "tiles", 3)
        return
    for legend, parts in tile_folds(data, out / "tiles", [tile]).values():
        for number, part in enumerate(parts):
            yield Fold(f"{tile}-{number}", legend, part.train, part.test, tile_px=256)


def zero_of(tile: str, data: Path, out: Path) -> Zero:
    """Return the zero of a tile: a map of only the largest class of all that its folds test on."""
    every = list(folds(tile, data, out))
    labels = [sources[Scene.label_layer] for fold in every for sources in fold.test.values()]
    return largest_class(class_counts(labels, every[0].legend))


def scores(tile: str, row: str, seed: int, data: Path, out: Path) -> dict[str, float]:
    """Return overall accuracy and mean F1 of all folds' pixels together, in per cent; void is left out."""
    stored = out / tile / f"{'-'.join(row.split())}-{seed}.json"
    if not stored.exists():
        total: ConfusionMatrix | None = None
        for fold in folds(tile, data, out):
            overrides = ("model.stride_px=16", *ROWS[row][1]) if ROWS[row][0] == DEEP else ROWS[row][1]
            part = ConfusionMatrix.from_matrix(
                np.array(matrix_of_recipe(fold, ROWS[row][0], overrides, seed, 0, out / "run"))
            )
            total = part if total is None else total + part
        if total is not None:
            stored.parent.mkdir(parents=True, exist_ok=True)
            write_json(stored, {"oa": 100 * total.overall_accuracy, "mean_f1": 100 * total.mean_f1})
    return {name: float(value) for name, value in read_json(stored).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiles", nargs="+", choices=[*CROPS, DUBAI], default=list(CROPS))
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.tiles, arguments.rows, arguments.seeds = CROPS[:1], QUICK[:1], [0]
    before = kept_results(arguments.out, smoke=arguments.smoke)
    table: dict[str, dict[str, dict[str, list[float]]]] = before.get("tiles", {})
    title = title_of("Frozen deep features under a linear SVM", smoke=arguments.smoke)
    lines = [f"{title}. Overall accuracy and mean F1, per cent, seeds {', '.join(map(str, arguments.seeds))}", ""]
    lines += ["| image | row | OA | mean F1 |", "|---|---|---|---|"]
    zeros = before.get("zero", {})
    for tile in arguments.tiles:
        zero = zero_of(tile, arguments.data, arguments.out)
        zeros[tile] = zero.to_dict()
        lines.append(f"| {tile} | {zero.name} | {zero.scores['overall_accuracy']:.1f} | {zero.scores['mean_f1']:.1f} |")
        for row in arguments.rows:
            if tile == DUBAI and row not in QUICK:
                continue
            seeds = [scores(tile, row, seed, arguments.data, arguments.out) for seed in arguments.seeds]
            values = {key: [round(one[key], 1) for one in seeds] for key in ("oa", "mean_f1")}
            table.setdefault(tile, {})[row] = values
            lines.append(f"| {tile} | {row} | {spread(values['oa'])} | {spread(values['mean_f1'])} |")
            print(lines[-1], file=sys.stderr, flush=True)
            store_results(arguments.out, smoke=arguments.smoke, zero=zeros, tiles=table)
            write_text(arguments.out / "table.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    with plain_errors():
        main()
