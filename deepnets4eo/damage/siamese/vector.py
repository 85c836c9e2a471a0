"""Images of any kind and a vector file whose buildings carry grades, as labelled pairs.

Takes what the main job takes, and treats it the same way: pre is registered to post, the outlines are moved onto the
roofs, everything is resampled to the working grid. Refuses pairs that cannot be registered, and files without the grade column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from geopandas import GeoDataFrame
from numpy.typing import NDArray

from deepnets4eo.damage.evidence.gather import on_post
from deepnets4eo.damage.evidence.working_grid import WorkingGrid, make_working_grid
from deepnets4eo.damage.siamese.pairs import POST, PRE, LabelledPair, grades_of, make_scene
from deepnets4eo.damage.siamese.recipe import PairSection
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import FootprintAlignment, align_footprints
from deepnets4eo.footprints.read import Footprints, read_footprints
from deepnets4eo.grid import mean_gsd_m, transform_shapes
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.registration import Registration, register
from deepnets4eo.training.scenes import find_sources

LABELS = "labels"


def read_vector(folders: Sequence[str], data: PairSection, seed: int = 0) -> list[LabelledPair]:
    """Pairs by the patterns of `data.layers`, each registered as the main job would."""
    missing = {PRE, POST, LABELS} - set(data.layers)
    if missing:
        raise InputError(f"data.layers lacks {', '.join(sorted(missing))}. Give a pattern for pre, post and labels.")
    sources_of_pair = find_sources(folders, {name: data.layers[name] for name in (PRE, POST, LABELS)})
    return [_read(name, sources, data, seed) for name, sources in sources_of_pair.items()]


def _read(name: str, sources: Mapping[str, str], data: PairSection, seed: int) -> LabelledPair:
    lacking = [layer for layer in (PRE, POST, LABELS) if layer not in sources]
    if lacking:
        raise InputError(f"pair {name!r} has no {', '.join(lacking)}. Check the patterns of data.layers.")
    pre, post = Layer.open(sources[PRE]).as_shown(), Layer.open(sources[POST]).as_shown()
    footprints = read_footprints(sources[LABELS], layer=data.labels_layer, image=post.grid)
    grades, ignored = _grades(footprints, data.grade_column)
    if not data.register_images:
        scene, size_m = make_scene(pre.on(post.grid), post), _gsd_m(post)
        outlines = footprints.in_pixels(post.grid)
    else:
        registration = _register(pre, post, seed)
        alignment = align_footprints(pre, _in_crs_of(footprints, post), seed=seed)
        canvas = make_working_grid(pre, post, registration)
        scene, size_m = working_grid_scene(canvas), canvas.gsd_m
        outlines = on_canvas(footprints.in_pixels(post.grid), post, canvas, alignment, registration)
    return LabelledPair.of(name, lambda: scene, outlines, grades, gsd_m=size_m, ignored=ignored)


def working_grid_scene(canvas: WorkingGrid) -> Scene:
    """Pre and post of a working grid as one scene."""
    return make_scene(canvas.layers[PRE], canvas.layers[POST])


def on_canvas(
    outlines_px: NDArray[Any],
    post: Layer,
    canvas: WorkingGrid,
    alignment: FootprintAlignment | None,
    registration: Registration | None,
) -> NDArray[Any]:
    """Outlines (N,), given in pixels of the post image, where the post image shows them, in pixels of the working grid."""
    moved = on_post(outlines_px, post.grid, alignment, registration)
    on_working_grid: NDArray[Any] = transform_shapes(canvas.post_to_work, moved)
    return on_working_grid


def _grades(footprints: Footprints, column: str) -> tuple[np.ndarray, dict[str, int]]:
    attributes = footprints.attributes
    if attributes is None or column not in attributes:
        known = ", ".join(map(str, attributes.columns)) if attributes is not None else "none"
        raise InputError(
            f"{footprints.source} has no column {column!r} with the grades, only {known}. Set data.grade_column."
        )
    return grades_of(attributes[column].tolist(), f"{footprints.source}, column {column}")


def _register(pre: Layer, post: Layer, seed: int) -> Registration:
    registration = register(pre, post, seed=seed)
    if not registration.usable:
        raise InputError(
            f"{pre.source} could not be registered to {post.source}: {registration.reason} Leave the pair out, or set "
            "data.register_images=false if the images lie on each other already."
        )
    return registration


def _in_crs_of(footprints: Footprints, post: Layer) -> GeoDataFrame:
    """Footprints in the coordinates of post: those of xBD in pixels where the image has no CRS."""
    frame = footprints.frame
    if frame.crs is None or post.grid.crs is not None:
        return frame
    return GeoDataFrame(frame.drop(columns="geometry"), geometry=footprints.in_pixels(post.grid))


def _gsd_m(layer: Layer) -> float | None:
    return None if layer.grid.crs is None else mean_gsd_m(layer.grid)
