"""The mean of the weights of several trainings of the network for one image, scored and written like a training.

Usage: python experiments/buildings_mean_weights.py TRAINING TRAINING … --out FOLDER [--models models] [--smoke]

For trainings of world_train.py that began from the same weights (`--set data.start=FOLDER`) with other seeds, or with windows of another
size (Wortsman et al. 2022). The mean is of the weights that their runs were written with. It is scored on the windows that the first of
them is validated on. Writes the runs OUT/buildings and OUT/landcover; --models ships that of buildings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from damage_mean_weights import mean_of, windows_of
from script import plain_errors
from smoke import NOTE, add_smoke
from world_train import ship

from deepnets4eo.segmenters.run import load_run
from deepnets4eo.synthetic.world.cover_criterion import CoverScorer
from deepnets4eo.synthetic.world.cover_network import RUNS, WorldRecipe, cover_of_runs
from deepnets4eo.synthetic.world.cover_training import validation_windows, write_cover
from deepnets4eo.training.recipe import resolve

BUILDINGS = RUNS[1]
SMOKE_WINDOWS = 2


def main() -> None:
    """Average, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trainings", nargs="+", type=Path, metavar="TRAINING")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, help="folder to ship the run of buildings into, e.g. models")
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        print(NOTE)
    runs = [load_run(folder / BUILDINGS) for folder in arguments.trainings]
    windows = windows_of(runs)
    recipes = [resolve(run.recipe, kind=WorldRecipe) for run in runs]
    segmenters = [cover_of_runs(recipe, folder) for recipe, folder in zip(recipes, arguments.trainings, strict=True)]
    segmenters[0].module.load_state_dict(mean_of([one.module.state_dict() for one in segmenters]))
    scored = list(validation_windows(recipes[0].data))[: SMOKE_WINDOWS if arguments.smoke else None]
    seeds = [int(run.card["seed"]) for run in runs]
    kept = {key: runs[0].card["notes"][key] for key in ("epochs", "batch_size")}
    notes = kept | {"windows": windows, "mean_of_seeds": seeds}
    scorer = CoverScorer(scored, recipes[0].train.usual_batch_size)
    write_cover(segmenters[0], scorer, recipes[0], arguments.out, notes)
    print(arguments.out)
    if arguments.models:
        ship(arguments.out / BUILDINGS, arguments.models / BUILDINGS)


if __name__ == "__main__":
    with plain_errors():
        main()
