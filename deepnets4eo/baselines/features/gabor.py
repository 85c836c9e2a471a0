"""Gabor filters: how strongly the image varies with a wavelength in a direction, around each site.

Takes the grey image; returns the magnitude of each filter's complex response. The image is mirrored at its border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.feature import at_sites

REACH = 3  # standard deviations


def gabor_kernel_lines(wavelength_px: float, angle: float) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return the kernel's column and row, whose outer product it is: its Gaussian is round, one octave wide.

    angle : radians, of the direction in which the wave runs; 0 right, π/2 down. Source: Jain, Farrokhnia, Pattern
    Recognition 24(12), 1991; bandwidth as in Daugman, JOSA A 2(7), 1985.
    """
    deviation = wavelength_px * 3 * math.sqrt(math.log(2) / 2) / math.pi
    lines = []
    for part in (math.sin(angle), math.cos(angle)):
        other = math.sqrt(max(1 - part * part, 0))
        reach = math.ceil(max(REACH * deviation * max(abs(part), other), 1))
        position = np.arange(-reach, reach + 1)
        wave: NDArray[np.complex128] = np.exp(
            -0.5 * (position / deviation) ** 2 + 2j * math.pi * part * position / wavelength_px
        )
        lines.append(wave / (math.sqrt(2 * math.pi) * deviation))
    return lines[0], lines[1]


@dataclass(frozen=True)
class GaborBank:
    """Magnitudes of the responses to filters of some wavelengths (pixels) in evenly spaced directions."""

    name: str
    wavelengths_px: tuple[float, ...] = (4, 8, 16)
    directions: int = 6

    @property
    def halo_px(self) -> int:
        """Half the largest kernel."""
        return max(max(len(line) for line in self._lines(*one)) // 2 for one in self._filters())

    def columns(self, bands: Bands) -> list[str]:
        """Return the names "wavelength<px>.<degrees>"."""
        return [
            f"wavelength{wavelength:g}.{180 * number / self.directions:g}" for wavelength, number in self._filters()
        ]

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (filters, rows of sites, columns of sites) float32. Memory: the result and 40 bytes a pixel (with halo)."""
        margin = self.halo_px
        padded = np.pad(bands.grey(), margin, mode="symmetric")
        height, width = bands.shape
        size = [fft.next_fast_len(length) for length in padded.shape]
        spectrum = fft.fft2(padded, size)
        magnitudes = np.empty((len(self._filters()), *at_sites(bands.values[0], stride_px).shape), np.float32)
        for index, one in enumerate(self._filters()):
            down, right = (
                fft.fft(_centre_on_circle(line, length).astype(np.complex64))
                for line, length in zip(self._lines(*one), size, strict=True)
            )
            response = fft.ifft2(spectrum * down[:, None] * right, overwrite_x=True)
            inside = response[margin : margin + height, margin : margin + width]
            magnitudes[index] = np.abs(at_sites(inside, stride_px))
        return magnitudes

    def _filters(self) -> list[tuple[float, int]]:
        return [(wavelength, number) for wavelength in self.wavelengths_px for number in range(self.directions)]

    def _lines(self, wavelength: float, number: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        return gabor_kernel_lines(wavelength, math.pi * number / self.directions)


def _centre_on_circle(line: NDArray[np.complex128], length: int) -> NDArray[np.complex128]:
    """Place a line of odd length around index 0 of a circular array."""
    circle = np.zeros(length, complex)
    reach = len(line) // 2
    circle[: reach + 1] = line[reach:]
    circle[len(circle) - reach :] = line[:reach]
    return circle


GABOR = GaborBank("gabor")
