"""The mean of the weights of several trainings of the default damage network, scored and written like a training.

Usage: python experiments/damage_mean_weights.py RUN RUN … --out FOLDER [--models models] [--smoke]

For trainings of world_train_damage.py that began from the same weights (`--start`) with other seeds, or with other hazards and
styles left out (Wortsman et al. 2022); or for one of them and, after it, the run that it began from. The mean is scored at the pairs that the first of them is validated on, and its
temperatures are measured there; it has learnt from the windows of all of them. `damage_network_weight.py --network FOLDER
--write` then measures its share and reliability. --models ships it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from script import plain_errors
from smoke import NOTE, add_smoke
from torch import Tensor
from world_train import ship

from deepnets4eo.damage.network.recipe import StreamRecipe
from deepnets4eo.damage.network.scoring import to_labelled_pair
from deepnets4eo.damage.network.shipped import NAME
from deepnets4eo.damage.network.training import score_as_stored
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_json
from deepnets4eo.segmenters.run import Run, load_run, save_run
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.synthetic.world.damage_training import validation_pairs
from deepnets4eo.training.fit import METRICS
from deepnets4eo.training.recipe import resolve

SMOKE_PAIRS = 2


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
    """From how many windows the mean has learnt: those before the runs parted, and those of each of them.

    Of a training and, after it, the run that it began from: those of the training. Errors: InputError.
    """
    own = [run.card["notes"]["epochs"] * run.recipe["data"]["windows_per_epoch"] for run in runs]
    learnt = [run.card["notes"]["windows"] for run in runs]
    if len(runs) == 2 and learnt[0] - own[0] == learnt[1]:
        return int(learnt[0])
    before = {number - part for number, part in zip(learnt, own, strict=True)}
    if len(before) > 1:
        raise InputError(f"The runs began after {sorted(before)} windows. Give trainings that began from the same run.")
    return int(before.pop() + sum(own))


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
    runs = [load_run(folder) for folder in arguments.runs]
    segmenters = [run.segmenter for run in runs]
    if not all(isinstance(one, NetworkSegmenter) for one in segmenters):
        raise InputError("Only networks have a mean of their weights. Give runs of world_train_damage.py.")
    segmenter: Any = segmenters[0]
    windows = windows_of(runs)
    segmenter.module.load_state_dict(mean_of([one.module.state_dict() for one in segmenters]))  # type: ignore[attr-defined]
    recipe = resolve(runs[0].recipe, kind=StreamRecipe)
    pairs = validation_pairs(recipe)[: SMOKE_PAIRS if arguments.smoke else None]
    known = [to_labelled_pair(pair, number, recipe.data.gsd_m) for number, pair in enumerate(pairs)]
    metrics, card = score_as_stored(segmenter, pairs, known)
    seeds = [int(run.card["seed"]) for run in runs]
    notes = dict(runs[0].card["notes"]) | card | {"windows": windows, "mean_of_seeds": seeds}
    save_run(segmenter, arguments.out, recipe=runs[0].recipe, seed=seeds[0], notes=notes)
    write_json(arguments.out / METRICS, metrics)
    print(arguments.out)
    if arguments.models:
        ship(arguments.out, arguments.models / NAME)


if __name__ == "__main__":
    with plain_errors():
        main()
