"""Textures of the grey image around a site or in a superpixel: local binary patterns, co-occurrence, Gabor filters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.feature import Windows, at_sites, window_counts

DECIMALS = 5  # of the positions on the circle
# an interpolated level is a whole multiple of 10^-10 (two weights of five decimals): whatever lies nearer to 0 is 0
TIE = 0.5 * 10.0 ** (-2 * DECIMALS)
Counts = Iterable[tuple[NDArray[np.int64], NDArray[np.floating]]]
MEASURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy")
STRIP_SITES = 1 << 14  # at a time, so that counts fit into the processor's cache
OFFSETS = ((0, 1), (1, 1), (1, 0), (1, -1))  # rows down, columns right: 0, 45, 90, 135 degrees
REACH = 3  # standard deviations


def grey_levels(bands: Bands, levels: int = 256) -> NDArray[np.uint8]:
    """Return the grey image in `levels` levels of equal width (at most 256), (h, w) uint8."""
    return np.minimum(bands.grey() * np.float32(levels), levels - 1).astype(np.uint8)


def local_patterns(image: NDArray[np.uint8], points: int = 8, radius: float = 1) -> NDArray[np.uint8]:
    """Return the uniform rotation-invariant pattern of each pixel, (h, w) uint8 from 0 to points + 1: how many of the `points` (at most 16) on a
    circle are as bright as its centre or brighter; points + 1 where that changes more than twice. Source: Ojala et al., PAMI 24(7), 2002, eq. 9."""
    margin = math.ceil(radius)
    padded = np.pad(image, margin, mode="edge").astype(np.float64)
    pattern = np.zeros(image.shape, np.uint16)
    limit = image - TIE
    for number in range(points):
        angle = 2 * math.pi * number / points
        down, right = round(-radius * math.sin(angle), DECIMALS), round(radius * math.cos(angle), DECIMALS)
        level = _levels_at(padded, down + margin, right + margin, image.shape)
        pattern |= (level >= limit).astype(np.uint16) << np.uint16(number)
    return _uniform_codes(points)[pattern]


def _levels_at(padded: NDArray[np.float64], down: float, right: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return bilinear levels at an offset from each pixel."""
    row, col = math.floor(down), math.floor(right)
    by_row, by_col = down - row, right - col
    rows = padded[row : row + shape[0]]
    if by_row:
        rows = rows * (1 - by_row) + padded[row + 1 : row + 1 + shape[0]] * by_row
    cols = rows[:, col : col + shape[1]]
    return cols * (1 - by_col) + rows[:, col + 1 : col + 1 + shape[1]] * by_col if by_col else cols


def _uniform_codes(points: int) -> NDArray[np.uint8]:
    """Return the code of each of the 2^points patterns."""
    bits = (np.arange(1 << points)[:, None] >> np.arange(points)) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), points + 1).astype(np.uint8)


@dataclass(frozen=True)
class LocalBinaryPatterns:
    """Shares of the patterns in the square of side_px around each site, or in each superpixel; they sum to 1."""

    name: str
    points: int = 8
    radius: float = 1
    side_px: int = 17

    @property
    def halo_px(self) -> int:
        """Half a window and a radius."""
        return self.side_px // 2 + math.ceil(self.radius)

    def columns(self, bands: Bands) -> list[str]:
        """Return the names: "bright" with the number of bright positions, and "others"."""
        return [f"bright{count}" for count in range(self.points + 1)] + ["others"]

    pooled_columns = columns

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (points + 2, rows of sites, columns of sites) float32. Memory: the result, 50 bytes a pixel, 60 a site."""
        patterns = local_patterns(grey_levels(bands), self.points, self.radius)
        windows = Windows.around_sites(bands.shape, self.side_px, stride_px)
        shares = np.zeros((self.points + 2, *windows.shape), np.float32)
        for some, counts in window_counts(patterns, windows):
            shares[some] = counts / windows.areas
        return shares

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> FloatImage:
        """Return (count, points + 2) float32; zeros for a superpixel without pixels."""
        patterns = local_patterns(grey_levels(bands), self.points, self.radius)
        num_codes = self.points + 2
        inside = ids >= 0
        codes = ids[inside].astype(np.int64) * num_codes + patterns[inside]
        counts = np.bincount(codes, minlength=count * num_codes).reshape(count, num_codes)
        return (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(np.float32)


LBP = LocalBinaryPatterns("lbp")
LBP16 = LocalBinaryPatterns("lbp16", points=16, radius=2)


@dataclass(frozen=True)
class CoOccurrence:
    """Haralick's six measures of grey levels of neighbouring pixels, means over four directions, in the square of side_px around a site or in one
    superpixel. With one level or no pair: contrast, dissimilarity and entropy (nats) 0, the others 1. Source: Haralick et al., SMC 3(6), 1973."""

    name: str
    levels: int = 16
    side_px: int = 17

    @property
    def halo_px(self) -> int:
        """Half a window."""
        return self.side_px // 2

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the six measures."""
        return list(MEASURES)

    pooled_columns = columns

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return (6, rows of sites, columns of sites) float32. Memory: the result and 25 bytes a pixel."""
        image = grey_levels(bands, self.levels)
        windows = Windows.around_sites(bands.shape, self.side_px, stride_px)
        values = np.zeros((len(MEASURES), *windows.shape), np.float32)
        for sites, rows, part in windows.strips(STRIP_SITES):
            for down, right in OFFSETS:
                codes = _pair_codes(self.levels)[_pairs(image[rows], down, right)]
                counts = window_counts(codes, part.shorten(down, abs(right)))
                values[:, sites] += measures(counts, self.levels, part.shape)
        return values / np.float32(len(OFFSETS))

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> FloatImage:
        """Return (count, 6) float32 of the pairs inside each superpixel."""
        image = grey_levels(bands, self.levels)
        num_codes = _num_codes(self.levels)
        total = np.zeros((len(MEASURES), count), np.float32)
        for down, right in OFFSETS:
            first, second = _pairs(image, down, right)
            one, other = _pairs(ids, down, right)
            inside = (one == other) & (one >= 0)
            codes = _pair_codes(self.levels)[first[inside], second[inside]] + one[inside].astype(np.int64) * num_codes
            counts = np.bincount(codes, minlength=count * num_codes).reshape(count, num_codes)
            total += measures([(np.arange(num_codes), counts.T.astype(np.float64))], self.levels, (count,))
        return total.T / np.float32(len(OFFSETS))


def measures(counts: Counts, levels: int, shape: tuple[int, ...]) -> FloatImage:
    """Return the six measures, (6, *shape) float32, of counts of unordered pairs of levels: blocks (codes (n,), (n,
    *shape))."""
    low, high = _levels_of_codes(levels)
    apart, mixed = high - low, (high != low).astype(float)
    linear = np.stack(
        [np.ones(len(low)), apart**2, apart, 1 / (1 + apart**2), low + high, low**2 + high**2, low * high, mixed]
    )
    sums = np.zeros((len(linear), np.prod(shape, dtype=int)))
    squares, logs = np.zeros(sums.shape[1]), np.zeros(sums.shape[1])
    for codes, block in counts:
        flat = block.reshape(len(block), -1)
        sums += linear[:, codes].astype(flat.dtype) @ flat
        squares += (1 - mixed[codes] / 2).astype(flat.dtype) @ (flat * flat)
        logs += (flat * np.log(np.maximum(flat, 1))).sum(axis=0)
    return _from_sums(sums, squares, logs).reshape(len(MEASURES), *shape)


def _from_sums(sums: NDArray[np.float64], squares: NDArray[np.float64], logs: NDArray[np.float64]) -> FloatImage:
    """Return the measures of the symmetric matrix whose entries off the diagonal are half the counts of unordered pairs."""
    pairs = sums[0]
    some = np.maximum(pairs, 1)
    contrast, dissimilarity, homogeneity, level, square, product, mixed = sums[1:] / some
    variance = square / 2 - (level / 2) ** 2
    covariance = product - (level / 2) ** 2
    flat = variance < 1e-12
    correlation = np.where(flat, 1, covariance / np.where(flat, 1, variance))
    energy = np.sqrt(squares) / some
    entropy = np.where(flat, 0, np.log(some) - logs / some + np.log(2) * mixed)
    values = np.stack([contrast, dissimilarity, homogeneity, energy, correlation, entropy])
    values[:, pairs == 0] = np.array([0, 0, 1, 1, 1, 0])[:, None]
    return values.astype(np.float32)


def _pairs(image: NDArray[np.integer], down: int, right: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return an image and its copy shifted by an offset, cut to where both are: down 0 or 1, right −1, 0 or 1."""
    height, width = image.shape[0] - down, image.shape[1] - abs(right)
    left, other = max(-right, 0), max(right, 0)
    return image[:height, left : left + width], image[down:, other : other + width]


def _num_codes(levels: int) -> int:
    return levels * (levels + 1) // 2


def _levels_of_codes(levels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and higher level of each unordered pair."""
    low, high = np.triu_indices(levels)
    return low.astype(float), high.astype(float)


def _pair_codes(levels: int) -> NDArray[np.unsignedinteger]:
    """Return (levels, levels) the number of each unordered pair."""
    low, high = np.triu_indices(levels)
    table = np.zeros((levels, levels), np.min_scalar_type(len(low)))
    table[low, high] = table[high, low] = np.arange(len(low))
    return table


GLCM = CoOccurrence("glcm")


def gabor_kernel_lines(wavelength_px: float, angle: float) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return the kernel's column and row, whose outer product it is; its Gaussian is round, one octave wide. angle :
    radians, in which the wave runs; 0 right, π/2 down. Source: Jain, Farrokhnia, Pattern Recognition 24(12), 1991;
    bandwidth as in Daugman, JOSA A 2(7), 1985."""
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
    """Magnitudes of the complex responses to filters of some wavelengths (pixels) in evenly spaced directions."""

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
