"""Dates of a series that differ from the others in kind: in the future, without a CRS, or in another unit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np

from deepnets4eo.display import list_names
from deepnets4eo.grid import Window
from deepnets4eo.rasters import Layer

log = logging.getLogger(__name__)

LOOKED_AT_PX = 256  # side of the window in the middle of each image that is read
OTHER_UNIT = 100.0  # times the middle size of a band: clouds are some ten times as bright as land, night and water as much darker
MIN_DATES = 3  # of which one differs
NAMED = 3  # dates in a message


def report_odd_dates(days: Sequence[date], opened: Sequence[Sequence[Layer]]) -> None:
    """Warn of dates that have not come yet, that have no CRS where others have one, and whose values seem to have another unit."""
    future = [day for day in days if day > date.today() + timedelta(days=1)]  # the day may have begun elsewhere
    if future:
        log.warning(
            "The series has dates that have not come yet: %s. Correct them: they decide the order.", _named(future)
        )
    unplaced = [
        day for day, layers in zip(days, opened, strict=True) if any(layer.grid.crs is None for layer in layers)
    ]
    if 0 < len(unplaced) < len(days):
        lost = " As the first image has none, the result has no place." if opened[0][0].grid.crs is None else ""
        log.warning(
            "The images of %s have no CRS, others have one: they are laid on each other pixel by pixel.%s Georeference them: gdal_translate -a_srs "
            "EPSG:… -a_ullr LEFT TOP RIGHT BOTTOM IN OUT.", _named(unplaced), lost,
        )  # fmt: skip
    sizes = np.array([[_size(layer) for layer in layers] for layers in opened])
    known = np.isfinite(sizes) & (sizes > 0)
    if len(days) < MIN_DATES or (known.sum(axis=0) < MIN_DATES).any():
        return
    ratio = np.where(known, sizes, np.nan) / np.nanmedian(np.where(known, sizes, np.nan), axis=0)
    odd = [day for day, values in zip(days, ratio, strict=True) if (np.fmax(values, 1 / values) >= OTHER_UNIT).any()]
    if odd:
        log.warning(
            "The values of %s are %.0f times larger or smaller than usual at the other dates, as in another unit: what changed there is not known. Bring "
            "all dates to one unit, from the same product.", _named(odd), float(np.nanmax(np.fmax(ratio, 1 / ratio))),
        )  # fmt: skip


def _size(layer: Layer) -> float:
    """Return the 99th percentile of the sizes of the values in the middle of a layer; NaN without any."""
    height, width = layer.shape
    rows, cols = min(height, LOOKED_AT_PX), min(width, LOOKED_AT_PX)
    data, valid = layer.read(Window((height - rows) // 2, (width - cols) // 2, rows, cols))
    values = np.abs(data[:, valid])
    return float(np.percentile(values, 99)) if values.size else float("nan")


def _named(days: Sequence[date]) -> str:
    return list_names([day.isoformat() for day in days], NAMED)
