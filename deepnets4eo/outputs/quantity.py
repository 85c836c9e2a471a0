"""A measured quantity: value, unit, interval and the part of it that is not known, from the measurement to the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from deepnets4eo.ground_area import SQUARE_METRES
from deepnets4eo.outputs.wording import Language, number_text

MIN_HA = 0.1  # smaller areas are written in square metres


class Unit(StrEnum):
    """Units of quantities; the value is the end of a quantity's name in summary.json."""

    hectares = "ha"
    square_metres = "m2"
    metres = "m"
    pixels = "px"

    @property
    def symbol(self) -> str:
        """The unit as texts print it."""
        return "m²" if self is Unit.square_metres else str(self.value)


@dataclass(frozen=True)
class Quantity:
    """A value with its unit.

    Parameters
    ----------
    value : in `unit`
    unit : of `value`, `interval` and `unknown`
    interval : lower and upper end; None if it is not known
    unknown : the part of `value` that is not known to be true; None if all of it is known

    Examples
    --------
    >>> Quantity(1234.567, Unit.hectares, (1100, 1300)).text()
    '1,230 ha (1,100–1,300)'
    >>> [Quantity(value, Unit.hectares).text() for value in (12.345, 0.123, 0.0123456, 0.0)]
    ['12.3 ha', '0.123 ha', '123 m²', '0 ha']
    >>> Quantity(1500, Unit.pixels, (1200, 2000)).text("pt")
    '1.500 px (1.200–2.000)'
    """

    value: float
    unit: Unit
    interval: tuple[float, float] | None = None
    unknown: float | None = None

    @classmethod
    def read(cls, figures: Mapping[str, Any], name: str) -> Self:
        """Return a quantity of a summary by its name without the unit.

        Raises
        ------
        KeyError
            The summary has no quantity of this name.
        """
        quantity = cls.find(figures, name)
        if quantity is None:
            raise KeyError(name)
        return quantity

    @classmethod
    def find(cls, figures: Mapping[str, Any], name: str) -> Self | None:
        """Return a quantity of a summary by its name without the unit; None if the summary has no quantity of this name."""
        for unit in Unit:
            key = f"{name}_{unit}"
            if key in figures:
                interval = figures.get(f"{key}_interval")
                return cls(figures[key], unit, None if interval is None else (interval[0], interval[1]))
        return None

    @classmethod
    def area(cls, hectares: float, *, on_ground: bool, interval: tuple[float, float] | None = None,
             unknown: float | None = None) -> Self:  # fmt: skip
        """Return an area that was measured in hectares; if the grid is not `on_ground`, a pixel counted as 1 m² and the unit is pixels."""
        if on_ground:
            return cls(hectares, Unit.hectares, interval, unknown)
        ends = None if interval is None else (interval[0] * SQUARE_METRES, interval[1] * SQUARE_METRES)
        part = None if unknown is None else unknown * SQUARE_METRES
        return cls(hectares * SQUARE_METRES, Unit.pixels, ends, part)

    def to_dict(self, name: str, *, interval: bool = True) -> dict[str, Any]:
        """Return the entries of a summary: the value and, if `interval`, its interval or None."""
        key = f"{name}_{self.unit}"
        return {key: self.value} | ({f"{key}_interval": self.interval} if interval else {})

    def value_text(self, language: Language = "en") -> str:
        """Return value and unit: areas to three digits, in square metres below a tenth of a hectare."""
        scale, unit = self._scale
        return f"{self._number(scale * self.value, language)} {unit.symbol}"

    def text(self, language: Language = "en") -> str:
        """Return value, unit, and the interval in brackets if it is known."""
        if self.interval is None:
            return self.value_text(language)
        return f"{self.value_text(language)} ({self._ends(language)})"

    def interval_text(self, language: Language = "en") -> str:
        """Return both ends of the interval with the unit; "" if it is not known.

        >>> Quantity(1234.567, Unit.hectares, (1100, 1300)).interval_text()
        '1,100–1,300 ha'
        """
        return "" if self.interval is None else f"{self._ends(language)} {self._scale[1].symbol}"

    def _ends(self, language: Language) -> str:
        """Return the ends of the known interval in the printed unit."""
        scale, _ = self._scale
        return "–".join(self._number(scale * end, language) for end in self.interval or ())

    @property
    def _scale(self) -> tuple[float, Unit]:
        """The factor from the value to the printed number, and the printed unit."""
        if self.unit is Unit.hectares and 0 < self.value < MIN_HA:
            return SQUARE_METRES, Unit.square_metres
        return 1.0, self.unit

    def _number(self, value: float, language: Language) -> str:
        if self.unit is Unit.pixels:
            return number_text(value, language)
        rounded = float(f"{value:.3g}")
        decimals = max(0, 2 - math.floor(math.log10(rounded))) if rounded > 0 else 0
        return number_text(rounded, language, f",.{decimals}f")
