"""Bands of a cube that serve no purpose: empty, constant, mostly noise, or where water vapour takes the light.

Takes a cube, of which evenly spread windows are read; returns band numbers with reasons, or the cube without them.
"""

from __future__ import annotations

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral.cube import Cube
from deepnets4eo.inspection.band_statistics import measure_bands


def find_bad_bands(cube: Cube) -> dict[int, str]:
    """Find bands that serve no purpose.

    Empty and constant bands; bands in 1350–1430 or 1800–1950 nm, where water vapour absorbs; and bands whose neighbouring pixels
    correlate by less than 0.3, which is mostly noise (on AVIRIS scenes these are the bands usually removed, and a few beside).

    Parameters
    ----------
    cube
        The cube; at most 16 windows are read.

    Returns
    -------
    dict of int to str
        Band number (1-based, of the source) → "empty", "constant", "water vapour" or "noise".

    Examples
    --------
    >>> import numpy as np
    >>> smooth = np.add.outer(np.arange(20.0), np.arange(20.0))
    >>> find_bad_bands(Cube.open(np.stack([smooth, smooth * 0 + 3])))
    {2: 'constant'}
    """
    return measure_bands(cube.layer, cube.wavelengths_nm).bad_bands()


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
            f"every band of {cube.layer.source} is empty, constant or noise. Check the file and its nodata value."
        )
    return cube.without_bands(bad) if bad else cube
