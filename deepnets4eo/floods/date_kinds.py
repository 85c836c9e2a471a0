"""The kinds of dates of a flood, and which one an image is.

Takes a layer; returns its kind and the bands that are read. Refuses images without bands that show water.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepnets4eo.errors import InputError
from deepnets4eo.floods.mask_date import MaskDate
from deepnets4eo.floods.radar_date import RadarDate
from deepnets4eo.floods.spectrum_date import SpectrumDate
from deepnets4eo.floods.surface_date import SurfaceDate
from deepnets4eo.floods.water_date import Recognised, WaterDate
from deepnets4eo.plugins import load_plugin, plugins_of
from deepnets4eo.rasters import Layer

KINDS: dict[str, type[WaterDate]] = {date.kind: date for date in (RadarDate, SpectrumDate, SurfaceDate, MaskDate)}

NUMBERED_REMEDY = " Numbers such as B5 mean another band for Sentinel-2 than for Landsat, and not all bands are here that would tell them apart."


def all_kinds() -> dict[str, type[WaterDate]]:
    """Return name → kind, of the toolbox and of other packages (group `deepnets4eo.water_dates`); the first that recognises a layer reads it."""
    others = {name: entry for name, entry in plugins_of("water_dates").items() if name not in KINDS}
    return KINDS | {name: load_plugin(entry) for name, entry in others.items()}


def recognise(layer: Layer, sensor: str = "auto") -> Recognised:
    """Recognise a date by what its file states of its bands; values decide nothing.

    sensor : "auto", "optical" or "radar". Errors: InputError for images without bands that show water.
    """
    if not layer.sensor.image_bands:
        raise InputError(
            f"{layer.source} has the bands {_listed(layer)}, which are heights, angles or masks and no image. Give radar or an optical image."
        )
    kinds = all_kinds().values()
    for kind in kinds:
        if (recognised := kind.recognise(layer, sensor)) is not None:
            return recognised
    *first, last = (kind.expects for kind in kinds if kind.expects)
    raise InputError(
        f"{layer.source} has the bands {_listed(layer)}; water is found in {', in '.join(first)}, or in {last}. "
        "Name its bands, e.g. --set post_bands=green,nir,swir, or say --sensor radar."
        f"{NUMBERED_REMEDY * any(name[:1] in 'Bb' and name[1:].isdigit() for name in layer.band_names)}"
    )


def read_date(values: Mapping[str, Any]) -> WaterDate:
    """Return the date that its `to_dict` described."""
    return all_kinds()[values["kind"]].from_dict(values)


def _listed(layer: Layer) -> str:
    return ", ".join(name[:30] for name in layer.band_names[:8])
