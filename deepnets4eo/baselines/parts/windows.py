"""Training windows: parts of scenes as grey images with their boxes, and the HOG cells of each at every scale.

Takes scenes and their boxes; returns at most as many windows as fit into memory, those with boxes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Boxes, FloatImage
from deepnets4eo.baselines.features.hog import felzenszwalb_cells
from deepnets4eo.baselines.parts.detection import resize
from deepnets4eo.baselines.parts.references import References
from deepnets4eo.prediction.tile_reader import TileReader
from deepnets4eo.rasters.scene import Scene
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.tiling import Lattice, Tiling

CORE_PX = 384
WITH_BOXES = 0.75  # of the windows at most, so that there is background without objects, too


@dataclass
class TrainingWindow:
    """A window of a scene.

    grey : (h, w) with a margin of context around the core, of which `core` (h, w) pixels lie in the scene. boxes : all
    that touch it, in its pixels. usable : whether each is used for training here: usable, and its centre in the core.
    """

    grey: FloatImage
    margin_px: int
    core: tuple[int, int]
    boxes: Boxes
    usable: NDArray[np.bool_]
    cells: dict[tuple[float, int], tuple[NDArray[np.float32], tuple[float, float]]] = field(
        default_factory=dict, repr=False
    )

    def cells_at(self, scale: float, cell_px: int) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """Return HOG cells of the window resized by a factor, and the exact factors; computed once."""
        if (scale, cell_px) not in self.cells:
            image, exact = resize(self.grey, scale)
            self.cells[scale, cell_px] = felzenszwalb_cells(image, cell_px), exact
        return self.cells[scale, cell_px]

    def in_core(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Return whether the centre of each box lies in the core."""
        return _inside(boxes[:, :2] - self.margin_px, np.array(self.core))


def training_windows(
    scenes: Sequence[Scene],
    reference_boxes: Sequence[References],
    inputs: InputSpec,
    grey_of: Callable[[NDArray[np.float32]], FloatImage],
    *,
    margin_px: int,
    max_windows: int,
    rng: np.random.Generator,
) -> list[TrainingWindow]:
    """Return windows of the scenes, chosen at random, those with usable boxes first; each tile is read once.

    grey_of : prepared image (C, h, w) → grey (h, w), 0 to 1.
    """
    chosen: list[TrainingWindow] = []
    for number, which in _choose_tiles(scenes, reference_boxes, max_windows, rng).items():
        scene, reference = scenes[number], reference_boxes[number]
        lattice = _lattice(scene, margin_px)
        reader = TileReader(scene, inputs, lattice)
        for tile_index in which:
            tile = lattice.tile(*divmod(tile_index, lattice.cols))
            image = reader.read_segment([tile])[0].image
            if image is None:
                continue
            boxes = reference.boxes - (tile.window.row, tile.window.col, 0, 0, 0)
            near = _inside(boxes[:, :2] + margin_px, np.array(image.shape[1:]) + 2 * margin_px)
            core = tile.core.clip(scene.shape)
            window = TrainingWindow(
                grey_of(image), margin_px, (core.height, core.width), boxes[near], reference.usable[near]
            )
            window.usable = window.usable & window.in_core(window.boxes)
            chosen.append(window)
    return chosen


def _choose_tiles(
    scenes: Sequence[Scene], reference_boxes: Sequence[References], max_windows: int, rng: np.random.Generator
) -> dict[int, list[int]]:
    """Return scene number → indices of its tiles that become windows."""
    full, empty = [], []
    for number, (scene, reference) in enumerate(zip(scenes, reference_boxes, strict=True)):
        lattice = _lattice(scene, 0)
        core = lattice.tiling.core_px
        middle = reference.boxes[reference.usable, :2] // core
        held = set((middle[:, 0] * lattice.cols + middle[:, 1]).astype(int).tolist())
        full += [(number, tile) for tile in range(len(lattice)) if tile in held]
        empty += [(number, tile) for tile in range(len(lattice)) if tile not in held]
    full = [full[index] for index in rng.permutation(len(full))]
    empty = [empty[index] for index in rng.permutation(len(empty))]
    number_full = max(1, round(WITH_BOXES * max_windows), max_windows - len(empty))
    full = full[:number_full]
    chosen: dict[int, list[int]] = {}
    for number, tile in sorted(full + empty[: max(0, max_windows - len(full))]):
        chosen.setdefault(number, []).append(tile)
    return chosen


def _lattice(scene: Scene, margin_px: int) -> Lattice:
    return Lattice(scene.shape, Tiling(min(CORE_PX, max(scene.shape)) + 2 * margin_px, margin_px))


def _inside(positions: NDArray[np.float64], shape: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(((positions >= 0) & (positions < shape)).all(axis=1))
