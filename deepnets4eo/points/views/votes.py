"""Scores of pixels are added to the vertices that they show, and given on to the points of the cloud."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import FloatImage, Mask, Vectors
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.views.face_view import FaceView
from deepnets4eo.points.views.surface import Surface


class Votes:
    """Sums of scores over the pixels of all views, for each vertex."""

    def __init__(
        self, surface: Surface, num_classes: int, kind: Literal["probabilities", "logits"] = "probabilities"
    ) -> None:
        raise NotImplementedError

    def add(self, view: FaceView, scores: FloatImage) -> None:
        """Add the scores (K, H, W) of a view's pixels to their vertices."""
        raise NotImplementedError

    def vertex_scores(self) -> Vectors:
        """(V, K) float32 probabilities; rows of NaN where no view showed the vertex."""
        raise NotImplementedError


def to_points(surface: Surface, vertex_scores: NDArray[np.floating], cloud: PointCloud) -> tuple[Vectors, Mask]:
    """Scores (N, K) of the nearest vertex, and whether it was seen (N,)."""
    raise NotImplementedError
