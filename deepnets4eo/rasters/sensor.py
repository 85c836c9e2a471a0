"""Sensor of a raster, as far as its band metadata state it: optical bands by role, or radar by polarisation.

Recognised from all bands of a source, whichever of them are read: a subset has the same sensor as the whole source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from deepnets4eo.formats import Declared
from deepnets4eo.rasters.band_roles import COLOURS, roles_by_wavelength, spectral_roles, states_nothing
from deepnets4eo.rasters.length_units import metres_of
from deepnets4eo.rasters.radar_bands import RadarUnit, is_radar_name, polarisations, stated_unit, words_of

ANGLES = ("deg", "degree", "degrees", "°", "rad", "radian", "radians")
GEOMETRY = {"angle", "incidence", "lia", "dem", "dsm", "dtm", "ndsm", "height", "heights", "elevation", "hand", "slope", "aspect", "mask",
            "layover", "shadow"}  # fmt: skip
PLATFORM_TAGS = re.compile("spacecraft|satellite|platform|mission|constellation|product|sensor", re.IGNORECASE)


@dataclass(frozen=True)
class Sensor:
    """Sensor of a raster. declared : metadata of the source on all its bands; read : the bands that count, 1-based."""

    declared: Declared
    read: tuple[int, ...]

    @property
    def image_bands(self) -> list[int]:
        """The bands read that show how the ground looked: no angles, heights and masks, by their names and units."""
        return [band for band in self.read if not self._is_geometry(band)]

    def _is_geometry(self, band: int) -> bool:
        unit = self.declared.stored[band - 1].unit
        is_length_or_angle = metres_of(unit) is not None or unit.casefold() in ANGLES
        return is_length_or_angle or bool({*words_of(self.declared.names[band - 1])} & GEOMETRY)

    @property
    def roles(self) -> dict[str, int]:
        """Role → band, by names, else by wavelengths; of three or four bands that state neither, by colours and order."""
        stated = self._stated_roles()
        if not stated and self.states_nothing and len(self.image_bands) in (len(COLOURS), len(COLOURS) + 1):
            return self._roles_by_order()
        return stated

    def _stated_roles(self) -> dict[str, int]:
        roles = spectral_roles(self.declared.names, self._about)
        if not roles and self.declared.wavelengths_nm is not None:
            roles = roles_by_wavelength(np.array(self.declared.wavelengths_nm, np.float64))
        bands = self.image_bands
        return {role: index + 1 for role, index in roles.items() if index + 1 in bands}

    @property
    def _about(self) -> str:
        """Words of the source about what took it: its name and the tags of its platform."""
        tags = (str(value) for name, value in self.declared.tags.items() if PLATFORM_TAGS.search(name))
        return " ".join([PurePath(self.declared.source).name, *tags])

    def _roles_by_order(self) -> dict[str, int]:
        """Red, green and blue as the colour interpretation has them, else the first three; what is left is near infrared."""
        bands, words = self.image_bands, self.declared.colours or []
        stated = {word: number for number, word in enumerate(words, start=1) if word in COLOURS and number in bands}
        colours = stated if len(stated) == len(COLOURS) else dict(zip(COLOURS, bands, strict=False))
        further = [band for band in bands if band not in colours.values()]
        return colours | dict(zip(["nir"], further, strict=False))

    @property
    def states_nothing(self) -> bool:
        """Return whether no image band has a meaningful name or a wavelength."""
        bands = {number: self.declared.bands[number - 1] for number in self.image_bands}
        return all(states_nothing(band.name, number) and band.wavelength_nm is None for number, band in bands.items())

    @property
    def polarised(self) -> dict[str, int]:
        """Polarisation → band of radar; none of optical images. Raises InputError for several bands of one polarisation."""
        if {"green", "nir", "swir"} & self._stated_roles().keys():
            return {}
        bands = self.image_bands
        names = [self.declared.names[band - 1] for band in bands]
        known = polarisations(names, self.declared.tags, self.declared.source)
        return {name: bands[index] for name, index in known.items()}

    @property
    def may_be_radar(self) -> bool:
        """Return whether every name and wavelength of the image bands is compatible with radar."""
        names = [self.declared.names[band - 1] for band in self.image_bands]
        return self.states_nothing or all(map(is_radar_name, names))

    def radar_unit(self, bands: Sequence[int]) -> RadarUnit | None:
        """Return the unit of these radar bands, 1-based, from names, units and tags; None if none of them states it."""
        names = [self.declared.names[band - 1] for band in bands]
        return stated_unit(names, [self.declared.stored[band - 1].unit for band in bands], self.declared.tags)
