"""The task `snapnet-r`: labelled RGB-D frames and a recipe in, a run folder out.

Refuses recipes without legend or model, and frames that show nothing to learn from.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.cards import Legend, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra
from deepnets4eo.points.cloud_data import PointPart
from deepnets4eo.points.rgbd.labeller import (
    VALID,
    FrameLabeller,
    Layers,
    own_layers,
    rendered_own_layers,
    resampled_views,
    score_frames,
)
from deepnets4eo.points.rgbd.layouts import NamedFrame, find_frames, frame_classes, split_frames
from deepnets4eo.points.rgbd.recipe import RgbdRecipe
from deepnets4eo.points.views.snapshots import ViewLayer
from deepnets4eo.points.views.training import RenderedViews
from deepnets4eo.segmenters import NetworkSegmenter
from deepnets4eo.training import DataSplit, Task, TrainOptions, write_run

log = logging.getLogger(__name__)

PROTOCOL = "labelled pixels of the withheld frames, in their own size, by the votes of their views"
REPORT_EVERY = 500  # frames


def train_frames(recipe: RgbdRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network on frames and views around them; returns the run folder."""
    check_extra("deep")
    legend = RenderedViews.legend_of(recipe, "fusenet")
    split = split_frames(find_frames(recipe.data, legend), recipe.data)
    rendered = render_frames(recipe, legend, split, out)
    segmenter, notes = rendered.train(recipe, out, options)
    scores = _score(segmenter, rendered, recipe)
    return write_run(segmenter, recipe, out, split=split, scores=scores, notes=rendered.notes(scores) | notes)


def render_frames(recipe: RgbdRecipe, legend: Legend, split: DataSplit[NamedFrame], folder: Path) -> RenderedViews:
    """Render every frame in the pixels of the network, and views around the training frames. Raises InputError where
    the training split shows no label.

    Memory: one frame, about 500 bytes a pixel. Disk: 5 to 8 bytes a pixel.
    """
    rendered = RenderedViews.in_folder(folder, legend, split, recipe.model.layers)
    for number, (named, of_frame) in enumerate(zip(split.scenes, split.splits, strict=True)):
        part = PointPart.withheld if SplitPart.val in of_frame.parts else PointPart.learnt
        for layers in _layers_of(named, number, part, recipe, legend):
            rendered.add(layers, np.where(layers[VALID], np.uint8(part), np.uint8(RenderedViews.nothing)))
        if (number + 1) % REPORT_EVERY == 0:
            log.info("%d of %d frames are rendered.", number + 1, len(split.scenes))
    if not rendered.learnt:
        raise InputError(
            f"no pixel of the training part of {len(split.scenes)} frames has a label. Check the labels and the legend."
        )
    return rendered


def _layers_of(named: NamedFrame, number: int, part: int, recipe: RgbdRecipe, legend: Legend) -> list[Layers]:
    frame = named.source.read()
    classes = frame_classes(frame, legend, unknown_is_void=recipe.data.unknown_labels == "void")
    frame = replace(frame, labels=classes).resize(named.height_px, named.width_px)
    of_frame = frame.views()
    render = recipe.views.render_train if part == PointPart.learnt else recipe.views.render_test
    own = (rendered_own_layers if render else own_layers)(frame, of_frame, recipe.model.layers)
    count = recipe.views.train if part == PointPart.learnt else 0
    around = resampled_views(frame, of_frame, recipe.views, count, seed=number)
    names = (*recipe.model.layers, ViewLayer.labels, VALID)
    return [{name: layers[name] for name in names} for layers in (own, *(layers for _, layers in around))]


def _score(segmenter: NetworkSegmenter, rendered: RenderedViews, recipe: RgbdRecipe) -> dict[str, Any]:
    split = rendered.split
    labeller = FrameLabeller(segmenter, recipe.views, (recipe.data.height_px, recipe.data.width_px))
    withheld = [
        frame.source
        for frame, of_frame in zip(split.scenes, split.splits, strict=True)
        if SplitPart.val in of_frame.parts
    ]
    scores = score_frames(labeller, withheld, unknown_is_void=recipe.data.unknown_labels == "void")
    return scores | {"protocol": rendered.protocol(PROTOCOL, validated=bool(withheld))}


TASK = Task(train_frames, RgbdRecipe)
