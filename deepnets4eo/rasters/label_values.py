"""Values of a label raster as whole numbers and as bytes; the class whose value is declared as nodata.

Takes values (h, w) of any type with a mask of what is valid; void (255) is where nothing is.
Refuses fractions, and as bytes values outside 0 to 255, naming the raster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import LabelError

if TYPE_CHECKING:
    from deepnets4eo.rasters.layer import Layer

MOST_LABEL = 2**31


def hidden_class(labels: Layer, legend: Legend) -> str | None:
    """The class whose value or colour a label raster declares as nodata, so that its pixels are void; None without one."""
    stored = labels.band_nodata
    if any(value is None or not 0 <= value <= VOID or value != int(value) for value in stored):
        return None
    if labels.count == 3:
        same = (legend.colors == stored).all(axis=1)
        return legend.names[int(same.argmax())] if same.any() else None
    value = int(legend.from_file(np.array(stored[:1], np.int64))[0])
    return legend.names[legend.values.index(value)] if labels.count == 1 and value in legend.values else None


def hidden_class_note(labels: Layer, legend: Legend) -> str | None:
    """What to say of a class that is hidden, and what to do; None without one."""
    name = hidden_class(labels, legend)
    if name is None:
        return None
    return (
        f'{labels.source} declares {labels.band_nodata[0]:g} as nodata, which is its value for "{name}": those pixels are taken '
        "as void. Remove that, e.g. with gdal_edit.py -unsetnodata FILE."
    )


def whole_numbers(values: NDArray[Any], valid: NDArray[np.bool_], source: str) -> NDArray[np.int64]:
    """Return values (h, w) as integers, void where not valid; MATLAB and some tools store labels as floats. Raises
    LabelError for fractions, and for floats beyond 2³¹."""
    if values.dtype.kind in "biu":
        return np.where(valid, values.astype(np.int64), VOID)
    numbers = np.where(valid, values, VOID)
    if (numbers != np.rint(numbers)).any() or np.abs(numbers).max(initial=0) > MOST_LABEL:
        raise LabelError(f"{source} holds {values.dtype} that are no labels. Take the argmax of scores first.")
    return numbers.astype(np.int64)


def label_bytes(values: NDArray[Any], valid: NDArray[np.bool_], source: str) -> NDArray[np.uint8]:
    """Return label values (h, w) uint8, void where not valid. Raises LabelError for what is no whole number 0–255."""
    if values.dtype == np.uint8:
        return np.where(valid, values, np.uint8(VOID))
    labels = whole_numbers(values, valid, source)
    strange = np.unique(labels[(labels < 0) | (labels > VOID)])
    if strange.size:
        raise LabelError(
            f"{source} holds the value {strange[0]}, expected label values 0 to 254 and {VOID} for void. "
            "Remap it, or declare it as nodata: gdal_edit.py -a_nodata VALUE FILE."
        )
    return labels.astype(np.uint8)
