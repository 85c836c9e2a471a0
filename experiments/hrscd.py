"""The four strategies of HRSCD: kappa and F1 of change, mean ± sd over the seeds, and which orderings held.

Usage: python experiments/hrscd.py --out FOLDER [--seeds 0 1 2]                  (miniature city, SYNTHETIC)
       python experiments/hrscd.py --out FOLDER --data ROOT                      (HRSCD in the layout of its card)

1 compares two maps of land cover; 2 has a class for each pair from → to; 3 looks at land cover where a separate network
detected change; 4.1 learns land cover and change at once; 4.2 learns land cover first, then change with it frozen. All learn for
as many steps, those of two stages or networks in each. Small trainings but for --data.
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
    TEST_CITIES,
    TRAIN_CITIES,
    ChangeScore,
    Sources,
    city_pairs,
    ordering,
    publish,
    score_change,
    table,
    train_run,
)
from smoke import add_smoke, title_of

from deepnets4eo.cards.dataset_card import DatasetCard
from deepnets4eo.cards.dataset_reader import open_dataset
from deepnets4eo.change import CoverComparison
from deepnets4eo.files import write_yaml
from deepnets4eo.segmenters.run import load_run

LAYERS = ("image_pre", "image_post", "cover_pre", "cover_post", "labels")
EPOCHS = 12  # of 20 steps, of the small trainings
STRATEGIES = ("1", "2", "3", "4.1", "4.2")
RECIPE = "change/hrscd"


def single_dates(scenes: Sources) -> dict[str, dict[str, str]]:
    """Each date as a scene of its own, labelled with its land cover."""
    return {
        f"{name}-{date}": {"image": sources[f"image_{date}"], "labels": sources[f"cover_{date}"]}
        for name, sources in scenes.items()
        for date in ("pre", "post")
    }


def one_seed(
    train: Sources, test: Sources, out: Path, settings: Sequence[str], legend: str, *, smoke: bool
) -> dict[str, ChangeScore]:
    """Scores of the five strategies with one seed."""

    def run_of(name: str, scenes: Sources, *overrides: str) -> Path:
        return train_run(RECIPE, (*settings, *overrides), scenes, out / name, smoke=smoke)

    plain = ("task=segmentation", "model.network=residual-unet")
    paired = {name: {layer: sources[layer] for layer in LAYERS} for name, sources in train.items()}
    change = {
        name: {layer: sources[layer] for layer in ("image_pre", "image_post", "labels")}
        for name, sources in train.items()
    }
    segmentation = _segmentation_recipe(out)
    cover_run = train_run(
        segmentation, (*settings, *plain, "model.layers=[image]", f"legend={legend}", "train.class_weights={}"),
        single_dates(train), out / "cover", smoke=smoke,
    )  # fmt: skip
    change_run = train_run(segmentation, (*settings, *plain), change, out / "change", smoke=smoke)
    cover, separate = (load_run(run).segmenter for run in (cover_run, change_run))
    of_land_cover = (f"cover.legend={legend}",)
    runs: dict[str, Any] = {
        "1": CoverComparison(cover),
        "2": run_of("direct", paired, *of_land_cover, "cover.strategy=direct", "model.network=residual-unet"),
        "3": CoverComparison(cover, separate),
        "4.1": run_of("joint", paired, *of_land_cover, "cover.strategy=joint"),
        "4.2": run_of("sequential", paired, *of_land_cover, "cover.strategy=sequential"),
    }
    return {name: score_change(run, test, out / "maps" / name) for name, run in runs.items()}


def _segmentation_recipe(out: Path) -> str:
    """The recipe without its section of land cover, which the task segmentation does not have."""
    from deepnets4eo.cards.catalog import recipe_path
    from deepnets4eo.training.recipe import read_recipe

    values = {key: value for key, value in read_recipe(recipe_path(RECIPE)).items() if key != "cover"}
    write_yaml(out / "segmentation.yaml", values)
    return str(out / "segmentation.yaml")


def scenes_of(data: Path | None, out: Path, *, smoke: bool) -> tuple[Sources, Sources]:
    """Pairs to train and to test on."""
    if data is None:
        few = 1 if smoke else None
        train, test = (city_pairs(out, cities[:few], smoke=smoke) for cities in (TRAIN_CITIES, TEST_CITIES))
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
    add_smoke(parser)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("change_pairs").setLevel(logging.INFO)
    out, smoke = arguments.out, arguments.smoke
    train, test = scenes_of(arguments.data, out, smoke=smoke)
    legend = "hrscd"
    if arguments.data is None:
        write_yaml(out / "cover.yaml", COVER)
        legend = str(out / "cover.yaml")
    small = [*(one for one in SMALL if "class_weights" not in one), f"train.epochs={EPOCHS}", "train.step_epochs=[9]"]
    scores: dict[str, list[ChangeScore]] = {name: [] for name in STRATEGIES}
    for seed in arguments.seeds[: 1 if smoke else None]:
        settings = (*(small if arguments.data is None else ()), f"train.seed={seed}")
        of_seed = one_seed(train, test, out / f"seed-{seed}", settings, legend, smoke=smoke)
        for name, score in of_seed.items():
            scores[name].append(score)
    kappa = {name: [one.kappa for one in of_name] for name, of_name in scores.items()}
    rows = {f"strategy {name}": [kappa[name], [one.f1 for one in of_name]] for name, of_name in scores.items()}
    notes = [
        ordering(f"{better} ≥ {worse} in kappa of change", kappa[better], kappa[worse])
        for better, worse in (("4.2", "4.1"), ("4.1", "3"), ("4.2", "3"), ("3", "1"))
    ]
    title = "HRSCD" if arguments.data else "Strategies of land cover and change on the miniature city (SYNTHETIC)"
    publish(out, table(title_of(title, smoke=smoke), ["kappa of change", "F1 of change"], rows, notes))


if __name__ == "__main__":
    main()
