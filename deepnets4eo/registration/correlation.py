"""Shift between two image patches from the orientation of their gradients, whatever their contrast.

Gradients become squared unit vectors, so a bright roof on dark ground and its negative look the same; the shift is
the peak of their cross-correlation. Kernels on arrays: inputs are trusted.
Source: Fitch et al. 2002 (orientation correlation), with the angle doubled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from deepnets4eo.arrays import FloatImage, Mask, Spectrum
from deepnets4eo.zonal.outlines import chunks

CHUNK = 4096  # surfaces compared together
EXCLUDED_PX = 5  # half width of the square around the peak that holds no second peak


class Peaks(NamedTuple):
    """Best shift of each of N correlation surfaces, sub-pixel, and two measures of how reliable it is."""

    rows: NDArray[np.float64]
    cols: NDArray[np.float64]
    values: NDArray[np.float64]  # height of the peak, 1 for identical patches
    ratios: NDArray[np.float64]  # peak over the second peak; large when there is one clear answer


def orientation_field(grey: FloatImage, valid: Mask | None = None, sigma_px: float = 1.0) -> Spectrum:
    """Squared gradient directions, weighted by how far the gradient stands out of the patch's own noise.

    grey : (h, w) float32. valid : (h, w) bool, True where known.
    returns : (h, w) complex64, modulus 0–1, angle twice the gradient's; 0 near holes.
    """
    smooth = ndimage.gaussian_filter(grey, sigma_px, mode="nearest", truncate=3.0)
    down, right = np.zeros_like(smooth), np.zeros_like(smooth)
    np.subtract(smooth[2:], smooth[:-2], out=down[1:-1])
    np.subtract(smooth[:, 2:], smooth[:, :-2], out=right[:, 1:-1])
    down_power, right_power = down * down, right * right
    power = down_power + right_power
    holes = None if valid is None or valid.all() else _near_holes(valid, int(3 * sigma_px) + 1)
    power += _noise_floor(power, holes)
    field = np.empty(grey.shape, np.complex64)
    np.divide(right_power - down_power, power, out=field.real)
    np.divide(2 * right * down, power, out=field.imag)
    if holes is not None:
        field[holes] = 0
    return field


def _near_holes(valid: Mask, reach_px: int) -> Mask:
    near: Mask = ndimage.maximum_filter((~valid).astype(np.uint8), 2 * reach_px + 1) > 0
    return near


def _noise_floor(power: FloatImage, holes: Mask | None) -> float:
    """Median gradient power, from every fourth row and column; gradients well above it count fully."""
    sample = power[::4, ::4] if holes is None else power[::4, ::4][~holes[::4, ::4]]
    return float(np.median(sample)) + 1e-9 if sample.size else 1.0


def taper(shape: tuple[int, int]) -> FloatImage:
    """A Hann window with a flat middle half, (h, w) float32."""
    rows, cols = (_tukey(side) for side in shape)
    return np.outer(rows, cols).astype(np.float32)


def _tukey(side: int) -> NDArray[np.float64]:
    position = (np.arange(side) + 0.5) / side
    edge = np.minimum(position, 1 - position)
    return np.where(edge < 0.25, 0.5 - 0.5 * np.cos(np.pi * edge / 0.25), 1.0)


def correlate_spectra(a: Spectrum, b: Spectrum, radius_px: int) -> NDArray[np.float32]:
    """Correlation of patches for shifts up to ± radius, from the patches' Fourier transforms.

    a, b : (N, h, w) complex64. If the second patch at (y, x) is the first at (y + r, x + c), the peak is at shift (r, c).
    returns : (N, 2·radius + 1, 2·radius + 1) float32; the middle is shift (0, 0), 1 = identical.
    Peak memory: three times the input.
    """
    size = a.shape[-2] * a.shape[-1]
    energy = np.sqrt(_energy(a) * _energy(b)) / size
    full = fft.ifft2(a * np.conj(b)).real / np.maximum(energy, 1e-12)[..., None, None]
    reach = np.arange(-radius_px, radius_px + 1)
    cut: NDArray[np.float32] = full[..., reach[:, None], reach[None, :]].astype(np.float32)
    return cut


def _energy(spectra: Spectrum) -> NDArray[np.float32]:
    """Sum of squared moduli of each patch."""
    parts = np.ascontiguousarray(spectra).view(np.float32).reshape(*spectra.shape[:-2], -1)
    energy: NDArray[np.float32] = np.einsum("...i,...i->...", parts, parts)
    return energy


def find_peaks(surface: NDArray[np.float32]) -> Peaks:
    """Sub-pixel maximum of each surface, (N, 2r + 1, 2r + 1), relative to the middle."""
    parts = [_find_peaks(surface[rows]) for rows in chunks(len(surface), CHUNK)]
    return Peaks(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _find_peaks(surface: NDArray[np.float32]) -> Peaks:
    count, height, width = surface.shape
    radius = height // 2
    index = np.arange(count)
    row, col = np.unravel_index(surface.reshape(count, -1).argmax(axis=1), (height, width))
    value = surface[index, row, col].astype(np.float64)
    far = np.maximum(
        np.abs(np.arange(height)[None, :, None] - row[:, None, None]),
        np.abs(np.arange(width)[None, None, :] - col[:, None, None]),
    )
    second = np.where(far > EXCLUDED_PX, surface, -np.inf).reshape(count, -1).max(axis=1)
    ratio = value / np.maximum(second, 1e-3)
    fine_row = row + _parabola(surface, index, row, col, (1, 0))
    fine_col = col + _parabola(surface, index, row, col, (0, 1))
    return Peaks(fine_row - radius, fine_col - radius, value, ratio)


def _parabola(
    surface: NDArray[np.float32],
    index: NDArray[np.intp],
    row: NDArray[np.intp],
    col: NDArray[np.intp],
    step: tuple[int, int],
) -> NDArray[np.float64]:
    """Offset of the vertex of the parabola through the maximum and its two neighbours; 0 on the rim."""
    height, width = surface.shape[1:]
    inside = (row >= step[0]) & (col >= step[1]) & (row < height - step[0]) & (col < width - step[1])
    before = surface[index, np.maximum(row - step[0], 0), np.maximum(col - step[1], 0)].astype(np.float64)
    after = surface[index, np.minimum(row + step[0], height - 1), np.minimum(col + step[1], width - 1)].astype(
        np.float64
    )
    centre = surface[index, row, col].astype(np.float64)
    bend = 2 * centre - before - after
    offset = np.where(bend > 1e-9, 0.5 * (after - before) / np.maximum(bend, 1e-9), 0.0)
    return np.where(inside, np.clip(offset, -0.5, 0.5), 0.0)
