"""The mean of the weights of several trainings on the miniature world, scored and written like a training.

Usage: python experiments/mean_weights.py RUN RUN … --out FOLDER [--models models] [--smoke]

For trainings that began from the same weights with other seeds, other windows, or other hazards and styles left out (Wortsman et al.
2022); of damage networks also for one training and, after it, the run that it began from. Folders of world_train.py are those of the
networks for one image: the mean is of the weights that their runs were written with, and the runs OUT/buildings and OUT/landcover are
written. Runs of world_train_damage.py are damage networks: temperatures are measured again, and `damage_network_weight.py --network
FOLDER --write` then measures share and reliability. The mean is scored at what the first training is validated on, and has learnt from
the windows of all of them. --models ships the run of buildings, or of the damage network.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from script import NOTE, add_smoke, plain_errors
from torch import Tensor
from world.cover_criterion import CoverScorer
from world.cover_network import RUNS, WorldRecipe, cover_of_runs
from world.cover_training import validation_windows, write_cover
from world.damage_pairs import validation_pairs
from world_train import ship

from deepnets4eo.damage import DamageRecipe
from deepnets4eo.damage.network.grader import SHIPPED
from deepnets4eo.damage.network.training import made_up_validation, score_as_stored
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_json
from deepnets4eo.segmenters import NetworkSegmenter, Run, RunFolder, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training.recipe import resolve

BUILDINGS = RUNS[1]
SMOKE_SAMPLES = 2  # pairs or windows


def mean_of(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of the weights of the same name; what is counted, not learnt, is that of the first. Errors: InputError."""
    first = states[0]
    shapes = {name: value.shape for name, value in first.items()}
    if any({name: value.shape for name, value in state.items()} != shapes for state in states):
        raise InputError("The runs have networks of different weights. Give trainings that began from the same run.")
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in first.items()
    }


def windows_of(runs: Sequence[Run]) -> int:
    """From how many windows the mean has learnt: those before the runs parted, and those of each of them; for a training
    and, after it, the run that it began from, those of the training. Errors: InputError."""
    own = [run.card["notes"]["epochs"] * run.recipe["data"]["windows_per_epoch"] for run in runs]
    learnt = [run.card["notes"]["windows"] for run in runs]
    if len(runs) == 2 and learnt[0] - own[0] == learnt[1]:
        return int(learnt[0])
    before = {number - part for number, part in zip(learnt, own, strict=True)}
    if len(before) > 1:
        raise InputError(f"The runs began after {sorted(before)} windows. Give trainings that began from the same run.")
    return int(before.pop() + sum(own))


def average_cover(folders: Sequence[Path], out: Path, *, smoke: bool) -> Path:
    """Write the runs of the mean of trainings for one image; returns that of buildings."""
    runs = [load_run(folder / BUILDINGS) for folder in folders]
    windows = windows_of(runs)
    recipes = [resolve(run.recipe, kind=WorldRecipe) for run in runs]
    segmenters = [cover_of_runs(recipe, folder) for recipe, folder in zip(recipes, folders, strict=True)]
    segmenters[0].module.load_state_dict(mean_of([one.module.state_dict() for one in segmenters]))
    scored = list(validation_windows(recipes[0].data))[: SMOKE_SAMPLES if smoke else None]
    seeds = [int(run.card["seed"]) for run in runs]
    kept = {key: runs[0].card["notes"][key] for key in ("epochs", "batch_size")}
    notes = kept | {"windows": windows, "mean_of_seeds": seeds}
    scorer = CoverScorer(scored, recipes[0].train.usual_batch_size)
    write_cover(segmenters[0], scorer, recipes[0], out, notes)
    return out / BUILDINGS


def average_damage(folders: Sequence[Path], out: Path, *, smoke: bool) -> Path:
    """Write the run of the mean of damage networks, its temperatures measured at the pairs that the first is validated on."""
    runs = [load_run(folder) for folder in folders]
    segmenters = [run.segmenter for run in runs]
    if not all(isinstance(one, NetworkSegmenter) for one in segmenters):
        raise InputError("Only networks have a mean of their weights. Give runs of world_train_damage.py.")
    segmenter: Any = segmenters[0]
    windows = windows_of(runs)
    segmenter.module.load_state_dict(mean_of([one.module.state_dict() for one in segmenters]))  # type: ignore[attr-defined]
    recipe = resolve(runs[0].recipe, kind=DamageRecipe)
    pairs = validation_pairs(recipe)[: SMOKE_SAMPLES if smoke else None]
    metrics, card = score_as_stored(segmenter, made_up_validation(recipe, segmenter.inputs, pairs), recipe)
    seeds = [int(run.card["seed"]) for run in runs]
    notes = dict(runs[0].card["notes"]) | card | {"windows": windows, "mean_of_seeds": seeds}
    save_run(segmenter, out, recipe=runs[0].recipe, seed=seeds[0], notes=notes)
    write_json(RunFolder(out).metrics, metrics)
    return out


def main() -> None:
    """Average, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, help="folder to ship the run into, e.g. models")
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        print(NOTE)
    cover = all((folder / BUILDINGS).is_dir() for folder in arguments.runs)
    run = (average_cover if cover else average_damage)(arguments.runs, arguments.out, smoke=arguments.smoke)
    print(arguments.out)
    if arguments.models:
        ship(run, arguments.models / (BUILDINGS if cover else SHIPPED))


if __name__ == "__main__":
    with plain_errors():
        main()
