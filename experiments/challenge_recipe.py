"""The recipe of the earthquake challenge's second place, on pairs of xBD: ResNet-34 on patches after the event, a Siamese one on both dates, their vote.

Usage: python experiments/challenge_recipe.py --data XBD_OR_SAMPLES --out FOLDER [--seeds 0 1 2] [--steps 400] [--smoke]

`models/damage-pairs` with ResNet-34, one-cycle rates and augmentations; one training has a head for both dates and one for the image
after the event alone. Events are divided in two halves, each is graded by the trainings on the other, so that no place is on both sides: of the real
samples Guatemala, Joplin, Mexico and Moore (a tornado of one style of houses with Joplin), and the floods of Florence, Harvey and the Midwest and the fire of Santa Rosa. A building is damaged from major
damage on; F1 is that of the damaged over all buildings of a half. The vote is that of both heads of all seeds. Published figures are of
the challenge's own sites and cannot be compared. Finished trainings are not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from challenge import UNKNOWN, damaged_f1, majority
from damage_benchmarks import OF_XBD, write_xbd
from earthquake_response import published_rows
from numpy.typing import NDArray
from script import add_smoke, plain_errors, require_files, store_results, title_of

from deepnets4eo.damage import GRADES
from deepnets4eo.damage.network import LabelledPair, NetworkGrader
from deepnets4eo.damage.network.datasets import read_xbd
from deepnets4eo.damage.network.pairs import POST
from deepnets4eo.damage.table.vocabulary import MAJOR
from deepnets4eo.evaluation import spread
from deepnets4eo.files import write_text
from deepnets4eo.footprints import read_footprints
from deepnets4eo.training import TrainOptions, train

RECIPE = ("model.encoder=resnet34", "train.post_loss=0.7", "data.layout=xbd", "data.num_workers=0", "train.keep=last")
FIRST_HALF = ("guatemala", "joplin", "mexico", "moore")  # how names of events begin; all others are the second half
MORE = "events_more/*"  # folders of samples beside those of xBD's own names
BATCH, TILE_PX = 8, 128
WAYS = {"after the event alone": False, "both dates, Siamese": True}
VOTE = "majority vote"


def halves(root: Path) -> list[list[LabelledPair]]:
    """Pairs of xBD with a building, by half of the events."""
    parts: list[list[LabelledPair]] = [[], []]
    for pair in read_xbd(root):
        if len(pair.outlines):
            parts[not pair.name.startswith(FIRST_HALF)].append(pair)
    return parts


def fit(pairs: Sequence[LabelledPair], root: Path, seed: int, steps: int, out: Path, *, smoke: bool) -> Path:
    """A run that learnt from these pairs alone; one that is there is used again."""
    if (out / "run" / "card.json").exists():
        return out / "run"
    for pair in pairs:
        for path in require_files(root, f"*/{pair.name}_*"):
            linked = out / "xbd" / path.relative_to(root)
            linked.parent.mkdir(parents=True, exist_ok=True)
            if not linked.exists():
                linked.symlink_to(path.resolve())
    epochs = 1 if smoke else 10
    keys = [*RECIPE, f"train.seed={seed}", f"train.epochs={epochs}", f"data.tile_px={64 if smoke else TILE_PX}"]
    keys += [
        f"train.batch_size={2 if smoke else BATCH}",
        f"data.windows_per_epoch={4 if smoke else BATCH * steps // epochs}",
    ]
    return train("damage-pairs", out / "run", data=out / "xbd", overrides=keys, options=TrainOptions(overwrite=True))


def calls(grader: NetworkGrader, pair: LabelledPair, root: Path, *, both: bool) -> NDArray[np.int8]:
    """Which buildings of a pair a run calls damaged, by both dates or by the later one; −1 where it sees none."""
    if both:
        probabilities = grader.grade(pair.scene, pair.outlines)
    else:
        footprints = read_footprints(root / "labels" / f"{pair.name}_post_disaster.json", assume_crs="pixels")
        shapes, rows = footprints.frame.geometry.to_numpy(), np.arange(len(pair.outlines))
        probabilities = grader.post_probabilities(pair.scene.layers[POST], shapes, None, None, "post", rows).to_numpy()
    damaged = probabilities[:, MAJOR:].sum(axis=1)
    return np.where(np.isnan(damaged), UNKNOWN, damaged >= 0.5).astype(np.int8)


def labels_of(pair: LabelledPair) -> NDArray[np.int8]:
    """1 from major damage on, 0 below, −1 where no grade is known."""
    damaged = (pair.grades >= MAJOR).astype(np.int8)
    return np.where(pair.grades < len(GRADES), damaged, np.int8(UNKNOWN)).astype(np.int8)


def f1_of_half(
    runs: Sequence[Path], pairs: Sequence[LabelledPair], root: Path
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """F1 of each way, one a run, and of the vote of all; and how many buildings were graded."""
    labels = np.concatenate([labels_of(pair) for pair in pairs])
    graders = [NetworkGrader.load(run) for run in runs]
    votes: dict[str, list[NDArray[np.int8]]] = {
        way: [np.concatenate([calls(grader, pair, root, both=both) for pair in pairs]) for grader in graders]
        for way, both in WAYS.items()
    }
    rows = {way: [damaged_f1(labels, one) for one in of_way] for way, of_way in votes.items()}
    rows[VOTE] = [damaged_f1(labels, majority(np.stack([one for of_way in votes.values() for one in of_way])))]
    return rows, {"labelled": int((labels != UNKNOWN).sum()), "damaged": int((labels == 1).sum())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of xBD, or of real samples")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    add_smoke(parser)
    options = parser.parse_args()
    root = (
        options.data
        if (options.data / "labels").is_dir()
        else write_xbd(options.data, options.out / "xbd", *OF_XBD, MORE)
    )
    parts = halves(root)
    if options.smoke:
        parts = [sorted(pairs, key=lambda pair: len(pair.outlines))[:2] for pairs in parts]
    seeds = options.seeds[: 1 if options.smoke else None]
    lines = [["half of the events", "buildings", *WAYS, VOTE], ["---", *["---:"] * (len(WAYS) + 2)]]
    f1: dict[str, dict[str, list[float]]] = {}
    for number, tested in enumerate(parts):
        learnt, of_half = parts[1 - number], options.out / f"half-{number}"
        runs = [fit(learnt, root, seed, options.steps, of_half / f"seed-{seed}", smoke=options.smoke) for seed in seeds]
        rows, counts = f1_of_half(runs, tested, root)
        events = ", ".join(sorted({pair.event for pair in tested}))
        of_buildings = f"{counts['labelled']}, {counts['damaged']} damaged"
        f1[f"{'second' if number else 'first'} half of the events"] = {
            way: [round(float(one), 4) for one in of_runs] for way, of_runs in rows.items()
        } | {"all called damaged": [round(2 * counts["damaged"] / (counts["damaged"] + counts["labelled"]), 4)]}
        store_results(options.out, smoke=options.smoke, steps=options.steps, f1=f1)
        lines.append([events, of_buildings, *(spread(np.array(one), 3) for one in rows.values())])
    title = title_of("F1 of damaged buildings, events that were not learnt from", smoke=options.smoke)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    text = f"## {title}\n\n{table}\n\n{published_rows()}"
    print(text)
    print(write_text(options.out / "table.md", text))


if __name__ == "__main__":
    with plain_errors():
        main()
