"""What an image of a flood was taken by, recognised from its bands: radar, an optical image with infrared, or one of fine pixels.

Takes a layer; returns its kind and the bands that are read. Refuses images without bands that show water.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.floods.optical import COARSEST_M
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.rasters import COLOURS, Layer, metres_of, nearest_indices, polarisations, role_indices, words_of

Kind = Literal["radar", "spectrum", "surface", "map"]
ANGLES = ("deg", "degree", "degrees", "°", "rad", "radian", "radians")
SENTINEL_2 = {"b3": "green", "b03": "green", "b8": "nir", "b08": "nir", "b11": "swir", "b4": "red", "b04": "red", "b2": "blue",
              "b02": "blue"}  # fmt: skip
GEOMETRY = {"angle", "incidence", "lia", "dem", "dsm", "dtm", "ndsm", "height", "heights", "elevation", "hand", "slope", "aspect", "mask",
            "layover", "shadow"}  # fmt: skip
SHORT_WAVE = ("swir", "swir1", "swir16")
WAVELENGTHS_NM = {"red": 660.0, "green": 560.0, "blue": 480.0, "nir": 840.0, "swir": 1610.0}  # a tenth away at most


def recognise(layer: Layer, sensor: str = "auto") -> tuple[Kind, Layer]:
    """What a date is, and the layer with the bands that are read, named by what they show.

    sensor : "auto", "optical" or "radar". Errors: InputError for optical images without bands that show water.
    """
    layer = _without_geometry(layer)
    names = [name.strip().casefold() for name in layer.band_names]
    roles = _roles(layer, names)
    polarised = {} if sensor == "optical" else polarisations(layer.band_names, layer.tags, layer.source)
    of_radar = bool(polarised) and not {"green", "nir", "swir"} & _roles_by_name(names).keys()
    if sensor == "radar" or (sensor == "auto" and (of_radar or (layer.count <= 2 and layer.dtype.kind == "f"))):
        chosen = layer.subset([layer.bands[index] for index in polarised.values()]) if polarised else layer
        return "radar", chosen.with_names(list(polarised) or names)
    infrared = [role for role in ("nir", "swir") if role in roles]
    if "green" in roles and infrared and (layer.grid.crs is None or mean_gsd_m(layer.grid) > COARSEST_M):
        return "spectrum", _by_roles(layer, roles, ["green", *infrared])
    if all(role in roles for role in COLOURS):
        return "surface", _by_roles(layer, roles, COLOURS)
    raise InputError(
        f"{layer.source} has the bands {', '.join(name[:30] for name in layer.band_names[:8])}; water is found in radar (VV, VH, HH, HV), in green with "
        "near or short-wave infrared, or in red, green and blue of at most 2 m. Name its bands, e.g. --set post_bands=green,nir,swir, "
        "or say --sensor radar."
    )


def _without_geometry(layer: Layer) -> Layer:
    """The bands that show how the ground looked: without angles, heights and masks, by their names and units. Errors: InputError for none."""
    words = [{*words_of(name)} for name in layer.band_names]
    metres = [metres_of(stored.unit) is not None or stored.unit.casefold() in ANGLES for stored in layer.scaling]
    image_bands = [
        band for band, terms, high in zip(layer.bands, words, metres, strict=True) if not (terms & GEOMETRY or high)
    ]
    if not image_bands:
        raise InputError(
            f"{layer.source} has the bands {', '.join(name[:30] for name in layer.band_names[:8])}, which are heights, angles or masks and "
            "no image. Give radar or an optical image."
        )
    return layer.subset(image_bands)


def in_colours(layer: Layer) -> Layer | None:
    """The bands of red, green and blue of an optical image; None where it lacks one."""
    roles = _roles(layer, [name.strip().casefold() for name in layer.band_names])
    return _by_roles(layer, roles, COLOURS) if all(role in roles for role in COLOURS) else None


def _roles(layer: Layer, names: Sequence[str]) -> dict[str, int]:
    """Role → index of the band, by names, else by wavelengths; of three or four bands without either by their order."""
    roles = _roles_by_name(names)
    wavelengths = layer.wavelengths_nm
    if not roles and wavelengths is not None and np.isfinite(wavelengths).any():
        nearest = zip(WAVELENGTHS_NM.items(), nearest_indices(wavelengths, WAVELENGTHS_NM.values()), strict=True)
        roles = {role: index for (role, centre), index in nearest if abs(wavelengths[index] - centre) <= centre / 10}
    if not roles and layer.count in (3, 4):
        return dict(zip((*COLOURS, "nir"), range(layer.count), strict=False))
    return roles


def _roles_by_name(names: Sequence[str]) -> dict[str, int]:
    roles = role_indices(names)
    if {"b8", "b08"} & set(names):
        roles |= {SENTINEL_2[name]: index for index, name in enumerate(names) if name in SENTINEL_2}
    short_wave = [index for index, name in enumerate(names) if name in SHORT_WAVE]
    if short_wave:
        roles["swir"] = short_wave[0]
    return roles


def _by_roles(layer: Layer, roles: Mapping[str, int], wanted: Sequence[str]) -> Layer:
    return layer.subset([layer.bands[roles[role]] for role in wanted]).with_names(list(wanted))
