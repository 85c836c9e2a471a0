"""How much does it decide at which step a training ends? The plain loop, with quarter turns and clipping or without.

Usage: python experiments/last_weights.py --samples ROOT --out FOLDER [--steps 384] [--every 64] [--tiles ign …] [--seeds 0 1]

The plain loop of recipe_defaults.py on halves of real tiles, both ways. After every so many steps the other half is
labelled with the weights of that step, and with their running mean (`train.average`). Writes a line of JSON for each time to
rows.jsonl, and to table.md, over tiles, folds, seeds and the times of the last two thirds: mean scores in per cent, and by how much the
accuracy of one training varies between these times (standard deviation). A training that is there already is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from real_tiles import tile_folds
from recipe_defaults import PlainLoop, scores_of
from smoke import NOTE, add_smoke

from deepnets4eo.files import write_text
from deepnets4eo.training.averaging import mean_weights, update_mean_weights

ROWS: dict[str, dict[str, Any]] = {
    "plain loop": {},
    "quarter turns": {"turned": True},
    "clipped to norm 1": {"clip_norm": 1.0},
    "quarter turns, clipped": {"turned": True, "clip_norm": 1.0},
}
MOST_KEPT = 0.998  # of the running mean at a step, as in the shipped recipes
SCORES = ("overall_accuracy", "mean_f1")


def times_of(loop: PlainLoop, test: Any, steps: int, every: int) -> Iterator[dict[str, Any]]:
    """Scores of the last weights and of the mean ones after every so many steps, and the mean loss of these."""
    losses = []
    for step in range(1, steps + 1):
        losses.append(loop.step())
        update_mean_weights(loop.network, loop.optimizer, MOST_KEPT, step)
        if step % every == 0:
            last = scores_of(loop.label(test), test, loop.legend)
            with mean_weights(loop.network, loop.optimizer):
                mean = scores_of(loop.label(test), test, loop.legend)
            yield {"step": step, "loss": float(np.mean(losses[-every:])), "last": last, "mean": mean}


def summary(rows: list[dict[str, Any]]) -> str:
    """A table of the rows, over all that was trained."""
    lines = [
        "| row | weights | trainings | overall accuracy | mean F1 | varies by | loss |",
        "|---|---|---|---|---|---|---|",
    ]
    late = [one for one in rows if one["step"] > max(each["step"] for each in rows) / 3]
    for name in dict.fromkeys(one["row"] for one in late):
        of_row = [one for one in late if one["row"] == name]
        trainings = sorted({(one["tile"], one["fold"], one["seed"]) for one in of_row})
        for weights in ("last", "mean"):
            accuracy, f1 = (np.mean([one[weights][score] for one in of_row]) for score in SCORES)
            spread = np.mean([
                np.std([one[weights][SCORES[0]] for one in of_row if (one["tile"], one["fold"], one["seed"]) == training])
                for training in trainings
            ])  # fmt: skip
            loss = np.mean([one["loss"] for one in of_row])
            lines.append(
                f"| {name} | {weights} | {len(trainings)} | {accuracy:.1f} | {f1:.1f} | {spread:.1f} | {loss:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is chosen, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--steps", type=int, default=384)
    parser.add_argument("--every", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2, help="windows of a step")
    parser.add_argument("--tile-px", type=int, default=96, help="side of these windows")
    parser.add_argument("--tiles", nargs="*", default=["vaihingen", "potsdam", "ign"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--folds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    add_smoke(parser)
    options = parser.parse_args()
    if options.smoke:
        print(NOTE)
        options.steps, options.every, options.seeds, options.folds, options.tiles = 3, 1, [0], [0], options.tiles[:1]
    record = options.out / "rows.jsonl"
    tiles = tile_folds(options.samples, options.out / "tiles", options.tiles)
    rows = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    for seed, fold, tile, name in itertools.product(options.seeds, options.folds, tiles, options.rows):
        about = {"tile": tile, "fold": fold, "seed": seed, "row": name}
        if any(one.items() >= (about | {"step": options.steps}).items() for one in rows):
            continue
        legend, folds = tiles[tile]
        (train_on,), (test,) = folds[fold].train.values(), folds[fold].test.values()
        loop = PlainLoop(train_on, legend, options.batch, options.tile_px, seed, **ROWS[name])
        for one in times_of(loop, test, options.steps, options.every):
            rows.append(about | one)
            with record.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
        print(rows[-1], flush=True)
    write_text(options.out / "table.md", summary(rows))


if __name__ == "__main__":
    main()
