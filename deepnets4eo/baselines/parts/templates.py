"""Templates over HOG cells, all of them together, and their correlation with a map of cells.

Takes (31, R, C) cells; returns a score for every template at every cell. Inputs are not checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Boxes, FloatImage, Floats, Indices
from deepnets4eo.lazy import name_missing_extra

PAD_CELLS = 1  # of surroundings on each side of the box: the outline's gradient lies on its edge


@dataclass(frozen=True)
class Shapes:
    """Sizes and headings of T templates.

    things : (T, 3) length, width (pixels in training), heading (radians). component : (T,) sub-category.
    sizes : (T, 2) rows and columns of cells in use. cell_px : side of a cell.
    """

    things: Floats
    component: Indices
    sizes: Indices
    cell_px: int

    @classmethod
    def from_medians(cls, medians: Floats, headings: int, cell_px: int) -> Shapes:
        """Return templates for each component's median length and width (K, 2), at evenly spread headings."""
        angles = np.arange(headings) * (math.pi / headings)
        things = np.array([(length, width, angle) for length, width in medians for angle in angles])
        component = np.repeat(np.arange(len(medians)), headings)
        cos, sin = np.abs(np.cos(things[:, 2])), np.abs(np.sin(things[:, 2]))
        tall = things[:, 0] * sin + things[:, 1] * cos
        wide = things[:, 0] * cos + things[:, 1] * sin
        sizes = np.ceil(np.column_stack([tall, wide]) / cell_px - 0.25).astype(np.int64) + 2 * PAD_CELLS
        return cls(things, component, sizes, cell_px)

    def __len__(self) -> int:
        return len(self.things)

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns of cells that contain every template."""
        rows, cols = self.sizes.max(axis=0)
        return int(rows), int(cols)

    @property
    def corner(self) -> Indices:
        """(T, 2) row and column in the frame where each template begins."""
        return (np.array(self.frame) - self.sizes) // 2

    @property
    def reach_px(self) -> int:
        """Largest distance in pixels from its centre that the largest template uses."""
        return (max(self.frame) // 2 + 2) * self.cell_px

    def boxes(self, template: Indices, rows: Indices, cols: Indices, scale: tuple[float, float]) -> Boxes:
        """Return boxes of templates whose frames begin at these rows and columns of cells of an image resized by `scale`."""
        middle = (self.corner + self.sizes / 2)[template] + np.column_stack([rows, cols])
        boxes = np.empty((len(template), 5))
        boxes[:, :2] = middle * self.cell_px / np.array(scale)
        boxes[:, 2:4] = self.things[template, :2] / math.sqrt(scale[0] * scale[1])
        boxes[:, 4] = self.things[template, 2]
        return boxes


MOVE_SCALE = 0.1  # of moves, since HOG values are smaller
WEAKEST = 0.005  # cost of the square of a move, at least
PARTS = ("weights", "anchors", "springs")


@dataclass(frozen=True)
class PartModels:
    """Deformable parts of T templates, P each, on cells of half the side.

    weights : (T, P, 31, h, w) float32. anchors : (T, P, 2) row and column of fine cells, from the frame's corner, of
    a part at rest. springs : (T, P, 4) float32, cost of a displacement (y, x): y², y, x², x times these.
    """

    weights: NDArray[np.float32]
    anchors: Indices
    springs: NDArray[np.float32]

    def copy(self) -> PartModels:
        """Return a copy that may be changed."""
        return PartModels(self.weights.copy(), self.anchors, self.springs.copy())

    def start(self, template: int) -> NDArray[np.float32]:
        """Return weights and springs of one template as an SVM has them, one after the other."""
        return np.concatenate([self.weights[template].ravel(), self.springs[template].ravel() / MOVE_SCALE])

    def lower(self, template: int) -> Floats:
        """Return least values of the same: a move must cost something."""
        springs = np.tile([WEAKEST, -np.inf], 2 * len(self.springs[template]))
        return np.concatenate([np.full(self.weights[template].size, -np.inf), springs / MOVE_SCALE])

    def set(self, template: int, values: NDArray[np.float32]) -> None:
        """Take the weights of an SVM."""
        size = self.weights[template].size
        self.weights[template] = values[:size].reshape(self.weights[template].shape)
        self.springs[template] = values[size:].reshape(-1, 4) * MOVE_SCALE


@dataclass(frozen=True)
class TemplateBank:
    """Weights of T templates.

    weights : (T, 31, H, W) float32, H × W the frame, 0 outside a template. bias : (T,) float32.
    slope, offset : (T,) float32; the logit of the probability is slope · score + offset.
    """

    shapes: Shapes
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    slope: NDArray[np.float32]
    offset: NDArray[np.float32]
    parts: PartModels | None = None

    def with_calibration(self, slope: NDArray[np.float32], offset: NDArray[np.float32]) -> TemplateBank:
        """Return the same templates with another calibration."""
        return replace(self, slope=slope, offset=offset)

    def without_calibration(self) -> TemplateBank:
        """Return the same templates, whose logits are the SVMs' margins."""
        ones = np.ones(len(self.shapes), np.float32)
        return self.with_calibration(ones, np.zeros(len(self.shapes), np.float32))


@name_missing_extra()
def correlate(
    cells: FloatImage, weights: NDArray[np.float32], *, normalised: bool = False, threads: int = 1
) -> FloatImage:
    """Return every template on every position of a map of cells, (T, R − H + 1, C − W + 1) float32.

    cells : (31, R, C). normalised : the paper's score, Σ(t·I) / √Σ(t²·I²), 0 where both are 0; else Σ(t·I).
    One pass for all templates; the same bits whatever the machine's number of threads, as `threads` are used.
    Source: Randrianarivo, Le Saux, Crucianu, Ferecatu, 2015.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            cells_in, kernels = torch.from_numpy(np.ascontiguousarray(cells))[None], torch.from_numpy(weights)
            scores = torch.nn.functional.conv2d(cells_in, kernels)[0]
            if normalised:
                norm = torch.nn.functional.conv2d(cells_in**2, kernels**2)[0]
                scores = torch.where(norm > 1e-12, scores / norm.clamp_min(1e-12).sqrt(), 0.0)
            return np.asarray(scores.numpy())
    finally:
        torch.set_num_threads(before)


def pad_half_frame(cells: FloatImage, frame: tuple[int, int]) -> FloatImage:
    """Return cells with half a frame of zeros around, so that objects cut by the border are found, too."""
    rows, cols = frame[0] // 2, frame[1] // 2
    return np.pad(cells, ((0, 0), (rows, rows), (cols, cols)))
