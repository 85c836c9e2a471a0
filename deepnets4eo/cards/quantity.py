"""The quantity of a continuous map: name, unit, possible values, and whether zero is one of them.

Takes plain values; is written into runs and into the tags of rasters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from deepnets4eo.errors import InputError
from deepnets4eo.files import parse_json

TAG = "QUANTITY"


@dataclass(frozen=True)
class Quantity:
    """The quantity that a network estimates at every pixel: name, unit, possible values, meaning of zero, with or without deviation."""

    name: str
    unit: str = "m"
    low: float = -math.inf
    high: float = math.inf
    zero: Literal["value", "void"] = "value"
    deviation: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"the values of {self.name} lie from {self.low:g} to {self.high:g}; expected low < high.")

    def __str__(self) -> str:
        return f"{self.name} in {self.unit}" + (" with its standard deviation" if self.deviation else "")

    @property
    def num_channels(self) -> int:
        """Return the number of channels of a network: values, and their deviations if these are estimated."""
        return 2 if self.deviation else 1

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands of a raster."""
        return (self.name, "standard deviation")[: self.num_channels]

    def known_mask(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return a mask of the values, of any shape, that are possible and not void."""
        with np.errstate(invalid="ignore"):
            known = (values >= self.low) & (values <= self.high) & np.isfinite(values)
        return known & (values != 0) if self.zero == "void" else known

    def to_dict(self) -> dict[str, Any]:
        """Plain values; infinite limits are left out."""
        return {key: value for key, value in asdict(self).items() if value not in (math.inf, -math.inf)}

    @staticmethod
    def names() -> list[str]:
        """Return the names of the quantities that the toolbox knows."""
        return list(_BY_NAME)

    @staticmethod
    def from_name(name: str) -> Quantity:
        """Return a quantity that the toolbox knows. Raises KeyError.

        >>> Quantity.from_name("depth").zero
        'void'
        """
        return _BY_NAME[name]

    @classmethod
    def from_dict(cls, values: Any, where: str) -> Quantity:
        """Return the quantity that `to_dict` described. Raises InputError, naming `where` it was read."""
        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
            raise InputError(
                f"{where}: the quantity is {values!r}; expected a name, and maybe unit, low, high, zero and deviation ({error})."
            ) from error

    def to_tags(self) -> dict[str, str]:
        """Return the tag of rasters of this quantity."""
        return {TAG: json.dumps(self.to_dict())}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str], where: str) -> Quantity | None:
        """Return the quantity in the tags of a raster, or None without one. Raises InputError for a tag that cannot be read."""
        if TAG not in tags:
            return None
        name = f"the tag {TAG} of {where}"
        return cls.from_dict(parse_json(tags[TAG], name), name)


# heights above ground: pits are a little below 0, the tallest building 828 m; depth: what cameras and short LiDAR measure
_BY_NAME = {
    "height": Quantity("height", low=-30, high=1000),
    "depth": Quantity("depth", low=0, high=100, zero="void"),
}
