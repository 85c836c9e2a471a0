"""Training of the templates: linear SVMs on aligned objects and on the background most similar to them.

Source: Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 32(9), 2010 (latent alignment, data mining); Randrianarivo et
al., 2015 (mixture by aspect ratio, random negatives)."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import Boxes, FloatImage, Floats, Indices, Mask, Vectors
from deepnets4eo.baselines.features.hog import felzenszwalb_cells
from deepnets4eo.baselines.parts.detection import local_maxima, logits
from deepnets4eo.baselines.parts.references import TrainingWindow
from deepnets4eo.baselines.parts.templates import REACH, PartSettings, Shapes, TemplateBank, in_used_frame, part_vectors
from deepnets4eo.metrics import overlapping_pairs
from deepnets4eo.polygons import outlines

ROOM_CELLS = 1  # cells by which an object may be shifted on each side
SPARE_CELLS = 2  # cells around that are cut off: HOG there depends on the neighbouring patch of the mosaic
SIZES = (0.93, 1.0, 1.07)  # objects are tried a little smaller and larger than their box
SIDES = ((0.0, 1), (math.pi, 1), (0.0, -1), (math.pi, -1))  # rotated by a half turn, mirrored: all are cars

log = logging.getLogger(__name__)

RANDOM_NEGATIVES = 400  # of each template in the first round
HARD_PER_WINDOW = 12  # of each template and scale
MAX_NEGATIVES = 2400  # of a template; the easiest are dropped
MARGIN = -1.0  # negatives below it do not change an SVM
MAX_OVERLAP = 0.5  # of a negative with any object of the class (paper)
WEIGHT = 4.0  # of a positive against a negative
FLAT = 20.0  # weight of textureless ground, a negative of every template
ITERATIONS = 80


@dataclass
class Examples:
    """Examples of one template.

    positives : (N, sides, sizes, 31, h + 2, w + 2)
    negatives : (M, 4) window, index of the scale, row and column of cells where the template begins
    """

    positives: NDArray[np.float16]
    negatives: Indices


class TemplateTrainer:
    """Rounds of alignment, fitting and mining over all templates. component : (N,) sub-category of each usable box, in
    the order of the windows' usable boxes."""

    def __init__(
        self, windows: Sequence[TrainingWindow], component: Indices, shapes: Shapes, settings: PartSettings, seed: int
    ) -> None:
        self.windows, self.shapes, self.settings, self.seed = windows, shapes, settings, seed
        self.rng = np.random.default_rng([seed, 1])
        self.polygons = [outlines(window.boxes) for window in windows]
        objects = [(window.grey, window.boxes[[box]]) for window in windows for box in np.flatnonzero(window.usable)]
        self.examples = []
        self.own = []
        for template in range(len(shapes)):
            own = [
                instance
                for instance, which in zip(objects, component, strict=True)
                if which == shapes.component[template]
            ]
            cells = group_by_side(positive_cells(own, shapes, template, seed))
            self.own.append(own)
            self.examples.append(Examples(cells, self._random_negatives(template)))

    def fit(self, bank: TemplateBank | None = None) -> TemplateBank:
        """Align the objects to the templates (None: centred) and refit all templates with their parts."""
        count, (height, width) = len(self.shapes), self.shapes.frame
        weights, bias = np.zeros((count, 31, height, width), np.float32), np.zeros(count, np.float32)
        parts = None if bank is None or bank.parts is None else bank.parts.copy()
        for template, (row, col) in enumerate(self.shapes.corner):
            rows, cols = self.shapes.sizes[template]
            window_of = template, slice(None), slice(row, row + rows), slice(col, col + cols)
            before = None if bank is None else bank.weights[window_of]
            views = best_alignments(self.examples[template].positives, before)
            positives, negatives = views.vectors, self._negative_vectors(template, self.examples[template].negatives)
            start = None if bank is None or before is None else np.append(before.ravel(), bank.bias[template])
            lower = None
            if parts is not None and start is not None and before is not None:
                used = in_used_frame(parts, self.shapes.corner)
                extra, lower = used.start(template), np.append(np.full(before.size, -np.inf), used.lower(template))
                start = np.concatenate([start[:-1], extra, start[-1:]])
                positives = np.concatenate(
                    [positives, part_vectors(self._fine_views(template, views), used, template)], 1
                )
                crops = self._fine_negatives(template)
                negatives = np.concatenate([negatives, part_vectors(crops, used, template)], 1)
            weight, bias[template] = linear_svm(positives, negatives, self.settings.penalty, start, lower)
            weights[window_of] = weight[: 31 * rows * cols].reshape(31, rows, cols)
            if parts is not None:
                parts.set(template, weight[31 * rows * cols :])
            self._drop_easy_negatives(template, negatives @ weight + bias[template])
        ones = np.ones(count, np.float32)
        return TemplateBank(self.shapes, weights, bias, ones, np.zeros(count, np.float32), parts)

    def _fine_views(self, template: int, views: Alignments) -> Vectors:
        """Return fine cells of the objects as they were aligned, (N · sides, 31, 2 h + 2 REACH, 2 w + 2 REACH)."""
        fine = group_by_side(positive_cells(self.own[template], self.shapes, template, self.seed, fine_room=REACH))
        rows, cols = 2 * self.shapes.sizes[template] + 2 * REACH
        flat = fine.reshape(-1, *fine.shape[2:])
        crops = [
            crop[size, :, 2 * down : 2 * down + rows, 2 * right : 2 * right + cols]
            for crop, size, down, right in zip(flat, *views.shifts, strict=True)
        ]
        return np.stack(crops).astype(np.float32)

    def _fine_negatives(self, template: int) -> Vectors:
        """Return fine cells of a template's negatives, with a margin; 0 beyond the window."""
        rows, cols = 2 * self.shapes.sizes[template] + 2 * REACH
        negatives = self.examples[template].negatives
        out = np.zeros((len(negatives), 31, rows, cols), np.float32)
        for index, (number, which, row, col) in enumerate(negatives):
            cells, _ = self.windows[number].cells_at(self.settings.scales[which], self.shapes.cell_px // 2)
            top, left = 2 * row - REACH, 2 * col - REACH
            part = cells[:, max(top, 0) : top + rows, max(left, 0) : left + cols]
            down, right = max(-top, 0), max(-left, 0)
            out[index, :, down : down + part.shape[1], right : right + part.shape[2]] = part
        return out

    def mine(self, bank: TemplateBank) -> int:
        """Add every window's strongest false alarms of each template; returns the number of new ones."""
        false_alarms: list[list[Indices]] = [[] for _ in range(len(self.shapes))]
        for number, window in enumerate(self.windows):
            for which, scale in enumerate(self.settings.scales):
                fine = window.cells_at(scale, self.shapes.cell_px // 2)[0] if bank.parts is not None else None
                cells, exact = window.cells_at(scale, self.shapes.cell_px)
                scores = logits(cells, bank.without_calibration(), self.settings, fine=fine)
                self._add_hard_negatives(scores, number, which, (cells, exact), false_alarms)
        added = 0
        for template, parts in enumerate(false_alarms):
            negatives = self.examples[template].negatives
            both = np.unique(np.concatenate([negatives, *parts]), axis=0)
            added += len(both) - len(negatives)
            self.examples[template].negatives = both
        return added

    def _add_hard_negatives(
        self,
        scores: NDArray[np.float32],
        number: int,
        which: int,
        cells: tuple[NDArray[np.float32], tuple[float, float]],
        false_alarms: list[list[Indices]],
    ) -> None:
        """Add the local maxima of each template above the margin that overlap no object by half."""
        start = np.array(self.shapes.frame) // 2
        for template in range(len(self.shapes)):
            _, rows, cols = local_maxima(scores[[template]], MARGIN)
            positions = np.column_stack([rows, cols]) - start
            worst = np.argsort(-scores[template, rows, cols], kind="stable")[: 4 * HARD_PER_WINDOW]
            positions = positions[worst]
            free = self._is_background(number, template, positions, cells)
            begin = positions[free][:HARD_PER_WINDOW] + self.shapes.corner[template]
            head = np.tile((number, which), (len(begin), 1))
            false_alarms[template].append(np.concatenate([head, begin], axis=1))

    def _is_background(
        self, number: int, template: int, positions: Indices, cells: tuple[NDArray[np.float32], tuple[float, float]]
    ) -> Mask:
        """Return whether frames that begin at these cells are completely inside the window and overlap no object by half."""
        which = np.full(len(positions), template)
        boxes = self.shapes.boxes(which, positions[:, 0], positions[:, 1], cells[1])
        begin = positions + self.shapes.corner[template]
        inside = (begin >= 0).all(axis=1) & (begin + self.shapes.sizes[template] <= cells[0].shape[1:]).all(axis=1)
        return inside & self.windows[number].in_core(boxes) & self._overlaps_nothing(number, boxes)

    def _overlaps_nothing(self, number: int, boxes: Boxes) -> Mask:
        one, _, iou = overlapping_pairs(outlines(boxes), self.polygons[number])
        free = np.ones(len(boxes), bool)
        free[one[iou >= MAX_OVERLAP]] = False
        return free

    def _random_negatives(self, template: int) -> Indices:
        """Draw positions at random that overlap no object by half."""
        per_window = -(-RANDOM_NEGATIVES // (len(self.windows) * len(self.settings.scales)))
        drawn = []
        for number, window in enumerate(self.windows):
            for which, scale in enumerate(self.settings.scales):
                cells = window.cells_at(scale, self.shapes.cell_px)
                highest = np.maximum(np.array(cells[0].shape[1:]) - self.shapes.sizes[template], 0) + 1
                begin = self.rng.integers(0, highest, (4 * per_window, 2))
                free = self._is_background(number, template, begin - self.shapes.corner[template], cells)
                begin = begin[free][:per_window]
                drawn.append(np.concatenate([np.tile((number, which), (len(begin), 1)), begin], axis=1))
        return np.unique(np.concatenate(drawn), axis=0)

    def _negative_vectors(self, template: int, negatives: Indices) -> Vectors:
        """Return HOG of a template's negatives, (M, 31 · h · w)."""
        rows, cols = self.shapes.sizes[template]
        out = np.empty((len(negatives), 31, rows, cols), np.float32)
        for index, (number, which, row, col) in enumerate(negatives):
            cells, _ = self.windows[number].cells_at(self.settings.scales[which], self.shapes.cell_px)
            out[index] = cells[:, row : row + rows, col : col + cols]
        return out.reshape(len(negatives), -1)

    def _drop_easy_negatives(self, template: int, scores: Vectors) -> None:
        """Keep only the hardest negatives if there are too many."""
        if len(scores) > MAX_NEGATIVES:
            hardest = np.sort(np.argsort(-scores, kind="stable")[:MAX_NEGATIVES])
            self.examples[template].negatives = self.examples[template].negatives[hardest]


@dataclass(frozen=True)
class Alignments:
    """vectors : (N · sides, F). shifts : of each the size, and the rows and columns it was shifted by (0 … 2 ROOM_CELLS)."""

    vectors: Vectors
    shifts: tuple[Indices, Indices, Indices]


def group_by_side(cells: NDArray[np.float16]) -> NDArray[np.float16]:
    """Return (N, V, …) views as (N, sides, sizes, …)."""
    return cells.reshape(len(cells), len(SIDES), len(SIZES), *cells.shape[2:])


def best_alignments(positives: NDArray[np.float16], weights: NDArray[np.float32] | None) -> Alignments:
    """Return one vector an object and side: the size and shift that score best under weights (31, h, w); centred without.

    positives : (N, sides, sizes, 31, h + 2, w + 2)
    """
    objects, sides, sizes, _ = positives.shape[:4]
    rows, cols = positives.shape[4] - 2 * ROOM_CELLS, positives.shape[5] - 2 * ROOM_CELLS
    shifts = 2 * ROOM_CELLS + 1
    views = np.lib.stride_tricks.sliding_window_view(positives, (rows, cols), axis=(4, 5))
    views = views.transpose(0, 1, 2, 4, 5, 3, 6, 7).reshape(objects * sides, sizes * shifts**2, -1)
    best = np.full(len(views), (sizes // 2) * shifts**2 + shifts**2 // 2)
    if weights is not None:
        best = np.array([(view.astype(np.float32) @ weights.reshape(-1)).argmax() for view in views])
    size, shift = np.divmod(best, shifts**2)
    down, right = np.divmod(shift, shifts)
    return Alignments(views[np.arange(len(views)), best].astype(np.float32), (size, down, right))


def linear_svm(
    positives: Vectors,
    negatives: Vectors,
    penalty: float,
    start: NDArray[np.floating] | None = None,
    lower: NDArray[np.floating] | None = None,
) -> tuple[Vectors, float]:
    """Return weights and bias that minimise ½‖w‖² + C Σ c max(0, 1 − y (w·x + b))²; c is `WEIGHT` for positives, else 1.

    L-BFGS on all vectors in float32 is several times as fast as liblinear on dense vectors. Textureless ground is a
    negative.

    start : (F + 1,) weights and bias of the last round
    lower : (F,) least weights
    """
    from scipy.optimize import Bounds, minimize

    vectors = np.concatenate([positives, negatives, np.zeros((1, positives.shape[1]), np.float32)])
    target = np.ones(len(vectors), np.float32)
    target[len(positives) :] = -1
    cost = np.where(target > 0, WEIGHT * penalty, penalty).astype(np.float32)
    cost[-1] *= FLAT

    def loss(both: Floats) -> tuple[float, Floats]:
        weight = both[:-1].astype(np.float32)
        short = np.maximum(0, 1 - target * (vectors @ weight + np.float32(both[-1])))
        pull = -2 * cost * short * target
        gradient = np.append(weight + pull @ vectors, pull.sum(dtype=np.float64)).astype(np.float64)
        return 0.5 * float(both[:-1] @ both[:-1]) + float((cost * short * short).sum(dtype=np.float64)), gradient

    first = np.zeros(vectors.shape[1] + 1) if start is None else start.astype(np.float64)
    bounds = None if lower is None else Bounds(np.append(lower, -np.inf), np.inf)
    options = {"maxiter": ITERATIONS, "ftol": 1e-5}
    solution = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return solution[:-1].astype(np.float32), float(solution[-1])


def positive_cells(
    objects: Sequence[tuple[FloatImage, Boxes]],
    shapes: Shapes,
    template: int,
    seed: int,
    *,
    fine_room: int | None = None,
) -> NDArray[np.float16]:
    """Return cells (N, V, 31, h + 2 ROOM_CELLS, w + 2 ROOM_CELLS) of N objects in V views, h × w the template's size; 2 bytes per value.

    objects : the window (h, w) and the box (1, 5) in it
    fine_room : use cells of half the side, with `fine_room` additional cells around

    Views are turned by up to half a step between headings.
    """
    rows, cols = (int(side) + 2 * (ROOM_CELLS + SPARE_CELLS) for side in shapes.sizes[template])
    patch = rows * shapes.cell_px, cols * shapes.cell_px
    step = math.pi / max(1, len(np.unique(shapes.things[:, 2])))
    every = [(turn, mirror, size) for turn, mirror in SIDES for size in SIZES]
    times, cut = (1, SPARE_CELLS) if fine_room is None else (2, 2 * SPARE_CELLS - fine_room)
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
    grey: FloatImage, box: Floats, target: Floats, patch: tuple[int, int], view: tuple[float, int, float]
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
