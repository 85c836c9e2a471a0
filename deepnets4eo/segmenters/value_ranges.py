"""Value ranges of an image's bands, and the only test of whether two images can have one unit.

Places differ, units differ more: dark, flat or flooded scenes pass, values divided by 10,000 or 255 do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Mask

PERCENTILES = (1, 99)
NAMED = 5  # bands in a message


@dataclass(frozen=True)
class OffsetRules:
    """Rules by which values of 10,000 for a reflectance of 1 are suspected of an offset that neither file states, such as Sentinel-2's 1,000.

    Chosen on 120 EuroSAT patches in groups of 4 (TOA), six BigEarthNet patches, five dates at Lahinch with clouds, and two chips in Spain and
    Tanzania, 1 December 2026: 88 runs of 1 to 30 of these places against all others named none of 8,300 images as they are, with snow, clouds
    and water among them, and 98 % of those with 1,000 added to the image, or to the training. Runs that learnt only thick clouds are named.
    """

    dark: float = 900.0  # highest floor of images without an offset: haze at the top of the atmosphere, bare ground
    bright: float = 1000.0  # lowest floor of images with an offset: reflectances below 0 are rare
    min_gap: float = 500.0  # of the floors
    max_gap: float = 1800.0  # thick clouds and snow are brighter
    min_pixels: int = 128**2  # single fields of 64² pixels may have no dark pixel: 3 % of them were named

    def suspect(self, floor: float, usual: float) -> bool:
        """Return whether the darkest values of all bands and of training are as far from each other as an offset."""
        lower, higher = sorted((floor, usual))
        return lower <= self.dark and higher >= self.bright and self.min_gap <= higher - lower <= self.max_gap


@dataclass(frozen=True)
class ValueRange:
    """The 1st and 99th percentile of each band, `lows` and `highs` (C,), and of all values together.

    constant (C,) : bands of one value
    pixels : how many were seen; 0 if it is unknown
    peaks (C,) : the largest value of each band; empty if it is unknown"""

    other_unit: ClassVar[float] = 50.0  # times smaller in every band: 0–1 where there was 0–255, but not a dark scene
    suspect: ClassVar[float] = 10.0  # times smaller in every band, or larger in any
    suspect_band: ClassVar[float] = (
        100.0  # times smaller in one band alone: near infrared over water is 50 times darker than over land
    )
    suspect_learnt: ClassVar[float] = (
        1000.0  # times smaller in one band alone that was learnt to be as dark: infrared of 2 µm over water
    )
    byte: ClassVar[int] = 255
    # largest value of each band: of 179 of 186 images of bytes (the others are composites of Landsat), of no band of 127 images of 16 bits
    full_byte: ClassVar[float] = 192.0
    enough_bands: ClassVar[int] = 3  # that are smaller together; a height or a power of radar may be small by itself

    lows: Floats
    highs: Floats
    low: float
    high: float
    constant: Mask
    pixels: int = 0
    peaks: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of_pixels(cls, pixels: NDArray[Any]) -> ValueRange | None:
        """Return the range of pixels (C, n); None without any."""
        if not pixels.size:
            return None
        low, high = np.percentile(pixels, PERCENTILES).tolist()
        lows, highs = np.percentile(pixels, PERCENTILES, axis=1)
        peaks = pixels.max(axis=1)
        constant = np.asarray(pixels.min(axis=1) == peaks)
        return cls(lows, highs, low, high, constant, pixels.shape[1], peaks.astype(np.float64))

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

    def describe_offset(self, expected: ValueRange) -> str:
        """Describe in words darkest values of all bands that differ by about the offset of Sentinel-2 from those expected; '' if they do not."""
        rules = OffsetRules()
        reaching = (expected.highs >= rules.dark) & ~expected.constant  # not masks and bands of haze
        if reaching.sum() < ValueRange.enough_bands or self.pixels < rules.min_pixels:
            return ""
        floor, usual = float(self.lows[reaching].min()), float(expected.lows[reaching].min())
        if not rules.suspect(floor, usual):
            return ""
        return (
            f"no band has values below {floor:.4g} (in training down to {usual:.4g})"
            if floor > usual
            else (f"bands have values down to {floor:.4g} (in training no band below {usual:.4g})")
        )

    def may_be_bytes(self, expected: ValueRange) -> bool:
        """Return whether the values of every band fill a byte, as of a picture, where each band was expected to go far beyond."""
        varied = ~expected.constant
        if not self.peaks.size or varied.sum() < ValueRange.enough_bands:
            return False
        peaks, beyond = self.peaks[varied], expected.highs[varied] >= 2 * ValueRange.byte
        full = (peaks >= ValueRange.full_byte) & (peaks <= ValueRange.byte)
        return bool(beyond.all() and full.all() and (self.lows[varied] >= 0).all())

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
