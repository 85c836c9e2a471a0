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

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards import VOID, Legend, SplitPart
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import report
from deepnets4eo.lazy import check_extra
from deepnets4eo.metrics import ConfusionMatrix
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.cloud_data import LabelledCloud, PointPart, find_clouds, point_parts, split_clouds
from deepnets4eo.points.labeller import label_tile
from deepnets4eo.points.snapnet.labeller import SnapNetLabeller, check_measured, check_mesh, place_cameras, reach_m
from deepnets4eo.points.snapnet.recipe import HEIGHT_EXPONENTS, SnapNetRecipe
from deepnets4eo.points.views import Surface, ZBuffer, make_surface, snapshot
from deepnets4eo.points.views.camera import FaceView
from deepnets4eo.points.views.snapshots import snapshot_inputs
from deepnets4eo.points.views.training import FacePart, RenderedViews, view_legend
from deepnets4eo.training import Task, TrainOptions, write_run

log = logging.getLogger(__name__)

CODE, PROPAGATED = 0, 3  # columns of the labels of a tile
PROTOCOL = "points of the validation part of the training clouds, by the votes of all views"


def train_snapnet(recipe: SnapNetRecipe, out: Path, options: TrainOptions) -> Path:
    """Train a network on snapshots of labelled clouds; returns the run folder."""
    check_extra("deep", install="deep,points")  # clouds are mostly LAS: one installation is enough
    check_mesh(recipe.surface)
    legend = view_legend(recipe, "snapnet-unet")
    rendered = render_views(recipe, legend, find_clouds(recipe.data, recipe.surface.voxel_m), out)
    factor = recipe.views.height_factor ** HEIGHT_EXPONENTS.get(recipe.views.third, 0.0)
    segmenter, notes = rendered.train(recipe, out, options, third_factor=factor)
    scores = score_points(SnapNetLabeller(segmenter, recipe.surface, recipe.views), rendered, recipe, out)
    scenes = {named.name: {"cloud": str(named.file.path)} for named in rendered.split.scenes}
    notes = {"scenes": scenes} | rendered.notes(scores) | notes
    return write_run(segmenter, recipe, out, split=rendered.split, scores=scores, notes=notes)


def render_views(recipe: SnapNetRecipe, legend: Legend, clouds: Sequence[LabelledCloud], folder: Path) -> RenderedViews:
    """Render the views of all clouds. Raises InputError where a cloud lacks what a layer needs, or no view shows
    labelled points to learn from.

    Memory: the largest cloud or tile, about 400 bytes a point. Disk: 5 to 9 bytes a pixel.
    """
    layers = recipe.model.layers
    split = split_clouds(clouds, recipe.data)
    rendered = RenderedViews.in_folder(folder, legend, split, snapshot_inputs(layers, recipe.views.third))
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


def part_of_faces(surface: Surface, parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the split (F,) of each face: the split of its corners; BORDER if only some are withheld, else NEITHER."""
    corners = parts[surface.faces]
    withheld, learnt = corners == PointPart.withheld, corners == PointPart.learnt
    chosen = [withheld.all(axis=1), withheld.any(axis=1), learnt.all(axis=1)]
    return np.select(chosen, [PointPart.withheld, FacePart.border, PointPart.learnt], PointPart.neither).astype(
        np.uint8
    )


def without_mixed_faces(surface: Surface) -> Surface:
    """Return a surface without triangles whose corners have different classes, as published for training; splats have one class each."""
    if surface.corners is not None or surface.classes is None:
        return surface
    corners = surface.classes[surface.faces]
    return replace(surface, faces=surface.faces[(corners == corners[:, :1]).all(axis=1)])


def part_of_pixels(view: FaceView, face_parts: NDArray[np.uint8]) -> ByteImage:
    """Return the split (H, W) of each pixel, NOTHING for pixels that show no face."""
    part = np.full(view.face.shape, FacePart.nothing, np.uint8)
    part[view.seen] = face_parts[view.face[view.seen]]
    return part


def _render_piece(rendered: RenderedViews, recipe: SnapNetRecipe, number: int, cloud: PointCloud) -> None:
    check_measured(cloud, recipe.model.layers)
    surface = without_mixed_faces(make_surface(cloud, recipe.surface))
    face_parts = part_of_faces(surface, point_parts(rendered.split, number, cloud.xyz[surface.point_index, :2]))
    caster = ZBuffer(surface)
    for camera in place_cameras(surface, recipe.views, seed=number):
        view = caster.view(camera)
        rendered.add(snapshot(surface, view, third=recipe.views.third), part_of_pixels(view, face_parts))


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
