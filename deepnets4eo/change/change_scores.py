"""The probability of change of a prediction, whether its classes are no change and change, or pairs from → to.

Takes the probabilities of all classes as bytes; returns one band. Refuses legends without change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.change.transitions import CHANGE, cover_legend
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters.layer import Layer
from deepnets4eo.rasters.layer_view import LayerView
from deepnets4eo.tiling.scores import PACKED_NODATA, PACKED_ONE


def is_from_to(legend: Legend) -> bool:
    """Whether the classes are pairs of land cover from → to.

    Parameters
    ----------
    legend
        Of a run.

    Returns
    -------
    bool
        As `cover_legend` takes it.

    Examples
    --------
    >>> is_from_to(Legend.load("change"))
    False
    """
    try:
        cover_legend(legend)
    except InputError:
        return False
    return True


def check_change_legend(legend: Legend, source: str) -> None:
    """Refuse classes that are neither no change and change, nor pairs from → to.

    Parameters
    ----------
    legend
        Of a run.
    source
        Its folder, for the message.

    Raises
    ------
    InputError
        For other classes.
    """
    names = [name.casefold() for name in legend.names]
    if (len(names) == 2 and CHANGE in names) or is_from_to(legend):
        return
    raise InputError(
        f"{source} predicts {', '.join(legend.names)}; expected the classes of the legend change: no change, change, or "
        "pairs of land cover from → to. Give a run that was trained with legend: change, or of the task change-cover."
    )


def change_scores(probabilities: Layer, legend: Legend, source: str) -> Layer:
    """The probability of change as a layer of one band, read by window.

    Parameters
    ----------
    probabilities
        Of all classes as bytes, value / 254.
    legend
        Of the run.
    source
        Its folder, for messages.

    Returns
    -------
    Layer
        Of classes from → to the share of the best pair that changed in that and the best one that stayed, which is what the
        network decided by.

    Raises
    ------
    InputError
        As `check_change_legend`.
    """
    check_change_legend(legend, source)
    if is_from_to(legend):
        return Layer(_PairScores(probabilities))
    index = [name.casefold() for name in legend.names].index(CHANGE)
    return probabilities.subset([probabilities.bands[index]])


class _PairScores(LayerView):
    """Probabilities of pairs from → to, read as the probability of change."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer, np.uint8, float(PACKED_NODATA), [CHANGE])
        covers = int(np.sqrt(layer.count))
        self._stays = np.eye(covers, dtype=bool).ravel()

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.layer.read(window)
        stays, changes = (data[which].max(axis=0).astype(np.float32) for which in (self._stays, ~self._stays))
        share = changes / np.maximum(stays + changes, 1)
        packed = np.rint(share * PACKED_ONE).astype(np.uint8)
        return np.where(valid, packed, np.uint8(PACKED_NODATA))[None], valid
