"""The network in the box for building damage, trained on the miniature world without files.

Usage: nice -n 5 python experiments/world_train_damage.py --out runs/damage --minutes 60 [--world city] [--resume]
       [--start RUN] [--left-out-styles old-town …] [--left-out-hazards flood …] [--seed 0] [--set train.lr=5e-4 …]

Trains the head of pairs and that of the post image alone together, and writes a run with weights in half precision,
its card and metrics.json: scores on places of other seeds, in all, by style and by hazard; log.csv has them after each
epoch of some four minutes. Ctrl-C saves the step that runs; `--resume` goes on, and `--resume --minutes 0` writes the run of
what is there; `--models models` ships it. One core is enough: two windows a second.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from smoke import NOTE, add_smoke
from world_train import ship

from deepnets4eo.cards.catalog import recipe_path
from deepnets4eo.cards.legend import VOID
from deepnets4eo.damage import GRADES
from deepnets4eo.damage.siamese.stream import GradedPair
from deepnets4eo.damage.siamese.stream_recipe import StreamRecipe
from deepnets4eo.damage.siamese.stream_training import train_on_stream
from deepnets4eo.grid import transform_shapes
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.event import Event
from deepnets4eo.synthetic.world.hazard import hazard_names
from deepnets4eo.synthetic.world.plan import BOTH
from deepnets4eo.synthetic.world.sensor_variation import SensorVariation
from deepnets4eo.synthetic.world.stream import pair_stream
from deepnets4eo.synthetic.world.style import style_names
from deepnets4eo.training.recipe import read_recipe, resolve
from deepnets4eo.training.tasks import TrainOptions

RECIPE = "damage-network"
VALIDATION = 1_000_003  # seeds of validation follow from it, whatever the seed of the training
LEAST_M2 = 6.0  # of an outline inside the image; smaller ones are not learnt from
SMOKE = (
    "data.windows_per_epoch=4", "train.batch_size=2", "data.size_px=256", "data.val_pairs=2", "data.pool_pairs=4",
    "data.tile_px=128", "predict.tile_px=256", "train.epochs=1",
)  # fmt: skip


def city_pairs(seed: Sequence[int], size_px: int) -> Iterator[GradedPair]:
    """Suburbs of the miniature city, the dates nearly registered."""
    rng = np.random.default_rng(seed)
    while True:
        number = int(rng.integers(2**31))
        event = replace(Event.draw(number), shift_px=tuple(rng.normal(0, 0.8, 2)), rotation_deg=0.0, scale=1.0)
        city = City(number, size_px, float(rng.uniform(0.3, 0.6)), event=event)
        frame = city.buildings
        outlines = transform_shapes(~city.grid.affine, frame.geometry.to_numpy())
        grades = np.array([GRADES.index(name) for name in frame["damage"]], np.uint8)
        yield GradedPair(city.pre.image, city.post.image, outlines, grades, grades, city.gsd_m, "city", event.kind)


def world_pairs(
    seed: Sequence[int], size_px: int, styles: Sequence[str] | None, hazards: Sequence[str] | None
) -> Iterator[GradedPair]:
    """Places of the miniature world; buildings that people took down have no grade."""
    start = int(np.random.SeedSequence(list(seed)).generate_state(1)[0])
    for sample in pair_stream(start, styles=styles, hazards=hazards, size_px=size_px):
        outlines = np.array(sample.polygons(), dtype=object)
        known = (sample.plan.buildings["when"] == BOTH) & (shapely.area(outlines) * sample.gsd_m**2 >= LEAST_M2)
        grades, truth = (np.where(known, each, VOID).astype(np.uint8) for each in (sample.visible, sample.grades))
        yield GradedPair(sample.pre, sample.post, outlines, grades, truth, sample.gsd_m, sample.style, sample.hazard)


def training_pairs(recipe: StreamRecipe, epoch: int) -> Iterator[GradedPair]:
    """The pairs of an epoch, without what is left out."""
    data, seed = recipe.data, (recipe.train.seed, epoch)
    if data.world == "city":
        return city_pairs(seed, data.size_px)
    styles, hazards = world_names()
    kept = [
        [name for name in (chosen or names) if name not in left_out]
        for chosen, names, left_out in (
            (data.styles, styles, data.left_out_styles), (data.hazards, hazards, data.left_out_hazards)
        )
    ]  # fmt: skip
    return world_pairs(seed, data.size_px, *kept)


def validation_pairs(recipe: StreamRecipe) -> list[GradedPair]:
    """Pairs of other seeds: of what is left out where anything is, else of all styles and hazards in turn."""
    data = recipe.data
    if data.world == "city":
        return list(islice(city_pairs((VALIDATION,), data.size_px), data.val_pairs))
    all_styles, all_hazards = world_names()
    styles = list(data.left_out_styles or data.styles or all_styles)
    hazards = list(data.left_out_hazards or data.hazards or all_hazards)
    pairs = []
    for number in range(data.val_pairs):
        style, hazard = (
            styles[number % len(styles)],
            hazards[(number // len(styles) + number % len(styles)) % len(hazards)],
        )
        stream = world_pairs((VALIDATION, number), data.size_px, [style], [hazard])
        pairs.append(next((pair for pair in islice(stream, 4) if (pair.grades != VOID).any()), None))
    return [pair for pair in pairs if pair is not None]


def world_names() -> tuple[list[str], list[str]]:
    """Names of all styles and hazards."""
    return list(style_names()), list(hazard_names())


def recipe_of(arguments: argparse.Namespace) -> StreamRecipe:
    """The recipe with the options of the command line."""
    values: dict[str, Any] = {
        "data.world": arguments.world, "train.seed": arguments.seed, "model.start": arguments.start,
        "data.left_out_styles": arguments.left_out_styles, "data.left_out_hazards": arguments.left_out_hazards,
    }  # fmt: skip
    chosen = [f"{key}={value}" for key, value in values.items() if value not in (None, [])]
    overrides = [*chosen, *arguments.set, *(SMOKE if arguments.smoke else ())]
    return resolve(read_recipe(recipe_path(RECIPE)), overrides, kind=StreamRecipe)


def main() -> None:
    """Train and write the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="the epoch that runs then is the last; over all resumptions")
    parser.add_argument("--world", choices=("world", "city"), default="world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", help="run of a U-Net that labels pixels, whose weights are started from")
    parser.add_argument("--left-out-styles", nargs="*", default=[])
    parser.add_argument("--left-out-hazards", nargs="*", default=[])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--models", type=Path, help="folder to ship the run into, e.g. models")
    parser.add_argument("--set", nargs="*", default=[], metavar="section.key=value")
    add_smoke(parser)
    arguments = parser.parse_args()
    if arguments.smoke:
        print(NOTE)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = recipe_of(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    recipe.save(arguments.out / "recipe.yaml")
    started = time.monotonic()
    validation = validation_pairs(recipe)
    print(f"{len(validation)} pairs to validate on, made in {time.monotonic() - started:.0f} s", flush=True)
    options = TrainOptions(device=arguments.device, resume=arguments.resume, minutes=arguments.minutes)
    run = train_on_stream(
        lambda epoch: training_pairs(recipe, epoch), validation, recipe, SensorVariation(), arguments.out, options
    )
    print(run)
    if arguments.models:
        ship(run, arguments.models / RECIPE)


if __name__ == "__main__":
    main()
