"""From a grey image to boxes: templates correlated at several scales, local maxima, suppression.

Takes an image and a bank of templates; returns boxes, their probability and their sub-category. Inputs are not checked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deepnets4eo.arrays import Boxes, FloatImage, Indices
from deepnets4eo.baselines.features.hog import felzenszwalb_cells
from deepnets4eo.baselines.parts.deformable import part_scores
from deepnets4eo.baselines.parts.settings import PartSettings
from deepnets4eo.baselines.parts.templates import TemplateBank, correlate, pad_half_frame
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.polygons.boxes import outlines, suppress


@dataclass(frozen=True)
class Detections:
    """Detections: boxes (N, 5), score (N,) float32 logit or SVM margin, template (N,)."""

    boxes: Boxes
    score: NDArray[np.float32]
    template: Indices

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Detections:
        """Return some of them."""
        return Detections(self.boxes[rows], self.score[rows], self.template[rows])

    @classmethod
    def concatenate(cls, parts: list[Detections]) -> Detections:
        """Join several into one."""
        if not parts:
            return cls(np.zeros((0, 5)), np.zeros(0, np.float32), np.zeros(0, np.int64))
        boxes = np.concatenate([part.boxes for part in parts])
        score = np.concatenate([part.score for part in parts])
        return cls(boxes, score, np.concatenate([part.template for part in parts]))

    def best(self, max_iou: float) -> Detections:
        """Return those that overlap no better one by more than `max_iou`."""
        return self.take(suppress(outlines(self.boxes), self.score.astype(np.float64), max_iou))


@name_missing_extra()
def resize(grey: FloatImage, scale: float) -> tuple[FloatImage, tuple[float, float]]:
    """Return an image resized without aliasing, and the exact factors along rows and columns after rounding."""
    import torch

    shape = max(1, round(grey.shape[0] * scale)), max(1, round(grey.shape[1] * scale))
    if shape == grey.shape:
        return grey, (1.0, 1.0)
    image = torch.from_numpy(np.ascontiguousarray(grey))[None, None]
    out = torch.nn.functional.interpolate(image, shape, mode="bilinear", antialias=True, align_corners=False)
    return out[0, 0].numpy(), (shape[0] / grey.shape[0], shape[1] / grey.shape[1])


def logits(
    cells: FloatImage, bank: TemplateBank, settings: PartSettings, *, fine: FloatImage | None = None, threads: int = 1
) -> FloatImage:
    """Return the logit of each template's probability, (T, rows, columns), of frames that begin half a frame before the cells.

    fine : cells of half the side, needed where templates have parts.
    """
    room = pad_half_frame(cells, bank.shapes.frame)
    scores = correlate(room, bank.weights, normalised=settings.score == "ncc", threads=threads)
    if settings.score == "svm":
        scores += bank.bias[:, None, None]
    if fine is not None:
        scores += part_scores(fine, bank, (scores.shape[1], scores.shape[2]), threads)
    scores *= bank.slope[:, None, None]
    scores += bank.offset[:, None, None]
    return scores


def local_maxima(scores: FloatImage, least: float) -> tuple[Indices, Indices, Indices]:
    """Return template, row and column of the local maxima over 3 × 3 cells and all templates that reach `least`."""
    best = scores.max(axis=0)
    top = (best >= least) & (best == ndimage.maximum_filter(best, 3, mode="nearest"))
    rows, cols = np.nonzero(top)
    return scores[:, rows, cols].argmax(axis=0), rows, cols


def find_objects(
    grey: FloatImage, bank: TemplateBank, settings: PartSettings, *, least: float, scale: float = 1.0, threads: int = 1
) -> Detections:
    """Return detections in one image with a logit of at least `least`, suppressed; boxes in its pixels.

    scale : factor that brings the image to the pixels of training. Memory: 4 T bytes a cell and scale.
    """
    shapes, detections = bank.shapes, []
    for factor in settings.scales:
        image, exact = resize(grey, factor * scale)
        cells = felzenszwalb_cells(image, shapes.cell_px)
        if not cells.size:
            continue
        fine = felzenszwalb_cells(image, shapes.cell_px // 2) if bank.parts is not None else None
        scores = logits(cells, bank, settings, fine=fine, threads=threads)
        template, rows, cols = local_maxima(scores, least)
        start = np.array(shapes.frame) // 2
        boxes = shapes.boxes(template, rows - start[0], cols - start[1], exact)
        detections.append(Detections(boxes, scores[template, rows, cols], template))
    return Detections.concatenate(detections).best(settings.max_iou)
