"""Calibration factors of radar amplitudes in whole numbers, as Capella and ICEYE write them into tags or JSON.

The square of number × factor is sigma nought. Files of two dates have different factors, so that numbers cannot be compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

MAX_JSON_BYTES = 4_000_000
MAX_DEPTH = 6  # of objects in each other
BESIDE = ("_extended.json", ".json")  # ends of the names of side files, behind the stem of the image
UNIT = "amplitude"


def amplitude_factor(dataset: DatasetReader) -> float | None:
    """Return the factor that makes calibrated amplitudes of the numbers of a raster; None if nothing states it."""
    if any(name not in ("uint16", "int16", "uint8") for name in dataset.dtypes):
        return None
    tags = {**dataset.tags(ns="IMAGERY"), **dataset.tags()}
    factor = _factor_of(tags)
    if factor is not None or "\0" in dataset.name:
        return factor
    path = Path(dataset.name)
    for beside in (path.with_name(path.stem + end) for end in BESIDE):
        if beside.is_file() and beside.stat().st_size <= MAX_JSON_BYTES:
            factor = _factor_of({"json": beside.read_text(encoding="utf-8", errors="replace")})
            if factor is not None:
                return factor
    return None


def _factor_of(tags: Mapping[str, Any]) -> float | None:
    """Return the factor that tags, or JSON in them, state.

    >>> _factor_of({"TIFFTAG_IMAGEDESCRIPTION": '{"collect": {"image": {"scale_factor": 2e-4}}}'})
    0.0002
    >>> _factor_of({"CALIBRATION_FACTOR": "4e-6"})  # of the power, by ICEYE
    0.002
    """
    for keys, value in _values(tags):
        if keys[-2:] == ("image", "scale_factor"):  # Capella: of the amplitude
            return _positive(value)
        if keys[-1].rpartition(":")[2] == "calibration_factor":  # ICEYE: of the power
            power = _positive(value)
            return None if power is None else math.sqrt(power)
    return None


def _values(content: Mapping[str, Any], keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the names, in small letters, on the way to each value of nested objects, and the value; texts of JSON are parsed."""
    for name, value in content.items():
        way = (*keys, str(name).casefold())
        if isinstance(value, str) and value.lstrip().startswith("{") and len(value) <= MAX_JSON_BYTES:
            value = _parsed(value)
        if isinstance(value, Mapping) and len(way) < MAX_DEPTH:
            yield from _values(value, way)
        else:
            yield way, value


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _positive(value: Any) -> float | None:
    try:
        factor = float(value)
    except (TypeError, ValueError):
        return None
    return factor if math.isfinite(factor) and factor > 0 else None
