"""Training the templates: linear SVMs on aligned things and on what is most easily mistaken for them.

Takes training windows and shapes; gives a bank of templates. Source: Felzenszwalb, Girshick, McAllester, Ramanan,
PAMI 32(9), 2010 (latent alignment, data mining); Randrianarivo et al., 2015 (mixture by aspect ratio, random negatives).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.baselines.parts.boxes import Boxes, outlines, overlapping
from deepnets4eo.baselines.parts.detection import logits, peaks
from deepnets4eo.baselines.parts.patches import ROOM, SIDES, SIZES, positive_cells
from deepnets4eo.baselines.parts.settings import PartSettings
from deepnets4eo.baselines.parts.templates import Places, Shapes, TemplateBank
from deepnets4eo.baselines.parts.windows import TrainingWindow

log = logging.getLogger(__name__)

RANDOM_NEGATIVES = 400  # of each template in the first round
HARD_PER_WINDOW = 12  # of each template and scale
CACHE = 2400  # negatives of a template at most; the easiest are forgotten
MARGIN = -1.0  # negatives below it do not pull at an SVM
MAX_OVERLAP = 0.5  # of a negative with anything of the class (paper)
WEIGHT = 4.0  # of a positive against a negative
ITERATIONS = 80

Vectors = NDArray[np.float32]


@dataclass
class Examples:
    """What one template learns from. positives : (N, sides, sizes, 31, h + 2, w + 2). negatives : (M, 4) window number,
    place of the scale, row and column of cells where the template begins."""

    positives: NDArray[np.float16]
    negatives: Places


class Trainer:
    """Rounds of alignment, fitting and mining over all templates.

    component : (N,) sub-category of each usable box, in the order of the windows' usable boxes.
    """

    def __init__(
        self,
        windows: Sequence[TrainingWindow],
        component: Places,
        shapes: Shapes,
        settings: PartSettings,
        rng: np.random.Generator,
    ) -> None:
        self.windows, self.shapes, self.settings, self.rng = windows, shapes, settings, rng
        self.polygons = [outlines(window.boxes) for window in windows]
        things = [(one.grey, one.boxes[[place]]) for one in windows for place in np.flatnonzero(one.usable)]
        self.examples = []
        for template in range(len(shapes)):
            own = [thing for thing, which in zip(things, component, strict=True) if which == shapes.component[template]]
            cells = positive_cells(own, shapes, template, rng)
            cells = cells.reshape(len(own), len(SIDES), len(SIZES), *cells.shape[2:])
            self.examples.append(Examples(cells, self._random_negatives(template)))

    def fit(self, bank: TemplateBank | None = None) -> TemplateBank:
        """Align the things to the templates there are (none: centred) and fit all templates anew."""
        count, (height, width) = len(self.shapes), self.shapes.frame
        weights, bias = np.zeros((count, 31, height, width), np.float32), np.zeros(count, np.float32)
        for template, (row, col) in enumerate(self.shapes.corner):
            rows, cols = self.shapes.sizes[template]
            place = template, slice(None), slice(row, row + rows), slice(col, col + cols)
            before = None if bank is None else bank.weights[place]
            positives = aligned(self.examples[template].positives, before)
            negatives = self._gather(template, self.examples[template].negatives)
            start = (
                None if before is None or bank is None else np.append(before.ravel(), bank.bias[template]).astype(float)
            )
            weight, bias[template] = linear_svm(positives, negatives, self.settings.penalty, start)
            weights[place] = weight.reshape(31, rows, cols)
            self._forget(template, negatives @ weight + bias[template])
        ones = np.ones(count, np.float32)
        return TemplateBank(self.shapes, weights, bias, ones, np.zeros(count, np.float32))

    def mine(self, bank: TemplateBank) -> int:
        """Add every window's worst false alarms of each template; returns how many are new."""
        found: list[list[Places]] = [[] for _ in range(len(self.shapes))]
        for number, window in enumerate(self.windows):
            for which, scale in enumerate(self.settings.scales):
                self._mine_window(bank, number, which, window.cells_at(scale, self.shapes.cell_px), found)
        added = 0
        for template, parts in enumerate(found):
            known = self.examples[template].negatives
            both = np.unique(np.concatenate([known, *parts]), axis=0)
            added += len(both) - len(known)
            self.examples[template].negatives = both
        return added

    def _mine_window(
        self,
        bank: TemplateBank,
        number: int,
        which: int,
        cells: tuple[NDArray[np.float32], tuple[float, float]],
        found: list[list[Places]],
    ) -> None:
        raw = bank.calibrated(np.ones_like(bank.slope), np.zeros_like(bank.offset))
        scores = logits(cells[0], raw, self.settings)
        start = np.array(self.shapes.frame) // 2
        for template in range(len(self.shapes)):
            _, rows, cols = peaks(scores[[template]], MARGIN)
            places = np.column_stack([rows, cols]) - start
            worst = np.argsort(-scores[template, rows, cols], kind="stable")[: 4 * HARD_PER_WINDOW]
            places = places[worst]
            free = self._free(number, template, places, cells)
            begin = places[free][:HARD_PER_WINDOW] + self.shapes.corner[template]
            head = np.tile((number, which), (len(begin), 1))
            found[template].append(np.concatenate([head, begin], axis=1))

    def _free(
        self, number: int, template: int, places: Places, cells: tuple[NDArray[np.float32], tuple[float, float]]
    ) -> NDArray[np.bool_]:
        """Whether frames that begin at these cells lie whole in the window and overlap nothing by half."""
        which = np.full(len(places), template)
        boxes = self.shapes.boxes(which, places[:, 0], places[:, 1], cells[1])
        begin = places + self.shapes.corner[template]
        inside = (begin >= 0).all(axis=1) & (begin + self.shapes.sizes[template] <= cells[0].shape[1:]).all(axis=1)
        return inside & self.windows[number].in_core(boxes) & self._background(number, boxes)

    def _background(self, number: int, boxes: Boxes) -> NDArray[np.bool_]:
        one, _, iou = overlapping(outlines(boxes), self.polygons[number])
        free = np.ones(len(boxes), bool)
        free[one[iou >= MAX_OVERLAP]] = False
        return free

    def _random_negatives(self, template: int) -> Places:
        """Places drawn at random that overlap nothing by half."""
        per_window = -(-RANDOM_NEGATIVES // (len(self.windows) * len(self.settings.scales)))
        drawn = []
        for number, window in enumerate(self.windows):
            for which, scale in enumerate(self.settings.scales):
                cells = window.cells_at(scale, self.shapes.cell_px)
                highest = np.maximum(np.array(cells[0].shape[1:]) - self.shapes.sizes[template], 0) + 1
                begin = self.rng.integers(0, highest, (4 * per_window, 2))
                free = self._free(number, template, begin - self.shapes.corner[template], cells)
                begin = begin[free][:per_window]
                drawn.append(np.concatenate([np.tile((number, which), (len(begin), 1)), begin], axis=1))
        return np.unique(np.concatenate(drawn), axis=0)

    def _gather(self, template: int, places: Places) -> Vectors:
        """HOG of a template's negatives, (M, 31 · h · w)."""
        rows, cols = self.shapes.sizes[template]
        out = np.empty((len(places), 31, rows, cols), np.float32)
        for place, (number, which, row, col) in enumerate(places):
            cells, _ = self.windows[number].cells_at(self.settings.scales[which], self.shapes.cell_px)
            out[place] = cells[:, row : row + rows, col : col + cols]
        return out.reshape(len(places), -1)

    def _forget(self, template: int, scores: Vectors) -> None:
        """Keep the hardest negatives where there are too many."""
        if len(scores) > CACHE:
            hardest = np.sort(np.argsort(-scores, kind="stable")[:CACHE])
            self.examples[template].negatives = self.examples[template].negatives[hardest]


def aligned(positives: NDArray[np.float16], weights: NDArray[np.float32] | None) -> Vectors:
    """One vector a thing and side: the size and shift that score best under the template; centred without one.

    positives : (N, sides, sizes, 31, h + 2, w + 2). weights : (31, h, w). returns : (N · sides, 31 · h · w).
    """
    things, sides, sizes, depth = positives.shape[:4]
    rows, cols = positives.shape[4] - 2 * ROOM, positives.shape[5] - 2 * ROOM
    shifts = 2 * ROOM + 1
    views = np.lib.stride_tricks.sliding_window_view(positives, (rows, cols), axis=(4, 5))
    views = views.transpose(0, 1, 2, 4, 5, 3, 6, 7).reshape(things * sides, sizes * shifts**2, -1)
    if weights is None:
        return views[:, (sizes // 2) * shifts**2 + shifts**2 // 2].astype(np.float32)
    best = np.array([(one.astype(np.float32) @ weights.reshape(-1)).argmax() for one in views])
    return views[np.arange(len(views)), best].astype(np.float32)


def linear_svm(
    positives: Vectors, negatives: Vectors, penalty: float, start: NDArray[np.float64] | None = None
) -> tuple[Vectors, float]:
    """Weights and bias of a linear SVM (squared hinge), a positive weighing `WEIGHT` times as much.

    Minimises ½‖w‖² + C Σ c max(0, 1 − y (w·x + b))² by L-BFGS on all vectors in float32, several times as fast as
    liblinear on dense vectors. start : (F + 1,) weights and bias of the last round.
    """
    from scipy.optimize import minimize

    vectors = np.concatenate([positives, negatives])
    target = np.ones(len(vectors), np.float32)
    target[len(positives) :] = -1
    cost = np.where(target > 0, WEIGHT * penalty, penalty).astype(np.float32)

    def loss(both: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = both[:-1].astype(np.float32)
        short = np.maximum(0, 1 - target * (vectors @ weight + np.float32(both[-1])))
        pull = -2 * cost * short * target
        gradient = np.append(weight + pull @ vectors, pull.sum(dtype=np.float64)).astype(np.float64)
        return 0.5 * float(both[:-1] @ both[:-1]) + float((cost * short * short).sum(dtype=np.float64)), gradient

    first = np.zeros(vectors.shape[1] + 1) if start is None else start
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "ftol": 1e-5}).x
    return found[:-1].astype(np.float32), float(found[-1])
