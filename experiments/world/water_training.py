"""The task `world-water`: a recipe in; the run of a network out that finds water and mud in one optical image of about 1 m a pixel.

Takes a resolved recipe; makes its places while it trains, by hazards that bring water and others, and writes the weights in half
precision. Places of styles and hazards that are left out are validated on beside new ones of those learnt from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from deepnets4eo.cards import Legend, run_path
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.options import Section
from deepnets4eo.segmenters import load_run
from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.tiling import Tiling
from deepnets4eo.training import (
    Processes,
    Recipe,
    Sample,
    StreamSamples,
    Task,
    TrainOptions,
    build_segmenter,
    fit_segmenter,
    write_run,
)
from deepnets4eo.training.ranks import Rank
from world.muddy_water import draw_muddy
from world.style import chosen_names
from world.water_windows import WATER, WATER_INPUTS, WaterCutter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deepnets4eo.segmenters import NetworkSegmenter
    from world.pair import PairSample

log = logging.getLogger(__name__)

VALIDATION_SEED = 2**32  # training draws its seeds below 2**31
PAIR_GSD_M = (0.5, 1.2)  # ground size of a pixel of the pairs that are made
WINDOWS_A_PAIR = 2  # that are validated on
DRAWS = {"flood": 6.0, "lahar": 1.5, "tsunami": 3.0, "none": 1.5}  # how often a hazard is drawn, others once
FLOODS = ("flood", "tsunami")  # most of their places are drawn again until water stands there
TRIES, MIN_WATER = 4, 0.05  # draws of a place, and the share of it under water

BLOCKS = "decoder.blocks."
KEPT = ("encoder.conv1", "encoder.bn1", "encoder.layer1")  # of the weights to start from: edges and fine texture
_WATER = CODE["water"]


class WaterSection(Section):
    """Which made-up places are trained on, and which validated on."""

    left_out_styles: tuple[str, ...] = Field(default=(), description="styles that are validated on alone")
    left_out_hazards: tuple[str, ...] = Field(default=(), description="hazards that are validated on alone")
    size_px: int = Field(default=512, ge=128, description="side of the images of a pair")
    tile_px: int = Field(default=256, ge=32, multiple_of=32, description="side of a training window")
    windows_per_epoch: int = Field(default=512, ge=1)
    windows_per_pair: int = Field(default=8, ge=1, description="cut out of each pair")
    muddy_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="of the windows, share over which a muddy flood between houses and trees, or what looks like one, is drawn",
    )
    validation_pairs: int = Field(default=24, ge=1, description="learnt and left out each; never trained on")
    start: str | None = Field(
        default=None,
        description="run or name of a model whose first and last layers, where they have the same size, are the first weights",
    )
    num_workers: int = Field(default=1, ge=0, description="threads that make windows ahead of the network")
    processes: Processes = 0


class WaterRecipe(Recipe):
    """All that decides the training of the network of water.

    >>> WaterRecipe(data={"left_out_hazards": ["tsunami"]}).data.tile_px
    256
    """

    task: str = "world-water"
    data: WaterSection = WaterSection()  # type: ignore[assignment]


def train_water(recipe: WaterRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network for water and mud and write its run. Raises InputError for unknown styles or hazards, and where all of
    them are left out."""
    check_extra("deep", "radar")
    import torch

    from deepnets4eo.segmenters import NetworkSegmenter
    from deepnets4eo.training import SegmentationCriterion

    data, legend = recipe.data, Legend.load("water-and-mud")
    styles, hazards = learnt_names(data)
    cutter = _cutter(data)
    log.info("learns from %s after %s; making the windows that are validated on", ", ".join(styles), ", ".join(hazards))
    scorer = WaterScorer(validation_windows(data))
    samples = StreamSamples(
        lambda seed: make_water_pair(seed, styles, hazards, data.size_px),
        cutter, data.windows_per_epoch, data.windows_per_pair, recipe.train.seed, data.processes,
    )  # fmt: skip
    encoder = {"encoder": recipe.model.encoder} if recipe.model.encoder else {}
    segmenter = build_segmenter(
        recipe,
        {"name": recipe.model.network, **encoder, **recipe.model.options},
        WATER_INPUTS,
        legend,
        Tiling(**recipe.predict.model_dump()),
    )
    if data.start is not None:
        start_from(segmenter, run_path(data.start))
    criterion = SegmentationCriterion(recipe.train, legend, ("image",), [1] * legend.num_classes)

    def step(module: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        image = batch["image"].contiguous(memory_format=torch.channels_last)  # twice as fast on CPUs
        return criterion.step(module, {**batch, "image": image})

    notes = fit_segmenter(segmenter, samples, step, scorer, recipe, out, options)
    Rank.current().end_unless_first()
    kept = NetworkSegmenter(segmenter.network, WATER_INPUTS, legend, tiling=segmenter.tiling, stored="float16")
    kept.module.load_state_dict(segmenter.module.state_dict())
    scores = scorer(kept)
    about = {"synthetic": True, "styles": list(styles), "hazards": list(hazards), "validation": scores}
    about["windows"] = samples.learnt(notes.get("epochs", 0), data.start)
    return write_run(kept, recipe, out, split=None, scores=scores, notes=about | notes)


def start_from(segmenter: NetworkSegmenter, folder: Path) -> None:
    """Take the weights of a light U-Net, which may have a scale more, and keep those of the finest scales as they are. Raises
    InputError where the run is of another network."""
    former = load_run(folder).segmenter
    own = segmenter.module.state_dict()
    state = {} if not hasattr(former, "module") else dict(former.module.state_dict())
    further = len({key.split(".")[2] for key in state if key.startswith(BLOCKS)}) - len(
        {key.split(".")[2] for key in own if key.startswith(BLOCKS)}
    )
    for key in own:
        name = key
        if key.startswith(BLOCKS):
            number, rest = key.removeprefix(BLOCKS).split(".", 1)
            name = f"{BLOCKS}{int(number) + further}.{rest}"
        if name in state and state[name].shape == own[key].shape:
            own[key] = state[name]
        elif not key.startswith("segmentation_head"):
            raise InputError(
                f"{folder} has no weights {name} of {tuple(own[key].shape)}. Start from a light-unet of three bands."
            )
    segmenter.module.load_state_dict(own)
    for name, parameter in segmenter.module.named_parameters():
        if name.startswith(KEPT):
            parameter.requires_grad = False


def learnt_names(data: WaterSection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the styles and the hazards that are learnt from. Raises InputError for unknown ones, and where none is left."""
    return (
        chosen_names("styles", (), data.left_out_styles),
        chosen_names("hazards", (), data.left_out_hazards),
    )


def make_water_pair(seed: int, styles: tuple[str, ...], hazards: tuple[str, ...], size_px: int) -> PairSample:
    """Make the pair of a seed, with pixels of 0.5 to 1.2 m; hazards that bring water are drawn more often, and their places
    again where little water stands after them."""
    from world.pair import draw_pair

    rng = np.random.default_rng([seed, 61])
    weights = np.array([DRAWS.get(name, 1.0) for name in hazards])
    style, hazard = str(rng.choice(styles)), str(rng.choice(hazards, p=weights / weights.sum()))
    gsd_m = float(np.exp(rng.uniform(*np.log(PAIR_GSD_M))))
    for again in range(TRIES):
        pair = draw_pair(seed + (again << 33), style=style, hazard=hazard, size_px=size_px, gsd_m=gsd_m)
        if hazard not in FLOODS or (pair.solid_post == _WATER).mean() > MIN_WATER:
            break
    return pair


def validation_windows(data: WaterSection) -> Iterator[tuple[str, Sample]]:
    """Yield the validation windows with the part that they belong to: "new" places of what is learnt from, and "left_out" ones,
    whose style and hazard are both left out where any is."""
    styles, hazards = learnt_names(data)
    parts = {"new": (styles, hazards)}
    if data.left_out_styles or data.left_out_hazards:
        parts["left_out"] = (data.left_out_styles or styles, data.left_out_hazards or hazards)
    cutter = _cutter(data)
    for part, names in parts.items():
        for number in range(data.validation_pairs):
            seed = VALIDATION_SEED + number
            pair = make_water_pair(seed, *names, data.size_px)
            for index in range(WINDOWS_A_PAIR):
                yield part, cutter(pair, np.random.default_rng([seed, index]))


def _cutter(data: WaterSection) -> WaterCutter:
    return WaterCutter(data.tile_px, muddy_share=data.muddy_share, draw_muddy=draw_muddy if data.muddy_share else None)


class WaterScorer:
    """Scores on windows that stay the same, pairs of part and sample."""

    def __init__(self, windows: Iterator[tuple[str, Sample]]) -> None:
        self.windows = list(windows)

    def __call__(self, segmenter: NetworkSegmenter) -> dict[str, float]:
        """Return f1.water, iou.water, iou.mud, `dry_called_water` (a share of what is dry) over all windows, and iou.water of each part."""
        matrices: dict[str, ConfusionMatrix] = {}
        for part, sample in self.windows:
            matrix = matrices.setdefault(part, ConfusionMatrix(segmenter.legend.num_classes))
            matrix.update(sample["mask"], segmenter.predict_classes(sample["image"][None])[0])
        return summary_of(matrices)


def summary_of(matrices: Mapping[str, ConfusionMatrix]) -> dict[str, float]:
    """Return the scores of `WaterScorer` of matrices by part."""
    counts = np.sum([matrix.matrix for matrix in matrices.values()], axis=0)
    whole = ConfusionMatrix.from_matrix(counts)
    dry = np.delete(counts, WATER, axis=0)
    scores = {"f1.water": float(whole.f1[WATER]), "iou.water": float(whole.iou[WATER]), "iou.mud": float(whole.iou[-1])}
    scores["dry_called_water"] = float(dry[:, WATER].sum() / max(dry.sum(), 1))
    return scores | {f"iou.water.{part}": float(matrix.iou[WATER]) for part, matrix in matrices.items()}


TASK = Task(train_water, WaterRecipe)
