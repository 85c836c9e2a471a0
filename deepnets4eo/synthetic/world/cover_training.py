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

from deepnets4eo.cards.catalog import run_path
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml, write_json
from deepnets4eo.lazy import check_extra
from deepnets4eo.segmenters.checksums import CARD
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.segmenters.run import RECIPE, load_run, save_run
from deepnets4eo.synthetic.world.city_pairs import city_pair, is_city
from deepnets4eo.synthetic.world.cover_recipe import WorldRecipe, WorldSection
from deepnets4eo.synthetic.world.windows import INPUTS, INPUTS_WITH_HEIGHTS, PairWithTruth, WindowCutter
from deepnets4eo.synthetic.world.yaml_folder import chosen_names
from deepnets4eo.tiling import Tiling
from deepnets4eo.training.data import Sample
from deepnets4eo.training.fit import build_segmenter, fit_segmenter
from deepnets4eo.training.ranks import Rank
from deepnets4eo.training.streams import StreamSamples
from deepnets4eo.training.tasks import Task, TrainOptions

if TYPE_CHECKING:
    from torch import Tensor

    from deepnets4eo.segmenters.segmenter import NetworkSegmenter

log = logging.getLogger(__name__)

VALIDATION_SEED = 2**32  # training draws its seeds below 2**31
CITY = "city"  # in the place of a style: suburbs of the miniature city
WINDOWS_A_PAIR = 1  # that are validated on
RUNS = ("landcover", "buildings")  # in the order of the network's outputs
HEAD, FIRST = "segmentation_head.0", "encoder.conv1.weight"
HEAD_KEYS = (f"{HEAD}.weight", f"{HEAD}.bias")
HEIGHTS_SHARE = 0.5  # of the windows with heights, where these are learnt from
HEIGHTS_SHARES = {"with_heights": 1.0, "without_heights": 0.0}  # that are scored at the end
HEIGHTS_BANDS = INPUTS_WITH_HEIGHTS.in_channels - INPUTS.in_channels


def train_cover(recipe: WorldRecipe, out: Path, options: TrainOptions) -> Path:
    """Train one network for land cover and buildings, and write a run of each; with heights of land cover alone.

    Parameters
    ----------
    recipe
        As resolved.
    out
        Folder of the log, the checkpoints and the runs `out / "landcover"` and `out / "buildings"`.
    options
        Device, resume, minutes.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        For unknown styles, and where all of them are left out.
    """
    cutter = _cutter(recipe.data, HEIGHTS_SHARE)
    return train_cover_on(training_pairs(recipe.data), cutter, recipe, out, options)


def train_cover_on(
    make_training_pair: Callable[[int], PairWithTruth],
    cut_window: Callable[[PairWithTruth, np.random.Generator], Sample],
    recipe: WorldRecipe,
    out: Path,
    options: TrainOptions,
) -> Path:
    """As `train_cover`, from any pairs.

    Parameters
    ----------
    make_training_pair
        Seed → pair that is learnt from; the same seed makes the same pair.
    cut_window
        As `WindowCutter`: pair and source of the draw → sample.
    recipe, out, options
        As of `train_cover`.

    Returns
    -------
    Path
        The folder.
    """
    check_extra("deep")
    from deepnets4eo.synthetic.world.cover_criterion import CoverCriterion, CoverScorer

    data = recipe.data
    samples = StreamSamples(
        make_training_pair, cut_window, data.windows_per_epoch, data.windows_per_pair, recipe.train.seed
    )
    styles = training_styles(data)
    log.info("learns from %s; making the windows that are validated on", ", ".join(styles))
    scorer = CoverScorer(validation_windows(data), recipe.train.usual_batch_size)
    segmenter = _untrained(recipe)
    notes = fit_segmenter(segmenter, samples, CoverCriterion(recipe.train).step, scorer, recipe, out, options)
    notes["windows"] = samples.learnt(notes.get("epochs", 0), data.start)
    Rank.current().end_unless_first()
    shift = scorer.best_shift(segmenter)
    lower_background(segmenter, shift)
    scores: dict[str, Any] = scorer(segmenter)
    for name, share in HEIGHTS_SHARES.items() if data.heights else ():
        scores[name] = CoverScorer(validation_windows(data, share), recipe.train.usual_batch_size)(segmenter)
    write_json(out / "metrics.json", scores)
    synthetic: dict[str, Any] = {"synthetic": True, "world": data.world, "styles": list(styles), "validation": scores}
    synthetic["background_shift"] = shift  # chosen on the windows that are validated on
    for name in runs_of(data):
        write_cover_run(segmenter, name, out / name, recipe, synthetic | notes)
    return out


def runs_of(data: WorldSection) -> tuple[str, ...]:
    """Names of the runs that a training writes.

    Parameters
    ----------
    data
        Section of the recipe.

    Returns
    -------
    Land cover and buildings; land cover alone where it is learnt with heights, which footprints are not found with.
    """
    return RUNS[:1] if data.heights else RUNS


def training_styles(data: WorldSection) -> tuple[str, ...]:
    """Styles that are trained on.

    Parameters
    ----------
    data
        Section of the recipe.

    Returns
    -------
    Names of the world's, those left out not among them, and "city" for suburbs of the miniature city.

    Raises
    ------
    InputError
        For unknown styles, and where none is left.
    """
    if data.world == "city":
        return (CITY,)
    return (*chosen_names("styles", data.styles, data.left_out_styles), *((CITY,) if data.world == "both" else ()))


def training_pairs(data: WorldSection) -> Callable[[int], PairWithTruth]:
    """Choose what is learnt from.

    Parameters
    ----------
    data
        Section of the recipe.

    Returns
    -------
    Seed → pair, of nothing that is left out.

    Raises
    ------
    InputError
        For unknown styles, and where none is left.
    """
    styles = tuple(style for style in training_styles(data) if style != CITY)

    def make_training_pair(seed: int) -> PairWithTruth:
        return make_pair(seed, data, (CITY,) if is_city(seed, data.world) else styles, data.mixed_share)

    return make_training_pair


def make_pair(seed: int, data: WorldSection, styles: tuple[str, ...], mixed_share: float = 0.0) -> PairWithTruth:
    """Make the pair of a seed.

    Parameters
    ----------
    seed
        Of everything in it.
    data
        Its `size_px` is used.
    styles
        Of which the pair has one: names of the world's, or "city" alone.
    mixed_share
        As of `pair_stream`.

    Returns
    -------
    PairWithTruth
        Images of both dates with their truth.
    """
    if styles == (CITY,):
        return city_pair(seed, size_px=data.size_px)
    from deepnets4eo.synthetic.world.stream import pair_stream

    pair: PairWithTruth = next(pair_stream(seed, styles=styles, size_px=data.size_px, mixed_share=mixed_share))
    return pair


def validation_windows(data: WorldSection, heights_share: float | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield style and sample of every window that is validated on: of all styles, those left out of training included.

    Parameters
    ----------
    data
        Section of the recipe.
    heights_share
        Of the windows with heights, where these are learnt from; every second window has them where None.
    """
    for style in (*training_styles(data), *data.left_out_styles):
        for number in range(data.validation_pairs):
            seed = VALIDATION_SEED + number
            cut = _cutter(data, number % 2 if heights_share is None else heights_share)
            pair = make_pair(seed, data, (style,))
            for index in range(WINDOWS_A_PAIR):
                yield style, cut(pair, np.random.default_rng([seed, index]))


def lower_background(segmenter: NetworkSegmenter, shift: float) -> None:
    """Take a constant from the logit of "no building" everywhere.

    Parameters
    ----------
    segmenter
        Of both outputs; changed in place.
    shift
        As of `CoverScorer.best_shift`.
    """
    bias = segmenter.module.get_parameter(f"{HEAD}.bias")
    bias.data[Legend.load("landcover").num_classes] -= shift


def write_cover_run(
    segmenter: NetworkSegmenter, name: str, folder: Path, recipe: WorldRecipe, notes: dict[str, Any]
) -> Path:
    """Write the run of one of both outputs.

    Parameters
    ----------
    segmenter
        Of both outputs.
    name
        "landcover" or "buildings": the legend, and which outputs.
    folder
        Of the run.
    recipe
        Kept in the run.
    notes
        For the card.

    Returns
    -------
    Path
        The folder.
    """
    from deepnets4eo.segmenters.segmenter import NetworkSegmenter

    network = {key: value for key, value in segmenter.network.items() if key != "num_classes"}
    one = NetworkSegmenter(network, _inputs(recipe.data), Legend.load(name), tiling=segmenter.tiling, stored="float16")
    state = dict(segmenter.module.state_dict())
    for key in HEAD_KEYS:
        state[key] = state[key][_outputs_of(name)]
    one.module.load_state_dict(state)
    return save_run(one, folder, recipe=recipe.to_dict(), seed=recipe.train.seed, notes={"task": recipe.task, **notes})


def _untrained(recipe: WorldRecipe) -> NetworkSegmenter:
    """The network of both outputs before its first step; its legend has the classes of both, one after the other."""
    classes = [
        {
            "value": 10 * number + each.value,
            "name": f"{name}_{each.name}",
            "color": [10 * number + each.value + 1, 0, 0],
        }
        for number, name in enumerate(RUNS)
        for each in Legend.load(name).classes
    ]
    both = Legend.from_dict({"name": "world-cover", "classes": classes})
    predict = recipe.predict
    tiling = Tiling(predict.tile_px, predict.halo_px, predict.overlap_px)

    def build(data: WorldSection) -> NetworkSegmenter:
        unscaled = {"unscaled_bands": HEIGHTS_BANDS} if data.heights else {}
        network = {"name": recipe.model.network, **recipe.model.options, **unscaled}
        return build_segmenter(recipe, network, _inputs(data), both, tiling)

    segmenter = build(recipe.data)
    if recipe.data.start is not None:
        _start(segmenter, run_path(recipe.data.start), build)
    return segmenter


def _start(segmenter: NetworkSegmenter, folder: Path, build: Callable[[WorldSection], NetworkSegmenter]) -> None:
    """Take over the last weights of a training, or those of one of its runs, which has the outputs of one legend alone.

    A training without heights has weights of 0 for them.
    """
    import torch

    state = _run_state(segmenter, folder) if (folder / CARD).is_file() else _training_state(folder, build)
    own = segmenter.module.state_dict()[FIRST]
    missing = own.shape[1] - state[FIRST].shape[1]
    if missing < 0:
        raise InputError(f"{folder} learnt with heights. Set data.heights=true, or start from a training without.")
    state[FIRST] = torch.cat([state[FIRST], torch.zeros_like(own[:, :missing])], dim=1)
    segmenter.module.load_state_dict(state)


def _training_state(folder: Path, build: Callable[[WorldSection], NetworkSegmenter]) -> dict[str, Tensor]:
    from deepnets4eo.training.epochs import CHECKPOINTS, LAST
    from deepnets4eo.training.state import load_state

    former = build(WorldSection(heights=read_yaml(folder / RECIPE)["data"].get("heights", False)))
    load_state(folder / CHECKPOINTS / LAST, former.module)
    return dict(former.module.state_dict())


def _run_state(segmenter: NetworkSegmenter, folder: Path) -> dict[str, Tensor]:
    """Weights of a run; the outputs of the other legend stay those of the segmenter."""
    from deepnets4eo.segmenters.segmenter import NetworkSegmenter

    run = load_run(folder)
    name, former = run.legend.name, run.segmenter
    expected = segmenter.network["name"]
    if name not in RUNS or not isinstance(former, NetworkSegmenter) or former.network["name"] != expected:
        raise InputError(
            f'{folder} is a run of "{run.card["kind"]}" with the legend "{name}". Start from a network "{expected}" of '
            f"{' or '.join(RUNS)}."
        )
    state, own = dict(former.module.state_dict()), segmenter.module.state_dict()
    for key in HEAD_KEYS:
        rows = own[key].clone()
        rows[_outputs_of(name)] = state[key].to(rows.dtype)
        state[key] = rows
    return state


def _outputs_of(name: str) -> slice:
    """Outputs of one of both legends in the network of both."""
    ends = np.cumsum([0, *(Legend.load(each).num_classes for each in RUNS)])
    index = RUNS.index(name)
    return slice(int(ends[index]), int(ends[index + 1]))


def _inputs(data: WorldSection) -> InputSpec:
    return INPUTS_WITH_HEIGHTS if data.heights else INPUTS


def _cutter(data: WorldSection, heights_share: float) -> WindowCutter:
    return WindowCutter(data.tile_px, heights_share=heights_share if data.heights else None)


TASK = Task(train_cover, WorldRecipe)
