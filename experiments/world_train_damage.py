"""The default damage network, trained on the miniature world without files.

Usage: nice -n 5 python experiments/world_train_damage.py --out runs/damage --minutes 60 [--world world|city] [--resume]
       [--start RUN] [--left-out-styles old-town …] [--left-out-hazards flood …] (with --world world) [--seed 0] [--set train.lr=5e-4 …]

Trains the head of pairs and that of the post image alone together, and writes a run with weights in half precision,
its card and metrics.json: scores on places of other seeds, in all, by style and by hazard; log.csv has them after each
epoch of some four minutes. Ctrl-C saves the step that runs; `--resume` goes on, and `--resume --minutes 0` writes the run of
what is there; `--models models` ships it. One core is enough: two windows a second.
For a GPU, which waits for new places: --set data.kept_pairs=4000 data.windows_per_pair=12 data.mixed_pairs=128 data.processes=CORES
draws as many places once (2 MB each, in data.pairs_folder, or in the run until it is trained) and learns from them again by other
windows, sensors and outlines. After a change of experiments/world they are drawn again.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from script import NOTE, add_smoke, plain_errors
from world_train import ship

from deepnets4eo.damage.network.grader import SHIPPED
from deepnets4eo.training import TrainOptions, train

SMOKE = (
    "data.windows_per_epoch=4", "train.batch_size=2", "data.size_px=256", "data.val_pairs=2",
    "data.tile_px=128", "predict.tile_px=256", "train.epochs=1",
)  # fmt: skip


def overrides_of(arguments: argparse.Namespace) -> list[str]:
    """Values of the recipe that the options change."""
    values: dict[str, Any] = {
        "data.world": arguments.world, "train.seed": arguments.seed, "model.start": arguments.start,
        "data.left_out_styles": arguments.left_out_styles, "data.left_out_hazards": arguments.left_out_hazards,
    }  # fmt: skip
    chosen = [f"{key}={value}" for key, value in values.items() if value not in (None, [])]
    return [*chosen, *arguments.set, *(SMOKE if arguments.smoke else ())]


def main() -> None:
    """Train and write the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="the epoch that runs then is the last; over all resumptions")
    parser.add_argument("--world", choices=("both", "world", "city"), help="in place of what the recipe says")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", help="run of a U-Net that labels pixels, whose weights are started from")
    parser.add_argument("--left-out-styles", nargs="*", default=[])
    parser.add_argument("--left-out-hazards", nargs="*", default=[])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--models", type=Path, help="folder to ship the run into, e.g. models")
    parser.add_argument("--set", nargs="*", default=[], metavar="section.key=value")
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        print(NOTE)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = TrainOptions(
        device=arguments.device, resume=arguments.resume, overwrite=arguments.overwrite, minutes=arguments.minutes
    )
    run = train(SHIPPED, arguments.out, overrides=overrides_of(arguments), options=options)
    print(run)
    if arguments.models:
        ship(run, arguments.models / SHIPPED)


if __name__ == "__main__":
    with plain_errors():
        main()
