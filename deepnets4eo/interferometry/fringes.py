"""Fringes of an interferogram, such as of the flat earth and of slopes: the local frequency of the phase, from its spectrum.

Blocks in which no fringe rises above noise take the fringe of the nearest block that has one; far from any, it is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft, ndimage

from deepnets4eo.arrays import Floats, Mask

SPECTRUM_PX = 128  # sides of the spectrum, twice the pixels that it is of
MIN_PEAK = 25.0  # times the mean of the spectrum: white noise reaches it in one of 10 million blocks
MIN_VALID_SHARE = 0.25  # share of the pixels of a spectrum
REACH_BLOCKS = 8  # how far a fringe is taken from


@dataclass
class FringeField:
    """Cycles per pixel down and to the right of every block (2, rows, cols); NaN for a block without a fringe.

    block_px : side of the blocks
    margin_px : by which a spectrum looks beyond its block
    """

    cycles: Floats

    block_px: ClassVar[int] = 32
    margin_px: ClassVar[int] = 16

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> FringeField:
        """Return a field without any fringe for an image of this shape."""
        rows, cols = (-(-side // cls.block_px) for side in shape)
        return cls(np.full((2, rows, cols), np.nan))

    @property
    def measured_share(self) -> float:
        """Share of the blocks with a fringe."""
        return float(np.isfinite(self.cycles[0]).mean())

    def measure(self, block: tuple[int, int], phase: NDArray[np.complex64], valid: Mask) -> None:
        """Measure blocks from `block` on.

        phase : interferogram of modulus 1 with `margin_px` around whole blocks, 0 where not valid
        """
        side, step = self.block_px + 2 * self.margin_px, self.block_px
        views = sliding_window_view(phase, (side, side))[::step, ::step]
        counts = sliding_window_view(valid, (side, side))[::step, ::step].sum(axis=(2, 3))
        for row in range(len(views)):
            spectra = np.abs(fft.fft2(views[row], s=(SPECTRUM_PX, SPECTRUM_PX), axes=(1, 2)))
            for col, spectrum in enumerate(spectra):
                number = counts[row, col]
                if number >= MIN_VALID_SHARE * side**2:
                    at = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
                    if spectrum[at] ** 2 >= MIN_PEAK * number:
                        self.cycles[:, block[0] + row, block[1] + col] = _refined(spectrum, at)

    def fill(self) -> FringeField:
        """Return the field with the fringe of the nearest measured block in blocks without; NaN stays out of reach."""
        known = np.isfinite(self.cycles[0])
        if known.all() or not known.any():
            return self
        distance, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
        cycles = self.cycles[:, nearest[0], nearest[1]]
        return FringeField(np.where(distance <= REACH_BLOCKS, cycles, np.nan))


def _refined(spectrum: NDArray[np.float32], at: tuple[np.intp, ...]) -> Floats:
    """Frequency (2,) of a peak in cycles per pixel, −0.5 to 0.5, by a parabola through its neighbours."""
    refined = []
    for axis, index in enumerate(at):
        line = spectrum[:, at[1]] if axis == 0 else spectrum[at[0]]
        before, peak, after = (float(line[(index + step) % SPECTRUM_PX]) for step in (-1, 0, 1))
        bend = before - 2 * peak + after
        step = 0.5 * (before - after) / bend if bend < 0 else 0.0
        refined.append(((int(index) + step) / SPECTRUM_PX + 0.5) % 1 - 0.5)
    return np.array(refined)
