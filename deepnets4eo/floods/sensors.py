"""What an image of a flood was taken by: radar, an optical image with infrared, or one of fine pixels.

Takes a layer; returns its kind and the bands that are read. Refuses images without bands that show water.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deepnets4eo.errors import InputError
from deepnets4eo.floods.optical import COARSEST_M
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.rasters import COLOURS, Layer, RadarUnit

Kind = Literal["radar", "spectrum", "surface", "map"]
NUMBERED_REMEDY = " Numbers such as B5 mean another band for Sentinel-2 than for Landsat, and not all bands are here that would tell them apart."


@dataclass(frozen=True)
class Recognised:
    """What a date is.

    kind : how water is found in it
    image : the bands that are read, named by what they show
    unit : of radar, as the file states it; None if it states none
    """

    kind: Kind
    image: Layer
    unit: RadarUnit | None = None


def recognise(layer: Layer, sensor: str = "auto") -> Recognised:
    """Recognise a date by what its file states of its bands; values decide nothing.

    sensor : "auto", "optical" or "radar". Errors: InputError for images without bands that show water.
    """
    seen = layer.sensor
    if not seen.image_bands:
        raise InputError(
            f"{layer.source} has the bands {_listed(layer)}, which are heights, angles or masks and no image. Give radar or an optical image."
        )
    polarised = {} if sensor == "optical" else seen.polarised
    is_one_of_radar = len(seen.image_bands) <= 2 and layer.dtype.kind == "f" and seen.may_be_radar
    if sensor == "radar" or (sensor == "auto" and (polarised or is_one_of_radar)):
        bands = [*polarised.values()] or seen.image_bands
        image = layer.subset(bands)
        names = [*polarised] or [name.strip().casefold() for name in image.band_names]
        return Recognised("radar", image.with_names(names), seen.radar_unit(bands))
    roles = seen.roles
    infrared = [role for role in ("nir", "swir") if role in roles]
    if "green" in roles and infrared and (layer.grid.crs is None or mean_gsd_m(layer.grid) > COARSEST_M):
        return Recognised("spectrum", _by_roles(layer, roles, ["green", *infrared]))
    if all(role in roles for role in COLOURS):
        return Recognised("surface", _by_roles(layer, roles, COLOURS))
    raise InputError(
        f"{layer.source} has the bands {_listed(layer)}; water is found in radar (VV, VH, HH, HV), in green with "
        "near or short-wave infrared, or in red, green and blue of at most 2 m. Name its bands, e.g. --set post_bands=green,nir,swir, "
        f"or say --sensor radar.{NUMBERED_REMEDY * any(name[:1] in 'Bb' and name[1:].isdigit() for name in layer.band_names)}"
    )


def in_colours(layer: Layer) -> Layer | None:
    """The bands of red, green and blue of an optical image; None where it lacks one."""
    roles = layer.sensor.roles
    return _by_roles(layer, roles, COLOURS) if all(role in roles for role in COLOURS) else None


def _by_roles(layer: Layer, roles: Mapping[str, int], wanted: Sequence[str]) -> Layer:
    return layer.subset([roles[role] for role in wanted]).with_names(list(wanted))


def _listed(layer: Layer) -> str:
    return ", ".join(name[:30] for name in layer.band_names[:8])
