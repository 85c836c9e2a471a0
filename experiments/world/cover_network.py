"""The recipe of the task `world-cover` and its network of land cover and buildings: built, started, written as runs.

Takes a resolved recipe; returns a segmenter with the outputs of both legends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from deepnets4eo.cards import Legend, run_path
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml
from deepnets4eo.options import Section
from deepnets4eo.segmenters import InputSpec, RunFolder, load_run
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.tiling import Tiling
from deepnets4eo.training import Processes, Recipe, build_segmenter
from world.windows import INPUTS, INPUTS_WITH_HEIGHTS

if TYPE_CHECKING:
    from torch import Tensor

    from deepnets4eo.segmenters import NetworkSegmenter

RUNS = ("landcover", "buildings")  # in the order of the network's outputs
HEAD = "segmentation_head.0"
HEAD_KEYS = (f"{HEAD}.weight", f"{HEAD}.bias")
HEIGHTS_BANDS = INPUTS_WITH_HEIGHTS.in_channels - INPUTS.in_channels


class WorldSection(Section):
    """Which made-up sites are trained on, and which validated on."""

    world: Literal["both", "world", "city"] = Field(
        default="world",
        description="world: all styles and hazards; city: suburbs of the miniature city; both: a third are suburbs",
    )
    styles: tuple[str, ...] = Field(default=(), description="names of styles to learn from; none: all")
    left_out_styles: tuple[str, ...] = Field(default=(), description="styles that are validated on alone")
    mixed_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="of the sites, share whose roofs and ground have the colours of other styles",
    )
    size_px: int = Field(default=512, ge=128, description="side of the images of a pair")
    tile_px: int = Field(default=256, ge=32, multiple_of=32, description="side of a training window")
    windows_per_epoch: int = Field(default=512, ge=1)
    windows_per_pair: int = Field(default=8, ge=1, description="cut out of each pair")
    validation_pairs: int = Field(default=4, ge=1, description="of each style; their seeds are never trained on")
    heights: bool = Field(
        default=False,
        description="land cover is learnt with heights above ground, a layer `ndsm`, in half of the windows",
    )
    start: str | None = Field(
        default=None,
        description="folder of a training of this task, of the mean of several, or of one of its runs, whose weights are the first; or the name of a model",
    )
    real: str | None = Field(
        default=None, description="folder of the real places of `world.real_sites`, learnt from beside"
    )
    real_share: float = Field(
        default=0.35, ge=0, le=1, description="of the sites, share that are real places, where there are any"
    )
    num_workers: int = Field(default=1, ge=0, description="threads that make windows ahead of the network")
    processes: Processes = 0


class WorldRecipe(Recipe):
    """All that decides the training of the networks for one image.

    >>> WorldRecipe(data={"world": "city"}).data.tile_px
    256
    """

    task: str = "world-cover"
    data: WorldSection = WorldSection()  # type: ignore[assignment]


def runs_of(data: WorldSection) -> tuple[str, ...]:
    """Return the names of the runs that a training writes: land cover and buildings, or land cover alone where heights
    are learnt, which footprints are not found with."""
    return RUNS[:1] if data.heights else RUNS


def build_cover(recipe: WorldRecipe) -> NetworkSegmenter:
    """Build the network of both outputs before its first step; its legend has the classes of land cover, then those of
    buildings. Raises InputError where `data.start` is another network, or learnt with heights where this one does
    not."""
    segmenter = _untrained(recipe, recipe.data)
    if recipe.data.start is not None:
        _start(segmenter, run_path(recipe.data.start), partial(_untrained, recipe))
    return segmenter


def cover_of_runs(recipe: WorldRecipe, training: Path) -> NetworkSegmenter:
    """Join the runs of a training into the network of both outputs again, with the weights that were shipped: the
    running mean, in half precision, shifted."""
    segmenter = _untrained(recipe, recipe.data)
    _load_runs(segmenter, training, runs_of(recipe.data))
    return segmenter


def lower_background(segmenter: NetworkSegmenter, shift: float) -> None:
    """Subtract `CoverScorer.best_shift` from the logit of "no building" everywhere, in place."""
    bias = segmenter.module.get_parameter(f"{HEAD}.bias")
    bias.data[Legend.load("landcover").num_classes] -= shift


def write_cover_run(
    segmenter: NetworkSegmenter, name: str, folder: Path, recipe: WorldRecipe, notes: dict[str, Any]
) -> Path:
    """Write the run of one output, "landcover" or "buildings", with the recipe and the notes for its card; returns its
    folder."""
    from deepnets4eo.segmenters import NetworkSegmenter

    network = {key: value for key, value in segmenter.network.items() if key != "num_classes"}
    one = NetworkSegmenter(network, _inputs(recipe.data), Legend.load(name), tiling=segmenter.tiling, stored="float16")
    state = dict(segmenter.module.state_dict())
    for key in HEAD_KEYS:
        state[key] = state[key][_outputs_of(name)]
    one.module.load_state_dict(state)
    return save_run(one, folder, recipe=recipe.to_dict(), seed=recipe.train.seed, notes={"task": recipe.task, **notes})


def _untrained(recipe: WorldRecipe, data: WorldSection) -> NetworkSegmenter:
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
    unscaled = {"unscaled_bands": HEIGHTS_BANDS} if data.heights else {}
    encoder = {"encoder": recipe.model.encoder} if recipe.model.encoder else {}
    network = {"name": recipe.model.network, **encoder, **recipe.model.options, **unscaled}
    return build_segmenter(recipe, network, _inputs(data), both, tiling)


def _start(segmenter: NetworkSegmenter, folder: Path, build: Callable[[WorldSection], NetworkSegmenter]) -> None:
    """Load the last weights of a training, or those of one of its runs, which has the outputs of one legend alone. A
    folder with both runs has both outputs; a training without heights has weights of 0 for them."""
    import torch

    state = _run_state(segmenter, folder) if RunFolder(folder).card.is_file() else _training_state(folder, build)
    first, own = _first_layer(segmenter)
    missing = own.shape[1] - state[first].shape[1]
    if missing < 0:
        raise InputError(f"{folder} learnt with heights. Set data.heights=true, or start from a training without.")
    state[first] = torch.cat([state[first], torch.zeros_like(own[:, :missing])], dim=1)
    segmenter.module.load_state_dict(state)


def _first_layer(segmenter: NetworkSegmenter) -> tuple[str, Tensor]:
    """Name and weights of the layer that takes the bands."""
    return next((name, value) for name, value in segmenter.module.state_dict().items() if value.ndim == 4)


def _training_state(folder: Path, build: Callable[[WorldSection], NetworkSegmenter]) -> dict[str, Tensor]:
    from deepnets4eo.training import Checkpoint
    from deepnets4eo.training.state import load_state

    if not RunFolder(folder).recipe.is_file() and all(RunFolder(folder / name).card.is_file() for name in RUNS):
        former = build(WorldSection())
        _load_runs(former, folder, RUNS)
    else:
        former = build(WorldSection(heights=read_yaml(RunFolder(folder).recipe)["data"].get("heights", False)))
        load_state(folder / Checkpoint.folder / Checkpoint.last, former.module)
    return dict(former.module.state_dict())


def _load_runs(segmenter: NetworkSegmenter, folder: Path, names: Sequence[str]) -> None:
    """Put together the outputs of several runs of a training; heights that one of them learnt with are left out."""
    first, own = _first_layer(segmenter)
    for name in names:
        state = _run_state(segmenter, folder / name)
        segmenter.module.load_state_dict(state | {first: state[first][:, : own.shape[1]]})


def _run_state(segmenter: NetworkSegmenter, folder: Path) -> dict[str, Tensor]:
    """Weights of a run; the outputs of the other legend stay those of the segmenter."""
    from deepnets4eo.segmenters import NetworkSegmenter

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
