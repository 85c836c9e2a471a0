"""Bands of a cube that serve no purpose: empty, constant, mostly noise, where water vapour takes the light, or called bad.

Takes a cube, of which evenly spread windows are read; returns band numbers with reasons, or the cube without them.
"""

from __future__ import annotations

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.cube import Cube
from deepnets4eo.inspection.band_statistics import measure_bands
from deepnets4eo.inspection.cubes import bad_bands


def find_bad_bands(cube: Cube) -> dict[int, str]:
    """Find bands that serve no purpose.

    Empty and constant bands; bands in 1350–1430 or 1800–1950 nm, where water vapour absorbs; and bands whose neighbouring pixels
    correlate by less than 0.3, which is mostly noise (on AVIRIS scenes these are the bands usually removed, and a few beside).
    And bands that the list bbl in the header of an ENVI file calls bad.

    Parameters
    ----------
    cube
        The cube; at most 16 windows are read.

    Returns
    -------
    dict of int to str
        Band number (1-based, of the source) → "empty", "constant", "water vapour", "noise" or "called bad by the header".

    Examples
    --------
    >>> import numpy as np
    >>> smooth = np.add.outer(np.arange(20.0), np.arange(20.0))
    >>> find_bad_bands(Cube.open(np.stack([smooth, smooth * 0 + 3])))
    {2: 'constant'}
    """
    return bad_bands(cube.layer, measure_bands(cube.layer, cube.wavelengths_nm))


def remove_bad_bands(cube: Cube) -> Cube:
    """Leave out the bands that `find_bad_bands` finds.

    Parameters
    ----------
    cube
        The cube.

    Returns
    -------
    Cube

    Raises
    ------
    InputError
        No band would be left.
    """
    bad = find_bad_bands(cube)
    if len(bad) == len(cube.bands):
        raise InputError(
            f"every band of {cube.layer.source} is empty, constant or noise, or called bad by the header. Check the file and its nodata value."
        )
    return cube.without_bands(bad) if bad else cube
