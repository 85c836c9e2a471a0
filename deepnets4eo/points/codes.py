"""Class codes of point files as label values of a legend: what a file calls otherwise, what is void, what is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.errors import LabelError
from deepnets4eo.points.cloud import NOISE_CODES, PointCloud

MOST_NAMED = 10
NOISE = "noise"


def has_asprs_noise(legend: Legend) -> bool:
    """Return whether 7 and 18 in files of a legend are noise, as ASPRS has it: no class of another name has these
    codes.

    >>> [has_asprs_noise(Legend.load(name)) for name in ("asprs_las", "ign_lidar_hd", "dales", "h3d")]
    [True, True, False, False]
    """
    names = {one.value: one.name for one in legend.classes}
    names |= {stored: names.get(value, "") for stored, value in legend.file_values.items()}
    return all(NOISE in names.get(code, NOISE) for code in NOISE_CODES)


def legend_codes(cloud: PointCloud, legend: Legend, *, unknown_is_void: bool = False) -> NDArray[np.uint8]:
    """Returns the classification of a cloud in the values of a legend, as the legend reads files.

    Parameters
    ----------
    cloud : points with a classification
    legend : the legend; its `file_values` say which codes stand for another, its `void_values` which mean nothing
    unknown_is_void : whether codes that the legend does not have are void, too

    Returns
    -------
    (N,) uint8, label values; 255 for void.

    Raises
    ------
    LabelError
        The cloud has no classification, or codes that the legend does not have.

    Examples
    --------
    >>> codes = np.array([2, 4, 6, 161, 66], np.uint8)
    >>> legend_codes(PointCloud(np.zeros((5, 3)), classification=codes), Legend.load("ign_lidar_hd")).tolist()
    [2, 5, 6, 64, 255]
    """
    if cloud.classification is None:
        raise LabelError(f"{cloud.source} has no classification. Give a classified cloud.")
    table = np.full(256, VOID, np.uint8)
    table[list(legend.values)] = legend.values
    for stored, value in legend.file_values.items():
        if 0 <= stored <= VOID:
            table[stored] = value
    known = {*legend.values, *legend.void_values, *legend.file_values, VOID}
    if not unknown_is_void:
        check_codes(np.bincount(cloud.classification, minlength=256), known, legend, cloud.source)
    return np.asarray(table[cloud.classification])


def check_codes(counts: NDArray[Any], known: set[int], legend: Legend, source: str) -> None:
    """Raise LabelError, which lists codes with their counts, where points have codes that are not in `known`. `counts`
    (256,) has the points of each code."""
    strange = [int(code) for code in np.flatnonzero(counts) if code not in known]
    if strange:
        listed = ", ".join(f"{code} ({int(counts[code]):,} points)" for code in strange[:MOST_NAMED])
        raise LabelError(
            f'{source} has class codes that are not in legend "{legend.name}": {listed}. Expected '
            f"{', '.join(f'{one.value} {one.name}' for one in legend.classes)}. Choose the legend that has them, "
            "or make them void: --unknown void of evaluate, --set data.unknown_labels=void of train, unknown_is_void=True in Python."
        )
