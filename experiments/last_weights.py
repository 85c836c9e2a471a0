"""How much does it decide at which step a training ends, and does a mean of the weights or a falling rate mend it?

Usage: python experiments/last_weights.py --samples ROOT --out FOLDER [--steps 512] [--every 64] [--tiles ign …] [--seeds 0 1]

The plain loop of recipe_defaults.py on halves of real tiles, both ways. After every so many steps the other half is
labelled with the weights of that step, and with running means of them (`train.average`) over several shares of the steps
so far; with statistics of normalisation averaged likewise, or measured anew for these weights. At the steps named by
--ends the same training is tried with a rate that falls to zero over its last fifth as well.
Writes a line of JSON for each time to rows.jsonl, and table.md: scores in per cent minus those of the last weights of the same training
and time, mean ± standard error over the trainings. A training that is there already is not run again.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from real_tiles import tile_folds
from recipe_defaults import LR, PlainLoop, scores_of
from script import plain_errors
from smoke import NOTE, add_smoke
from torch.nn.modules.batchnorm import _BatchNorm

from deepnets4eo.files import write_text

ROWS: dict[str, dict[str, Any]] = {
    "plain loop": {},
    "quarter turns": {"turned": True},
    "clipped to norm 1": {"clip_norm": 1.0},
    "quarter turns, clipped": {"turned": True, "clip_norm": 1.0},
    "varied tones": {"tones": 0.1},
    "quarter turns, tones varied by 0.3": {"turned": True, "tones": 0.3},
}
SCORES = ("overall_accuracy", "mean_f1")
LAST, LOWERED, ANEW = "last", "rate lowered", ", statistics anew"
FIRST = 40  # steps that do not count where the mean begins later: weights change fast, and their statistics lag behind
OVER: dict[str, Callable[[int], float]] = {  # way → over how many steps the mean is
    "mean over 1/30": lambda step: step / 30,
    "mean over 1/10": lambda step: step / 10,
    f"mean over 1/10 after {FIRST}": lambda step: max(step - FIRST, 0) / 10,
    "mean over 1/5": lambda step: step / 5,
}
MEASURED = ("mean over 1/10", "mean over 1/5")  # with statistics measured anew, beside the last weights
BETWEEN, FROM = 4, 128  # after so many first steps a mean takes one step of four: a quarter of the time, the same mean
FALL = 0.2  # share of the steps over which the rate falls
STEPS_ANEW = 32  # batches that statistics are measured on


class Means:
    """Running means of a network's weights and statistics, each over another share of the steps so far."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.values = [value for value in network.state_dict().values() if value.is_floating_point()]
        self.means = {name: [value.clone() for value in self.values] for name in OVER}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the means towards the values now; step : counted from 1."""
        new = BETWEEN if step > FROM else 1
        if step % new == 0:
            for name, over in OVER.items():
                torch._foreach_lerp_(self.means[name], self.values, new / (over(step) + new))

    @torch.no_grad()
    def swap(self, name: str) -> None:
        """Exchange the network's values and a mean; twice: as before."""
        for value, mean in zip(self.values, self.means[name], strict=True):
            kept = value.clone()
            value.copy_(mean)
            mean.copy_(kept)


@torch.no_grad()
def measure_statistics(loop: PlainLoop) -> None:
    """Statistics of normalisation of the weights as they are, over some batches."""
    modules = [module for module in loop.network.modules() if isinstance(module, _BatchNorm)]
    momenta = [module.momentum for module in modules]
    for module in modules:
        module.reset_running_stats()
        module.momentum = None  # the mean of all batches
    for _ in range(STEPS_ANEW):
        loop.network(loop.batch_of_windows()[0])
    for module, momentum in zip(modules, momenta, strict=True):
        module.momentum = momentum


def scores_by_way(loop: PlainLoop, means: Means, test: Any, *, anew: bool) -> dict[str, Any]:
    """Scores of the weights as they are, and of each mean; anew : also with statistics measured anew."""
    made = _with_and_without(loop, test, LAST, anew=anew)
    for name in OVER:
        means.swap(name)
        made |= _with_and_without(loop, test, name, anew=anew and name in MEASURED)
        means.swap(name)
    return made


def _with_and_without(loop: PlainLoop, test: Any, name: str, *, anew: bool) -> dict[str, Any]:
    """Scores of the weights; anew : also with statistics measured anew. The loop stays as it is."""
    made = {name: scores_of(loop.label(test), test, loop.legend)}
    if anew:
        windows, kept = copy.deepcopy(loop.rng), copy.deepcopy(loop.network.state_dict())
        measure_statistics(loop)
        made[name + ANEW] = scores_of(loop.label(test), test, loop.legend)
        loop.network.load_state_dict(kept)
        loop.rng = windows
    return made


def lower_rate(loop: PlainLoop, means: Means, test: Any, steps: int, step: int) -> dict[str, Any]:
    """Scores where the rate falls to zero from `step` to `steps`, of the last weights and of their means."""
    loop = copy.deepcopy(loop)
    after = Means(loop.network)
    after.means = copy.deepcopy(means.means)
    for now in range(step, steps):
        for group in loop.optimizer.param_groups:
            group["lr"] = LR * (steps - now) / (steps - step)
        loop.step()
        after.update(now + 1)
    return {f"{LOWERED}, {name}": scores for name, scores in scores_by_way(loop, after, test, anew=False).items()}


def times_of(loop: PlainLoop, test: Any, steps: int, every: int, ends: list[int]) -> Iterator[dict[str, Any]]:
    """Scores by way after every so many steps, and the mean loss of these."""
    means, losses = Means(loop.network), []
    falls = {round(end * (1 - FALL)): end for end in ends}
    of_falls: dict[int, dict[str, Any]] = {}
    for step in range(1, steps + 1):
        losses.append(loop.step())
        means.update(step)
        if step in falls:
            of_falls[falls[step]] = lower_rate(loop, means, test, falls[step], step)
        if step % every == 0 or step in ends:
            ways = scores_by_way(loop, means, test, anew=step in ends) | of_falls.get(step, {})
            yield {"step": step, "loss": float(np.mean(losses[-every:])), "ways": ways}


def summary(rows: list[dict[str, Any]], steps: int, ends: list[int]) -> str:
    """A table of the rows: differences at the ends, and the mean ones of the last three quarters of the times."""
    lines = [
        "| row | way | trainings | "
        + " | ".join(f"after {end}" for end in ends)
        + " | of the last three quarters | varies by |",
        "|---|---|---|" + "---|" * (len(ends) + 2),
    ]
    for name in dict.fromkeys(one["row"] for one in rows):
        of_row = [one for one in rows if one["row"] == name]
        trainings = sorted({(one["tile"], one["fold"], one["seed"]) for one in of_row})
        for way in dict.fromkeys(way for one in of_row for way in one["ways"]):
            cells = [_gain([one for one in of_row if one["step"] == end], way) for end in ends]
            late = [one for one in of_row if one["step"] > steps / 4 and way in one["ways"]]
            spread = [
                np.std([one["ways"][way][SCORES[0]] for one in late if _training(one) == training])
                for training in trainings
            ]
            lines.append(
                f"| {name} | {way} | {len(trainings)} | {' | '.join(cells)} | {_gain(late, way)} | {np.mean(spread):.1f} |"
            )
    return "\n".join(lines) + "\n"


def _gain(rows: list[dict[str, Any]], way: str) -> str:
    """Accuracy and mean F1 minus those of the last weights: mean ± standard error over the trainings."""
    gains: dict[Any, list[NDArray[np.float64]]] = {}
    for one in rows:
        if way in one["ways"]:
            gain = np.array([one["ways"][way][score] - one["ways"][LAST][score] for score in SCORES])
            gains.setdefault(_training(one), []).append(gain)
    means = np.array([np.mean(each, axis=0) for each in gains.values()]).reshape(-1, 2)
    if len(means) < 2:
        return "–"
    errors = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    return ", ".join(f"{mean:+.1f} ± {error:.1f}" for mean, error in zip(means.mean(axis=0), errors, strict=True))


def _training(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["tile"], row["fold"], row["seed"]


def main() -> None:
    """Run what is chosen, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=512)
    parser.add_argument("--every", type=int, default=64)
    parser.add_argument("--ends", type=int, nargs="*", default=[64, 512])
    parser.add_argument("--batch", type=int, default=2, help="windows of a step")
    parser.add_argument("--tile-px", type=int, default=96, help="side of these windows")
    parser.add_argument("--precision", default="auto", help="as in recipes")
    parser.add_argument("--tiles", nargs="*", default=["vaihingen", "potsdam", "ign"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--rows", nargs="*", default=["plain loop"], choices=ROWS)
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        print(NOTE)
        options.steps, options.every, options.seeds, options.folds, options.tiles = 6, 2, [0], [0], options.tiles[:1]
        options.ends = [6]
    record = options.out / "rows.jsonl"
    tiles = tile_folds(options.samples, options.out / "tiles", options.tiles)
    rows = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    for seed, fold, tile, name in itertools.product(options.seeds, options.folds, tiles, options.rows):
        about = {"tile": tile, "fold": fold, "seed": seed, "row": name}
        if any(one.items() >= (about | {"step": options.steps}).items() for one in rows):
            continue
        legend, folds = tiles[tile]
        (train_on,), (test,) = folds[fold].train.values(), folds[fold].test.values()
        loop = PlainLoop(
            train_on, legend, options.batch, options.tile_px, seed, precision=options.precision, **ROWS[name]
        )
        for one in times_of(loop, test, options.steps, options.every, options.ends):
            rows.append(about | one)
            with record.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
        print(rows[-1], flush=True)
    write_text(options.out / "table.md", summary(rows, options.steps, options.ends))


if __name__ == "__main__":
    with plain_errors():
        main()
