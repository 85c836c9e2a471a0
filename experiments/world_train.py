"""Train the networks for one image, `models/buildings` and `models/landcover`, on made-up sites.

Usage: python experiments/world_train.py --out runs/world --minutes 120 [--resume] [--world both|city] [--leave-out STYLE …] [--heights]
                                         [--real FOLDER] [--encoder efficientnet-lite0]
       python experiments/world_train.py --out runs/world --resume --minutes 0 --models models
       python experiments/world_train.py --out runs/tried --smoke
Ends with the epoch in which the minutes are over, counted over all resumptions; Ctrl-C keeps what was learnt up to the
step. Then writes the runs OUT/buildings and OUT/landcover; with --models also into that folder, to be shipped.
The log OUT/log.csv has the scores on sites that are never trained on: iou.STYLE of building pixels, mean_iou of land cover.
With --real about a third of the sites are real ones of the folder of samples: Banepa, Zanzibar and tiles 1 to 4 of Dubai.
With --encoder the first weights are those of ImageNet, whose first two levels stay as they are.
With --heights the network of land cover alone, which then also takes heights above ground where a scene has a layer `ndsm`.
Hours on two cores. Several processes make the sites where there are cores for them (data.processes).
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from script import FEW_STEPS, NOTE, add_smoke, plain_errors

from deepnets4eo.files import read_yaml
from deepnets4eo.segmenters import EncoderName, RunFolder, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import TrainOptions, train

FIRST_WEIGHTS = (  # of an encoder that has learnt from photographs
    "model.options={decoder_channels: [96, 64, 48, 32], frozen_levels: 2}", "train.encoder_lr_factor=0.3",
    "train.warmup_share=0.001", "train.average=0.99", "data.windows_per_pair=4",
)  # fmt: skip
SMOKE = (*FEW_STEPS, "data.size_px=256", "data.tile_px=128", "data.validation_pairs=1", "predict.tile_px=256")


def overrides_of(arguments: argparse.Namespace) -> list[str]:
    """Values of the recipe that the arguments change."""
    changed = [f"data.world={arguments.world}", f"train.seed={arguments.seed}", f"data.heights={arguments.heights}"]
    if arguments.leave_out:
        changed.append(f"data.left_out_styles=[{', '.join(arguments.leave_out)}]")
    if arguments.real:
        changed.append(f"data.real={arguments.real}")
    if arguments.encoder:
        changed += [f"model.encoder={arguments.encoder}", f"model.encoder_weights={arguments.encoder}", *FIRST_WEIGHTS]
    return [*changed, *arguments.set, *(SMOKE if arguments.smoke else ())]


def ship(run: Path, folder: Path) -> None:
    """Write a run into the folder of a model, whose recipe stays: it says what a training begins with, not what this one did."""
    trained, recipe = load_run(run), RunFolder(folder).recipe
    kept = read_yaml(recipe) if recipe.is_file() else trained.recipe
    save_run(trained.segmenter, folder, recipe=kept, seed=trained.card["seed"], notes=trained.card["notes"])


def main() -> None:
    """Train, or go on; then write the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--world", choices=("both", "world", "city"), default="world")
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="STYLE")
    parser.add_argument("--heights", action="store_true", help="land cover with heights, buildings not")
    parser.add_argument("--real", type=Path, help="folder of real samples, learnt from beside the made-up sites")
    parser.add_argument("--encoder", choices=(EncoderName.lite0,), help="whose weights of ImageNet are the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    parser.add_argument("--models", type=Path, help="folder to ship the runs into, e.g. models")
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        print(NOTE)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = TrainOptions(resume=arguments.resume, overwrite=arguments.overwrite, minutes=arguments.minutes)
    out = train("buildings", arguments.out, overrides=overrides_of(arguments), options=options)
    for run in sorted(path.parent for path in out.glob(f"*/{RunFolder(out).card.name}")):
        print(run)
        if arguments.models:
            ship(run, arguments.models / run.name)


if __name__ == "__main__":
    with plain_errors():
        main()
