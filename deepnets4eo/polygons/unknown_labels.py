"""Label values that a legend lacks, where only some of its classes become polygons."""

from __future__ import annotations

import logging

from deepnets4eo.cards import Legend
from deepnets4eo.errors import LabelError
from deepnets4eo.rasters import Layer
from deepnets4eo.tiling import spread_windows

WINDOW_PX, WINDOWS = 256, 4  # side of a window, and how many along each side of the raster

log = logging.getLogger(__name__)


def warn_of_unknown_labels(layer: Layer, legend: Legend) -> None:
    """Warn of label values that a legend lacks, if only some of its classes are looked for. Looks at spread windows."""
    stored = layer.as_stored()
    for window in spread_windows(layer.shape, (WINDOW_PX, WINDOW_PX), WINDOWS):
        data, valid = stored.read(window)
        try:
            legend.check(legend.from_file(data[0][valid]), layer.source)
        except LabelError as error:
            log.warning("%s", error)
            return
