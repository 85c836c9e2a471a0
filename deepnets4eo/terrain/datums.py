"""What heights refer to: a geoid or levelling network, or the ellipsoid; up to 100 m lie between them."""

from __future__ import annotations

import shlex
from typing import Any

from deepnets4eo.errors import InputError

ELLIPSOID = "the ellipsoid"


def vertical_datum(crs: Any) -> str | None:
    """Return the name of what heights in a CRS (pyproj) refer to; None where it does not say so.

    >>> import pyproj
    >>> vertical_datum(pyproj.CRS("EPSG:32633+5773")), vertical_datum(pyproj.CRS("EPSG:4979")), vertical_datum(None)
    ('EGM96 geoid', 'the ellipsoid', None)"""
    if crs is None:
        return None
    if crs.is_bound:
        return vertical_datum(crs.source_crs)
    parts = [part.source_crs if part.is_bound else part for part in crs.sub_crs_list] if crs.is_compound else [crs]
    for part in parts:
        if part.is_vertical:
            name = part.datum.name if part.datum is not None else part.name
            return ELLIPSOID if "ellipsoid" in f"{name} {part.name}".lower() else name
    return ELLIPSOID if any(axis.direction == "up" for axis in crs.axis_info) and not crs.is_geocentric else None


def check_same_datum(first: Any, second: Any, sources: tuple[str, str]) -> None:
    """Refuse heights of which both CRSs say what they refer to, and not to the same. Errors: InputError with a command."""
    datums = vertical_datum(first), vertical_datum(second)
    if None in datums or datums[0].casefold() == datums[1].casefold():  # type: ignore[union-attr]
        return
    raise InputError(
        f"the heights of {sources[0]} refer to {datums[0]}, those of {sources[1]} to {datums[1]}; expected one reference, as up to "
        f"100 m lie between them. Bring one to the other's, where PROJ has the grids (projsync): gdalwarp -s_srs "
        f"{_srs(second)} -t_srs {_srs(first)} {shlex.quote(sources[1])} OUT.tif; where a file states the wrong one, gdal_edit.py -a_srs."
    )


def _srs(crs: Any) -> str:
    """A CRS as a command takes it."""
    if crs.to_epsg() is not None:
        return f"EPSG:{crs.to_epsg()}"
    codes = [part.to_epsg() for part in crs.sub_crs_list] if crs.is_compound else []
    return f"EPSG:{'+'.join(map(str, codes))}" if codes and None not in codes else shlex.quote(crs.name)
