"""How to learn from weights of ImageNet: ways to hold an encoder near its start, on two places, over seeds.

Usage: python experiments/first_weights.py --data FOLDER --out FOLDER [--ways all frozen …] [--seeds 0 1 2] [--steps 60] [--smoke]

FOLDER is that of the samples: dubai, of which tiles 5 and 6 are left out, and isprs_vaihingen_crop, the second half of which is tested on.
Our U-Net on EfficientNet-Lite0 takes the same steps of eight windows of 128 px in every way, and its last weights are scored: nothing is chosen.
Writes table.md after every seed; what is finished is not run again.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from dubai import folds_of, matrix_of_recipe
from equal_steps import Fold
from real_tiles import tile_folds
from script import add_smoke, plain_errors, title_of

from deepnets4eo.evaluation import spread
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.segmenters import EncoderName

RECIPE, TILE_PX, STEPS = "unet-resnet34", 128, 60
TESTED = 3  # one in so many images of the tiles of Dubai that are left out
START = (f"model.encoder={EncoderName.lite0}", f"model.encoder_weights={EncoderName.lite0}")
WAYS: dict[str, tuple[str, ...]] = {
    "random": START[:1],
    "all": START,
    "frozen": (*START, "model.options={frozen_levels: 2}"),
    "statistics": (*START, "train.keep_statistics=true"),
    "slower": (*START, "train.encoder_lr_factor=0.3"),
    "pulled-0.01": (*START, "train.pull_to_start=0.01"),
    "pulled-0.1": (*START, "train.pull_to_start=0.1"),
}
TITLES = {
    "random": "random first weights",
    "all": "everything trained",
    "frozen": "two levels frozen",
    "statistics": "statistics of normalisation kept",
    "slower": "encoder at 0.3 of the rate",
    "pulled-0.01": "pulled to the start, 0.01",
    "pulled-0.1": "pulled to the start, 0.1",
}


def folds_by_site(data: Path, out: Path) -> dict[str, Fold]:
    """What is learnt from and tested on at each site."""
    last = list(folds_of(data / "dubai", out / "dubai", "tiles", 3))[-1]
    legend, (fold, _) = tile_folds(data, out / "tiles", ["vaihingen"])["vaihingen"]
    return {
        "Dubai": replace(last, test=dict(list(last.test.items())[::TESTED]), tile_px=TILE_PX),
        "Vaihingen": Fold("vaihingen", legend, fold.train, fold.test, tile_px=TILE_PX),
    }


def matrix_at(fold: Fold, way: str, seed: int, steps: int, out: Path) -> ConfusionMatrix:
    """The counts of what a fold tests on, kept in a file."""
    run = out / way / f"{seed}-{steps}" / fold.name
    if not run.with_suffix(".json").exists():
        write_json(run.with_suffix(".json"), matrix_of_recipe(fold, RECIPE, WAYS[way], seed, steps, run))
        shutil.rmtree(run, ignore_errors=True)
    return ConfusionMatrix.from_matrix(np.array(read_json(run.with_suffix(".json"))))


def main() -> None:
    """Run what is chosen, seed by seed, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of samples, with dubai and isprs_vaihingen_crop"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    add_smoke(parser)
    options = parser.parse_args()
    smoke, out = options.smoke, options.out / "smoke" if options.smoke else options.out
    steps, seeds = (2, options.seeds[:1]) if smoke else (options.steps, options.seeds)
    at = folds_by_site(options.data, out / "data")
    for number in range(1, len(seeds) + 1):
        heads = [f"{site}, {name}" for site in at for name in ("overall accuracy", "mean IoU")]
        text = (
            title_of("# First weights", smoke=smoke) + f"\n\n| | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}\n"
        )
        for way in options.ways:
            cells = []
            for fold in at.values():
                matrices = [matrix_at(fold, way, seed, steps, out) for seed in seeds[:number]]
                for score in ("overall_accuracy", "mean_iou"):
                    cells.append(spread([100 * float(getattr(one, score)) for one in matrices]))
            text += f"| {TITLES[way]} | {' | '.join(cells)} |\n"
        write_text(out / "table.md", text)
        print(text, flush=True)


if __name__ == "__main__":
    with plain_errors():
        main()
