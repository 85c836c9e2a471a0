"""The made-up pairs that damage networks learn from, of the miniature world and the miniature city.

Takes a recipe; the pairs are made while the network trains, no file is read. Refuses unknown styles and
hazards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from deepnets4eo.cards import VOID
from deepnets4eo.damage import GRADES, DamageRecipe, MadeUpPairs
from deepnets4eo.grid import transform_shapes
from deepnets4eo.lazy import check_extra
from deepnets4eo.version import code_hash
from world.style import chosen_names
from world.surface import CITY_SHARE, is_city

if TYPE_CHECKING:
    from deepnets4eo.damage import GradedPair

log = logging.getLogger(__name__)

VALIDATION = 1_000_003  # seeds of validation follow from it, whatever the seed of the training
MIN_M2 = 6.0  # of an outline inside the image; smaller ones are not learnt from
TRIES = 4  # pairs of a style and hazard that are made until one has a graded building


def made_up_pairs(recipe: DamageRecipe) -> MadeUpPairs:
    """Return the function that makes training pairs, the pairs that are validated on, and how other sensors would show an
    image. Raises InputError for unknown styles or hazards, and where all of them are left out."""
    check_extra("deep", "radar")
    from world.sensor import SensorVariation

    make_pair, validation = training_pairs(recipe), validation_pairs(recipe)
    log.info("%d pairs to validate on are made", len(validation))
    return MadeUpPairs(make_pair, validation, SensorVariation(), code_hash(Path(__file__).parent))


def training_pairs(recipe: DamageRecipe) -> Callable[[int], GradedPair]:
    """Return the function that makes the training pair of a seed, with a graded building and from nothing that is left
    out. Raises InputError for unknown styles or hazards, and where all of them are left out."""
    data = recipe.data
    styles = chosen_names("styles", data.styles, data.left_out_styles)
    hazards = chosen_names("hazards", data.hazards, data.left_out_hazards)

    def make_pair(seed: int) -> GradedPair:
        if is_city(seed, data.world):
            return next(keep_graded(city_pairs((seed,), data.size_px)))
        return next(keep_graded(world_pairs((seed,), data.size_px, styles, hazards)))

    return make_pair


def keep_graded(pairs: Iterator[GradedPair]) -> Iterator[GradedPair]:
    """Yield the pairs that have at least one graded building."""
    return (pair for pair in pairs if (pair.grades != VOID).any())


def validation_pairs(recipe: DamageRecipe) -> list[GradedPair]:
    """Make up to `data.val_pairs` pairs of seeds that no training uses: suburbs in the share in which they are trained
    on, the others of the world, from what is left out where anything is. Pairs without a graded building are left
    out."""
    data = recipe.data
    suburbs = round(CITY_SHARE[data.world] * data.val_pairs)
    cities = islice(city_pairs((VALIDATION,), data.size_px), suburbs)
    return [*cities, *_validation_of_world(recipe, data.val_pairs - suburbs)]


def _validation_of_world(recipe: DamageRecipe, count: int) -> list[GradedPair]:
    """Up to `count` pairs of what is left out where anything is, else of all styles and hazards in turn."""
    data = recipe.data
    styles = data.left_out_styles or chosen_names("styles", data.styles, ())
    hazards = data.left_out_hazards or chosen_names("hazards", data.hazards, ())
    return list(places_in_turn(VALIDATION, count, data.size_px, styles, hazards))


def places_in_turn(
    seed: int, count: int, size_px: int, styles: Sequence[str], hazards: Sequence[str]
) -> Iterator[GradedPair]:
    """Yield at most `count` places of the miniature world to score on, all styles and hazards in turn; a place depends
    on no other one, and places without a graded building are left out."""
    for number in range(count):
        row, column = divmod(number, len(styles))
        style, hazard = styles[column], hazards[(row + column) % len(hazards)]
        pairs = world_pairs((seed, number), size_px, [style], [hazard])
        yield from islice(keep_graded(islice(pairs, TRIES)), 1)


def world_pairs(
    seed: Sequence[int], size_px: int, styles: Sequence[str], hazards: Sequence[str]
) -> Iterator[GradedPair]:
    """Yield places of the miniature world without end, styles and hazards drawn from the names; buildings that people
    took down have no grade."""
    from deepnets4eo.damage import GradedPair
    from world.pair import pair_stream
    from world.plan import BOTH

    start = int(np.random.SeedSequence(list(seed)).generate_state(1)[0])
    for sample in pair_stream(start, styles=styles, hazards=hazards, size_px=size_px):
        outlines = np.array(sample.polygons(), dtype=object)
        known = (sample.plan.buildings["when"] == BOTH) & (shapely.area(outlines) * sample.gsd_m**2 >= MIN_M2)
        grades, truth = (np.where(known, each, VOID).astype(np.uint8) for each in (sample.visible, sample.grades))
        yield GradedPair(sample.pre, sample.post, outlines, grades, truth, sample.gsd_m, sample.style, sample.hazard)


def city_pairs(seed: Sequence[int], size_px: int) -> Iterator[GradedPair]:
    """Yield suburbs of the miniature city without end, with nearly registered dates."""
    from deepnets4eo.damage import GradedPair
    from deepnets4eo.synthetic import City, Event

    rng = np.random.default_rng(list(seed))
    while True:
        number = int(rng.integers(2**31))
        event = replace(Event.draw(number), shift_px=tuple(rng.normal(0, 0.8, 2)), rotation_deg=0.0, scale=1.0)
        city = City(number, size_px, float(rng.uniform(0.3, 0.6)), event=event)
        frame = city.buildings
        outlines = transform_shapes(~city.grid.affine, frame.geometry.to_numpy())
        grades = np.array([GRADES.index(name) for name in frame["damage"]], np.uint8)
        yield GradedPair(city.pre.image, city.post.image, outlines, grades, grades, city.gsd_m, "city", event.kind)
