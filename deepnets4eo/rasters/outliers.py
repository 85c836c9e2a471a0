"""Values of a band that cannot belong to the others: undeclared nodata, and spikes.

Takes the valid values of one band, or some of them; returns what is far from all others, or None. A mean and a
deviation depend on few such values, so that what is scaled by them shows nothing else any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32 = np.finfo(np.float32)
SENTINELS = (-9999.0, -99999.0, -32767.0, -32768.0, float(FLOAT32.min), float(FLOAT32.max))  # usual nodata values
GAP = 10.0  # spans (1st to 99th percentile) between one extreme value and all others; a sentinel needs one span
FAR = 20.0  # spans beyond the percentiles
RUINED = 2.0  # times the deviation without them: fewer or nearer values change little


@dataclass(frozen=True)
class Outliers:
    """Values far from all others: the range of the far values, and that of the others."""

    lowest: float
    highest: float
    low: float
    high: float

    @property
    def nodata(self) -> float | None:
        """The value that they are, where it is one that means no data by custom."""
        return self.lowest if self.lowest == self.highest and self.lowest in SENTINELS else None

    def others(self, values: NDArray[Any]) -> NDArray[Any]:
        """Those of `values` that are not far."""
        return values[(values >= self.low) & (values <= self.high)]

    def dominates_std(self, std: float, values: NDArray[Any]) -> bool:
        """Whether a deviation of `std` is due to the far values: more than twice that of the others among `values`."""
        return std > RUINED * float(self.others(values).std(dtype=np.float64))

    def __str__(self) -> str:
        """As in a sentence."""
        which = (
            f"{self.lowest:g}" if self.lowest == self.highest else f"values from {self.lowest:g} to {self.highest:g}"
        )
        return f"{which}, far from all others ({self.low:.4g} to {self.high:.4g})"


def find_outliers(values: NDArray[Any]) -> Outliers | None:
    """Values far from most of `values` (n,); None where there are none. Bytes are never far from each other.

    >>> heights = np.linspace(28.0, 42.0, 1000)
    >>> str(find_outliers(np.append(heights, [-9999.0] * 300)))
    '-9999, far from all others (28 to 42)'
    >>> find_outliers(heights) is None
    True
    """
    if values.dtype.itemsize == 1 or not values.size:
        return None
    others = values.astype(np.float64)
    for end in (others.min(), others.max()):
        rest = others[others != end]
        if rest.size and _gap(end, rest) > (1.0 if end in SENTINELS else GAP):
            others = rest
    low, high = np.percentile(others, (1, 99))
    span = high - low
    if span > 0:
        others = others[(others >= low - FAR * span) & (others <= high + FAR * span)]
    far = values[(values < others.min()) | (values > others.max())]
    if not far.size:
        return None
    return Outliers(float(far.min()), float(far.max()), float(others.min()), float(others.max()))


def _gap(end: float, rest: NDArray[np.float64]) -> float:
    """Distance from the end to the nearest of the rest, in spans of the rest; 0 where they are all alike."""
    low, high = np.percentile(rest, (1, 99))
    nearest = rest.min() if end < rest.min() else rest.max()
    return float(abs(end - nearest) / (high - low)) if high > low else 0.0
