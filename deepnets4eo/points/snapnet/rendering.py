"""Snapshots of the clouds of a training, rendered once: layers, labels, and the part that each pixel shows.

Takes split clouds, one at a time; writes to a `ViewStore`. Refuses clouds whose views show nothing to learn from.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.cloud_data import LEARNT, NEITHER, WITHHELD, LabelledCloud, point_parts, split_clouds
from deepnets4eo.points.snapnet.cameras import place_cameras, reach_m, snapshot_inputs
from deepnets4eo.points.snapnet.measurements import check_measured
from deepnets4eo.points.snapnet.recipe import SnapNetRecipe
from deepnets4eo.points.snapnet.view_store import ViewStore
from deepnets4eo.points.views import FaceView, Surface, make_surface, ray_caster, snapshot
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.training.splits import DataSplit

log = logging.getLogger(__name__)

LABELS, PART = "labels", "part"
BORDER, NOTHING = 3, 4  # parts of faces that only some withheld points span, and of pixels that show no face
FEWEST = 0.01  # share of labelled pixels that makes a view worth reading


@dataclass
class RenderedViews:
    """Snapshots of all clouds or frames in a store, with their labels and the split of each pixel, and which of them
    show labelled points of which split."""

    legend: Legend
    split: DataSplit[Any]
    inputs: InputSpec
    store: ViewStore
    learnt: list[int] = field(default_factory=list)
    withheld: list[int] = field(default_factory=list)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    @property
    def training_pixels(self) -> list[int]:
        """K counts: labelled pixels of each class in the views to learn from."""
        return [int(count) for count in self.pixels[: self.legend.num_classes]]

    def add(self, layers: dict[str, NDArray[Any]], part: ByteImage) -> None:
        """Keep a snapshot that shows enough labelled points. part : (H, W), see `part_of_pixels`."""
        labels = layers[LABELS]
        learnt, withheld = ((labels != VOID) & (part == which) for which in (LEARNT, WITHHELD))
        enough = max(1.0, FEWEST * labels.size)
        if max(learnt.sum(), withheld.sum()) < enough:
            return
        number = self.store.append({name: layers[name] for name in self.inputs.names} | {LABELS: labels, PART: part})
        if learnt.sum() >= enough:
            self.learnt.append(number)
            self.pixels += np.bincount(labels[learnt], minlength=256)
        if withheld.sum() >= enough:
            self.withheld.append(number)


def render_views(recipe: SnapNetRecipe, legend: Legend, clouds: Sequence[LabelledCloud], folder: Path) -> RenderedViews:
    """Render the views of all clouds, one cloud after the other. Raises InputError where a cloud lacks what a layer
    needs, or no view shows labelled points to learn from. Memory: the largest cloud or tile, about 400 bytes a
    point; disk: 5 to 9 bytes a pixel of all views."""
    layers = recipe.model.layers
    rendered = RenderedViews(
        legend, split_clouds(clouds, recipe.data), snapshot_inputs(layers, recipe.views.third), ViewStore(folder)
    )
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
    """Return the split (F,) of each face: that of its corners where all have one; BORDER where some are withheld, else
    NEITHER."""
    corners = parts[surface.faces]
    withheld, learnt = corners == WITHHELD, corners == LEARNT
    chosen = [withheld.all(axis=1), withheld.any(axis=1), learnt.all(axis=1)]
    return np.select(chosen, [WITHHELD, BORDER, LEARNT], NEITHER).astype(np.uint8)


def part_of_pixels(view: FaceView, face_parts: NDArray[np.uint8]) -> ByteImage:
    """Return the split (H, W) of each pixel of a view, NOTHING where it shows no face."""
    part = np.full(view.face.shape, NOTHING, np.uint8)
    part[view.seen] = face_parts[view.face[view.seen]]
    return part


def _render_piece(rendered: RenderedViews, recipe: SnapNetRecipe, number: int, cloud: PointCloud) -> None:
    check_measured(cloud, recipe.model.layers)
    surface = make_surface(cloud, recipe.surface)
    face_parts = part_of_faces(surface, point_parts(rendered.split, number, cloud.xyz[surface.point_index, :2]))
    caster = ray_caster(surface)
    for camera in place_cameras(surface, recipe.views, seed=number):
        view = caster.view(camera)
        rendered.add(snapshot(surface, view, third=recipe.views.third), part_of_pixels(view, face_parts))
