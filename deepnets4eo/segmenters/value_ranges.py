"""Value ranges of an image's bands, and the only test of whether two images can have one unit.

Places differ, units differ more: dark, flat or flooded scenes pass, values divided by 10,000 or 255 do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask

PERCENTILES = (1, 99)
NAMED = 5  # bands in a message


@dataclass(frozen=True)
class ValueRange:
    """The 1st and 99th percentile of each band, `lows` and `highs` (C,), and of all values together; `constant` (C,): bands of one value."""

    other_unit: ClassVar[float] = 50.0  # times smaller in every band: 0–1 where there was 0–255, but not a dark scene
    suspect: ClassVar[float] = 10.0  # times smaller in every band, or larger in any
    suspect_band: ClassVar[float] = (
        100.0  # times smaller in one band alone: near infrared over water is 50 times darker than over land
    )
    suspect_learnt: ClassVar[float] = (
        1000.0  # times smaller in one band alone that was learnt to be as dark: infrared of 2 µm over water
    )
    enough_bands: ClassVar[int] = 3  # that are smaller together; a height or a power of radar may be small by itself

    lows: Floats
    highs: Floats
    low: float
    high: float
    constant: Mask

    @classmethod
    def of_pixels(cls, pixels: NDArray[Any]) -> ValueRange | None:
        """Return the range of pixels (C, n); None without any."""
        if not pixels.size:
            return None
        low, high = np.percentile(pixels, PERCENTILES).tolist()
        lows, highs = np.percentile(pixels, PERCENTILES, axis=1)
        return cls(lows, highs, low, high, np.asarray(pixels.min(axis=1) == pixels.max(axis=1)))

    @property
    def sizes(self) -> Floats:
        """Return (C,) the larger end of each band, without its sign."""
        return np.maximum(np.abs(self.lows), np.abs(self.highs))

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}"

    def times_smaller(self, expected: ValueRange) -> float:
        """Return by what factor, at least, the values of every band are smaller than expected; 1 if no band can be compared."""
        known = (self.sizes > 0) & (expected.sizes > 0)
        return float((expected.sizes[known] / self.sizes[known]).min()) if known.any() else 1.0

    def is_other_unit(self, expected: ValueRange) -> bool:
        """Return whether enough bands are so much smaller than expected that no scene explains it."""
        return len(self.lows) >= ValueRange.enough_bands and self.times_smaller(expected) >= ValueRange.other_unit

    def strange_bands(self, expected: ValueRange, names: Sequence[str]) -> list[str]:
        """Describe bands of another order of magnitude than expected, and constant bands that were expected to vary, in words."""
        sizes, usual = self.sizes, expected.sizes
        varied = (expected.lows < expected.highs) & ~expected.constant
        known = (sizes > 0) & (usual > 0) & varied
        ratio = np.divide(sizes, usual, out=np.ones(len(sizes)), where=known)
        all_smaller = len(sizes) >= ValueRange.enough_bands and self.times_smaller(expected) >= ValueRange.suspect
        as_dark = (expected.lows >= 0) & (self.highs >= expected.lows)  # values that were learnt from
        alone = np.where(as_dark, ValueRange.suspect_learnt, ValueRange.suspect_band)
        smallest = (
            np.full(len(sizes), ValueRange.suspect if all_smaller else ValueRange.other_unit)
            if all_smaller or len(sizes) == 1
            else alone
        )
        words = []
        for band, name in enumerate(names):
            usually = f"{expected.lows[band]:.4g} to {expected.highs[band]:.4g}"
            if self.constant[band] and varied[band]:
                words.append(f"{name} is {self.highs[band]:.4g} everywhere that was looked at (in training {usually})")
            elif ratio[band] >= ValueRange.suspect or ratio[band] * smallest[band] <= 1:
                words.append(f"{name} has {self.lows[band]:.4g} to {self.highs[band]:.4g} (in training {usually})")
        return words if len(words) <= NAMED else [*words[:NAMED], f"and {len(words) - NAMED} more"]
