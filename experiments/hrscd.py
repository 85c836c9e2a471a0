"""The four strategies of HRSCD: kappa and F1 of change, mean ± sd over the seeds, and which orderings held.

Usage: python experiments/hrscd.py --out FOLDER [--seeds 0 1 2]                  (miniature city, SYNTHETIC)
       python experiments/hrscd.py --out FOLDER --rows 4.1 4.1-without-cover     (some rows; those of `VARIANTS` test why)
       python experiments/hrscd.py --out FOLDER --train-cities 1 2 3 … --test-cities 41 42 …           (other cities)
       python experiments/hrscd.py --out FOLDER --epochs 3                       (60 steps instead of 240)
       python experiments/hrscd.py --out FOLDER --light training                 (test scenes in the light of the training scenes)
       python experiments/hrscd.py --out FOLDER --data ROOT                      (HRSCD in the layout of its card)

1 compares two maps of land cover; 2 has a class for each pair from → to; 3 looks at land cover where a separate network
detected change, so that its change is that network's; 4.1 learns land cover and change at once; 4.2 learns land cover first, then change with it frozen. All learn for
as many steps, those of two stages or networks in each. Change is not weighted, windows are balanced already; land cover is.
Small trainings but for --data.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from change_pairs import (
    COVER,
    SMALL,
    STEPS_PER_EPOCH,
    TEST_CITIES,
    TRAIN_CITIES,
    ChangeScore,
    Sources,
    city_pairs,
    everything_changed,
    ordering,
    ordering_over_scenes,
    publish,
    score_change,
    table,
    train_run,
    zero_row,
)
from script import add_smoke, percents, plain_errors, store_results, title_of

from deepnets4eo.cards import DatasetCard, open_dataset
from deepnets4eo.change import CoverComparison
from deepnets4eo.files import write_yaml
from deepnets4eo.segmenters import Segmenter, load_run

LAYERS = ("image_pre", "image_post", "cover_pre", "cover_post", "labels")
EPOCHS, STEP_EPOCH = 12, 9  # of the small trainings
SEPARATE = ("1", "3")  # not networks of the task
TRAINED = {
    "2": ("cover.strategy=direct", "model.network=residual-unet"),
    "4.1": ("cover.strategy=joint",),
    "4.2": ("cover.strategy=sequential",),
}
WEIGHTED = "train.class_weighting=median_frequency"  # of change, as published; beside balanced windows it counts twice
VARIANTS = {
    "2-weighted": (*TRAINED["2"], WEIGHTED),
    "4.1-weighted": (*TRAINED["4.1"], WEIGHTED),
    "4.2-weighted": (*TRAINED["4.2"], WEIGHTED),
    "4.1-without-cover": (*TRAINED["4.1"], "cover.weight=0"),  # the same network, taught change alone
    "4.1-light-cover": (*TRAINED["4.1"], "cover.weight=0.1"),
    "4.1-long": (*TRAINED["4.1"], f"train.epochs={2 * EPOCHS}", f"train.step_epochs=[{2 * STEP_EPOCH}]"),
    "4.2-short-cover": ("cover.strategy=sequential", "cover.epochs=3"),
    "4.2-long-cover": ("cover.strategy=sequential", "cover.epochs=24"),
}
STRATEGIES = sorted((*SEPARATE, *TRAINED))
ORDERS = (
    ("4.2", "4.1"),
    ("4.1", "3"),
    ("4.2", "3"),
    ("3", "1"),
    ("4.1-light-cover", "3"),
    ("4.2", "4.1-light-cover"),
    ("4.2-weighted", "4.1-weighted"),
    *((name, name.partition("-")[0]) for name in VARIANTS),
)
RECIPE = "change/hrscd"


def single_dates(scenes: Sources) -> dict[str, dict[str, str]]:
    """Each date as a scene of its own, labelled with its land cover."""
    return {
        f"{name}-{date}": {"image": sources[f"image_{date}"], "labels": sources[f"cover_{date}"]}
        for name, sources in scenes.items()
        for date in ("pre", "post")
    }


def one_seed(
    rows: Sequence[str],
    train: Sources,
    test: Sources,
    out: Path,
    settings: Sequence[str],
    legend: str,
    light: str,
    *,
    smoke: bool,
) -> dict[str, ChangeScore]:
    """Scores of rows with one seed."""
    paired = {name: {layer: sources[layer] for layer in LAYERS} for name, sources in train.items()}
    runs: dict[str, Any] = {}
    for name in rows:
        if name == "1":
            runs[name] = CoverComparison(cover_network(train, out, settings, legend, smoke=smoke))
        elif name == "3":
            runs[name] = change_network(train, out, settings, smoke=smoke)
        else:
            overrides = (*settings, f"cover.legend={legend}", *(TRAINED | VARIANTS)[name])
            runs[name] = train_run(RECIPE, overrides, paired, out / name, smoke=smoke)
    return {name: score_change(runs[name], test, out / "maps" / name, light=light) for name in rows}


def cover_network(train: Sources, out: Path, settings: Sequence[str], legend: str, *, smoke: bool) -> Segmenter:
    """A network of land cover of one date."""
    own = (*_plain(settings), WEIGHTED, "model.layers=[image]", f"legend={legend}", "train.class_weights={}")
    run = train_run(_segmentation_recipe(out), own, single_dates(train), out / "cover", smoke=smoke)
    return load_run(run).segmenter


def change_network(train: Sources, out: Path, settings: Sequence[str], *, smoke: bool) -> Path:
    """A run of change alone."""
    pairs = {
        name: {layer: sources[layer] for layer in ("image_pre", "image_post", "labels")}
        for name, sources in train.items()
    }
    return train_run(_segmentation_recipe(out), _plain(settings), pairs, out / "change", smoke=smoke)


def _plain(settings: Sequence[str]) -> tuple[str, ...]:
    return (*settings, "task=segmentation", "model.network=residual-unet")


def _segmentation_recipe(out: Path) -> str:
    """The recipe without its section of land cover, which the task segmentation does not have."""
    from deepnets4eo.cards import recipe_path
    from deepnets4eo.training.recipe import read_recipe

    values = {key: value for key, value in read_recipe(recipe_path(RECIPE)).items() if key != "cover"}
    write_yaml(out / "segmentation.yaml", values)
    return str(out / "segmentation.yaml")


def scenes_of(data: Path | None, out: Path, cities: Sequence[Sequence[int]], *, smoke: bool) -> tuple[Sources, Sources]:
    """Pairs to train and to test on. cities : seeds of those to train and to test on, without data"""
    if data is None:
        few = 1 if smoke else None
        train, test = (city_pairs(out, of_part[:few], smoke=smoke) for of_part in cities)
        return train, test
    card = DatasetCard.load("hrscd")
    tiles = [open_dataset(card, data, part=part, layers=LAYERS) for part in ("train", "test")]
    first, second = (
        {name.replace("/", "-"): {layer: str(path) for layer, path in sources.items()} for name, sources in one.items()}
        for one in tiles
    )
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="the tiles of HRSCD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", default=STRATEGIES, choices=sorted((*STRATEGIES, *VARIANTS)))
    parser.add_argument("--train-cities", type=int, nargs="+", default=list(TRAIN_CITIES))
    parser.add_argument("--test-cities", type=int, nargs="+", default=list(TEST_CITIES))
    parser.add_argument(
        "--epochs", type=int, default=EPOCHS, help=f"of {STEPS_PER_EPOCH} steps, of the small trainings"
    )
    parser.add_argument("--light", default="none", choices=("none", "training"), help="see `change --set normalise=…`")
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("change_pairs").setLevel(logging.INFO)
    out, smoke = arguments.out, arguments.smoke
    train, test = scenes_of(arguments.data, out, (arguments.train_cities, arguments.test_cities), smoke=smoke)
    legend = "hrscd"
    if arguments.data is None:
        write_yaml(out / "cover.yaml", COVER)
        legend = str(out / "cover.yaml")
    small = [one for one in SMALL if "class_weights" not in one]
    epochs = arguments.epochs
    small += [f"train.epochs={epochs}", f"train.step_epochs=[{max(1, epochs * STEP_EPOCH // EPOCHS)}]"]
    scores: dict[str, list[ChangeScore]] = {name: [] for name in arguments.rows}
    for seed in arguments.seeds[: 1 if smoke else None]:
        settings = (*(small if arguments.data is None else ()), f"train.seed={seed}")
        folder = out / f"seed-{seed}"
        of_seed = one_seed(arguments.rows, train, test, folder, settings, legend, arguments.light, smoke=smoke)
        for name, score in of_seed.items():
            scores[name].append(score)
    kappa = {name: [one.kappa for one in of_name] for name, of_name in scores.items()}
    rows = {f"strategy {name}": [kappa[name], [one.f1 for one in of_name]] for name, of_name in scores.items()}
    zero = everything_changed(test)
    rows = {zero.name: zero_row(zero, "kappa", "f1"), **rows}
    notes = []
    for better, worse in ORDERS:
        if {better, worse} <= set(kappa):
            claim = f"{better} ≥ {worse} in kappa of change"
            notes += [
                ordering(claim, kappa[better], kappa[worse]),
                ordering_over_scenes(claim, scores[better], scores[worse]),
            ]
    title = "HRSCD" if arguments.data else "Strategies of land cover and change on the miniature city (SYNTHETIC)"
    f1 = {name: percents(one.f1 for one in of_name) for name, of_name in scores.items()}
    of_change = {"kappa": {name: percents(values) for name, values in kappa.items()}, "f1": f1}
    cities = {"learnt_from": list(train), "tested_on": list(test)}
    steps = {} if arguments.data else {"steps": epochs * STEPS_PER_EPOCH}
    store_results(out, smoke=smoke, data=title, cities=cities, **steps, zero=zero.to_dict(), of_change=of_change)
    publish(out, table(title_of(title, smoke=smoke), ["kappa of change", "F1 of change"], rows, notes))


if __name__ == "__main__":
    with plain_errors():
        main()
