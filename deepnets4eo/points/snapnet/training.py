"""The task `snapnet`: labelled clouds and a recipe in, a run folder out.

Takes a resolved recipe; writes the tree that every run has. Its scores are counted in points of the validation part, by the
votes of all views. Refuses recipes without legend or model, and clouds that show nothing to learn from.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from deepnets4eo.cards.dataset_card import VAL
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points.cloud_data import WITHHELD, find_clouds, point_parts
from deepnets4eo.points.snapnet.labeller import SnapNetLabeller
from deepnets4eo.points.snapnet.recipe import HEIGHT_EXPONENTS, SnapNetModel, SnapNetRecipe
from deepnets4eo.points.snapnet.rendering import RenderedViews, render_views
from deepnets4eo.points.tile_labels import label_tile
from deepnets4eo.segmenters.segmenter import NetworkSegmenter
from deepnets4eo.training.fit import build_segmenter, fit_segmenter, write_run
from deepnets4eo.training.segmentation import NOT_VALIDATED, load_legend
from deepnets4eo.training.tasks import Task, TrainOptions

log = logging.getLogger(__name__)

CODE, PROPAGATED = 0, 3  # columns of the labels of a tile
PROTOCOL = "points of the validation part of the training clouds, by the votes of all views"


def train_snapnet(recipe: SnapNetRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network on snapshots of labelled clouds; returns the run folder."""
    check_extra("deep", install="deep,points")  # clouds are mostly LAS: one installation is enough
    from deepnets4eo.points.snapnet.samples import ValidationViews, ViewSamples
    from deepnets4eo.training.criterion import SegmentationCriterion

    legend = load_legend(recipe)
    if not recipe.model.network:
        raise InputError("the recipe names no model. Set model.network, e.g. to snapnet-unet.")
    rendered = render_views(recipe, legend, find_clouds(recipe.data, recipe.surface.voxel_m), out)
    warn_of_lacking(rendered)
    segmenter = build_segmenter(recipe, network_arguments(recipe.model), rendered.inputs, legend)
    criterion = SegmentationCriterion(recipe.train, legend, rendered.inputs.names, rendered.training_pixels)
    validation = ValidationViews(rendered, recipe.train.usual_batch_size, recipe.data.num_workers)

    def score(segmenter: NetworkSegmenter) -> dict[str, float]:
        if not rendered.withheld:
            return {recipe.train.monitor: float("nan")}  # undefined, so that the last epoch's weights are kept
        return criterion.validate(segmenter.module, validation)

    factor = recipe.views.height_factor ** HEIGHT_EXPONENTS.get(recipe.views.third, 0.0)
    samples = ViewSamples(rendered, recipe, factor)
    notes = fit_segmenter(segmenter, samples, criterion.step, score, recipe, out, options)
    scores = score_points(SnapNetLabeller(segmenter, recipe.surface, recipe.views), rendered, recipe, out)
    notes = _notes(rendered, scores) | notes
    return write_run(segmenter, recipe, out, split=rendered.split, scores=scores, notes=notes)


def score_points(
    labeller: SnapNetLabeller, rendered: RenderedViews, recipe: SnapNetRecipe, folder: Path
) -> dict[str, Any]:
    """Label the clouds that have a validation split as `label_cloud` does, and return all scores of their original
    points (NaN where nothing is validated) and `seen_share`, the share of points that a view shows."""
    split, legend = rendered.split, rendered.legend
    matrix, seen_points, points = ConfusionMatrix(legend.num_classes), 0, 0
    for number, (named, of_cloud) in enumerate(zip(split.scenes, split.splits, strict=True)):
        if VAL not in of_cloud.parts:
            continue
        for cloud, own in named.pieces(legend, recipe.data, labeller.halo_m, folder):
            assert cloud.classification is not None
            scored = point_parts(split, number, cloud.xyz[:, :2]) == WITHHELD
            scored &= (cloud.classification != VOID) & (np.arange(len(cloud)) < own)
            if scored.any():
                labels = label_tile(labeller, cloud, own)[scored[:own]]
                matrix.update(cloud.classification[scored], legend.to_index()[labels[:, CODE]])
                seen = (labels[:, CODE] != VOID) & (labels[:, PROPAGATED] == 0)
                seen_points, points = seen_points + int(seen.sum()), points + len(labels)
    protocol = {"name": PROTOCOL if split.validated else NOT_VALIDATED, "leaky": False, "split": split.describe()}
    return report.scores(matrix, legend.names) | {
        "legend": legend.name, "protocol": protocol, "seen_share": seen_points / points if points else float("nan"),
    }  # fmt: skip


def network_arguments(model: SnapNetModel) -> dict[str, Any]:
    """Return the arguments of `create_model` except for channels and classes."""
    named = {"name": model.network, "encoder": model.encoder}
    return {key: value for key, value in named.items() if value is not None} | model.options


def warn_of_lacking(rendered: RenderedViews) -> None:
    """Warn of classes that no training view shows, and of a validation split that no view shows."""
    legend: Legend = rendered.legend
    lacking = [name for name, count in zip(legend.names, rendered.training_pixels, strict=True) if not count]
    if lacking:
        log.warning(
            "No training view shows %s: never learnt, and not reliable where it is predicted. Check the labels, or choose "
            "data or a split that show it.", ", ".join(lacking),
        )  # fmt: skip
    if rendered.split.validated and not rendered.withheld:
        log.warning("No view shows a labelled point of the validation part: no epoch is better than another.")


def _notes(rendered: RenderedViews, scores: dict[str, Any]) -> dict[str, Any]:
    """What the card says about the training, beside what prediction needs."""
    return {
        "scenes": {named.name: {"cloud": str(named.file.path)} for named in rendered.split.scenes},
        "split": rendered.split.describe(),
        "leaky": False,
        "training_views": len(rendered.learnt),
        "validation_views": len(rendered.withheld),
        "training_pixels": dict(zip(rendered.legend.names, rendered.training_pixels, strict=True)),
        "validation": {name: scores[name] for name in report.OVERALL} | {"seen_share": scores["seen_share"]},
    }


TASK = Task(train_snapnet, SnapNetRecipe)
