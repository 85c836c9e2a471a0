"""The task `snapnet`: labelled clouds and a recipe in, a run folder out.

Snapshots are rendered once, with their labels and the split that each pixel shows. Scores are counted in points of the validation
part, by the votes of all views."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import VOID, Legend, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.cloud_data import LabelledCloud, PointPart, find_clouds, point_parts, split_clouds
from deepnets4eo.points.labeller import label_tile
from deepnets4eo.points.snapnet.labeller import SnapNetLabeller, check_measured, check_mesh, place_cameras, reach_m
from deepnets4eo.points.snapnet.recipe import SnapNetRecipe
from deepnets4eo.points.views import Views
from deepnets4eo.points.views.training import RenderedViews
from deepnets4eo.training import Task, TrainOptions, write_run

log = logging.getLogger(__name__)

CODE, PROPAGATED = 0, 3  # columns of the labels of a tile
PROTOCOL = "points of the validation part of the training clouds, by the votes of all views"


def train_snapnet(recipe: SnapNetRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network on snapshots of labelled clouds; returns the run folder."""
    check_extra("deep", install="deep,points")  # clouds are mostly LAS: one installation is enough
    check_mesh(recipe.surface)
    legend = RenderedViews.legend_of(recipe, "snapnet-unet")
    rendered = render_views(recipe, legend, find_clouds(recipe.data, recipe.surface.voxel_m), out)
    segmenter, notes = rendered.train(recipe, out, options, third_factor=recipe.views.third_factor)
    scores = score_points(SnapNetLabeller(segmenter, recipe.surface, recipe.views), rendered, recipe, out)
    scenes = {named.name: {"cloud": str(named.file.path)} for named in rendered.split.scenes}
    notes = {"scenes": scenes} | rendered.notes(scores) | notes
    return write_run(segmenter, recipe, out, split=rendered.split, scores=scores, notes=notes)


def render_views(recipe: SnapNetRecipe, legend: Legend, clouds: Sequence[LabelledCloud], folder: Path) -> RenderedViews:
    """Render the views of all clouds. Raises InputError where a cloud lacks what a layer needs, or no view shows
    labelled points to learn from.

    Memory: the largest cloud or tile, about 400 bytes a point. Disk: 5 to 9 bytes a pixel.
    """
    split = split_clouds(clouds, recipe.data)
    rendered = RenderedViews.in_folder(folder, legend, split, recipe.model.layers, recipe.views.third)
    for number, named in enumerate(clouds):
        for piece in named.pieces(legend, recipe.data, reach_m(recipe.views), folder):
            _render_piece(rendered, recipe, number, piece.cloud)
        log.info("%s: %d views so far show labelled points.", named.name, len(rendered.store))
    if not rendered.learnt:
        raise InputError(
            f"no view shows a labelled point of the training part of {len(clouds)} clouds. Check their classification, the "
            "legend, data.block_m and the section views."
        )
    return rendered


def part_of_faces(faces: NDArray[np.int32], parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the split (F,) of each face: the split of its corners; BORDER if only some are withheld, else NEITHER."""
    corners = parts[faces]
    withheld, learnt = corners == PointPart.withheld, corners == PointPart.learnt
    chosen = [withheld.all(axis=1), withheld.any(axis=1), learnt.all(axis=1)]
    return np.select(chosen, [PointPart.withheld, RenderedViews.border, PointPart.learnt], PointPart.neither).astype(
        np.uint8
    )


def without_mixed_faces(views: Views) -> Views:
    """Return views of a surface without triangles whose corners have different classes, as published for training; splats have one class each."""
    surface = views.surface
    if surface.corners is not None or surface.classes is None:
        return views
    corners = surface.classes[surface.faces]
    return Views(replace(surface, faces=surface.faces[(corners == corners[:, :1]).all(axis=1)]))


def _render_piece(rendered: RenderedViews, recipe: SnapNetRecipe, number: int, cloud: PointCloud) -> None:
    check_measured(cloud, recipe.model.layers)
    views = without_mixed_faces(Views.of_cloud(cloud, recipe.surface))
    surface = views.surface
    parts = part_of_faces(surface.faces, point_parts(rendered.split, number, cloud.xyz[surface.point_index, :2]))
    for camera in place_cameras(views, recipe.views, seed=number):
        view = views.see(camera)
        rendered.add(views.layers(view, recipe.views.third), view.values(parts, RenderedViews.nothing))


def score_points(
    labeller: SnapNetLabeller, rendered: RenderedViews, recipe: SnapNetRecipe, folder: Path
) -> dict[str, Any]:
    """Label the clouds that have a validation split, and return all scores of their points.

    Scores are NaN if nothing is validated. `seen_share` is the share of points that a view shows."""
    split, legend = rendered.split, rendered.legend
    matrix, seen_points, points = ConfusionMatrix(legend.num_classes), 0, 0
    for number, (named, of_cloud) in enumerate(zip(split.scenes, split.splits, strict=True)):
        if SplitPart.val not in of_cloud.parts:
            continue
        for cloud, own_count in named.pieces(legend, recipe.data, labeller.halo_m, folder):
            assert cloud.classification is not None
            scored = point_parts(split, number, cloud.xyz[:, :2]) == PointPart.withheld
            scored &= (cloud.classification != VOID) & (np.arange(len(cloud)) < own_count)
            if scored.any():
                labels = label_tile(labeller, cloud, own_count)[scored[:own_count]]
                matrix.update(cloud.classification[scored], legend.to_index()[labels[:, CODE]])
                seen = (labels[:, CODE] != VOID) & (labels[:, PROPAGATED] == 0)
                seen_points, points = seen_points + int(seen.sum()), points + len(labels)
    protocol = rendered.protocol(PROTOCOL, validated=split.validated)
    return report.scores(matrix, legend.names) | {
        "legend": legend.name, "protocol": protocol, "seen_share": seen_points / points if points else float("nan"),
    }  # fmt: skip


TASK = Task(train_snapnet, SnapNetRecipe)
