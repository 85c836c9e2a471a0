"""Deformable parts: small templates at half the cell size that may move, at a cost quadratic in the distance.

Takes fine cells; returns what parts add to a template's score, and their positions. Inputs are not checked.
Source: Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 32(9), 2010, section 3 (scores) and 5.2 (first parts).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Indices, Vectors
from deepnets4eo.baselines.parts.templates import MOVE_SCALE, PartModels, TemplateBank, correlate

REACH = 3  # fine cells by which a part may move, along rows and along columns
COVERED = 0.8  # share of an object's area that its parts cover together
SMALLEST = 3  # side of a part in fine cells
SPRING = (0.02, 0.0, 0.02, 0.0)  # of the first parts: cost of y², y, x², x


def first_parts(bank: TemplateBank, count: int) -> PartModels:
    """Return parts where a template's positive weights are strongest, one after the other, without overlap."""
    shapes = bank.shapes
    area = 4 * float(np.median(shapes.things[:, 0] * shapes.things[:, 1])) / shapes.cell_px**2
    side = min(max(SMALLEST, round(math.sqrt(COVERED * area / count))), 2 * int(shapes.sizes.min()))
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
    """Return what parts add to the scores of frames that begin half a frame before the cells, (T, *shape) float32.

    fine : (31, R, C) of half the side. Each part takes its best position, response less cost: a distance transform bounded
    by `REACH`, one axis after the other, at every second fine cell only. Memory: 4 T P bytes a fine cell.
    """
    parts, frame = bank.parts, bank.shapes.frame
    assert parts is not None, "the bank has parts"
    count, each, _, side, _ = parts.weights.shape
    before = [2 * (length // 2) + REACH for length in frame]
    needed = [2 * (length - 1) + 2 * own + 2 * REACH for length, own in zip(shape, frame, strict=True)]
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
    """Return HOG of the parts of one template at their best positions in crops, (M, P · 31 · p · p), and y², y, x², x (M, P · 4).

    crops : (M, 31, 2 h + 2 REACH, 2 w + 2 REACH) fine cells of a template's used frame, with a margin.
    parts : anchors counted from that frame's corner.
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
