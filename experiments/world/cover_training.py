"""The task `world-cover`: a recipe in; two runs out, `landcover` and `buildings`, of one network that learnt both.

Takes a resolved recipe; makes its sites while it trains. The run folder has the log and the checkpoints, and a folder
for each run, with the weights in half precision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.files import write_json
from deepnets4eo.lazy import check_extra
from deepnets4eo.segmenters import RunFolder
from deepnets4eo.training import Sample, StreamSamples, Task, TrainOptions, fit_segmenter
from deepnets4eo.training.ranks import Rank
from world.cover_network import (
    WorldRecipe,
    WorldSection,
    build_cover,
    lower_background,
    runs_of,
    write_cover_run,
)
from world.style import chosen_names
from world.surface import city_pair, is_city
from world.windows import PairWithTruth, WindowCutter

if TYPE_CHECKING:
    from deepnets4eo.segmenters import NetworkSegmenter
    from world.cover_criterion import CoverScorer

log = logging.getLogger(__name__)

VALIDATION_SEED = 2**32  # training draws its seeds below 2**31
CITY = "city"  # in the place of a style: suburbs of the miniature city
WINDOWS_A_PAIR = 1  # that are validated on
HEIGHTS_SHARE = 0.5  # of the windows with heights, where these are learnt from
HEIGHTS_SHARES = {"with_heights": 1.0, "without_heights": 0.0}  # that are scored at the end


def train_cover(recipe: WorldRecipe, out: Path, options: TrainOptions) -> Path:
    """Train one network for land cover and buildings and write a run of each below `out`, or of land cover alone where
    it learns with heights. Raises InputError for unknown styles, and where all of them are left out."""
    pairs, cutter = training_pairs(recipe.data), _cutter(recipe.data, HEIGHTS_SHARE)
    if recipe.data.real is None:
        return train_cover_on(pairs, cutter, recipe, out, options)
    from world.real_sites import cut_mixed, mixed_pairs, read_real_sites

    sites = read_real_sites(Path(recipe.data.real))
    return train_cover_on(mixed_pairs(pairs, sites, recipe.data.real_share), cut_mixed(cutter), recipe, out, options)


def train_cover_on(
    make_training_pair: Callable[[int], PairWithTruth],
    cut_window: Callable[[PairWithTruth, np.random.Generator], Sample],
    recipe: WorldRecipe,
    out: Path,
    options: TrainOptions,
) -> Path:
    """Do the same from any pairs: `make_training_pair` maps a seed to its pair, `cut_window` a pair and a generator to
    a sample."""
    check_extra("deep", "radar")
    from world.cover_criterion import CoverCriterion, CoverScorer

    data = recipe.data
    log.info("learns from %s; making the windows that are validated on", ", ".join(training_styles(data)))
    scorer = CoverScorer(validation_windows(data), recipe.train.usual_batch_size)
    samples = StreamSamples(
        make_training_pair, cut_window, data.windows_per_epoch, data.windows_per_pair, recipe.train.seed, data.processes
    )
    segmenter = build_cover(recipe)
    notes = fit_segmenter(segmenter, samples, CoverCriterion(recipe.train).step, scorer, recipe, out, options)
    notes["windows"] = samples.learnt(notes.get("epochs", 0), data.start)
    Rank.current().end_unless_first()
    write_cover(segmenter, scorer, recipe, out, notes)
    return out


def write_cover(
    segmenter: NetworkSegmenter, scorer: CoverScorer, recipe: WorldRecipe, out: Path, notes: dict[str, Any]
) -> None:
    """Lower the logit of "no building" to where the validation windows score best, score them, and write `metrics.json`
    and the runs."""
    data = recipe.data
    shift = scorer.best_shift(segmenter)
    lower_background(segmenter, shift)
    scores: dict[str, Any] = scorer(segmenter)
    for name, share in HEIGHTS_SHARES.items() if data.heights else ():
        scores[name] = type(scorer)(validation_windows(data, share), scorer.batch_size)(segmenter)
    write_json(RunFolder(out).metrics, scores)
    synthetic: dict[str, Any] = {
        "synthetic": data.real is None,
        "world": data.world,
        "styles": list(training_styles(data)),
        "validation": scores,
    }
    synthetic["background_shift"] = shift  # chosen on the windows that are validated on
    for name in runs_of(data):
        write_cover_run(segmenter, name, out / name, recipe, synthetic | notes)


def training_styles(data: WorldSection) -> tuple[str, ...]:
    """Return the styles that are trained on, without those left out, and "city" for suburbs of the miniature city.
    Raises InputError for unknown styles, and where none is left."""
    if data.world == "city":
        return (CITY,)
    return (*chosen_names("styles", data.styles, data.left_out_styles), *((CITY,) if data.world == "both" else ()))


def training_pairs(data: WorldSection) -> Callable[[int], PairWithTruth]:
    """Return the function that makes the training pair of a seed, from nothing that is left out. Raises InputError for
    unknown styles, and where none is left."""
    styles = tuple(style for style in training_styles(data) if style != CITY)

    def make_training_pair(seed: int) -> PairWithTruth:
        return make_pair(seed, data, (CITY,) if is_city(seed, data.world) else styles, data.mixed_share)

    return make_training_pair


def make_pair(seed: int, data: WorldSection, styles: tuple[str, ...], mixed_share: float = 0.0) -> PairWithTruth:
    """Make the pair of a seed with one of the styles, both dates with their truth; `mixed_share` as in `pair_stream`."""
    if styles == (CITY,):
        return city_pair(seed, size_px=data.size_px)
    from world.pair import pair_stream

    pair: PairWithTruth = next(pair_stream(seed, styles=styles, size_px=data.size_px, mixed_share=mixed_share))
    return pair


def validation_windows(data: WorldSection, heights_share: float | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the style and sample of every validation window of all styles, those left out of training included.
    `heights_share` is the share of windows with heights; every second one has them where it is None."""
    for style in (*training_styles(data), *data.left_out_styles):
        for number in range(data.validation_pairs):
            seed = VALIDATION_SEED + number
            cut = _cutter(data, number % 2 if heights_share is None else heights_share)
            pair = make_pair(seed, data, (style,))
            for index in range(WINDOWS_A_PAIR):
                yield style, cut(pair, np.random.default_rng([seed, index]))


def _cutter(data: WorldSection, heights_share: float) -> WindowCutter:
    return WindowCutter(data.tile_px, heights_share=heights_share if data.heights else None)


TASK = Task(train_cover, WorldRecipe)
