"""Does it help the network for building damage to see harmless change that it takes for damage more often? SYNTHETIC.

Usage: python experiments/damage_hard_examples.py --out FOLDER --start RUN [--windows 1536] [--smoke]

Hard examples (Sung and Poggio 1998; Shrivastava et al. 2016): RUN, of world_train_damage.py, grades made-up places that nothing struck;
the quarter where it sees most damage is kept. Two trainings go on from RUN for as many windows, with the same seed and rate: one as the recipe says,
one with a quarter of its pairs from the kept places. All three are compared at places of other seeds: false alarms where nothing happened,
AUC and log loss at even shares within places that were struck. table.md in --out.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from damage_networks_left_out import SIZE_PX, of_both_kinds, sites
from numpy.typing import NDArray
from places.damage_scores import even_loss
from places.results import markdown_table
from scipy.special import softmax
from script import plain_errors
from smoke import NOTE, add_smoke

from deepnets4eo.damage import GradedPair, train_on_stream
from deepnets4eo.damage.siamese.scoring import MAJOR, Graded, damage_probability
from deepnets4eo.damage.siamese.stream_scores import StreamGraded, grade_stream, to_labelled_pair
from deepnets4eo.files import write_text
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.synthetic.world.damage_training import places_in_turn, training_pairs, validation_pairs
from deepnets4eo.synthetic.world.sensor_variation import SensorVariation
from deepnets4eo.synthetic.world.style import style_names
from deepnets4eo.training import TrainOptions, load_recipe

MINED_SEED, TEST_SEED = 9_200_000, 9_300_000
HARD_SHARE = 0.25  # of the pairs that are learnt from
HARD_DRAW = 21  # beside a pair's seed, so that no other draw follows from the same numbers
KEPT = 0.25  # of the places that nothing struck
HEADS = ("pair", "post")


def intact_sites(seed: int, count: int) -> list[GradedPair]:
    """Places of all styles in turn that nothing struck, with every kind of harmless change."""
    return list(places_in_turn(seed, count, SIZE_PX, style_names(), ["none"]))


def grade_all(run: Run, pairs: Sequence[GradedPair]) -> list[StreamGraded]:
    """What a run says of every place."""
    return [
        grade_stream(run.segmenter, run.inputs, [pair], [to_labelled_pair(pair, number, run.inputs.gsd_m or 0.5)])
        for number, pair in enumerate(pairs)
    ]


def hardest(run: Run, pairs: Sequence[GradedPair]) -> list[GradedPair]:
    """The places where the run sees most damage, mean over their buildings and both heads."""
    seen = [np.mean([_damage(getattr(one, head)).mean() for head in HEADS]) for one in grade_all(run, pairs)]
    return [pairs[index] for index in np.argsort(seen)[::-1][: max(1, round(KEPT * len(pairs)))]]


def go_on(start: Path, hard: Sequence[GradedPair], out: Path, windows: int) -> Run:
    """Train on from a run; a quarter of the pairs are `hard` where there are any."""
    overrides = [f"model.start={start}", "train.lr=1e-4", "train.epochs=1", f"data.windows_per_epoch={windows}"]
    recipe, _ = load_recipe("damage-network", overrides=[*overrides, "data.val_pairs=3", "train.seed=31"])
    usual = training_pairs(recipe)

    def make_pair(seed: int) -> GradedPair:
        rng = np.random.default_rng([seed, HARD_DRAW])
        return hard[int(rng.integers(len(hard)))] if len(hard) and rng.random() < HARD_SHARE else usual(seed)

    options = TrainOptions("cpu", overwrite=True)
    return load_run(train_on_stream(make_pair, validation_pairs(recipe), recipe, SensorVariation(), out, options))


def line_of(name: str, run: Run, intact: Sequence[GradedPair], struck: Sequence[GradedPair]) -> list[str]:
    """Scores of a run: false alarms at places that nothing struck, AUC and log loss at the others; both heads."""
    cells = [name]
    calm, hit = grade_all(run, intact), grade_all(run, struck)
    for head in HEADS:
        alarms = [(_damage(getattr(one, head)) >= 0.5).mean() for one in calm]
        scored = [one for one in (getattr(each, head) for each in hit) if of_both_kinds(one)]
        losses = [even_loss(one.grades >= MAJOR, _damage(one)) for one in scored]
        cells += [f"{np.mean(alarms):.3f}", f"{np.mean([one.auc for one in scored]):.3f}", f"{np.mean(losses):.3f}"]
    return cells


def _damage(graded: Graded) -> NDArray[np.float64]:
    return damage_probability(softmax(graded.logits, axis=1))


def main() -> None:
    """Find hard places, train twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--windows", type=int, default=1536)
    add_smoke(parser)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    mined, tested = (2, 2) if options.smoke else (80, 40)
    if options.smoke:
        options.windows = 8
        print(NOTE)
    start = load_run(options.start)
    hard = hardest(start, intact_sites(MINED_SEED, mined))
    runs = {"the start": start}
    for name, harder in (("as the recipe says", []), ("a quarter hard examples", hard)):
        runs[name] = go_on(options.start, harder, options.out / name.replace(" ", "-"), options.windows)
    intact, struck = intact_sites(TEST_SEED, tested), list(sites(tested))
    head = ["", *(f"{head}: {key}" for head in HEADS for key in ("false alarms", "AUC", "log loss"))]
    table = markdown_table(head, [line_of(name, run, intact, struck) for name, run in runs.items()])
    print(write_text(options.out / "table.md", f"# SYNTHETIC\n\n{table}\n").read_text(encoding="utf-8"))


if __name__ == "__main__":
    with plain_errors():
        main()
