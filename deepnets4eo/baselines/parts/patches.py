"""Positive examples: each object rotated and resized to a template's heading and size, as HOG cells with a margin.

Takes training windows; returns (boxes, views, 31, rows + 2, columns + 2) cells for a template. Inputs are not checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import Boxes, FloatImage
from deepnets4eo.baselines.features.hog import felzenszwalb_cells
from deepnets4eo.baselines.parts.templates import Shapes

ROOM = 1  # cells by which an object may be shifted on each side
SPARE = 2  # cells around that are cut off: HOG there depends on the neighbouring patch of the mosaic
SIZES = (0.93, 1.0, 1.07)  # objects are tried a little smaller and larger than their box
SIDES = ((0.0, 1), (math.pi, 1), (0.0, -1), (math.pi, -1))  # rotated by a half turn, mirrored: all are cars


def views() -> list[tuple[float, int, float]]:
    """Return turn, mirror (±1) and size of every view of an object; views of one (turn, mirror) are next to each other."""
    return [(turn, mirror, size) for turn, mirror in SIDES for size in SIZES]


def positive_cells(
    objects: Sequence[tuple[FloatImage, Boxes]],
    shapes: Shapes,
    template: int,
    seed: int,
    *,
    fine_room: int | None = None,
) -> NDArray[np.float16]:
    """Return cells (N, V, 31, h + 2 ROOM, w + 2 ROOM) of N objects in V views, h × w the template's size.

    objects : the window (h, w) and the one box (1, 5) in it. All but the first side are rotated by up to half a step
    between headings, as objects seldom have exactly a template's heading.
    fine_room : return cells of half the side instead, twice as many, with this many more on each side (3 at most).
    Memory: 2 bytes a value.
    """
    rows, cols = (int(side) + 2 * (ROOM + SPARE) for side in shapes.sizes[template])
    patch = rows * shapes.cell_px, cols * shapes.cell_px
    step = math.pi / max(1, len(np.unique(shapes.things[:, 2])))
    every = views()
    times, cut = (1, SPARE) if fine_room is None else (2, 2 * SPARE - fine_room)
    rows, cols = times * rows, times * cols
    rng = np.random.default_rng([seed, template])
    out = np.empty((len(objects), len(every), 31, rows - 2 * cut, cols - 2 * cut), np.float16)
    for number, (grey, box) in enumerate(objects):
        extra_turn = np.repeat(np.concatenate([[0], rng.uniform(-0.5, 0.5, len(SIDES) - 1)]), len(SIZES)) * step
        images = [
            _rotated_patch(grey, box[0], shapes.things[template], patch, (turn + float(angle), mirror, size))
            for (turn, mirror, size), angle in zip(every, extra_turn, strict=True)
        ]
        cells = felzenszwalb_cells(np.concatenate(images), shapes.cell_px // times)
        cells = cells.reshape(31, len(every), rows, cols).transpose(1, 0, 2, 3)
        out[number] = cells[:, :, cut:-cut, cut:-cut]
    return out


def _rotated_patch(
    grey: FloatImage,
    box: NDArray[np.float64],
    target: NDArray[np.float64],
    patch: tuple[int, int],
    view: tuple[float, int, float],
) -> FloatImage:
    """Return the box's surroundings, as if it had the template's heading and area, times the view's size."""
    turn, mirror, size = view
    zoom = math.sqrt(box[2] * box[3] / (target[0] * target[1])) / size
    down = (np.arange(patch[0]) + 0.5 - patch[0] / 2)[:, None] * zoom
    right = (np.arange(patch[1]) + 0.5 - patch[1] / 2)[None] * zoom
    along = right * math.cos(target[2]) + down * math.sin(target[2])
    across = mirror * (down * math.cos(target[2]) - right * math.sin(target[2]))
    heading = box[4] + turn
    cols = box[1] + along * math.cos(heading) - across * math.sin(heading) - 0.5
    rows = box[0] + along * math.sin(heading) + across * math.cos(heading) - 0.5
    return np.asarray(ndimage.map_coordinates(grey, (rows, cols), order=1, mode="reflect"), np.float32)
