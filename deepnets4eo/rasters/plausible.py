"""Layers without values that no instrument measures, such as undeclared nodata of −3.4e38 in some bands.

Sums of their squares are infinite, so that no mean, covariance or correlation could be computed beside them. Takes layers of
floating point; integers hold no such values.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.grid import Window
from deepnets4eo.rasters.layer import Layer
from deepnets4eo.rasters.layer_view import LayerView

log = logging.getLogger(__name__)

MOST = 1e15  # squares of a hundred million such values still have a sum in float32


def plausible(data: NDArray[Any], valid: Mask) -> Mask:
    """Where no band of valid pixels exceeds `MOST`, (h, w); data : (C, h, w), valid : (h, w).

    >>> plausible(np.array([[[1.0, -3.4e38, 2.0]]]), np.array([[True, True, False]])).tolist()
    [[True, False, False]]
    """
    if not np.issubdtype(data.dtype, np.floating):
        return valid
    return np.asarray(valid & (np.abs(data) <= MOST).all(axis=0))


def without_implausible(layer: Layer) -> Layer:
    """The layer, of which pixels with a value beyond `MOST` are not valid, and 0; the first ones that are read are named in the log."""
    return Layer(PlausibleSource(layer)) if np.issubdtype(layer.dtype, np.floating) else layer


class PlausibleSource(LayerView):
    """A layer of floating point whose pixels with a value beyond `MOST` are not valid; it is not warped any more."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer, layer.dtype, layer.nodata)

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        return self._kept(*self._chosen(bands).read(window))

    def read_coarse(self, shape: tuple[int, int], bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        chosen = self._chosen(bands)
        return self._kept(*chosen.reader.read_coarse(shape, chosen.bands))

    def _chosen(self, bands: Sequence[int]) -> Layer:
        return self.layer.subset([self.layer.bands[band - 1] for band in bands])

    def _kept(self, data: NDArray[Any], valid: Mask) -> tuple[NDArray[Any], Mask]:
        kept = plausible(data, valid)
        if (kept != valid).any():
            values = data[:, valid & ~kept]
            _name_once(self.name, float(values.ravel()[np.abs(values).argmax()]))
        far = np.abs(data) > MOST  # also of pixels that are not valid: what is computed of them and dropped is finite
        return np.where(far, data.dtype.type(0), data) if far.any() else data, kept


@lru_cache(maxsize=256)
def _name_once(name: str, value: float) -> None:
    """Say what is left out of a file, once for each value: it is read window by window, and by several steps of a job."""
    log.warning(
        "%s holds values such as %g, which nothing measures: these pixels are left out. Declare them as nodata: "
        "gdal_edit.py -a_nodata VALUE FILE", name, value,
    )  # fmt: skip
