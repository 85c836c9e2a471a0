"""Settings of the part detector, its templates over HOG cells and their deformable parts, and their correlation with a map of
cells. Inputs are not checked.

Source: Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 32(9), 2010, section 3 (scores) and 5.2 (first parts)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from deepnets4eo.arrays import Boxes, FloatImage, Floats, Indices, Vectors
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.options import option_group, options_from, plain_options

PAD_CELLS = 1  # of surroundings on each side of the box: the outline's gradient lies on its edge
REACH = 3  # fine cells by which a part may move, along rows and along columns
COVERED_SHARE = 0.8  # share of an object's area that its parts cover together
SMALLEST = 3  # side of a part in fine cells
SPRING = (0.02, 0.0, 0.02, 0.0)  # of the first parts: cost of y², y, x², x

Score = Literal["svm", "ncc"]
Scale = Annotated[float, Field(ge=0.1, le=10)]


@option_group
class PartSettings:
    """Options for making, training and applying templates.

    Parameters
    ----------
    components : sub-categories by aspect ratio (5 in the paper); fewer if there are too few boxes for them
    headings
        Directions over half a turn for which each sub-category has a template; from above, objects have any heading.
    cell_px : side of a HOG cell in pixels; None: a fifth of the boxes' median width, 3 to 8
    scales : factors, 0.1 to 10, by which an image is resized, so that objects are also found smaller and larger
    parts
        Deformable parts of each template, at half the cell size (cells of the whole are then twice as large); 0 for
        none.
    rounds : largest number of rounds of hard-negative mining, which ends where the validation score no longer grows
    penalty : the C of the linear SVMs
    score : "svm" (margin) or "ncc" (the paper's normalised cross-correlation, which has no parts)
    max_iou : detections that overlap a better one by more (intersection over union) are dropped
    min_score : minimum probability of a detection
    max_windows : training windows in memory (about 4 MB for each window and scale)

    Raises
    ------
    InputError
        For a value out of range, and for values that exclude each other.

    Examples
    --------
    >>> PartSettings(parts=4).to_dict()["scales"]
    [0.92, 1.09]
    """

    components: int = Field(default=5, ge=1)
    headings: int = Field(default=8, ge=1)
    cell_px: int | None = Field(default=None, ge=2)
    scales: tuple[Scale, ...] = Field(default=(0.92, 1.09), min_length=1)
    parts: int = Field(default=0, ge=0)
    rounds: int = Field(default=4, ge=1)
    penalty: float = Field(default=0.01, gt=0)
    score: Score = "svm"
    max_iou: float = Field(default=0.25, ge=0, le=1)
    min_score: float = Field(default=0.5, ge=0, le=1)
    max_windows: int = Field(default=48, ge=1)

    @model_validator(mode="after")
    def _parts_are_possible(self) -> PartSettings:
        if self.parts and self.cell_px is not None and self.cell_px % 2:
            raise ValueError(f"has cell_px={self.cell_px} with parts={self.parts}; parts need cells of an even side")
        if self.score == "ncc" and self.parts:
            raise ValueError(
                f"has score=ncc with parts={self.parts}, but ncc has no parts. Set parts to 0, or score to svm"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as a run's card keeps them."""
        return plain_options(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PartSettings:
        """Make settings from plain values. Errors: InputError for a wrong value or an unknown name, with the nearest."""
        return options_from(cls, values, "parts")


@dataclass(frozen=True)
class Shapes:
    """Sizes and headings of T templates.

    things : (T, 3) length, width (pixels in training), heading (radians)
    component : (T,) sub-category
    sizes : (T, 2) rows and columns of cells in use
    cell_px : the side of a cell
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
        """Return (T, 2) row and column in the frame where each template begins."""
        return (np.array(self.frame) - self.sizes) // 2

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


@dataclass(frozen=True)
class PartModels:
    """P deformable parts of each of T templates, on cells of half the side.

    weights : (T, P, 31, h, w) float32.
    anchors : (T, P, 2) row and column of a part at rest, from the frame's corner.
    springs : (T, P, 4) cost of a move: y², y, x², x times these.
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
    """Weights of T templates; the logit of the probability is slope · score + offset.

    weights : (T, 31, H, W) float32, H × W the frame, 0 outside a template
    bias, slope, offset : (T,) float32
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
    """Return every template on every position of a map of cells (31, R, C): (T, R − H + 1, C − W + 1) float32.

    normalised : the score of Randrianarivo et al. 2015, Σ(t·I) / √Σ(t²·I²), 0 where both are 0; else Σ(t·I)
    threads : the same bits whatever their number
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


def first_parts(bank: TemplateBank, count: int) -> PartModels:
    """Return parts where a template's positive weights are strongest, one after the other, without overlap."""
    shapes = bank.shapes
    area = 4 * float(np.median(shapes.things[:, 0] * shapes.things[:, 1])) / shapes.cell_px**2
    side = min(max(SMALLEST, round(math.sqrt(COVERED_SHARE * area / count))), 2 * int(shapes.sizes.min()))
    fine = bank.weights.repeat(2, axis=2).repeat(2, axis=3)
    weights = np.empty((len(shapes), count, fine.shape[1], side, side), np.float32)
    anchors = np.empty((len(shapes), count, 2), np.int64)
    for template in range(len(shapes)):
        energy = np.square(np.maximum(fine[template], 0)).sum(axis=0)
        for part in range(count):
            sums = np.lib.stride_tricks.sliding_window_view(energy, (side, side)).sum(axis=(2, 3))
            strongest = np.array(np.unravel_index(sums.argmax(), sums.shape))
            first = 2 * shapes.corner[template]
            row, col = np.clip(strongest, first, first + 2 * shapes.sizes[template] - side)
            anchors[template, part] = row, col
            # a coarse cell's weight is shared by its four fine cells
            weights[template, part] = fine[template, :, row : row + side, col : col + side] / 4
            energy[row : row + side, col : col + side] = 0
    springs = np.broadcast_to(np.array(SPRING, np.float32), (len(shapes), count, 4))
    return PartModels(weights, anchors, springs.copy())


def part_scores(fine: FloatImage, bank: TemplateBank, shape: tuple[int, int], threads: int = 1) -> FloatImage:
    """Return what parts add to the scores of frames, (T, *shape) float32; frames begin half a frame before the cells.

    fine : (31, R, C) cells of half the side.

    Each part takes its best position, response less cost. This is a distance transform bounded by `REACH`, one axis
    after the other, at every second fine cell only.

    Memory: 4 T P bytes a fine cell.
    """
    parts, frame = bank.parts, bank.shapes.frame
    assert parts is not None, "the bank has parts"
    count, each, _, side, _ = parts.weights.shape
    before = [2 * (length // 2) + REACH for length in frame]
    needed = [2 * (length - 1) + 2 * size + 2 * REACH for length, size in zip(shape, frame, strict=True)]
    after = [max(0, want - first - have) for want, first, have in zip(needed, before, fine.shape[1:], strict=True)]
    room = np.pad(fine, ((0, 0), (before[0], after[0]), (before[1], after[1])))
    response = correlate(room, parts.weights.reshape(count * each, -1, side, side), threads=threads)
    total = np.zeros((count, *shape), np.float32)
    for number in range(count * each):
        template, part = divmod(number, each)
        down, right = parts.anchors[template, part]
        spring = parts.springs[template, part]
        part_of = response[number, down:, right:]
        across = _max_along(part_of, spring[2:], shape[1], axis=1)
        total[template] += _max_along(across, spring[:2], shape[0], axis=0)
    return total


def align_parts(crops: Vectors, parts: PartModels, template: int) -> tuple[Vectors, Vectors]:
    """Return HOG of one template's parts at their best positions in crops, (M, P · 31 · p · p), and y², y, x², x (M, P ·
    4).

    crops : (M, 31, 2 h + 2 REACH, 2 w + 2 REACH) fine cells of the used frame, from whose corner anchors count
    """
    size = len(crops)
    features, moves = [], []
    steps = np.arange(-REACH, REACH + 1)
    for weights, (row, col), spring in zip(
        parts.weights[template], parts.anchors[template], parts.springs[template], strict=True
    ):
        side = weights.shape[-1]
        area = crops[:, :, row : row + 2 * REACH + side, col : col + 2 * REACH + side]
        views = np.lib.stride_tricks.sliding_window_view(area, (side, side), axis=(2, 3))
        score = np.einsum("mcyxij,cij->myx", views, weights, optimize=False)
        score -= (spring[0] * steps**2 + spring[1] * steps)[:, None] + spring[2] * steps**2 + spring[3] * steps
        best = score.reshape(size, -1).argmax(axis=1)
        down, right = np.divmod(best, len(steps))
        features.append(views[np.arange(size), :, down, right].reshape(size, -1))
        y, x = steps[down], steps[right]
        moves.append(np.stack([y * y, y, x * x, x], axis=1))
    return np.concatenate(features, axis=1), np.concatenate(moves, axis=1).astype(np.float32)


def part_vectors(crops: Vectors, parts: PartModels, template: int) -> Vectors:
    """Return what an SVM learns parts and springs from: HOG at the parts' positions, and the cost of their moves, (M, …)."""
    features, moves = align_parts(crops, parts, template)
    return np.concatenate([features, -moves * np.float32(MOVE_SCALE)], axis=1)


def _max_along(response: FloatImage, spring: NDArray[np.float32], length: int, *, axis: int) -> FloatImage:
    """Return the largest response less cost over all moves along one axis, at every second fine cell."""
    best = None
    for step in range(-REACH, REACH + 1):
        start = REACH + step
        where = [slice(None), slice(None)]
        where[axis] = slice(start, start + 2 * length - 1, 2)
        moved = response[tuple(where)] - np.float32(spring[0] * step * step + spring[1] * step)
        best = moved if best is None else np.maximum(best, moved, out=best)
    assert best is not None, "there is at least one step"
    return best


def in_used_frame(parts: PartModels, corner: Indices) -> PartModels:
    """Return the same parts with anchors counted from the corner of the used part of the frame. corner : (T, 2) cells."""
    return PartModels(parts.weights, parts.anchors - 2 * corner[:, None], parts.springs)
