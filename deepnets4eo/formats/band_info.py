"""Declared properties of one band: its name, what it shows, the meaning of its numbers, and its nodata numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask

UNIT_TAGS = (
    "unit", "units", "unittype", "unit_type",
    "vertical_unit", "vertical_units", "z_unit", "z_units", "height_unit", "height_units", "elevation_unit", "elevation_units",
)  # fmt: skip


class StoredValues(NamedTuple):
    """Meaning of stored numbers: (number × scale + offset), its size to a power and its sign kept, in a unit ("" if none is named)."""

    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    power: float = 1.0

    @property
    def plain(self) -> bool:
        """Return whether the stored numbers are the values."""
        return self.scale == 1 and self.offset == 0 and self.power == 1

    def values(self, numbers: NDArray[Any]) -> Floats:
        """Return the physical values of numbers of any shape."""
        values = numbers * np.float64(self.scale) + self.offset
        return values if self.power == 1 else np.copysign(np.abs(values) ** self.power, values)


@dataclass(frozen=True)
class BandInfo:
    """Properties of one band, as a source declares them.

    name : "" if it has none
    colour : GDAL's word for what it shows ("red", "gray", "undefined"), "" if there is none
    nodata, missing : the stored number that means no data, and further such numbers
    valid_range : the smallest and the largest stored number that is a value
    """

    name: str = ""
    colour: str = ""
    wavelength_nm: float | None = None
    stored: StoredValues = StoredValues()
    nodata: float | None = None
    missing: tuple[float, ...] = ()
    valid_range: tuple[float, float] | None = None

    @property
    def limits(self) -> bool:
        """Return whether the numbers that are values depend on more than a nodata value."""
        return bool(self.missing) or self.valid_range is not None

    def outside(self, numbers: NDArray[Any]) -> Mask:
        """Return which stored numbers are outside the valid range; NaN is not."""
        if self.valid_range is None:
            return np.zeros(numbers.shape, bool)
        low, high = self.valid_range
        return np.asarray((numbers < low) | (numbers > high))


def unit_tag(tags: Mapping[str, str]) -> str | None:
    """Return what tags of a file or a band call the unit of its values, in any case of letters."""
    lower = {name.lower(): value for name, value in tags.items()}
    return next((str(lower[name]).strip() for name in UNIT_TAGS if name in lower), None)
