"""The probability of change of a prediction, whether its classes are no change and change, or pairs from → to.

Takes probabilities as bytes, and the classes where these decide; returns one band. Refuses legends without change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards import Legend
from deepnets4eo.change.refinement import Refinement
from deepnets4eo.change.transitions import CoverLayers, cover_legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer, LayerView
from deepnets4eo.tiling import Packed

MIN_CHANGED = round(Refinement.threshold * Packed.one)  # the byte from which on a score is change


def is_changed(scores: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return whether packed scores are of change."""
    return scores >= MIN_CHANGED


def is_from_to(legend: Legend) -> bool:
    """Return whether the classes are pairs of land cover from → to, as `cover_legend` takes them.

    >>> is_from_to(Legend.load("change"))
    False
    """
    try:
        cover_legend(legend)
    except InputError:
        return False
    return True


def check_two_classes(legend: Legend, what: str) -> None:
    """Raise InputError for a legend of other than two classes, or one that lists change first; `what` has the legend."""
    if legend.num_classes != 2 or legend.names[0].casefold() == CoverLayers.change:
        raise InputError(
            f"{what} has the classes {', '.join(legend.names)}; expected no change and change, in this order. Set legend=change, or list "
            "them so."
        )


def check_change_legend(legend: Legend, source: str) -> None:
    """Raise InputError for classes that are neither no change and change, nor pairs from → to; `source` is the folder
    of the run."""
    names = [name.casefold() for name in legend.names]
    if (len(names) == 2 and CoverLayers.change in names) or is_from_to(legend):
        return
    raise InputError(
        f"{source} predicts {', '.join(legend.names)}; expected the classes of the legend change: no change, change, or "
        "pairs of land cover from → to. Give a run that was trained with legend: change, or of the task change-cover."
    )


def change_scores(probabilities: Layer, legend: Legend, source: str, *, classes: Layer | None = None) -> Layer:
    """Return the probability of change, from probabilities as bytes (value / 254), as a layer read by window.

    For classes from → to, two pairs are compared: the best that changed and the best that stayed. The score is the
    share of the changed pair in their sum.

    Labels in `classes` decide where bytes tie. Raises InputError as `check_change_legend`.
    """
    check_change_legend(legend, source)
    changes = _changes(legend)
    if is_from_to(legend):
        scores = Layer(_PairScores(probabilities, changes))
    else:
        scores = probabilities.subset([probabilities.bands[int(changes.argmax())]])
    if classes is None:
        return scores
    changed = np.zeros(256, dtype=bool)
    changed[list(legend.values)] = changes
    return Layer(_DecidedScores(scores, classes, changed))


def _changes(legend: Legend) -> NDArray[np.bool_]:
    """Return (K,) whether each class is change."""
    if is_from_to(legend):
        return ~np.eye(math.isqrt(legend.num_classes), dtype=bool).ravel()
    return np.array([name.casefold() == CoverLayers.change for name in legend.names])


class _PairScores(LayerView):
    """Probabilities of pairs from → to, read as the probability of change."""

    def __init__(self, layer: Layer, changes: NDArray[np.bool_]) -> None:
        super().__init__(layer, np.uint8, float(Packed.nodata), [CoverLayers.change])
        self._changes = changes

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.layer.read(window)
        stays, changes = (data[which].max(axis=0).astype(np.float32) for which in (~self._changes, self._changes))
        share = changes / np.maximum(stays + changes, 1)
        packed = Packed.pack(share)
        return np.where(valid, packed, np.uint8(Packed.nodata))[None], valid


class _DecidedScores(LayerView):
    """Scores of change above or below one half, according to the class of each pixel. changed : (256,) by label value."""

    def __init__(self, scores: Layer, classes: Layer, changed: NDArray[np.bool_]) -> None:
        super().__init__(scores, np.uint8, float(Packed.nodata), [CoverLayers.change])
        self._classes, self._changed = classes, changed

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.layer.read(window)
        changed = self._changed[self._classes.read(window)[0]]
        scores = np.where(changed, np.maximum(data, MIN_CHANGED), np.minimum(data, MIN_CHANGED - 1))
        return np.where(valid, scores, Packed.nodata).astype(np.uint8), valid
